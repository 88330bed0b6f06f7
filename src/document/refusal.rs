//! Why a policy document, or one key entry of it, is refused: where, what, and how to mend it.

use core::fmt::{self, Write as _};
use std::borrow::Cow;

use super::names::VariableName;
use crate::fold::is_blank;

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
        expected: &'static str,
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

/// Why a value cannot be, and how to mend it. Holds no part of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Reads on after the value: `is ...`.
    pub why: Cow<'static, str>,
    /// What to do.
    pub fix: Cow<'static, str>,
}

impl Invalid {
    /// An explanation and its mend.
    pub fn new(why: impl Into<Cow<'static, str>>, fix: impl Into<Cow<'static, str>>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }
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
                write!(f, "{place}: \"{}\" {}: {}", Escaped(&clip(shown)), invalid.why, invalid.fix)
            }
            Problem::Invalid { shown: None, invalid } => write!(f, "{place}: {}: {}", invalid.why, invalid.fix),
        }
    }
}

impl std::error::Error for Refusal {}

/// The first 80 characters: enough to find the value, and no log line of megabytes.
fn clip(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// A text of the document, as it stands in a message: on one line, and what nobody sees in escapes. `escape_debug` is 6 KB
/// of code and tables.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| {
            if matches!(letter, '"' | '\\') || (letter != ' ' && is_blank(letter)) {
                write!(f, "{}", letter.escape_default())
            } else {
                f.write_char(letter)
            }
        })
    }
}

/// One key entry that is refused alone: every other key goes on working.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// Where it stands, such as `consumers[0].keys[1]`.
    pub path: String,
    /// Its id, where the document gives one.
    pub id: Option<String>,
    /// What is wrong with it.
    pub problem: EntryProblem,
}

/// What is wrong with one key entry. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryProblem {
    /// `sha256` is not 64 hex digits.
    MalformedDigest,
    /// `plaintext` is something that no request can present.
    MalformedPlaintext,
    /// The environment variable is not set in the VM.
    UnsetVariable(VariableName),
    /// The environment variable is set to nothing.
    EmptyVariable(VariableName),
    /// The environment variable holds something that no request can present.
    MalformedVariable(VariableName),
    /// Another entry, at the path given, has the same digest: which of the two would count?
    DuplicateDigest(String),
}

impl fmt::Display for RefusedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if let Some(id) = &self.id {
            write!(f, " (id {id})")?;
        }
        write!(f, ": ")?;
        let unpresentable = "no request can present it: use 1 to 1024 visible ASCII characters (0x21 to 0x7E)";
        match &self.problem {
            EntryProblem::MalformedDigest => {
                write!(f, "sha256 is no SHA-256: give 64 hex digits (printf %s \"$KEY\" | sha256sum)")
            }
            EntryProblem::MalformedPlaintext => write!(f, "plaintext is malformed, {unpresentable}"),
            EntryProblem::UnsetVariable(name) => write!(
                f,
                "environment variable {} is not set in the VM: export it before Envoy starts, and list it in \
                 vm_config.environment_variables",
                name
            ),
            EntryProblem::EmptyVariable(name) => {
                write!(f, "environment variable {} is empty: put the key in it", name)
            }
            EntryProblem::MalformedVariable(name) => {
                write!(f, "the value of environment variable {} is malformed, {unpresentable}", name)
            }
            EntryProblem::DuplicateDigest(other) => {
                write!(f, "the same key stands at {other}; both entries are refused: keep one")
            }
        }
    }
}
