//! The engine `envoy`: one Envoy for each file of cases, with a listener for each policy, kind of listener and form.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::bootstrap::{Bootstrap, Gate, Listener, socket_file};
use crate::cases::{Cases, EngineName, Row};
use crate::envoy::Envoy;
use crate::listener::{CONSUMER, DECISION, DETAILS, KEY_ID, REASON, SOURCE};
use crate::message::Reply;
use crate::net::{connect, connect_unix};
use crate::observation::Observation;
use crate::tls::Authority;
use crate::upstream::Upstream;
use crate::{http1, http2, paths, structs};

/// The two forms in which Envoy passes a policy to the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON text.
    Text,
    /// A serialized `google.protobuf.Struct`.
    Struct,
}

impl Form {
    /// Both forms.
    pub const ALL: [Self; 2] = [Self::Text, Self::Struct];

    /// `text` or `struct`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Struct => "struct",
        }
    }

    /// The policy in this form.
    pub fn bytes(self, policy: &Value) -> Vec<u8> {
        match self {
            Self::Text => policy.to_string().into_bytes(),
            Self::Struct => structs::encode(policy),
        }
    }

    /// A gate that gets the policy in this form.
    pub fn gate(self, policy: &Value) -> Gate {
        match self {
            Self::Text => Gate::Text(policy.to_string()),
            Self::Struct => Gate::Struct(policy.clone()),
        }
    }
}

/// A running Envoy with all policies of one file.
#[derive(Debug)]
pub struct WireEngine {
    // Envoy is declared before its upstream, so that no request is open when the upstream ends.
    envoy: Envoy,
    upstream: Upstream,
    addresses: BTreeMap<String, Vec<SocketAddr>>,
    unix: BTreeSet<String>,
    authority: Authority,
}

/// The value in rows for the name of a Unix listener's socket.
const SOCKET: &str = "socket";

/// A stream with or without TLS.
trait Stream: io::Read + io::Write {}

impl<S: io::Read + io::Write> Stream for S {}

impl WireEngine {
    /// Starts Envoy with the listeners that the rows of `cases` need.
    ///
    /// # Errors
    /// If Envoy ends at once, its log.
    ///
    /// # Panics
    /// If Envoy or the module is missing, or nothing happens before the timeout.
    pub fn start(cases: &Cases) -> Result<Self, String> {
        let mut listeners = BTreeMap::new();
        let authority = Authority::new();
        for row in cases.rows.iter().filter(|row| row.runs_on(EngineName::Envoy)) {
            for form in Form::ALL {
                let name = listener_name(cases, row, form);
                let kind = row.listener.unwrap_or(cases.listener);
                let gate = form.gate(&with_access_log(&cases.policies[&row.policy]));
                let tls = row.identity.as_ref().map(|_| authority.listener("VERIFY_TRUST_CHAIN"));
                listeners.insert(name.clone(), Listener { name, kind, gate, tls });
            }
        }
        let unix = listeners.values().filter(|listener| listener.kind.is_unix());
        let unix = unix.map(|listener| listener.name.clone()).collect();
        let upstream = Upstream::start();
        let bootstrap = Bootstrap {
            listeners: listeners.into_values().collect(),
            upstream: upstream.address(),
            module: paths::module(),
            environment: cases.env.clone().into_iter().collect(),
        };
        let envoy = Envoy::try_start(&bootstrap.document())?;
        let addresses = envoy.admin().listeners().map_err(|error| error.to_string())?;
        Ok(Self { envoy, upstream, addresses, unix, authority })
    }

