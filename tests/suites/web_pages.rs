//! What `docs/guides/web-pages.md` says about CORS, redirects and logs, with the configuration that it shows, on a real
//! Envoy.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::{fs, thread};

use portcullis_tests::bootstrap::Bootstrap;
use portcullis_tests::crd::documents;
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::http1::{Client, request};
use portcullis_tests::listener::Kind;
use portcullis_tests::message::{Reply, pairs};
use portcullis_tests::net::connect;
use portcullis_tests::stage::listener;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, poll};
use serde_json::{Value, json};

const SITE: &str = "https://app.example.com";
const KEY: &str = "web-pages-suite-key";

/// The connection manager's part of the guide.
fn of_the_guide() -> Value {
    let page = fs::read_to_string(paths::workspace().join("docs/guides/web-pages.md")).expect("the guide");
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split_once("```")).expect("its first block").0;
    documents(block).remove(0)
}

/// An Envoy whose connection manager was changed.
fn start(upstream: SocketAddr, change: impl FnOnce(&mut Value)) -> Envoy {
    let policy = json!({
        "consumers": [{"name": "ci", "keys": [{"plaintext": KEY}]}],
        "key_sources": ["bearer", {"query": "api_key"}],
    });
    let bootstrap = Bootstrap {
        listeners: vec![listener("main", Kind::Edge, &policy)],
        upstream,
        module: paths::module(),
        environment: Vec::new(),
    };
    let mut document = bootstrap.document();
    change(&mut document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]);
    Envoy::start(&document)
}

fn send(envoy: &Envoy, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let bytes = request(method.as_bytes(), path.as_bytes(), b"gate.test", &pairs(headers), None);
    Client::new(connect(V4, envoy.address("main", V4)).expect("Envoy listens")).send(&bytes).expect("Envoy replies")
}

/// The filters with that of the guide at `place`, and its policy.
fn add_cors(manager: &mut Value, place: impl FnOnce(&[Value]) -> usize) {
    let mut guide = of_the_guide();
    let filters = manager["http_filters"].as_array_mut().expect("filters");
    let place = place(filters);
    filters.insert(place, guide["http_filters"][0].take());
    manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] =
        guide["route_config"]["virtual_hosts"][0]["typed_per_filter_config"].take();
}

#[test]
fn a_page_can_read_a_401_if_the_cors_filter_is_before_the_gate() {
    let upstream = Upstream::start();
    let preflight = [("origin", SITE), ("access-control-request-method", "POST")];
    let allowed = |reply: &Reply| reply.header("access-control-allow-origin");

    let before = start(upstream.address(), |manager| add_cors(manager, |_| 0));
    let denied = send(&before, "GET", "/x", &[("origin", SITE)]);
    assert_eq!((denied.status, allowed(&denied).as_deref()), (401, Some(SITE)));
    let answered = send(&before, "OPTIONS", "/x", &preflight);
    assert_eq!((answered.status, allowed(&answered).as_deref()), (200, Some(SITE)));
    let stranger = send(&before, "GET", "/x", &[("origin", "https://evil.test")]);
    assert_eq!((stranger.status, allowed(&stranger)), (401, None));

    let after = start(upstream.address(), |manager| add_cors(manager, |filters| filters.len() - 1));
    let denied = send(&after, "GET", "/x", &[("origin", SITE)]);
    assert_eq!((denied.status, allowed(&denied)), (401, None));
    assert_eq!(send(&after, "OPTIONS", "/x", &preflight).status, 401);
}

#[test]
fn a_key_in_the_query_is_logged_only_if_it_was_denied() {
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().expect("a directory");
    let (whole, without_query) = (folder.path().join("whole"), folder.path().join("without-query"));
    let log = |file: &Path, format: &str| {
        json!({"name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": file, "log_format": {"text_format_source": {"inline_string": format}},
        }})
    };
    let envoy = start(upstream.address(), |manager| {
        manager["access_log"] = json!([log(&whole, "%REQ(:PATH)%\n"), log(&without_query, "%PATH(NQ:PATH)%\n")]);
    });
    assert_eq!(send(&envoy, "GET", &format!("/a?b=1&api_key={KEY}"), &[]).status, 200);
    assert_eq!(send(&envoy, "GET", "/a?api_key=a-key-with-a-typo", &[]).status, 401);
    let lines = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    // Envoy writes its logs with a delay.
    let is_whole = |file: &Path| lines(file).lines().count() == 2;
    poll::until("both lines in both", || (is_whole(&whole) && is_whole(&without_query)).then_some(()));
    assert_eq!(lines(&whole), "/a?b=1\n/a?api_key=a-key-with-a-typo\n");
    assert_eq!(lines(&without_query), "/a\n/a\n");
}

/// A service that answers each request on a connection of its own, with a redirect.
fn redirecting() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = BufReader::new(&stream).lines().map_while(Result::ok);
            head.by_ref().find(String::is_empty);
            let reply =
                "HTTP/1.1 302 Found\r\nlocation: http://gate.test/y\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    address
}

#[test]
fn an_internal_redirect_loses_the_key() {
    let redirecting = redirecting();
    let key = format!("Bearer {KEY}");
    let status = |policy: Option<Value>| {
        let envoy = start(redirecting, |manager| {
            let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes");
            if let Some(policy) = policy {
                routes.last_mut().expect("a route")["route"]["internal_redirect_policy"] = policy;
            }
        });
        send(&envoy, "GET", "/x", &[("authorization", &key)]).status
    };
    assert_eq!(status(None), 302, "the caller follows it, with the key");
    assert_eq!(status(Some(json!({"redirect_response_codes": [302]}))), 401);
}
