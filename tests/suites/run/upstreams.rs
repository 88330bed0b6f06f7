//! The forms of `--upstream`: what Envoy speaks to the service, and which certificates of it are accepted.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};

use portcullis_tests::bootstrap::{cluster, socket};
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::grpc_program::GrpcProgram;
use portcullis_tests::http1::get;
use portcullis_tests::http2::{Client, What};
use portcullis_tests::message::{Inbox, Pair, Reply, pairs};
use portcullis_tests::net::connect;
use portcullis_tests::streaming::Streaming;
use portcullis_tests::tls::{Authority, Identity};
use portcullis_tests::websocket;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::gate::{Gate, folder};
use super::{KEY, policy};

const BOTH: &[&str] = &["h2", "http/1.1"];

/// A service that replies with what it got, in headers: the protocol, `Host`, the name in the TLS handshake, and the
/// consumer.
fn service(listeners: Vec<Value>) -> Envoy {
    Envoy::start(&json!({
        "admin": {"address": socket((Ipv4Addr::LOCALHOST, 0))},
        "static_resources": {"listeners": listeners},
    }))
}

fn listener(name: &str, address: &Value, codec: &str, tls: Option<(&Identity, &[&str])>) -> Value {
    let shown = [
        ("x-seen-protocol", "%PROTOCOL%"),
        ("x-seen-host", "%REQ(:AUTHORITY)%"),
        ("x-seen-name", "%REQUESTED_SERVER_NAME%"),
        ("x-seen-consumer", "%REQ(X-PORTCULLIS-CONSUMER)%"),
    ];
    let shown = shown.map(|(key, value)| json!({"header": {"key": key, "value": value}}));
    let mut chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": codec,
            "route_config": {"response_headers_to_add": shown, "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
            }]},
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }],
        },
    }]});
    if let Some((identity, protocols)) = tls {
        let [certificate, key] = identity.pem();
        chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": protocols,
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": certificate},
                    "private_key": {"inline_string": key},
                }],
            },
        }});
    }
    // Without it, Envoy does not know the name in the handshake.
    let inspector = json!({
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        },
    });
    let filters = if tls.is_some() { vec![inspector] } else { Vec::new() };
    json!({"name": name, "address": address, "listener_filters": filters, "filter_chains": [chain]})
}

/// A listener that forwards to the cluster `echo`, also a WebSocket; over HTTP/2 if `extended`.
fn with_websockets(mut listener: Value, extended: bool) -> Value {
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
    manager["http2_protocol_options"] = json!({"allow_connect": extended});
    manager["route_config"]["virtual_hosts"][0]["routes"] =
        json!([{"match": {"prefix": "/"}, "route": {"cluster": "echo"}}]);
    listener
}

fn on_a_port(name: &str, codec: &str, tls: Option<(&Identity, &[&str])>) -> Value {
    listener(name, &socket((Ipv4Addr::LOCALHOST, 0)), codec, tls)
}

/// A folder with the policy, and the certificate of the authority.
fn files(authority: &Authority) -> TempDir {
    folder(&[("policy.yaml", &policy(KEY)), ("ca.pem", &authority.pem())])
}

/// The gate in front of `upstream`.
fn gate(authority: &Authority, upstream: &str, more: &[&str], environment: &[(&str, &str)]) -> Gate {
    let arguments = [&["--upstream", upstream, "--listen", "127.0.0.1:0"], more].concat();
    let gate = Gate::run(files(authority), &arguments, environment);
    gate.waits_for("is live");
    gate
}

/// Which protocol, host and name the service saw.
fn seen(reply: &Reply) -> [String; 3] {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("x-seen-consumer").as_deref(), Some("ci"), "{reply:?}");
    ["x-seen-protocol", "x-seen-host", "x-seen-name"].map(|name| reply.header(name).unwrap_or_default())
}

