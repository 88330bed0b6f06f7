//! The expectations of a row, and their comparison with what an engine observed.
//!
//! A row only lists what matters to it. The rest follows from the reason: the decision in filter state, the status, and
//! whether the upstream is reached at all.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bytes::show;
use crate::cases::Row;
use crate::message::{Pair, values};
use crate::observation::{Discrepancy, Observation};
use crate::upstream::Seen;
use crate::yaml::{Bytes, Values};

/// The reason of rows that Envoy answers itself, before or instead of the gate.
pub const ENVOY: &str = "envoy";

/// The reasons for allowing requests.
pub const GRANTS: [&str; 9] = [
    "disabled",
    "cors_preflight",
    "public_path",
    "trusted_network",
    "trusted_identity",
    "key",
    "token",
    "whoami",
    "token_issued",
];

/// Of these, the ones that the gate answers itself, with 200.
pub const ANSWERS: [&str; 2] = ["whoami", "token_issued"];

/// The reasons for denying requests, with the status of the reply.
pub const DENIALS: [(&str, u16); 15] = [
    ("bad_request_target", 400),
    ("identity_header_named", 400),
    ("multiple_credentials", 400),
    ("no_credential", 401),
    ("malformed_credential", 401),
    ("unknown_key", 401),
    ("unknown_token", 401),
    ("expired_token", 401),
    ("disabled_key", 401),
    ("key_not_yet_valid", 401),
    ("expired_key", 401),
    ("missing_role", 403),
    ("token_needs_key", 403),
    ("method_not_allowed", 405),
    ("token_unavailable", 503),
];

/// The expectations of a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The name of a grant or denial, or `envoy`.
    pub reason: String,
    /// The status, if it differs from that of the reason.
    pub status: Option<u16>,
    /// The reply.
    #[serde(default)]
    pub reply: ReplyExpectation,
    /// The request that the upstream receives, if the row checks it.
    pub upstream: Option<UpstreamExpectation>,
}

/// Expectations for a reply.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyExpectation {
    /// Headers by name, with all their values in order.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Names of headers that must be absent.
    #[serde(default)]
    pub absent: Vec<String>,
    /// The member `detail` of the JSON body.
    pub detail: Option<String>,
    /// The whole body.
    pub body: Option<Bytes>,
    /// The gRPC status: on the wire the HTTP status is then 200, while `status` is the one that the gate chose.
    pub grpc_status: Option<u16>,
}

/// Whether the upstream is reached, and what it receives.
#[derive(Debug, Clone)]
pub enum UpstreamExpectation {
    /// `none`.
    NotReached,
    /// A map.
    Saw(SeenExpectation),
}

/// What the upstream must have received.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenExpectation {
    /// The method.
    pub method: Option<Bytes>,
    /// The path with its query.
    pub path: Option<Bytes>,
    /// Headers by name, with all their values in order.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Names of headers that must be absent.
    #[serde(default)]
    pub absent: Vec<String>,
}

impl Expectation {
    /// Whether the reason is a denial.
    pub fn is_denial(&self) -> bool {
        self.usual_denial_status().is_some()
    }

    fn usual_denial_status(&self) -> Option<u16> {
        DENIALS.iter().find(|(name, _)| *name == self.reason).map(|(_, status)| *status)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if !(self.reason == ENVOY || self.is_denial() || GRANTS.contains(&self.reason.as_str())) {
            return Err(format!("no grant or denial is named {}", self.reason));
        }
        if self.reply.grpc_status.is_some() && (self.reply.detail.is_some() || self.reply.body.is_some()) {
            return Err("a gRPC reply has no body: leave out `detail` and `body`".to_owned());
        }
        Ok(())
    }