    /// Sends the request of a row over each of its protocols to both forms of its policy.
    ///
    /// `&mut self`, so that the request in the upstream belongs to the row.
    pub fn run(&mut self, cases: &Cases, row: &Row) -> Vec<Observation> {
        let mut observations = Vec::new();
        for form in Form::ALL {
            let listener = listener_name(cases, row, form);
            let engine = |protocol: &str| format!("envoy {protocol} {}", form.name());
            if row.protocols().http1() {
                observations.push(self.observe(&engine("http1"), &listener, |engine| engine.send1(&listener, row)));
            }
            if row.protocols().http2() {
                observations.push(self.observe(&engine("http2"), &listener, |engine| engine.send2(&listener, row)));
            }
        }
        observations
    }

    fn observe(&self, engine: &str, listener: &str, send: impl Fn(&Self) -> io::Result<Reply>) -> Observation {
        let before = self.upstream.count();
        let reply = send(self).map_err(|error| error.to_string());
        // The reason in an access log for a request that the gate answered.
        let reply =
            reply.and_then(|reply| match (reply.header(DECISION), reply.header(REASON), reply.header(DETAILS)) {
                (Some(decision), Some(reason), details) if decision == "deny" => {
                    let expected = format!("portcullis_{reason}");
                    if details.as_ref() == Some(&expected) {
                        Ok(reply)
                    } else {
                        Err(format!("response code details {details:?}, expected {expected}"))
                    }
                }
                _ => Ok(reply),
            });
        let shown = |name: &str| reply.as_ref().ok().and_then(|reply| reply.header(name));
        Observation {
            engine: engine.to_owned(),
            on_wire: true,
            reason: shown(REASON),
            decision: shown(DECISION),
            consumer: shown(CONSUMER),
            key_id: shown(KEY_ID),
            // Envoy shows the name of its own socket there, regardless of the client's.
            source: shown(SOURCE)
                .map(|source| if source == socket_file(listener) { SOCKET.to_owned() } else { source }),
            seen: self.upstream.since(before),
            reply,
        }
    }

    fn send1(&self, listener: &str, row: &Row) -> io::Result<Reply> {
        let request = &row.request;
        let bytes = match &request.raw {
            Some(raw) => raw.0.clone(),
            None => {
                let target = request.path().unwrap_or(request.authority());
                let body = request.body.as_ref().map(|body| body.0.as_slice());
                http1::request(request.method(), target, request.authority(), &request.headers.0, body)
            }
        };
        http1::Client::new(self.open(listener, row)?).send(&bytes)
    }

    fn send2(&self, listener: &str, row: &Row) -> io::Result<Reply> {
        let body = row.request.body.as_ref().map(|body| body.0.as_slice());
        http2::Client::new(self.open(listener, row)?)?.send(&row.request.fields(), body, &[])
    }

    fn open(&self, listener: &str, row: &Row) -> io::Result<Box<dyn Stream>> {
        if self.unix.contains(listener) {
            return Ok(Box::new(connect_unix(&self.envoy.socket(listener))?));
        }
        let addresses = self.addresses.get(listener).into_iter().flatten();
        let same_family = addresses.copied().find(|address| address.is_ipv4() == row.from.is_ipv4());
        let to = same_family.ok_or_else(|| io::Error::other("the listener has no address of this family"))?;
        let mut stream = connect(row.from, to)?;
        if let Some(prelude) = &row.proxy {
            stream.write_all(&prelude.0)?;
        }
        let Some(identity) = &row.identity else { return Ok(Box::new(stream)) };
        Ok(Box::new(self.authority.session(stream, Some(&self.authority.workload(&[identity])))?))
    }
}

fn listener_name(cases: &Cases, row: &Row, form: Form) -> String {
    let kind = row.listener.unwrap_or(cases.listener).name();
    let transport = if row.identity.is_some() { "mtls" } else { "plain" };
    format!("{}/{kind}/{transport}/{}", row.policy, form.name())
}

/// The policy with `access_log: true`, unless it sets it: the suites see decisions in filter state.
pub fn with_access_log(policy: &Value) -> Value {
    let mut policy = policy.clone();
    if let Some(members) = policy.as_object_mut() {
        members.entry("access_log").or_insert(json!(true));
    }
    policy
}
