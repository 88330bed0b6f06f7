//! No request stops the gate. After each hostile request, a valid one on the same worker gets its 200. At the end, no
//! VM was reloaded, and the log contains no panic and none of the credentials that were sent.
//!
//! Envoy may answer a request itself, or close the connection: this suite only checks that the gate survives.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portcullis_tests::bootstrap::Listener;
use portcullis_tests::bytes::{contains, show};
use portcullis_tests::envoy::V4;
use portcullis_tests::listener::Kind;
use portcullis_tests::message::{Pair, Reply, values};
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, listener, verdict};
use portcullis_tests::{http1, http2};
use serde_json::{Value, json};

/// The key of the valid requests.
const KEY: &str = "survive-good-credential";
/// Part of every hostile credential.
const MARK: &str = "survive-hostile-credential";

/// Headers that the gate reads or could read.
const HEADERS: [&str; 33] = [
    "authorization",
    "x-api-key",
    "x_api_key",
    "cookie",
    "origin",
    "access-control-request-method",
    "sec-fetch-site",
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "x-envoy-external-address",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x_original_url",
    "x_http_method_override",
    "connection",
    "upgrade",
    "te",
    "content-type",
    "content-length",
    "transfer-encoding",
    "host",
    "x-portcullis-consumer",
    "x-portcullis-roles",
    "x-portcullis-key-id",
    "x_portcullis_consumer",
    "x-forwarded-client-cert",
];

/// Values that break code which expects text, numbers, or small sizes.
fn values_of_evil() -> Vec<Vec<u8>> {
    let long = |piece: &[u8], times: usize| piece.repeat(times);
    vec![
        Vec::new(),
        b"\xff".to_vec(),
        [MARK.as_bytes(), b"\xff"].concat(),
        [b"Bearer ", MARK.as_bytes(), b"\xff"].concat(),
        [b"Bearer ", MARK.as_bytes()].concat(),
        [b"api_key=", MARK.as_bytes(), b"\xc3\x28; api_key"].concat(),
        b"\xc0\x80\xed\xa0\x80\xf8\x88\x80\x80\x80".to_vec(),
        b"%ff%00%2".to_vec(),
        b"/\xff/%ff?api_key=\xff".to_vec(),
        b"http://[::1\xff]:99999/".to_vec(),
        b"application/grpc\xff".to_vec(),
        b"application/grpc".to_vec(),
        b"-1".to_vec(),
        b"99999999999999999999999".to_vec(),
        b"[::ffff:127.0.0.1]:0, 256.1.1.1, \x09".to_vec(),
        long(b",", 2000),
        long(b";=", 2000),
        long(b"a", 20_000),
        long(b"%25", 2000),
    ]
}

/// Request targets that break code which expects a path.
fn targets_of_evil() -> Vec<Vec<u8>> {
    let mut targets = values_of_evil();
    targets.extend([
        b"/\xff".to_vec(),
        b"/\xff?api_key=\xff".to_vec(),
        [b"/x?api_key=", MARK.as_bytes(), b"%ff&api_key=%"].concat(),
        b"/x?api_key".to_vec(),
        b"/x?&&==&api_key==&%61pi_key=%00".to_vec(),
        b"*".to_vec(),
        b"?".to_vec(),
        b"//".to_vec(),
        b"/%".to_vec(),
        b"/..;/\\\\%5c".to_vec(),
        b"/v2/models//predict;a=%2f..".to_vec(),
        [b"/".to_vec(), b"%2525".repeat(4000)].concat(),
        b"/a".repeat(10_000),
        b"/;".repeat(10_000),
    ]);
    targets
}

