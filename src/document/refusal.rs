//! Why a policy document, or one key entry of it, is refused: where, what, and how to mend it.

use core::fmt;
use std::borrow::Cow;

use serde::de::{self, Expected, Unexpected};

use crate::value::text::{Invalid, QUOTABLE};

/// A document that is refused as a whole. Envoy then keeps the policy that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where in the document, such as `consumers[2].keys[0].expires`; empty for the document itself.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Neither JSON text nor an Envoy `Struct`.
    Syntax {
        /// Line and column of the JSON text, or what is wrong with the `Struct`; no part of the document.
        message: String,
    },
    /// A member that the format does not have.
    UnknownField {
        /// Its name; `None` where it may be a key that somebody has put there.
        name: Option<String>,
        /// The members that may stand there.
        known: &'static [&'static str],
    },
    /// A member that is given twice. Parsers differ in which one counts, so neither does.
    DuplicateField {
        /// Its name.
        name: &'static str,
    },
    /// A member that must be there and is not.
    MissingField {
        /// Its name.
        name: &'static str,
    },
    /// Another JSON type than the one that belongs here.
    WrongType {
        /// What stands there, such as `a number`.
        found: &'static str,
        /// The value, unless it may be secret.
        shown: Option<String>,
        /// What belongs there.
        expected: String,
        /// Whether text belongs there, so that quotes would mend it.
        quotable: bool,
    },
    /// The right type with a value that cannot be.
    Invalid {
        /// The value, unless it may be secret.
        shown: Option<String>,
        /// Why it cannot be, and how to mend it.
        invalid: Invalid,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "the document" } else { &self.path };
        match &self.problem {
            Problem::Syntax { message } => {
                write!(f, "{place}: {message}: give the policy as JSON text, or as YAML in a google.protobuf.Struct")
            }
            Problem::UnknownField { name: Some(name), known } => {
                write!(f, "{place}: unknown field `{}`: known here are {}", clip(name), known.join(", "))
            }
            Problem::UnknownField { name: None, known } => {
                write!(f, "{place}: unknown field (its name is not shown): known here are {}", known.join(", "))
            }
            Problem::DuplicateField { name } => write!(f, "{place}: `{name}` is given twice: keep one"),
            Problem::MissingField { name } => write!(f, "{place}: `{name}` is missing: add it"),
            Problem::WrongType { found: "nothing (null)", expected, .. } => {
                write!(f, "{place}: no value, expected {expected}: give one, or remove the field")
            }
            Problem::WrongType { found, shown, expected, quotable } => {
                write!(f, "{place}: ")?;
                match shown {
                    Some(shown) => write!(f, "{} is {found}, expected {expected}", clip(shown))?,
                    None => write!(f, "found {found}, expected {expected}")?,
                }
                match *found {
                    "a boolean" if *quotable => write!(f, ": quote it (YAML reads a bare off, no or yes as a boolean)"),
                    "a number" if *quotable => write!(f, ": quote it"),
                    _ => Ok(()),
                }
            }
            Problem::Invalid { shown: Some(shown), invalid } => {
                write!(f, "{place}: {:?} {}: {}", clip(shown), invalid.why, invalid.fix)
            }
            Problem::Invalid { shown: None, invalid } => write!(f, "{place}: {}: {}", invalid.why, invalid.fix),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What is neither JSON text nor a `Struct`.
    pub(super) fn syntax(message: impl Into<String>) -> Self {
        Self { path: String::new(), problem: Problem::Syntax { message: message.into() } }
    }

    /// A value that is refused for a reason outside of the value.
    pub(crate) fn invalid(path: impl Into<String>, shown: Option<&str>, invalid: Invalid) -> Self {
        Self { path: path.into(), problem: Problem::Invalid { shown: shown.map(str::to_owned), invalid } }
    }

    /// A problem at the end of a path. It is here, where the place is known, that values which may be secret are dropped.
    pub(super) fn new(mut path: Vec<Step>, mut problem: Problem) -> Self {
        // The member is not known there, or is there twice: the place is its object.
        if matches!(problem, Problem::UnknownField { .. } | Problem::DuplicateField { .. }) {
            path.pop();
        }
        match &mut problem {
            Problem::WrongType { shown, .. } => *shown = shown.take().filter(|text| may_show(&path, text)),
            Problem::Invalid { shown, invalid } if shown.as_ref().is_some_and(|text| !may_show(&path, text)) => {
                *shown = None;
                invalid.why = format!("the value (not shown: it may be a key) {}", invalid.why).into();
            }
            Problem::UnknownField { name, .. } => {
                *name = name.take().filter(|name| !is_in_keys(&path) && is_word(name));
            }
            _ => {}
        }
        let mut place = String::new();
        for step in path {
            match step {
                Step::Member(name) if place.is_empty() => place = name,
                Step::Member(name) => place.extend([".", &name]),
                Step::Index(index) => place.push_str(&format!("[{index}]")),
            }
        }
        Self { path: place, problem }
    }
}

