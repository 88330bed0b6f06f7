//! How requests reach the service behind every whole configuration that is shipped, rendered or documented: with the
//! policy of this suite, on a real Envoy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use portcullis_tests::bootstrap::{Bootstrap, socket};
use portcullis_tests::bytes::said;
use portcullis_tests::crd::documents;
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::http1::{Client, request};
use portcullis_tests::listener::Kind;
use portcullis_tests::message::{Reply, pairs, values};
use portcullis_tests::net::connect;
use portcullis_tests::stage::listener;
use portcullis_tests::upstream::{Seen, Upstream};
use portcullis_tests::{paths, poll};
use serde_json::{Value, json};

const KEY: (&str, &str) = ("x-api-key", "forwarding-suite-key");

/// Headers in which a caller names another client.
const FORGED: [&str; 19] = [
    "x-forwarded-for",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "true-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-envoy-external-address",
];

/// Envoy sets this one itself, so it does not make a local caller need a key.
const SET_BY_ENVOY: &str = "x-envoy-external-address";

/// A listener that trusts X-Forwarded-For, so the service gets it too.
const TRUSTS_FORWARDED: &str = "envoy/sidecar-peer.yaml";

/// A whole configuration, and its place.
struct Configuration {
    place: String,
    document: Value,
}

fn policy() -> Value {
    json!({
        "consumers": [{"name": "ci", "keys": [{"plaintext": KEY.1}]}],
        "public_paths": ["/open"],
        "trusted_networks": {"ranges": ["localhost"]},
    })
}

/// The files, the blocks of the reference, and a fresh render.
fn configurations() -> Vec<Configuration> {
    let root = paths::workspace();
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let folders = ["envoy", "envoy/systemd"].map(|folder| fs::read_dir(root.join(folder)).expect("it is shipped"));
    let files = folders.into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let shipped = files.filter(|file| file.is_file()).map(|file| {
        let place = file.strip_prefix(&root).expect("it is below").display().to_string();
        (place, read(&file))
    });
    let page = read(&root.join("docs/policy/envoy.md"));
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    let shown = blocks.map(|block| ("docs/policy/envoy.md".to_owned(), block));
    let texts = shipped.chain(shown).filter(|(_, text)| text.contains("\nstatic_resources:"));
    let texts = texts.map(|(place, text)| Configuration { place, document: documents(&text).remove(0) });
    let mut found: Vec<Configuration> = texts.chain([rendered(&[])]).collect();
    found.sort_by(|one, other| one.place.cmp(&other.place));
    let places: Vec<&str> = found.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "docs/policy/envoy.md",
            "envoy/compose.yaml",
            "envoy/deepaas.yaml",
            "envoy/envoy.yaml",
            "envoy/minimal.yaml",
            "envoy/orchestra.yaml",
            "envoy/sidecar-peer.yaml",
            "envoy/systemd/envoy.yaml",
            "render envoy",
        ]
    );
    found
}

/// The output of `portcullis render envoy`.
fn rendered(options: &[&str]) -> Configuration {
    let folder = tempfile::tempdir().expect("a temporary directory");
    fs::write(folder.path().join("policy.yaml"), "version: 1\n").expect("a file in it");
    let arguments = [&["render", "envoy", "--upstream", "127.0.0.1:1"], options].concat();
    let output = Command::new(paths::command()).args(&arguments).current_dir(folder.path()).output();
    let output = output.expect("the command starts");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    let document = documents(&String::from_utf8(output.stdout).expect("text")).remove(0);
    Configuration { place: ["render envoy", &options.join(" ")].join(" ").trim().to_owned(), document }
}

impl Configuration {
    fn managers(&self) -> impl Iterator<Item = &Value> {
        let listeners = self.document["static_resources"]["listeners"].as_array().expect("a list");
        listeners.iter().map(|listener| &listener["filter_chains"][0]["filters"][0]["typed_config"])
    }
}