/// A policy that makes the gate read everything. The trusted ranges determine how far a request from this machine gets.
fn policy(name: &str, ranges: &Value, client_address: &Value) -> Value {
    json!({
        "version": 1,
        "name": name,
        "key_sources": ["bearer", {"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "api_key"}],
        "consumers": [
            {"name": "ci", "roles": ["predict"], "keys": [{"id": "good", "plaintext": KEY, "expires": "2999-01-01T00:00:00Z"}]},
        ],
        "public_paths": ["/", {"path": "/docs/**", "methods": ["GET"]}],
        "trusted_networks": {"ranges": ranges, "client_address": client_address},
        "trusted_identities": ["spiffe://cluster.local/ns/shop/sa/*"],
        "cors_preflight": "allow",
        "rules": [
            {"path": "/v2/models/{model}/predict", "methods": ["POST"], "roles": ["predict", "admin"]},
            {"path": "/**", "methods": ["DELETE"], "roles": ["admin"]},
        ],
    })
}

/// Every kind of listener makes the gate follow another branch of its rules.
fn listeners() -> Vec<Listener> {
    let (near, far) = (json!(["localhost"]), json!(["10.0.0.0/8"]));
    let state = json!({"filter_state": "portcullis.peer"});
    vec![
        listener("far", Kind::Edge, &policy("far", &far, &json!("direct"))),
        listener("near", Kind::Edge, &policy("near", &near, &json!("direct"))),
        listener("believed", Kind::Sidecar, &policy("believed", &near, &json!("remote_ip"))),
        listener("recorded", Kind::SidecarState, &policy("recorded", &near, &state)),
    ]
}

/// An Envoy with one worker for several gates.
struct Siege {
    stage: Stage,
    gates: Vec<Gate>,
}

/// A gate, and a connection to it that only valid requests use.
struct Gate {
    name: String,
    address: SocketAddr,
    good: http1::Client<TcpStream>,
}

impl Siege {
    fn begin() -> Self {
        let stage = Stage::start(listeners());
        let gate = |listener: Listener| {
            let address = stage.envoy.address(&listener.name, V4);
            let good = http1::Client::new(connect(V4, address).expect("Envoy listens"));
            Gate { name: listener.name, address, good }
        };
        let gates = listeners().into_iter().map(gate).collect();
        Self { stage, gates }
    }

    /// Sends a hostile request to each gate, and after each a valid one.
    fn send(&mut self, what: &str, attempt: impl Fn(SocketAddr) -> io::Result<Reply>) {
        for Gate { name, address, good } in &mut self.gates {
            let status = attempt(*address).map_or(0, |reply| reply.status);
            // The status of a trapped VM; the upstream and Envoy itself have no reason for either.
            assert!(!matches!(status, 500 | 503), "{name}: {what}: {status}");
            let headers = [("x-api-key", KEY), ("x-real-ip", "10.0.0.1"), ("origin", "null")];
            let reply = good.send(&http1::get("/v2/models", &headers));
            let reply = reply.unwrap_or_else(|error| panic!("{name}: no reply after {what}: {error}"));
            assert_eq!(verdict(&reply), (200, "key".to_owned()), "{name}: after {what}");
        }
    }

    fn send1(&mut self, what: &str, method: &[u8], target: &[u8], headers: &[Pair]) {
        let request = http1::request(method, target, b"gate.test", headers, None);
        self.send(&format!("{what} over HTTP/1"), |address| http1::Client::new(impatient(address)?).send(&request));
    }

    fn send2(&mut self, what: &str, pseudo: &[(&str, &[u8])], headers: &[Pair], trailers: &[Pair]) {
        let usual: [(&str, &[u8]); 4] =
            [(":method", b"GET"), (":path", b"/v2/models"), (":authority", b"gate.test"), (":scheme", b"http")];
        let mut fields: Vec<Pair> = usual.map(|(name, value)| (name.into(), value.to_vec())).to_vec();
        for (name, value) in pseudo {
            fields.retain(|(other, _)| other != name.as_bytes());
            fields.push(((*name).into(), value.to_vec()));
        }
        fields.extend_from_slice(headers);
        self.send(&format!("{what} over HTTP/2"), |address| {
            http2::Client::new(impatient(address)?)?.send(&fields, None, trailers)
        });
    }

    /// Checks the state at the end.
    fn end(self) {
        let reloads = self.stage.envoy.admin().stats(".vm_reload").expect("the admin interface answers");
        let names: Vec<&str> = reloads.keys().map(String::as_str).collect();
        let expected = ["", "_backoff", "_failure", "_success"].map(|part| format!("wasm.portcullis.vm_reload{part}"));
        assert_eq!(names, expected, "Envoy counts reloads by other names");
        assert!(reloads.values().all(|count| *count == 0), "{reloads:?}");
        let log = self.stage.envoy.log_bytes();
        for word in ["panicked", "[critical]", "[error]", "RuntimeError", "unreachable", "Caught signal", KEY, MARK] {
            assert!(!contains(&log, word.as_bytes()), "the log holds `{word}`:\n{}", self.stage.envoy.log());
        }
    }
}

/// A connection for a request that may get no answer: Envoy may wait for an announced body.
fn impatient(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = connect(V4, address)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(stream)
}

fn pair(name: &str, value: &[u8]) -> Pair {
    (name.into(), value.to_vec())
}

#[test]
fn any_value_in_any_header_once_and_twice() {
    let mut siege = Siege::begin();
    for name in HEADERS {
        for value in values_of_evil() {
            let what = format!("{name}: {}", show(&value[..value.len().min(60)]));
            let once = vec![pair(name, &value)];
            let twice = vec![pair(name, &value), pair(name, b"other")];
            for headers in [once, twice].iter().take(if value.len() < 100 { 2 } else { 1 }) {
                siege.send1(&what, b"GET", b"/v2/models", headers);
                siege.send2(&what, &[], headers, &[]);
            }
        }
    }
    siege.end();
}

#[test]
fn any_value_in_a_request_that_looks_like_something_special() {
    let mut siege = Siege::begin();
    for value in values_of_evil() {
        let what = show(&value[..value.len().min(60)]);
        let upgrade = [pair("connection", &[b"upgrade, ", value.as_slice()].concat()), pair("upgrade", b"websocket")];
        siege.send1(&format!("an upgrade with {what}"), b"GET", b"/v2/models", &upgrade);
        let preflight = [pair("origin", &value), pair("access-control-request-method", &value)];
        siege.send2(&format!("a preflight with {what}"), &[(":method", b"OPTIONS")], &preflight, &[]);
        let grpc = [pair("content-type", b"application/grpc"), pair("te", b"trailers"), pair("x-api-key", &value)];
        siege.send2(&format!("a gRPC call with {what}"), &[(":method", b"POST")], &grpc, &[]);
        let keyed = [pair("x-api-key", KEY.as_bytes()), pair("cookie", &value)];
        siege.send2(&format!("a good key beside {what}"), &[], &keyed, &[]);
        siege.send2(&format!("trailers with {what}"), &[], &[], &[pair("x-api-key", &value)]);
        siege.send2(&format!("CONNECT with {what}"), &[(":method", b"CONNECT"), (":path", &value)], &[], &[]);
        siege.send2(&format!("a websocket with {what}"), &[(":method", b"CONNECT"), (":protocol", &value)], &[], &[]);
        siege.send2(&format!("a name of {what}"), &[], &[(value.clone(), value.clone())], &[]);
        siege.send1(&format!("a name of {what}"), b"GET", b"/", &[(value.clone(), value.clone())]);
    }
    siege.end();
}

#[test]
fn any_value_in_the_request_line() {
    let mut siege = Siege::begin();
    for value in targets_of_evil() {
        let what = show(&value[..value.len().min(60)]);
        siege.send1(&format!("the target {what}"), b"GET", &value, &[]);
        siege.send1(&format!("the target of CONNECT {what}"), b"CONNECT", &value, &[]);
        for name in [":path", ":method", ":authority", ":scheme"] {
            siege.send2(&format!("{name} {what}"), &[(name, &value)], &[], &[]);
        }
        siege.send2(&format!("the path of a DELETE {what}"), &[(":method", b"DELETE"), (":path", &value)], &[], &[]);
    }
    siege.end();
}

/// Control: bytes that are not text reach the gate; otherwise the suite would prove little.
#[test]
fn such_bytes_do_reach_the_gate_and_the_upstream() {
    let siege = Siege::begin();
    let address = siege.gates[0].address;
    let headers = [pair("x-api-key", KEY.as_bytes()), pair("x-other", b"\xff\xc0"), pair("x-other", b"two")];
    let request = http1::request(b"GET", b"/v2/models", b"gate.test", &headers, None);
    let reply = http1::Client::new(connect(V4, address).unwrap()).send(&request).unwrap();
    let seen = siege.stage.upstream.seen(&reply).expect("the upstream replies");
    assert_eq!(values(&seen.headers, "x-other"), [b"\xff\xc0".as_slice(), b"two"]);
}
