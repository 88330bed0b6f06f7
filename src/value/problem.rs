//! An error in a value that serde reads.

use core::fmt;

use serde::de::{self, Expected, Unexpected};

use super::text::{Invalid, QUOTABLE};

/// An error at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Neither JSON text nor an Envoy `Struct`: line and column of the JSON text, or the error in the `Struct`. Contains no
    /// part of the document.
    Syntax(String),
    /// A member that is unknown at this place.
    UnknownField {
        /// Its name; `None` if it may be a key.
        name: Option<String>,
        /// The members that are known at this place.
        known: &'static [&'static str],
    },
    /// A duplicate member. Parsers differ in which value they use.
    DuplicateField(&'static str),
    /// A required member that is missing.
    MissingField(&'static str),
    /// A value of another JSON type than expected.
    WrongType {
        /// The type of the value, such as `a number`.
        found: &'static str,
        /// The value, unless it may be secret.
        shown: Option<String>,
        /// The expected type.
        expected: String,
        /// Whether text is expected, so that quoting fixes it.
        quotable: bool,
    },
    /// A value of the right type that is not valid.
    Invalid {
        /// The value, unless it may be secret.
        shown: Option<String>,
        /// The error, and the fix.
        invalid: Invalid,
    },
}

/// Receives the parts of serde's errors. Whoever knows the path decides which of them are shown.
impl de::Error for Problem {
    /// Parses the text of an [`Invalid`], which `try_from` passes on.
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Invalid { shown: None, invalid: Invalid::from_lines(&text.to_string()) }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (found, shown) = match found {
            Unexpected::Bool(value) => ("a boolean", Some(value.to_string())),
            Unexpected::Unsigned(number) => ("a number", Some(number.to_string())),
            Unexpected::Signed(number) => ("a number", Some(number.to_string())),
            // Not shown: the code to format it would be 4 % of the module.
            Unexpected::Float(_) => ("a fractional or very large number", None),
            Unexpected::Str(text) => ("text", Some(format!("{text:?}"))),
            Unexpected::Unit => ("null", None),
            Unexpected::Seq => ("a list", None),
            Unexpected::Map => ("an object", None),
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
            "u64" => "a whole number",
            ours => ours,
        };
        Self::WrongType { found, shown, expected: expected.to_owned(), quotable }
    }

    /// A value that is not valid; `expected` is an [`Invalid`].
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let shown = match found {
            Unexpected::Str(text) | Unexpected::Other(text) => Some(text.to_owned()),
            Unexpected::Unsigned(number) => Some(number.to_string()),
            Unexpected::Signed(number) => Some(number.to_string()),
            _ => None,
        };
        let text = expected.to_string();
        // A number that does not fit is refused by serde, which expects a type.
        if text.contains('\n') {
            Self::Invalid { shown, invalid: Invalid::from_lines(&text) }
        } else {
            Self::invalid_type(found, expected)
        }
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownField { name: Some(name.to_owned()), known }
    }

    fn missing_field(name: &'static str) -> Self {
        Self::MissingField(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::DuplicateField(name)
    }
}

impl std::error::Error for Problem {}

/// Required by serde. The message needs the path.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}