#[test]
fn each_form_is_its_own_protocol_and_with_tls_its_own_host() {
    let authority = Authority::new();
    let identity = authority.server_for(&["localhost", "127.0.0.1"]);
    let pipe = json!({"pipe": {"path": "unix"}});
    let service = service(vec![
        on_a_port("http1", "HTTP1", None),
        on_a_port("http2", "HTTP2", None),
        listener("unix", &pipe, "HTTP1", None),
        on_a_port("tls", "AUTO", Some((&identity, BOTH))),
        on_a_port("tls-1", "AUTO", Some((&identity, &["http/1.1"]))),
        on_a_port("tls-without-alpn", "AUTO", Some((&identity, &[]))),
    ]);
    let port = |name: &str| service.address(name, V4).port();
    let [http1, http2, tls, tls1, plain] = ["http1", "http2", "tls", "tls-1", "tls-without-alpn"].map(port);
    let socket = service.socket("unix").display().to_string();
    let ca: &[&str] = &["--upstream-ca", "ca.pem"];
    for (upstream, options, protocol, host, name) in [
        (format!("127.0.0.1:{http1}"), &[][..], "HTTP/1.1", "gate.test".to_owned(), ""),
        (format!("http://localhost:{http1}/"), &[], "HTTP/1.1", "gate.test".to_owned(), ""),
        (format!("unix:{socket}"), &[], "HTTP/1.1", "gate.test".to_owned(), ""),
        (format!("h2c://127.0.0.1:{http2}"), &[], "HTTP/2", "gate.test".to_owned(), ""),
        (format!("grpc://localhost:{http2}"), &[], "HTTP/2", "gate.test".to_owned(), ""),
        (format!("https://LOCALHOST:{tls}"), ca, "HTTP/2", format!("localhost:{tls}"), "localhost"),
        (format!("https://localhost:{tls1}"), ca, "HTTP/1.1", format!("localhost:{tls1}"), "localhost"),
        (format!("https://localhost:{plain}"), ca, "HTTP/1.1", format!("localhost:{plain}"), "localhost"),
        (format!("https://127.0.0.1:{tls}"), ca, "HTTP/2", format!("127.0.0.1:{tls}"), ""),
        (format!("grpcs://localhost:{tls}"), ca, "HTTP/2", format!("localhost:{tls}"), "localhost"),
    ] {
        let gate = gate(&authority, &upstream, options, &[]);
        let reply = gate.send(V4, "/v2", &[("x-api-key", KEY)]);
        assert_eq!(seen(&reply), [protocol.to_owned(), host, name.to_owned()], "{upstream}");
        assert_eq!(gate.status("/v2", &[]), 401, "{upstream}");
        let shown = upstream.trim_end_matches('/').replace("LOCALHOST", "localhost");
        gate.waits_for(&format!("in front of {shown}. "));
    }
}

#[test]
fn only_a_certificate_for_its_name_from_a_trusted_authority_is_accepted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let [right, wrong] = [["localhost"], ["other.test"]].map(|names| authority.server_for(&names));
    let service = service(vec![
        on_a_port("right", "AUTO", Some((&right, BOTH))),
        on_a_port("wrong", "AUTO", Some((&wrong, BOTH))),
    ]);
    let port = |name: &str| service.address(name, V4).port();
    let [right, wrong] = ["right", "wrong"].map(port);
    let (localhost, address) = (format!("https://localhost:{right}"), format!("https://127.0.0.1:{right}"));
    let misnamed = format!("https://localhost:{wrong}");
    let (ca, unchecked): (&[&str], &[&str]) = (&["--upstream-ca", "ca.pem"], &["--upstream-insecure"]);
    let others = tempfile::tempdir().expect("a temporary directory");
    let others = (others.path().join("system.pem"), others);
    fs::write(&others.0, other.pem()).expect("a file in it");
    let others = [("SSL_CERT_FILE", others.0.to_str().expect("a path in UTF-8"))];
    for (upstream, options, environment, status) in [
        (&localhost, ca, &[][..], 200),
        // The list of the system is that file.
        (&localhost, &[], &[("SSL_CERT_FILE", "ca.pem")], 200),
        (&localhost, &[], &others, 503),
        (&localhost, ca, &others, 200),
        (&misnamed, ca, &[], 503),
        (&misnamed.replace("https", "grpcs"), ca, &[], 503),
        // The certificate has no address.
        (&address, ca, &[], 503),
        (&misnamed, unchecked, &[], 200),
        (&address, unchecked, &others, 200),
    ] {
        let gate = gate(&authority, upstream, options, environment);
        assert_eq!(gate.status("/v2", &[("x-api-key", KEY)]), status, "{upstream} {options:?} {environment:?}");
        let warning = format!("the certificate of {upstream} is not checked");
        assert_eq!(gate.said().contains(&warning), options == unchecked, "{}", gate.said());
    }
}

