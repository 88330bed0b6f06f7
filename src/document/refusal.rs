//! Why a policy document is refused: the path, the error, and the fix.

use core::fmt;
use std::borrow::Cow;

use crate::value::json::Step;
use crate::value::problem::Problem;
use crate::value::text::Invalid;

/// A refusal of a whole document. Envoy then keeps its current policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The path in the document, such as `consumers[2].keys[0].expires`; empty for the document itself.
    pub path: String,
    /// The error at this path.
    pub problem: Problem,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "the document" } else { &self.path };
        write!(f, "{place}: ")?;
        match &self.problem {
            Problem::Syntax(message) => {
                write!(f, "{message}: write the policy as JSON text, or as YAML in a google.protobuf.Struct")
            }
            Problem::UnknownField { name, known } => {
                let name = name.as_ref().map_or("(name not shown)".into(), |name| format!("`{}`", clip(name)));
                write!(f, "unknown field {name}: expected {}", known.join(", "))
            }
            Problem::DuplicateField(name) => write!(f, "duplicate field `{name}`: keep one"),
            Problem::MissingField(name) => write!(f, "missing field `{name}`: add it"),
            Problem::WrongType { found, shown, expected, quotable } => {
                let shown = shown.as_ref().map(|shown| format!(" ({})", clip(shown))).unwrap_or_default();
                let fix = match *found {
                    "null" => ": write a value, or remove the field",
                    "a boolean" if *quotable => ": quote it (YAML reads a bare off, no or yes as a boolean)",
                    "a number" if *quotable => ": quote it",
                    _ => "",
                };
                write!(f, "found {found}{shown}, expected {expected}{fix}")
            }
            Problem::Invalid { shown, invalid: Invalid { what, help } } => {
                let shown = shown.as_ref().map(|shown| format!(" {:?}", clip(shown))).unwrap_or_default();
                write!(f, "{what}{shown}: {help}")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Creates a refusal of a configuration that is neither JSON text nor a `Struct`.
    pub(super) fn syntax(message: impl Into<String>) -> Self {
        Self { path: String::new(), problem: Problem::Syntax(message.into()) }
    }

    /// Creates a refusal of a value for a reason outside the value.
    pub(crate) fn invalid(path: impl Into<String>, shown: Option<&str>, invalid: Invalid) -> Self {
        Self { path: path.into(), problem: Problem::Invalid { shown: shown.map(str::to_owned), invalid } }
    }

    /// Creates a refusal from a path and a problem. Values that may be secret are removed here, where the path is known.
    pub(super) fn new(mut path: Vec<Step>, mut problem: Problem) -> Self {
        // For an unknown or duplicate member, the path is that of its object.
        if matches!(problem, Problem::UnknownField { .. } | Problem::DuplicateField(_)) {
            path.pop();
        }
        match &mut problem {
            Problem::WrongType { shown, .. } => *shown = shown.take().filter(|text| may_show(&path, text)),
            Problem::Invalid { shown, invalid } if shown.as_ref().is_some_and(|text| !may_show(&path, text)) => {
                *shown = None;
                invalid.what = format!("{} (value not shown, it may be a key)", invalid.what).into();
            }
            Problem::UnknownField { name, .. } => {
                *name = name.take().filter(|name| !is_secret(&path) && is_word(name));
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

/// Whether a message may show the value at this path. A value is not shown if a key may have been written there:
///
/// * in a key entry, except for text that looks like a date in the place of a date
/// * among the secrets of tokens, or where a path or a lifetime belongs, except for text that looks like one
/// * in the place of a list of consumers, or of a consumer
/// * among the key sources, except for text that looks like a header name
/// * in the place of the whole document
fn may_show(path: &[Step], text: &str) -> bool {
    match path {
        [] => false,
        [first] | [first, Step::Index(_)] if first.is("consumers") => false,
        [first, ..] if first.is("endpoints") => text.starts_with(['/', '"']) && text.contains('/'),
        [first, ..] if first.is("tokens") => text.len() <= "86400s".len() && !is_secret(path),
        [first, ..] if first.is("key_sources") => is_header_like(text),
        [.., last] if last.is("not_before") || last.is("expires") => is_date_like(text),
        _ => !is_secret(path),
    }
}

fn is_secret(path: &[Step]) -> bool {
    match path {
        [one, two, ..] if one.is("tokens") => two.is("secrets"),
        [one, Step::Index(_), two, ..] => one.is("consumers") && two.is("keys"),
        _ => false,
    }
}

/// Whether a member's name looks like a word, and not like a key that is used as a name.
fn is_word(name: &str) -> bool {
    name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Whether a text looks like a header name or a kind of source, and not like a key.
fn is_header_like(text: &str) -> bool {
    text.len() <= 24 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
}

/// Whether a text looks like a date, with or without a time, and not like a key.
fn is_date_like(text: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_digit() || b"-+:. TtZz".contains(&byte);
    text.len() <= 35 && text.bytes().all(sign) && text.as_bytes().get(4) == Some(&b'-')
}

/// Returns the first 80 characters: enough to find the value, without log lines of megabytes.
fn clip(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}
