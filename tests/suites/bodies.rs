//! A request is denied by its headers, before its body is requested, whatever its announced size. No part of the body
//! reaches the upstream or is treated as another request.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use portcullis_tests::bootstrap::Listener;
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::listener::Kind;
use portcullis_tests::message::{Inbox, Pair, Reply};
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, bootstrap, listener, verdict};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{http1, http2};
use serde_json::json;

const GOOD: &str = "bodies-good-key";
const BAD: &str = "bodies-bad-key";
/// More than any buffer between a client and the upstream.
const LARGE: usize = 64 * 1024 * 1024;

fn gate() -> Listener {
    let policy = json!({
        "version": 1,
        "public_paths": ["/open"],
        "consumers": [{"name": "ci", "keys": [{"plaintext": GOOD}]}],
    });
    listener("gate", Kind::Edge, &policy)
}

fn stage() -> Stage {
    Stage::start(vec![gate()])
}

fn open(stage: &Stage) -> TcpStream {
    connect(V4, stage.envoy.address("gate", V4)).expect("Envoy listens")
}

fn head(key: &str, headers: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: gate.test\r\nX-API-Key: {key}\r\n{headers}\r\n").into_bytes()
}

fn says(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

/// The status of the next response, including interim ones.
fn status(inbox: &mut Inbox<TcpStream>) -> String {
    let head = inbox.head().expect("an answer").expect("an answer");
    String::from_utf8(head.first).expect("text").split(' ').nth(1).expect("a status").to_owned()
}

fn send(address: SocketAddr, request: &[u8]) -> Inbox<TcpStream> {
    let mut stream = connect(V4, address).expect("Envoy listens");
    stream.write_all(request).expect("the head is sent");
    Inbox::new(stream)
}

/// Envoy tells a waiting client to continue before any filter is called; the gate answers at once anyway.
#[test]
fn a_client_that_waits_with_its_body_is_denied_without_it() {
    let stage = stage();
    let address = stage.envoy.address("gate", V4);
    let waiting = "Expect: 100-continue\r\nContent-Length: 4\r\n";
    let mut denied = send(address, &head(BAD, waiting));
    assert_eq!([status(&mut denied), status(&mut denied)], ["100", "401"]);
    assert_eq!(stage.upstream.count(), 0);
    // Control: with a key, no answer comes before the body, and the body arrives.
    let mut client = send(address, &head(GOOD, waiting));
    assert_eq!(status(&mut client), "100");
    client.stream().write_all(b"body").expect("the body is sent");
    assert_eq!(status(&mut client), "200");
    assert_eq!(stage.upstream.since(0).expect("it arrived").body, b"body");
}

/// With `proxy_100_continue` the upstream sends 100 Continue, so a denied client never gets it.
#[test]
fn where_envoy_leaves_that_to_the_upstream_a_denied_client_is_not_told_to_go_on() {
    let upstream = Upstream::start();
    let mut document = bootstrap(vec![gate()], &upstream).document();
    let chain = &mut document["static_resources"]["listeners"][0]["filter_chains"][0];
    chain["filters"][0]["typed_config"]["proxy_100_continue"] = json!(true);
    let envoy = Envoy::start(&document);
    let waiting = head(BAD, "Expect: 100-continue\r\nContent-Length: 4\r\n");
    assert_eq!(status(&mut send(envoy.address("gate", V4), &waiting)), "401");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_large_body_is_denied_before_any_of_it_is_sent() {
    let stage = stage();
    for framing in [format!("Content-Length: {LARGE}\r\n"), "Transfer-Encoding: chunked\r\n".to_owned()] {
        let reply = http1::Client::new(open(&stage)).send(&head(BAD, &framing)).expect("a reply");
        assert_eq!(verdict(&reply), says(401, "unknown_key"), "{framing}");
    }
    let pair = |name: &str, value: &str| -> Pair { (name.into(), value.into()) };
    let fields = [
        pair(":method", "POST"),
        pair(":path", "/x"),
        pair(":authority", "gate.test"),
        pair(":scheme", "http"),
        pair("x-api-key", BAD),
        pair("content-length", &LARGE.to_string()),
    ];
    let reply = http2::Client::new(open(&stage)).and_then(|mut client| client.announce(&fields)).expect("a reply");
    assert_eq!(verdict(&reply), says(401, "unknown_key"));
    assert_eq!(stage.upstream.count(), 0);
}

/// A client that ignores the reply and sends on: Envoy reads no more than its own buffers hold, and the upstream
/// receives nothing.
#[test]
fn a_large_body_that_is_sent_all_the_same_goes_nowhere() {
    let stage = stage();
    let mut stream = open(&stage);
    stream.write_all(&head(BAD, &format!("Content-Length: {LARGE}\r\n"))).expect("the head is sent");
    let piece = [b'x'; 64 * 1024];
    // Ends when Envoy closes the connection, or has read everything.
    let sent = (0..LARGE / piece.len()).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!(sent < LARGE / piece.len(), "Envoy hangs up");
    assert_eq!(stage.upstream.count(), 0);
    // The next caller's requests are decided normally.
    assert_eq!(stage.ask("gate", "/x", &[("x-api-key", GOOD)]), says(200, "key"));
}

#[test]
fn the_body_of_a_denied_request_is_no_request() {
    let stage = stage();
    let hidden = "GET /open HTTP/1.1\r\nHost: gate.test\r\n\r\n";
    let (length, mut served) = (hidden.len(), 0);
    for (framing, body) in [
        (format!("Content-Length: {length}\r\n"), hidden.to_owned()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n")),
    ] {
        let mut client = http1::Client::new(open(&stage));
        let reply = client.send(&[head(BAD, &framing), body.into_bytes()].concat()).expect("a reply");
        assert_eq!(verdict(&reply), says(401, "unknown_key"), "{framing}");
        // Next on the connection is the reply to the next request, or its end.
        let next: Option<Reply> = client.send(&http1::get("/x", &[("x-api-key", GOOD)])).ok();
        if let Some(next) = next {
            served += 1;
            let seen = stage.upstream.seen(&next).expect("the upstream replies");
            assert_eq!((verdict(&next), seen.path), (says(200, "key"), b"/x".to_vec()), "{framing}");
        }
    }
    assert_eq!(stage.upstream.count(), served, "nothing else reached the upstream");
}

#[test]
fn a_key_of_many_kilobytes_is_malformed_or_answered_by_envoy() {
    let stage = stage();
    for (size, expected) in [
        (1025, says(401, "malformed_credential")),
        (50 * 1024, says(401, "malformed_credential")),
        // Envoy's own limit for all headers is 60 KiB.
        (60 * 1024, says(431, "-")),
    ] {
        let key = "k".repeat(size);
        for (name, value) in [("x-api-key", key.clone()), ("authorization", format!("Bearer {key}"))] {
            assert_eq!(stage.ask("gate", "/x", &[(name, &value)]), expected, "{name} of {size} bytes");
        }
    }
    assert_eq!(stage.upstream.count(), 0);
}
