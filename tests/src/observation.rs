//! What an engine observed when it ran a row.

use crate::message::Reply;
use crate::upstream::Seen;

/// The outcome of one request in one engine.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The engine, the form of the policy, the protocol.
    pub engine: String,
    /// Whether the row ran on a real Envoy.
    pub on_wire: bool,
    /// The reason that the gate gave; none if it was not called.
    pub reason: Option<String>,
    /// `allow`, `deny` or `report`.
    pub decision: Option<String>,
    /// The consumer that the gate identified; empty or none if there is none.
    pub consumer: Option<String>,
    /// The public id of the caller's key.
    pub key_id: Option<String>,
    /// The caller's address, where the engine shows it.
    pub source: Option<String>,
    /// The reply, or a description of how the connection ended without one.
    pub reply: Result<Reply, String>,
    /// The request that the upstream received, if it was reached.
    pub seen: Option<Seen>,
}

impl Observation {
    /// The status of the reply as text, or the outcome without a reply.
    pub fn status(&self) -> String {
        self.reply.as_ref().map_or_else(|error| format!("no reply: {error}"), |reply| reply.status.to_string())
    }
}

/// One difference from the expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// What was compared.
    pub what: String,
    /// The expected value.
    pub expected: String,
    /// The observed value.
    pub got: String,
}