#[test]
fn a_websocket_gets_through_if_the_service_takes_it_over_its_protocol() {
    let (authority, streaming) = (Authority::new(), Streaming::start(0));
    let identity = authority.server_for(&["localhost"]);
    let service = Envoy::start(&json!({
        "admin": {"address": socket((Ipv4Addr::LOCALHOST, 0))},
        "static_resources": {
            "clusters": [cluster("echo", &socket(streaming.address()))],
            "listeners": [
                with_websockets(on_a_port("both", "AUTO", Some((&identity, BOTH))), true),
                with_websockets(on_a_port("not-over-2", "AUTO", Some((&identity, BOTH))), false),
                with_websockets(on_a_port("only-1", "AUTO", Some((&identity, &["http/1.1"]))), false),
                with_websockets(on_a_port("h2c", "HTTP2", None), true),
                with_websockets(on_a_port("h2c-without", "HTTP2", None), false),
            ],
        },
    }));
    for (scheme, name, status) in [
        ("https", "both", 101),
        ("https", "not-over-2", 101),
        ("https", "only-1", 101),
        ("grpcs", "both", 101),
        ("h2c", "h2c", 101),
        ("h2c", "h2c-without", 503),
    ] {
        let upstream = format!("{scheme}://localhost:{}", service.address(name, V4).port());
        let options: &[&str] = if scheme == "h2c" { &[] } else { &["--upstream-ca", "ca.pem"] };
        let gate = gate(&authority, &upstream, options, &[]);
        let headers = [("connection", "upgrade"), ("upgrade", "WebSocket"), ("x-api-key", KEY)];
        let mut stream = connect(V4, gate.address("listening on http://")).expect("it listens");
        stream.write_all(&get("/chat", &headers)).expect("it is sent");
        let mut inbox = Inbox::new(stream);
        let head = inbox.head().expect("it replies").expect("a reply");
        let first = String::from_utf8_lossy(&head.first).into_owned();
        assert!(first.starts_with(&format!("HTTP/1.1 {status} ")), "{upstream} {name}: {head:?}");
        if status == 101 {
            inbox.stream().write_all(&websocket::from_client("hello")).expect("it is open");
            let echo = websocket::from_server("hello");
            assert_eq!(inbox.exactly(echo.len()).expect("it echoes"), echo, "{upstream}");
        }
    }
}

/// The header fields of a call.
fn call(method: &str, key: Option<&str>) -> Vec<Pair> {
    let path = format!("/test.Echo/{method}");
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "gate.test"), (":path", &path)];
    let fields = fields.into_iter().chain([("content-type", "application/grpc"), ("te", "trailers")]);
    pairs(&fields.chain(key.map(|key| ("x-api-key", key))).collect::<Vec<_>>())
}

/// A message with its length.
fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("it is short").to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat()
}

#[test]
fn grpc_calls_get_through_with_streams_and_trailers() {
    let server = GrpcProgram::start(include_str!("../../backends/grpc_site.py"), &[]);
    let address = server.address;
    let gate = gate(&Authority::new(), &format!("grpc://{address}"), &[], &[]);
    let stream = connect(V4, gate.address("listening on http://")).expect("it listens");
    let mut client = Client::new(stream).expect("a connection");

    let mut send = |method, key| client.send(&call(method, key), Some(&message("hello")), &[]).expect("it replies");
    let reply = send("Unary", Some(KEY));
    assert_eq!((reply.status, &reply.body), (200, &message("hello")), "{reply:?}");
    assert_eq!(reply.header("grpc-status").as_deref(), Some("0"), "{reply:?}");
    assert_eq!(reply.header("x-trailer").as_deref(), Some("after the message"), "{reply:?}");
    for (method, key, status, text) in
        [("Fail", Some(KEY), "5", "no such model"), ("None", Some(KEY), "12", "Method not found!")]
    {
        let reply = send(method, key);
        assert_eq!(reply.header("grpc-status").as_deref(), Some(status), "{reply:?}");
        assert_eq!(reply.header("grpc-message").as_deref(), Some(text), "{reply:?}");
    }
    assert_eq!(send("Unary", None).header("grpc-status").as_deref(), Some("16"), "without a key");

    // Each message is answered before the next one is sent.
    let stream = client.open(&call("Stream", Some(KEY)), false).expect("it is sent");
    // After the reply to the call without a key, Envoy may also reset its stream.
    let next = |client: &mut Client<TcpStream>| loop {
        let event = client.event().expect("the connection lasts");
        if event.stream == stream {
            return event;
        }
    };
    for text in ["one", "two", "three"] {
        client.data(stream, &message(text), false).expect("it is sent");
        let mut got = Vec::new();
        while got.len() < message(text).len() {
            match next(&mut client).what {
                What::Data(bytes) => got.extend(bytes),
                What::Fields(reply) => assert_eq!(reply.status, 200, "{reply:?}"),
                What::Reset(code) => panic!("reset with code {code}"),
            }
        }
        assert_eq!(got, message(text));
    }
    client.data(stream, &[], true).expect("it is sent");
    let event = next(&mut client);
    let What::Fields(trailers) = event.what else { panic!("no trailers: {event:?}") };
    assert!(event.ended, "{trailers:?}");
    assert_eq!(trailers.header("grpc-status").as_deref(), Some("0"), "{trailers:?}");
    assert_eq!(trailers.header("x-trailer").as_deref(), Some("after the message"), "{trailers:?}");
}
