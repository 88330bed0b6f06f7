//! Request trailers, which some services treat as headers: a forged identity does not reach the upstream there either,
//! and a key in a trailer does not count.

use portcullis_tests::envoy::V4;
use portcullis_tests::http1;
use portcullis_tests::http2;
use portcullis_tests::listener::Kind;
use portcullis_tests::message::{Pair, Reply};
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, listener, verdict};
use serde_json::{Value, json};

fn policy(name: &str, mode: &str) -> Value {
    json!({
        "version": 1,
        "name": name,
        "mode": mode,
        "public_paths": ["/open"],
        "consumers": [{"name": "ci", "roles": ["predict"], "keys": [{"plaintext": "trailers-key"}]}],
    })
}

const KEY: (&str, &str) = ("x-api-key", "trailers-key");

fn pair(name: &str, value: &str) -> Pair {
    (name.into(), value.into())
}

fn forged() -> Vec<Pair> {
    ["x-portcullis-consumer", "x_portcullis_roles", "x-portcullis_key-id", "x-other"]
        .map(|name| pair(name, "root"))
        .to_vec()
}

fn over_http2(stage: &Stage, gate: &str, path: &str, key: (&str, &str), trailers: &[Pair]) -> Reply {
    let stream = connect(V4, stage.envoy.address(gate, V4)).expect("Envoy listens");
    let fields = [
        pair(":method", "POST"),
        pair(":path", path),
        pair(":authority", "gate.test"),
        pair(":scheme", "http"),
        pair(key.0, key.1),
    ];
    http2::Client::new(stream).and_then(|mut client| client.send(&fields, Some(b"body"), trailers)).expect("a reply")
}

fn over_http1(stage: &Stage, gate: &str, path: &str, key: (&str, &str), trailers: &[Pair]) -> Reply {
    let lines: String = trailers.iter().map(|(name, value)| format!("{}: {}\r\n", text(name), text(value))).collect();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: gate.test\r\n{}: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\n{lines}\r\n",
        key.0, key.1
    );
    let stream = connect(V4, stage.envoy.address(gate, V4)).expect("Envoy listens");
    http1::Client::new(stream).send(request.as_bytes()).expect("a reply")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn forged_identity_does_not_travel_in_trailers() {
    let modes = ["enforce", "report", "disabled"];
    let stage = Stage::start(modes.map(|mode| listener(mode, Kind::Edge, &policy(mode, mode))).to_vec());
    for mode in modes {
        for path in ["/open", "/x"] {
            for send in [over_http2, over_http1] {
                let reply = send(&stage, mode, path, KEY, &forged());
                assert_eq!(verdict(&reply).0, 200, "{mode} {path}");
                let seen = stage.upstream.seen(&reply).expect("the upstream replies");
                assert_eq!(seen.body, b"body");
                // The harmless one shows that trailers do arrive.
                assert_eq!(seen.trailers, [pair("x-other", "root")], "{mode} {path}");
            }
        }
    }
}

#[test]
fn a_key_in_a_trailer_is_no_key() {
    let stage = Stage::start(vec![listener("gate", Kind::Edge, &policy("gate", "enforce"))]);
    for send in [over_http2, over_http1] {
        for trailer in [pair(KEY.0, KEY.1), pair("authorization", "Bearer trailers-key")] {
            let reply = send(&stage, "gate", "/x", ("x-other", "one"), std::slice::from_ref(&trailer));
            assert_eq!(verdict(&reply), (401, "no_credential".to_owned()), "{trailer:?}");
            // It also removes nothing from the genuine header.
            let reply = send(&stage, "gate", "/x", KEY, &[trailer]);
            assert_eq!(verdict(&reply), (200, "key".to_owned()));
        }
    }
    assert_eq!(stage.upstream.count(), 4, "those without a key did not reach the upstream");
}