/// One step to a place in a document.
#[derive(Debug)]
pub(super) enum Step {
    Member(String),
    Index(usize),
}

impl Step {
    fn is(&self, member: &str) -> bool {
        matches!(self, Self::Member(name) if name == member)
    }
}

/// Whether a message may show a value that stands here: none where somebody may have put a key. That is anywhere in a key
/// entry, but for what begins as a date where one belongs; where a list of consumers or a consumer should be; among the
/// sources of keys; and in the place of the whole document.
fn may_show(path: &[Step], text: &str) -> bool {
    match path {
        [] => false,
        [first] | [first, Step::Index(_)] if first.is("consumers") => false,
        [first, ..] if first.is("key_sources") => is_header_like(text),
        [.., last] if last.is("not_before") || last.is("expires") => is_date_like(text),
        _ => !is_in_keys(path),
    }
}

fn is_in_keys(path: &[Step]) -> bool {
    matches!(path, [one, Step::Index(_), two, ..] if one.is("consumers") && two.is("keys"))
}

/// Whether a member's name is a word and no key: somebody may have written a map of keys.
fn is_word(name: &str) -> bool {
    name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Whether a text looks like the name of a header, or of a kind of source, and not like a key.
fn is_header_like(text: &str) -> bool {
    text.len() <= 24 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
}

/// Whether a text looks like a date, with or without a time, and not like a key.
fn is_date_like(text: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_digit() || b"-+:. TtZz".contains(&byte);
    text.len() <= 35 && text.bytes().all(sign) && text.as_bytes().get(4) == Some(&b'-')
}

/// What serde says of a document, in parts. What of it is shown, [`Refusal::new`] decides.
impl de::Error for Problem {
    /// The text of an [`Invalid`]: no other type reads itself by a text of its own.
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Invalid { shown: None, invalid: Invalid::from_parts(&text.to_string()) }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (found, shown) = match found {
            Unexpected::Bool(value) => ("a boolean", Some(value.to_string())),
            Unexpected::Unsigned(number) => ("a number", Some(number.to_string())),
            Unexpected::Signed(number) => ("a number", Some(number.to_string())),
            Unexpected::Float(number) => ("a number", Some(format!("{number:?}"))),
            Unexpected::Str(text) => ("text", Some(format!("{text:?}"))),
            Unexpected::Unit => ("nothing (null)", None),
            Unexpected::Seq => ("a list", Some("this".into())),
            Unexpected::Map => ("an object", Some("this".into())),
            _ => ("something else", None),
        };
        let expected = expected.to_string();
        let (quotable, expected) = match expected.strip_prefix(QUOTABLE) {
            Some(expected) => (true, expected),
            None => (false, expected.as_str()),
        };
        let expected = match expected {
            "a sequence" => "a list",
            "a boolean" => "true or false",
            ours => ours,
        };
        Self::WrongType { found, shown, expected: expected.to_owned(), quotable }
    }

    /// A text that is none of its kind; what is expected is an [`Invalid`].
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let shown = match found {
            Unexpected::Str(text) | Unexpected::Other(text) => Some(text.to_owned()),
            Unexpected::Unsigned(number) => Some(number.to_string()),
            Unexpected::Signed(number) => Some(number.to_string()),
            _ => None,
        };
        Self::Invalid { shown, invalid: Invalid::from_parts(&expected.to_string()) }
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownField { name: Some(name.to_owned()), known }
    }

    fn missing_field(name: &'static str) -> Self {
        Self::MissingField { name }
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::DuplicateField { name }
    }
}

impl std::error::Error for Problem {}

/// serde asks for it; [`Refusal`] is what says it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

/// The first 80 characters: enough to find the value, and no log line of megabytes.
fn clip(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}