    /// The differences between `observation` and the row's expectations; `report_mode` is that of the row's policy.
    pub fn discrepancies(&self, row: &Row, report_mode: bool, observation: &Observation) -> Vec<Discrepancy> {
        let mut found = Vec::new();
        let mut same = |what: &str, expected: String, got: String| {
            if expected != got {
                found.push(Discrepancy { what: what.to_owned(), expected, got });
            }
        };
        let is_answered = ANSWERS.contains(&self.reason.as_str());
        let passes = !(self.reason == ENVOY || is_answered || self.is_denial() && !report_mode);
        let reason = observation.reason.as_deref().unwrap_or(ENVOY);
        if reason != self.reason {
            // The other expectations follow from the reason.
            same("reason", self.reason.clone(), format!("{reason} (status {})", observation.status()));
            return found;
        }
        if self.reason != ENVOY {
            let decision = match (self.is_denial(), report_mode) {
                (false, _) => "allow",
                (true, true) => "report",
                (true, false) => "deny",
            };
            same("decision", decision.to_owned(), or_nothing(observation.decision.as_deref()));
        }
        if let Some(expected) = self.expected_status(row, passes, observation.on_wire) {
            same("status", expected.to_string(), observation.status());
        }
        self.compare_reply(observation, &mut same);
        match (&self.upstream, &observation.seen) {
            (Some(UpstreamExpectation::Saw(expected)), Some(seen)) => expected.compare(seen, &mut same),
            (Some(UpstreamExpectation::Saw(_)), None) => {
                same("upstream", "reached".to_owned(), "not reached".to_owned())
            }
            (Some(UpstreamExpectation::NotReached), seen) => same("upstream", reached(false), reached(seen.is_some())),
            (None, seen) => same("upstream", reached(passes), reached(seen.is_some())),
        }
        if let Some(got) = &observation.source {
            let expected = row.source.clone().unwrap_or_else(|| row.from.to_string());
            same("source", comparable(&expected, &expected), comparable(got, &expected));
        }
        found
    }

    fn expected_status(&self, row: &Row, passes: bool, on_wire: bool) -> Option<u16> {
        match self.usual_denial_status().filter(|_| !passes) {
            Some(_) if on_wire && self.reply.grpc_status.is_some() => Some(200),
            Some(usual) => Some(self.status.unwrap_or(usual)),
            // The upstream refuses to open tunnels.
            None if passes && on_wire && row.request.method() == b"CONNECT" => Some(self.status.unwrap_or(501)),
            None if passes => Some(self.status.unwrap_or(200)),
            None if self.reason == ENVOY => self.status,
            None => Some(self.status.unwrap_or(200)),
        }
    }

    fn compare_reply(&self, observation: &Observation, same: &mut impl FnMut(&str, String, String)) {
        let Ok(reply) = &observation.reply else {
            if !self.reply.is_empty() {
                same("reply", "a reply".to_owned(), observation.status());
            }
            return;
        };
        compare_headers("reply", &self.reply.headers, &self.reply.absent, &reply.headers, same);
        if let Some(expected) = &self.reply.detail {
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let got = body.get("detail").and_then(|detail| detail.as_str());
            same("reply detail", expected.clone(), got.map_or_else(|| show(&reply.body), str::to_owned));
        }
        if let Some(expected) = &self.reply.body {
            same("reply body", show(&expected.0), show(&reply.body));
        }
        if let Some(expected) = self.reply.grpc_status {
            same("grpc-status", expected.to_string(), or_nothing(reply.header("grpc-status").as_deref()));
        }
    }
}

impl ReplyExpectation {
    fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.detail.is_none() && self.body.is_none() && self.grpc_status.is_none()
    }
}

impl SeenExpectation {
    fn compare(&self, seen: &Seen, same: &mut impl FnMut(&str, String, String)) {
        if let Some(expected) = &self.method {
            same("upstream method", show(&expected.0), show(&seen.method));
        }
        if let Some(expected) = &self.path {
            same("upstream path", show(&expected.0), show(&seen.path));
        }
        compare_headers("upstream", &self.headers, &self.absent, &seen.headers, same);
    }
}

fn compare_headers(
    whose: &str,
    expected: &BTreeMap<String, Values>,
    absent: &[String],
    got: &[Pair],
    same: &mut impl FnMut(&str, String, String),
) {
    for (name, expected) in expected {
        let expected: Vec<&[u8]> = expected.0.iter().map(Vec::as_slice).collect();
        same(&format!("{whose} header {name}"), list(&expected), list(&values(got, name)));
    }
    for name in absent {
        same(&format!("{whose} header {name}"), list(&[]), list(&values(got, name)));
    }
}

fn list(values: &[&[u8]]) -> String {
    let shown: Vec<String> = values.iter().map(|value| show(value)).collect();
    if shown.is_empty() { or_nothing(None) } else { shown.join(" | ") }
}

fn reached(reached: bool) -> String {
    if reached { "reached".to_owned() } else { "not reached".to_owned() }
}

fn or_nothing(text: Option<&str>) -> String {
    text.unwrap_or("(none)").to_owned()
}

/// An address as text, with its port only if `like` has the port 0 (other ports are chosen by the kernel).
fn comparable(address: &str, like: &str) -> String {
    match (address.parse::<std::net::SocketAddr>(), like.parse::<std::net::SocketAddr>()) {
        (Ok(address), Ok(like)) if like.port() == 0 => address.to_string(),
        (Ok(address), _) => address.ip().to_string(),
        _ => address.to_owned(),
    }
}
