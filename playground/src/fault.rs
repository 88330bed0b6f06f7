//! What is wrong with an input: in which one, where, and what to do.

use anyhow::Error;
use portcullis_explain::yaml::Position;
use serde_json::{Value, json};

/// An error in an input of the page.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The input: `policy`, `link`, or a field of the request.
    pub(crate) input: &'static str,
    /// Where, if known. Only the policy has lines.
    pub(crate) at: Option<Position>,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl Fault {
    /// Creates an error without a position.
    pub(crate) fn new(input: &'static str, message: impl Into<String>) -> Self {
        Self { input, at: None, message: message.into() }
    }

    /// Converts an error in a field of the request.
    pub(crate) fn field(input: &'static str) -> impl Fn(Error) -> Self {
        move |error| Self::new(input, format!("{error:#}"))
    }
}

/// The value, or the error, as JSON text.
pub(crate) fn or_json(result: Result<Value, Fault>) -> String {
    let value = result.unwrap_or_else(|Fault { input, at, message }| {
        let (line, column) = at.map(|at| (at.line, at.column)).unzip();
        json!({"fault": {"input": input, "line": line, "column": column, "message": message}})
    });
    value.to_string()
}
