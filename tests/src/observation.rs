//! What an engine observed when it ran a row.

use crate::message::Reply;
use crate::upstream::Seen;

/// The outcome of one request in one engine.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The engine, the form of the policy, the protocol.
    pub engine: String,
    /// Whether a real Envoy was asked.
    pub on_wire: bool,
    /// The reason that the gate gave; none if it was not asked.
    pub reason: Option<String>,
    /// `allow`, `deny` or `report`.
    pub decision: Option<String>,
    /// The consumer that the gate knew the caller for; empty, or none, for nobody.
    pub consumer: Option<String>,
    /// The public handle of the caller's key.
    pub key_id: Option<String>,
    /// The caller's address, where the engine shows it.
    pub source: Option<String>,
    /// The reply, or how the connection ended without one.
    pub reply: Result<Reply, String>,
    /// What the upstream saw, if it was reached.
    pub seen: Option<Seen>,
}

impl Observation {
    /// The status of the reply as text, or what came instead.
    pub fn status(&self) -> String {
        self.reply.as_ref().map_or_else(|error| format!("no reply: {error}"), |reply| reply.status.to_string())
    }
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// What was compared.
    pub what: String,
    /// What the row says.
    pub expected: String,
    /// What was observed.
    pub got: String,
}
