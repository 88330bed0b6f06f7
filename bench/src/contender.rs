//! A filter chain to measure, the request that it gets, and the expected result.

use std::io;
use std::net::SocketAddr;

use portcullis_tests::envoy::V4;
use portcullis_tests::http1::Client;
use portcullis_tests::message::{Pair, Reply, pairs};
use portcullis_tests::net::connect;
use serde::Serialize;
use serde_json::Value;

use crate::stage::{CHECK, HOST, SEEN, TOLD};

/// The kinds of contender, which have different colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// No filter at all.
    Nothing,
    /// A built-in filter of Envoy.
    BuiltIn,
    /// A script in Lua.
    Lua,
    /// A hand-written module, or one on the bare SDK.
    Bare,
    /// The gate.
    Gate,
}

/// The name of the contender without a filter.
pub const NOTHING: &str = "nothing";

/// The expected result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 200, and the upstream would receive these headers, and no others of [those that the reply shows](TOLD).
    Seen(Vec<(&'static str, &'static str)>),
    /// The status, with a challenge and a JSON body if `full`.
    Denied {
        /// The status.
        status: u16,
        /// Whether the reply has all parts of the gate's reply.
        full: bool,
    },
}

/// Many routes by prefix, of which the last matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// Envoy tries one after the other.
    List(usize),
    /// Envoy looks the path up in a tree.
    Tree(usize),
}

/// One contender in one case.
#[derive(Debug, Clone)]
pub struct Contender {
    /// The name, which is that of its listener.
    pub name: String,
    /// The kind.
    pub kind: Kind,
    /// The filters before the router.
    pub filters: Vec<Value>,
    /// Its routes.
    pub routes: Routes,
    /// Whether its listener allows an upgrade to a WebSocket.
    pub upgrades: bool,
    /// The request's path.
    pub path: &'static str,
    /// The request's headers, without the host.
    pub headers: Vec<(String, String)>,
    /// Bearer tokens that alternately replace the one in the headers, if there are any.
    pub tokens: Vec<String>,
    /// The expected result.
    pub outcome: Outcome,
    /// The contender without a filter whose cost is subtracted.
    pub baseline: &'static str,
    /// The Lua contender that does the same.
    pub lua: Option<&'static str>,
    /// The hand-written module that makes the same hostcalls.
    pub floor: Option<String>,
}

/// The headers of a small client, in addition to its credential. With the host there are five, without pseudo-headers.
pub(crate) const CLIENT: [(&str, &str); 3] =
    [("user-agent", "python-requests/2.32.5"), ("accept-encoding", "gzip, deflate"), ("accept", "*/*")];

/// The headers that a listener adds with `use_remote_address`, for a caller on this machine.
pub(crate) const ENVOYS: [(&str, &str); 3] = [
    ("x-forwarded-proto", "http"),
    ("x-envoy-internal", "true"),
    ("x-request-id", "2ad2ee19-3a3c-4e5c-9e2c-6a3e1a1f6a3d"),
];

impl Contender {
    /// A contender that forwards a plain request.
    pub fn new(name: &str, kind: Kind, filters: Vec<Value>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            filters,
            routes: Routes::List(1),
            upgrades: false,
            path: "/v2/models",
            headers: CLIENT.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            tokens: Vec::new(),
            outcome: Outcome::Seen(Vec::new()),
            baseline: NOTHING,
            lua: None,
            floor: None,
        }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With that path.
    #[must_use]
    pub fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    /// With that outcome.
    #[must_use]
    pub fn so(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// With the Lua contender to compare with.
    #[must_use]
    pub fn like(mut self, lua: &'static str) -> Self {
        self.lua = Some(lua);
        self
    }

    /// The status that every reply must have.
    pub fn status(&self) -> u16 {
        match self.outcome {
            Outcome::Seen(_) => 200,
            Outcome::Denied { status, .. } => status,
        }
    }

    /// The request as it is measured.
    pub fn request(&self) -> Vec<u8> {
        self.bytes(HOST)
    }

    /// The requests to alternate.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        if self.tokens.is_empty() {
            return vec![self.request()];
        }
        let mut one = self.clone();
        let mut with = |token: &String| {
            one.headers.retain(|(name, _)| name != "authorization");
            one.headers.push(("authorization".to_owned(), format!("Bearer {token}")));
            one.request()
        };
        self.tokens.iter().map(&mut with).collect()
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("GET {} HTTP/1.1\r\nhost: {host}\r\n{}\r\n", self.path, headers.collect::<String>()).into_bytes()
    }

    /// The header lines as a filter reads them, including those that Envoy adds.
    pub fn pairs(&self) -> Vec<Pair> {
        let pseudo = [(":authority", HOST), (":path", self.path), (":method", "GET"), (":scheme", "http")];
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs(&pseudo.into_iter().chain(headers).chain(ENVOYS).collect::<Vec<_>>())
    }

    /// Sends one request, and compares the reply: a fast but wrong answer disqualifies a contender.
    ///
    /// # Errors
    /// The difference.
    pub fn check(&self, address: SocketAddr) -> Result<(), String> {
        let ask = |host: &str| -> io::Result<Reply> { Client::new(connect(V4, address)?).send(&self.bytes(host)) };
        let wrong = |what: String| format!("{}: {what}", self.name);
        let reply = ask(HOST).map_err(|error| wrong(error.to_string()))?;
        if reply.status != self.status() {
            let body = String::from_utf8_lossy(&reply.body);
            return Err(wrong(format!("status {} instead of {}: {body}", reply.status, self.status())));
        }
        match &self.outcome {
            Outcome::Denied { full, .. } => {
                let whole = reply.header("www-authenticate").is_some()
                    && reply.header("content-type").is_some_and(|kind| kind.ends_with("json"))
                    && serde_json::from_slice::<Value>(&reply.body).is_ok_and(|body| body["detail"].is_string());
                if *full && !whole { Err(wrong(format!("a denial without its parts: {reply:?}"))) } else { Ok(()) }
            }
            Outcome::Seen(expected) => {
                let reply = ask(CHECK).map_err(|error| wrong(error.to_string()))?;
                for name in TOLD {
                    let seen = reply.header(&format!("{SEEN}{name}")).filter(|value| value != "-");
                    let expected = expected.iter().find(|(expected, _)| *expected == name).map(|(_, value)| *value);
                    if seen.as_deref() != expected {
                        return Err(wrong(format!("the upstream sees {name}: {seen:?} instead of {expected:?}")));
                    }
                }
                Ok(())
            }
        }
    }
}