/// Starts one Envoy with the listeners and clusters of all, on free ports, in front of `upstream`, with the policy of
/// this suite. Returns the names of the listeners, too.
fn start(configurations: &[Configuration], upstream: SocketAddr) -> (Envoy, Vec<String>) {
    let listeners = vec![listener("main", Kind::Edge, &policy())];
    let mut document = Bootstrap { listeners, upstream, module: paths::module(), environment: Vec::new() }.document();
    let own = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"].take();
    let gate = own["http_filters"].as_array().expect("a list").iter().find(|filter| filter["name"] == "portcullis");
    let (mut listeners, mut clusters, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for Configuration { place, document } in configurations {
        let mut resources = document["static_resources"].clone();
        for (number, listener) in resources["listeners"].as_array_mut().expect("a list").iter_mut().enumerate() {
            let name = format!("{place} {number}");
            listener["name"] = json!(name);
            listener["address"]["socket_address"]["port_value"] = json!(0);
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            let filters = manager["http_filters"].as_array_mut().expect("a list");
            let before_the_router = filters.len() - 2;
            filters[before_the_router] = gate.expect("the gate of this suite").clone();
            for host in manager["route_config"]["virtual_hosts"].as_array_mut().expect("a list") {
                for route in host["routes"].as_array_mut().expect("a list") {
                    route["route"]["cluster"] = json!(place);
                }
            }
            names.push(name);
            listeners.push(listener.take());
        }
        let [cluster] = &mut resources["clusters"].as_array_mut().expect("a list")[..] else {
            panic!("{place}: one cluster")
        };
        (cluster["name"], cluster["type"]) = (json!(place), json!("STATIC"));
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = socket(upstream);
        clusters.push(cluster.take());
    }
    document["static_resources"] = json!({"listeners": listeners, "clusters": clusters});
    (Envoy::start(&document), names)
}

/// The reply of a listener to a request from this machine.
fn send(envoy: &Envoy, listener: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let bytes = request(b"GET", path.as_bytes(), b"127.0.0.1", &pairs(headers), None);
    let stream = connect(V4, envoy.address(listener, V4)).expect("Envoy listens");
    Client::new(stream).send(&bytes).expect("Envoy replies")
}

/// The values of the forged headers that the service got.
fn clients(seen: &Seen) -> Vec<(&'static str, Vec<String>)> {
    let text = |value: &&[u8]| String::from_utf8_lossy(value).into_owned();
    let got = FORGED.map(|name| (name, values(&seen.headers, name).iter().map(text).collect()));
    got.into_iter().filter(|(_, values): &(_, Vec<String>)| !values.is_empty()).collect()
}

#[test]
fn the_service_gets_the_address_of_the_connection_and_no_forged_one() {
    let peer = |name| (name, vec!["127.0.0.1".to_owned()]);
    let forged = FORGED.map(|name| (name, "10.6.6.6"));
    let with_key = [&forged[..], &[KEY, ("x-forwarded-for", "10.7.7.7")]].concat();
    let configurations: Vec<_> = configurations().into_iter().filter(|one| one.place != TRUSTS_FORWARDED).collect();
    let upstream = Upstream::start();
    let (envoy, listeners) = start(&configurations, upstream.address());
    for place in listeners {
        for (path, headers) in [("/x", &with_key[..]), ("/open", &forged[..]), ("/x", &[])] {
            let reply = send(&envoy, &place, path, headers);
            let seen = upstream.seen(&reply).unwrap_or_else(|| panic!("{place}: {path}: {}", reply.status));
            assert_eq!(clients(&seen), [peer("x-forwarded-for"), peer("x-envoy-external-address")], "{place}");
        }
        // The gate sees what the caller sent: a forwarded request is not local.
        for header in forged.iter().filter(|header| header.0 != SET_BY_ENVOY) {
            assert_eq!(send(&envoy, &place, "/x", &[*header]).status, 401, "{place}: {header:?}");
        }
    }
}

#[test]
fn a_trusted_proxy_in_front_keeps_its_headers() {
    let upstream = Upstream::start();
    let (envoy, listeners) = start(&[rendered(&["--keep-forwarded"])], upstream.address());
    let stated = [KEY, ("x-forwarded-for", "10.6.6.6"), ("forwarded", "for=10.6.6.6"), ("x-real-ip", "10.6.6.6")];
    let seen = upstream.seen(&send(&envoy, &listeners[0], "/x", &stated)).expect("it reaches the service");
    for (name, value) in &stated[1..] {
        assert!(clients(&seen).contains(&(name, vec![(*value).to_owned()])), "{name}: {seen:?}");
    }
}

/// Some services answer only to names of their own, such as Ollama on a loopback address.
#[test]
fn the_service_gets_the_host_that_the_caller_sent_or_the_one_of_the_option() {
    let upstream = Upstream::start();
    let configurations = [rendered(&[]), rendered(&["--upstream-host", "localhost:11434"])];
    let (envoy, listeners) = start(&configurations, upstream.address());
    for (listener, host) in listeners.iter().zip(["127.0.0.1", "localhost:11434"]) {
        let seen = upstream.seen(&send(&envoy, listener, "/open", &[])).expect("it reaches the service");
        assert_eq!(values(&seen.headers, "host"), [host.as_bytes()], "{listener}");
    }
}

/// Envoy's defaults would end a request after 15 seconds, and an idle one after five minutes.
#[test]
fn a_model_may_take_its_time_for_a_reply() {
    for configuration in configurations() {
        for manager in configuration.managers() {
            assert_eq!(manager["stream_idle_timeout"], "3600s", "{}", configuration.place);
            // The gate sees a request when all of its headers are there. Until then, anyone could hold the connection.
            assert_eq!(manager["request_headers_timeout"], "10s", "{}", configuration.place);
            for route in routes(manager) {
                assert_eq!(route["timeout"], "0s", "{}", configuration.place);
            }
        }
    }
}

/// A request on a connection that the service closes at this moment gets 503, and it may have been processed.
#[test]
fn envoy_closes_an_idle_connection_before_the_service_does() {
    let (configurations, upstream) = (configurations(), Upstream::impatient());
    let (envoy, listeners) = start(&configurations, upstream.address());
    // The first listener of each: two of one configuration have the same connections.
    let firsts = listeners.iter().filter(|name| name.ends_with(" 0"));
    let ask_all = || firsts.clone().map(|name| send(&envoy, name, "/open", &[]).status).collect::<Vec<_>>();
    assert_eq!(ask_all(), vec![200; configurations.len()]);
    poll::until("Envoy closes all connections", || upstream.is_alone().then_some(()));
    assert_eq!(ask_all(), vec![200; configurations.len()]);
    // Control: on a connection that is still open.
    let count = upstream.count();
    assert_eq!(ask_all(), vec![503; configurations.len()]);
    assert_eq!(upstream.count() - count, configurations.len(), "a request that was sent is not repeated");
}

/// Nothing listens there: each request is certain not to have arrived.
#[test]
fn a_request_that_was_not_sent_is_repeated_once() {
    let (envoy, listeners) = start(&configurations(), (Ipv4Addr::LOCALHOST, 1).into());
    for listener in &listeners {
        assert_eq!(send(&envoy, listener, "/open", &[]).status, 503, "{listener}");
    }
    let retries = envoy.admin().stats("cluster.").expect("the admin interface answers");
    let retries = retries.iter().filter(|(name, _)| name.ends_with(".upstream_rq_retry")).map(|(_, count)| count);
    assert_eq!(retries.sum::<u64>(), listeners.len() as u64);
}

/// Envoy keeps at most 1 MiB of a body for a second attempt.
#[test]
fn a_long_body_reaches_the_service() {
    let upstream = Upstream::start();
    let (envoy, listeners) = start(&[rendered(&[])], upstream.address());
    let body = vec![b'b'; 3 << 20];
    let bytes = request(b"POST", b"/open", b"gate.test", &[], Some(&body));
    let reply = Client::new(connect(V4, envoy.address(&listeners[0], V4)).expect("Envoy listens")).send(&bytes);
    let seen = upstream.seen(&reply.expect("Envoy replies")).expect("it reaches the service");
    assert!(seen.body == body, "{} bytes", seen.body.len());
}

/// The actions of all routes.
fn routes(manager: &Value) -> Vec<&Value> {
    let hosts = manager["route_config"]["virtual_hosts"].as_array().expect("a list");
    let routes = hosts.iter().flat_map(|host| host["routes"].as_array().expect("a list"));
    let actions: Vec<&Value> = routes.map(|route| &route["route"]).collect();
    assert!(!actions.is_empty());
    actions
}

#[test]
fn a_request_ends_after_the_given_time() {
    // It accepts connections, and never replies.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let upstream = silent.local_addr().expect("an address");
    let renders = ["--timeout", "--idle-timeout"].map(|option| rendered(&[option, "1s"]));
    let (envoy, listeners) = start(&renders, upstream);
    for (listener, body) in listeners.iter().zip(["upstream request timeout", "stream timeout"]) {
        let reply = send(&envoy, listener, "/open", &[]);
        assert_eq!((reply.status, String::from_utf8_lossy(&reply.body).as_ref()), (504, body));
    }
}
