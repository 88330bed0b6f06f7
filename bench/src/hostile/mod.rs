//! Hostile requests: the cost of requests that are made to be expensive.
//!
//! The bounds are those of the security model. The CPU time that the gate adds to any request is at most [`BY_ENVOY`]
//! times what Envoy alone spends on the same request, and at most [`BY_USUAL`] times what the gate adds to a usual
//! request with a key.

pub mod attack;
mod headers;
pub mod native;
mod paths;
pub mod policies;
pub mod race;
pub mod report;
pub mod search;
pub mod shapes;
pub mod stall;
mod track;

use std::sync::Arc;

use portcullis_tests::message::{Pair, pairs};

use crate::contender::{CLIENT, ENVOYS};
use crate::contenders::{BEARER, KEY};
use crate::stage::HOST;
use policies::Under;
use shapes::{Place, Shape};

/// The bound on the gate's added time, as a multiple of what Envoy alone spends on the same request.
pub const BY_ENVOY: f64 = 12.0;
/// The bound on the gate's added time, as a multiple of what it adds to a usual request with a key.
pub const BY_USUAL: f64 = 20.0;

/// The lengths of the hostile part of a request, in bytes. By default, Envoy accepts 60 KiB of headers in total.
pub const LENGTHS: [usize; 4] = [300, 1_000, 4_000, 58_000];

/// A request, independent of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// The host.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// The headers, without the host.
    pub headers: Vec<(String, String)>,
    /// The place of a key.
    pub place: Place,
}

impl Request {
    /// A usual request, with the headers of a small client.
    pub fn usual() -> Self {
        Self {
            method: "GET",
            host: HOST.to_owned(),
            target: "/v2/models".to_owned(),
            headers: CLIENT.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            place: Place::Bearer,
        }
    }

    /// With a key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        match self.place {
            Place::Bearer => self.headers.push(("authorization".to_owned(), format!("Bearer {key}"))),
            Place::Header => self.headers.push(("x-api-key".to_owned(), key.to_owned())),
            Place::Query => {
                let between = if self.target.contains('?') { '&' } else { '?' };
                self.target = format!("{}{between}api_key={key}", self.target);
            }
            Place::Cookie => match self.headers.iter_mut().rev().find(|(name, _)| name == "cookie") {
                Some((_, value)) => *value = format!("{value}; api_key={key}"),
                None => self.headers.push(("cookie".to_owned(), format!("api_key={key}"))),
            },
        }
        self
    }

    /// As HTTP/1.1.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { method, host, target, headers, .. } = self;
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{}\r\n", headers.collect::<String>()).into_bytes()
    }

    /// As HTTP/2 fields, without headers that HTTP/2 does not allow (RFC 9113, section 8.2.2).
    pub fn fields(&self) -> Vec<Pair> {
        let pseudo =
            [(":method", self.method), (":scheme", "http"), (":authority", &self.host), (":path", &self.target)];
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let passed = headers.filter(|(name, _)| !matches!(*name, "connection" | "upgrade"));
        pairs(&pseudo.into_iter().chain(passed).collect::<Vec<_>>())
    }

    /// As a filter reads it, including what Envoy adds.
    pub fn pairs(&self) -> Vec<Pair> {
        let pseudo =
            [(":authority", &*self.host), (":path", &self.target), (":method", self.method), (":scheme", "http")];
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = pseudo.into_iter().chain(headers).chain(ENVOYS).collect();
        // Envoy passes names in lower case.
        pairs(&all).into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
    }
}

/// One hostile request under one policy.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The shape.
    pub shape: &'static str,
    /// The length; `None` if the shape has its own length.
    pub length: Option<usize>,
    /// Whether a key is in the request.
    pub keyed: bool,
    /// The policy.
    pub under: Under,
    /// The request.
    pub request: Arc<Request>,
}

impl Cell {
    /// A description in one line.
    pub fn name(&self) -> String {
        let length = self.length.map(|length| format!(", {length}")).unwrap_or_default();
        format!("{}{length}, {}, {}", self.shape, if self.keyed { "key" } else { "no key" }, self.under.name())
    }
}

/// Every shape whose name contains one of `only` (all, if that is empty), in every length, with and without a key,
/// under each of its policies.
pub fn cells(only: &[String]) -> Vec<Cell> {
    let of = |shape: &'static Shape| {
        let lengths: Vec<Option<usize>> = if shape.has_length { LENGTHS.map(Some).into() } else { vec![None] };
        let mut all = Vec::new();
        for length in lengths {
            let without = shape.request(length.unwrap_or_default());
            let with = Arc::new(without.clone().with_key(KEY));
            let without = Arc::new(without);
            for (keyed, request) in [(false, &without), (true, &with)] {
                for &under in shape.under {
                    if keyed || under.matters_without_key() {
                        all.push(Cell { shape: shape.name, length, keyed, under, request: Arc::clone(request) });
                    }
                }
            }
        }
        all
    };
    shapes::named(only).into_iter().flat_map(of).collect()
}

/// The request that the others are compared with, for [`Under::Usual`].
pub fn usual() -> Request {
    let mut request = Request::usual();
    request.headers.push(("authorization".to_owned(), BEARER.to_owned()));
    request
}
