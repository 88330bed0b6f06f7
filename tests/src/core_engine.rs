//! The engine `core`: the policy library, asked directly. Each policy is loaded from JSON text and from a `Struct`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis::{Decision, Edit, Host, Outcome, Policy, Request, Timestamp};
use serde_json::Value;

use crate::cases::{Cases, Row};
use crate::listener::PEER_KEY;
use crate::message::{Pair, Reply};
use crate::observation::Observation;
use crate::structs;
use crate::upstream::Seen;
use crate::wire_engine::{Form, with_access_log};

/// The policies of one file, each in both forms.
#[derive(Debug)]
pub struct CoreEngine {
    policies: BTreeMap<String, Vec<(Form, Policy)>>,
}

impl CoreEngine {
    /// Loads all policies of `cases`.
    ///
    /// # Errors
    /// A policy that is refused.
    pub fn load(cases: &Cases) -> Result<Self, String> {
        let environment = |name: &str| cases.env.get(name).map(|value| value.clone().into_bytes());
        let mut policies = BTreeMap::new();
        for (name, document) in &cases.policies {
            let document = with_access_log(document);
            let load = |form: Form| {
                let loaded = Policy::load(&bytes(form, &document), &environment);
                let refused = |error| format!("policy `{name}` of {} as {}: {error}", cases.name, form.name());
                loaded.map(|loaded| (form, loaded.policy)).map_err(refused)
            };
            policies.insert(name.clone(), Form::ALL.into_iter().map(load).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { policies })
    }

    /// Decides the request of a row with both forms of its policy.
    pub fn run(&self, cases: &Cases, row: &Row) -> Vec<Observation> {
        let forms = self.policies.get(&row.policy).into_iter().flatten();
        forms.map(|(form, policy)| observe(*form, policy, cases, row)).collect()
    }
}

fn bytes(form: Form, document: &Value) -> Vec<u8> {
    match form {
        Form::Text => document.to_string().into_bytes(),
        Form::Struct => structs::encode(document),
    }
}

fn observe(form: Form, policy: &Policy, cases: &Cases, row: &Row) -> Observation {
    let lower = |(name, value): Pair| (String::from_utf8_lossy(&name).to_ascii_lowercase(), value);
    let headers: Vec<(String, Vec<u8>)> = row.request.fields().into_iter().map(lower).collect();
    let request = Request::new(&headers);
    let decision = policy.decide(&request, &told_by(cases, row));
    let outcome = policy.outcome(&request, &decision);
    let name = match (&decision, &outcome) {
        (Decision::Allow(_), _) => "allow",
        (Decision::Deny(_), Outcome::Forward(_)) => "report",
        (Decision::Deny(_), Outcome::Reply(_)) => "deny",
    };
    let (reply, seen) = match outcome {
        Outcome::Forward(edits) => (Reply { status: 200, ..Reply::default() }, Some(forward(headers.clone(), &edits))),
        Outcome::Reply(reply) => (as_envoy_sends(&reply, &request), None),
    };
    Observation {
        engine: format!("core {}", form.name()),
        on_wire: false,
        reason: Some(decision.reason().to_owned()),
        decision: Some(name.to_owned()),
        source: None,
        reply: Ok(reply),
        seen,
    }
}

/// What the upstream would see after the edits.
fn forward(mut headers: Vec<(String, Vec<u8>)>, edits: &[Edit<'_>]) -> Seen {
    for edit in edits {
        let (Edit::Remove(name) | Edit::Set(name, _)) = edit;
        headers.retain(|(header, _)| header != name);
        if let Edit::Set(name, value) = edit {
            headers.push(((*name).to_owned(), value.to_vec()));
        }
    }
    let take = |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.clone());
    let (method, path) = (take(":method").unwrap_or_default(), take(":path").unwrap_or_default());
    let usual = headers.into_iter().filter(|(name, _)| !name.starts_with(':'));
    Seen {
        method,
        path,
        headers: usual.map(|(name, value)| (name.into_bytes(), value)).collect(),
        body: Vec::new(),
        trailers: Vec::new(),
    }
}

/// A local reply after what Envoy does to it: no body for HEAD, a `grpc-status` for gRPC.
fn as_envoy_sends(reply: &portcullis::Reply<'_>, request: &Request<'_>) -> Reply {
    let pair = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let mut headers: Vec<Pair> = reply.headers.iter().map(pair).collect();
    if request.is_grpc && !reply.headers.iter().any(|(name, _)| *name == "grpc-status") {
        let status = match reply.status {
            401 => "16",
            403 => "7",
            _ => "13",
        };
        headers.push((b"grpc-status".to_vec(), status.into()));
    }
    let body = if request.method == b"HEAD" { Vec::new() } else { reply.body.as_bytes().to_vec() };
    Reply { status: reply.status, headers, body }
}

/// The host that the row describes.
struct Told {
    now: Timestamp,
    source: String,
    state: Option<String>,
    identity: Option<String>,
}

fn told_by(cases: &Cases, row: &Row) -> Told {
    let set = row.now.as_deref().map(|text| Timestamp::from_rfc3339(text).unwrap_or_else(|| panic!("no time: {text}")));
    let recorded = row.listener.unwrap_or(cases.listener).records_peer().then(|| row.from.to_string());
    Told {
        now: set.unwrap_or_else(now),
        source: row.source.clone().unwrap_or_else(|| std::net::SocketAddr::new(row.from, 40_000).to_string()),
        state: row.state.clone().or(recorded),
        identity: row.identity.clone(),
    }
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    Timestamp(i64::try_from(seconds).expect("a clock before the end of time"))
}

impl Host for Told {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        Some(self.source.clone().into_bytes())
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        self.state.clone().filter(|_| key == PEER_KEY).map(String::into_bytes)
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        self.identity.clone().map(String::into_bytes)
    }
}

/// A host that knows nothing, for decisions that ask nothing of it.
#[derive(Debug)]
pub struct Nowhere;

impl Host for Nowhere {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        None
    }

    fn filter_state(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        None
    }
}
