//! The input of a row for the engines without a network connection, and Envoy's processing of their answers.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis::Timestamp;

use crate::cases::{Cases, Row};
use crate::message::{Pair, Reply, values};
use crate::upstream::Seen;

/// The request of a row and its circumstances, as a gate in Envoy would see them.
#[derive(Debug)]
pub struct Told {
    /// The header lines, pseudo-headers first, names in lower case.
    pub headers: Vec<Pair>,
    /// The clock.
    pub now: Timestamp,
    /// `source.address`.
    pub source: String,
    /// The direct peer in filter state.
    pub state: Option<String>,
    /// The URI SAN of the certificate that the peer presented.
    pub identity: Option<String>,
}

impl Told {
    /// The input from `row`, and from its kind of listener.
    ///
    /// # Panics
    /// If the row's `now` is not a time.
    pub fn by(cases: &Cases, row: &Row) -> Self {
        let set = row.now.as_deref();
        let set = set.map(|text| Timestamp::from_rfc3339(text).unwrap_or_else(|| panic!("no time: {text}")));
        let recorded = row.listener.unwrap_or(cases.listener).records_peer().then(|| row.from.to_string());
        let lower = |(name, value): Pair| (name.to_ascii_lowercase(), value);
        Self {
            headers: row.request.fields().into_iter().map(lower).collect(),
            now: set.unwrap_or_else(now),
            source: row.source.clone().unwrap_or_else(|| SocketAddr::new(row.from, 40_000).to_string()),
            state: row.state.clone().or(recorded),
            identity: row.identity.clone(),
        }
    }

    /// The gate's reply after Envoy's processing: no body for HEAD, a `grpc-status` for gRPC.
    pub fn sent_by_envoy(&self, mut reply: Reply) -> Reply {
        if self.is_grpc() && reply.header("grpc-status").is_none() {
            let status = match reply.status {
                401 => "16",
                403 => "7",
                _ => "13",
            };
            reply.headers.push((b"grpc-status".to_vec(), status.into()));
        }
        if values(&self.headers, ":method") == [b"HEAD"] {
            reply.body.clear();
        }
        reply
    }

    /// Envoy's `Grpc::Common::isGrpcRequestHeaders`.
    fn is_grpc(&self) -> bool {
        let content_type = values(&self.headers, "content-type").join(b",".as_slice());
        let rest = content_type.strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+")) && !values(&self.headers, ":path").is_empty()
    }
}

/// The upstream's reply, for engines without an upstream.
pub fn upstream_reply() -> Reply {
    Reply { status: 200, ..Reply::default() }
}

/// What the upstream would receive over HTTP/1 for a request with these headers.
pub fn forwarded(headers: Vec<Pair>) -> Seen {
    let take = |name: &str| values(&headers, name).first().map(|value| value.to_vec());
    let host = take(":authority").unwrap_or_default();
    let (method, path) = match (take(":method").unwrap_or_default(), take(":path")) {
        // The target of a plain CONNECT is the authority; a CONNECT with a path (RFC 8441) is a GET with `Upgrade`.
        (method, None) => (method, host.clone()),
        (method, Some(path)) if method == b"CONNECT" => (b"GET".to_vec(), path),
        (method, Some(path)) => (method, path),
    };
    let usual = headers.into_iter().filter(|(name, _)| !name.starts_with(b":"));
    let headers = [(b"host".to_vec(), host)].into_iter().chain(usual).collect();
    Seen { method, path, headers, body: Vec::new(), trailers: Vec::new() }
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    Timestamp(i64::try_from(seconds).expect("a clock before the end of time"))
}
