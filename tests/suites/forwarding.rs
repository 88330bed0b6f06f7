//! How requests reach the service behind every whole configuration that is shipped, rendered or documented: with the
//! policy of this suite, on a real Envoy.

use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis_tests::bootstrap::socket;
use portcullis_tests::bytes::said;
use portcullis_tests::crd::documents;
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::http1::{Client, request};
use portcullis_tests::listener::Kind;
use portcullis_tests::message::{Reply, pairs, values};
use portcullis_tests::net::connect;
use portcullis_tests::paths;
use portcullis_tests::stage::{bootstrap, listener};
use portcullis_tests::upstream::{Seen, Upstream};
use serde_json::{Value, json};

const KEY: (&str, &str) = ("x-api-key", "forwarding-suite-key");

/// Headers in which a caller names another client.
const FORGED: [&str; 9] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "x-envoy-external-address",
];

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
    let page = read(&root.join("docs/configuration.md"));
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    let shown = blocks.map(|block| ("docs/configuration.md".to_owned(), block));
    let texts = shipped.chain(shown).filter(|(_, text)| text.contains("\nstatic_resources:"));
    let texts = texts.map(|(place, text)| Configuration { place, document: documents(&text).remove(0) });
    let mut found: Vec<Configuration> = texts.chain([rendered(&[])]).collect();
    found.sort_by(|one, other| one.place.cmp(&other.place));
    let places: Vec<&str> = found.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "docs/configuration.md",
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
    Configuration { place: arguments[..2].join(" "), document }
}

impl Configuration {
    fn listeners(&self) -> &[Value] {
        self.document["static_resources"]["listeners"].as_array().expect("a list")
    }

    /// Starts Envoy with it, on free ports, in front of `upstream`, with the policy of this suite.
    fn start(&self, upstream: &Upstream) -> Envoy {
        let mut own = bootstrap(vec![listener("main", Kind::Edge, &policy())], upstream).document();
        let filters = &mut own["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
        let gate = filters.as_array().expect("a list").iter().find(|filter| filter["name"] == "portcullis");
        let gate = gate.expect("the gate of this suite").clone();
        let mut document = self.document.clone();
        document["admin"] = json!({"address": socket((std::net::Ipv4Addr::LOCALHOST, 0))});
        let resources = &mut document["static_resources"];
        for (number, listener) in resources["listeners"].as_array_mut().expect("a list").iter_mut().enumerate() {
            listener["name"] = json!(number.to_string());
            listener["address"]["socket_address"]["port_value"] = json!(0);
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            let filters = manager["http_filters"].as_array_mut().expect("a list");
            let position = filters.len() - 2;
            filters[position] = gate.clone();
        }
        for cluster in resources["clusters"].as_array_mut().expect("a list") {
            cluster["type"] = json!("STATIC");
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] =
                socket(upstream.address());
        }
        Envoy::start(&document)
    }
}

/// The reply of a listener to a request from this machine.
fn send(envoy: &Envoy, listener: usize, path: &str, headers: &[(&str, &str)]) -> Reply {
    let bytes = request(b"GET", path.as_bytes(), b"127.0.0.1", &pairs(headers), None);
    let stream = connect(V4, envoy.address(&listener.to_string(), V4)).expect("Envoy listens");
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
    for configuration in configurations().into_iter().filter(|one| one.place != TRUSTS_FORWARDED) {
        let upstream = Upstream::start();
        let envoy = configuration.start(&upstream);
        for number in 0..configuration.listeners().len() {
            let place = format!("{}, listener {number}", configuration.place);
            for (path, headers) in [("/x", &with_key[..]), ("/open", &forged[..]), ("/x", &[])] {
                let reply = send(&envoy, number, path, headers);
                let seen = upstream.seen(&reply).unwrap_or_else(|| panic!("{place}: {path}: {}", reply.status));
                assert_eq!(clients(&seen), [peer("x-forwarded-for"), peer("x-envoy-external-address")], "{place}");
            }
            // The gate sees what the caller sent: a forwarded request is not local.
            for header in forged.iter().filter(|header| header.0 != "x-envoy-external-address") {
                assert_eq!(send(&envoy, number, "/x", &[*header]).status, 401, "{place}: {header:?}");
            }
        }
    }
}

#[test]
fn a_trusted_proxy_in_front_keeps_its_headers() {
    let upstream = Upstream::start();
    let envoy = rendered(&["--keep-forwarded"]).start(&upstream);
    let stated = [KEY, ("x-forwarded-for", "10.6.6.6"), ("forwarded", "for=10.6.6.6"), ("x-real-ip", "10.6.6.6")];
    let seen = upstream.seen(&send(&envoy, 0, "/x", &stated)).expect("it reaches the service");
    for (name, value) in &stated[1..] {
        assert!(clients(&seen).contains(&(name, vec![(*value).to_owned()])), "{name}: {seen:?}");
    }
}
