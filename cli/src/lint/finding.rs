//! A finding of lint: a code, a place, what is wrong, and the fix.

use serde_json::{Value, json};

use super::code::Code;
use crate::output::{RED, YELLOW, printable};
use crate::yaml::Place;

/// One finding. It contains no value that may be a key.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The code.
    pub(crate) code: Code,
    /// The place.
    pub(crate) place: Place,
    /// What is wrong.
    pub(crate) message: String,
    /// How to fix it.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn new(code: Code, place: Place, message: impl Into<String>, fix: impl Into<String>) -> Self {
        // The file may come from somebody else.
        Self { code, place, message: printable(&message.into()), fix: printable(&fix.into()) }
    }

    /// Three lines of text.
    pub(crate) fn to_text(&self) -> String {
        let style = if self.code.is_error() { RED } else { YELLOW };
        let (place, severity, code) = (&self.place, self.code.severity(), self.code.name());
        format!(
            "{place}: {style}{severity}[{code}]{style:#}: {}\n  fix: {}\n  see: portcullis lint --explain {code}\n",
            self.message, self.fix,
        )
    }

    /// What is wrong and the fix, for a format that has one text for both.
    pub(crate) fn text(&self) -> String {
        format!("{}\nfix: {}", self.message, self.fix)
    }

    /// The same as JSON. Lines and columns count from 1.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "severity": self.code.severity(),
            "code": self.code.name(),
            "file": self.place.file,
            "line": self.place.at.map(|at| at.line),
            "column": self.place.at.map(|at| at.column),
            "message": self.message,
            "fix": self.fix,
            "page": self.code.page(),
        })
    }
}
