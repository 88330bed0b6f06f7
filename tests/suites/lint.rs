//! Checks on a real Envoy that `portcullis lint` is right: the examples of its errors open the gate, or Envoy rejects
//! them.

use std::fs;
use std::path::Path;

use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::message::pairs;
use portcullis_tests::net::connect;
use portcullis_tests::{http1, paths};
use serde_json::{Value, json};

/// The variable of the first gate.
const ENVIRONMENT: &[(&str, &str)] = &[("PORTCULLIS_TOKEN", "lint-suite-token-of-ops")];

/// The listener of each gate of the examples.
const LISTENERS: [&str; 2] = ["main", "other"];

fn example(file: &str) -> Value {
    let text = fs::read_to_string(paths::workspace().join("cli/tests/lint").join(file)).expect("an example");
    let module = paths::module().display().to_string();
    serde_saphyr::from_str(&text.replace("target/portcullis.wasm", &module)).expect("it is YAML")
}

/// The connection manager of a listener.
fn manager(document: &mut Value, listener: usize) -> &mut Value {
    &mut document["static_resources"]["listeners"][listener]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The example, modified, with free ports and without an upstream; the second gate is `gate`.
fn document(directory: &Path, gate: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let file = directory.join("gate.json");
    fs::write(&file, gate.to_string()).expect("the directory takes a file");
    let mut document = example("envoy.yaml");
    document["admin"] = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
    for listener in 0..LISTENERS.len() {
        document["static_resources"]["listeners"][listener]["address"]["socket_address"]["port_value"] = json!(0);
        let route = &mut manager(&mut document, listener)["route_config"]["virtual_hosts"][0]["routes"][0];
        *route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}});
    }
    for place in ["/http_filters/1", "/upgrade_configs/0/filters/0"] {
        let filter = manager(&mut document, 1).pointer_mut(place).expect("the second gate");
        filter["config_discovery"]["config_source"]["path_config_source"]["path"] = json!(file);
    }
    change(&mut document);
    document
}

/// The replies to callers without a key at both listeners, forwarded for another client so that no address is trusted.
fn statuses(gate: &Value, change: impl FnOnce(&mut Value)) -> [u16; 2] {
    statuses_with(gate, &[], change)
}

/// As [`statuses`], with more headers.
fn statuses_with(gate: &Value, headers: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> [u16; 2] {
    let directory = tempfile::tempdir().expect("a directory");
    let envoy = Envoy::start_with(
        &document(directory.path(), gate, change),
        Options { environment: ENVIRONMENT, ..Options::default() },
    );
    LISTENERS.map(|listener| {
        let stream = connect(V4, envoy.address(listener, V4)).expect("Envoy listens");
        let headers = pairs(&[&[("x-forwarded-for", "203.0.113.7")], headers].concat());
        let request = http1::request(b"GET", b"/x", b"gate.test", &headers, None);
        http1::Client::new(stream).send(&request).expect("Envoy replies").status
    })
}

#[test]
fn the_passing_example_asks_for_a_key() {
    assert_eq!(statuses(&example("gate.yaml"), |_| {}), [401, 401]);
}

#[test]
fn a_disabled_gate_is_open() {
    let gate = example("gate.yaml");
    let for_a_route = |document: &mut Value| {
        let off = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true});
        let route = &mut manager(document, 0)["route_config"]["virtual_hosts"][0]["routes"][0];
        route["typed_per_filter_config"] = json!({"portcullis": off});
    };
    assert_eq!(statuses(&gate, for_a_route), [200, 401]);
    for yes in [json!(true), json!("True"), json!("1")] {
        let everywhere = |document: &mut Value| manager(document, 0)["http_filters"][0]["disabled"] = yes.clone();
        assert_eq!(statuses(&gate, everywhere), [200, 401], "{yes}");
    }
}

/// Their own filters replace all others.
#[test]
fn an_upgrade_with_filters_of_its_own_meets_no_other_gate() {
    const UPGRADE: &[(&str, &str)] = &[("connection", "upgrade"), ("upgrade", "websocket")];
    let gate = example("gate.yaml");
    let ask = |change: &dyn Fn(&mut Value)| statuses_with(&gate, UPGRADE, change);
    let router = || {
        json!([{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        }}])
    };
    // The valid example: one listener has no filters for it, and the other has a gate among them.
    assert_eq!(ask(&|_| {}), [401, 401]);
    let upgrade = |document: &mut Value, upgrade: Value| manager(document, 0)["upgrade_configs"][0] = upgrade;
    let own = json!({"upgrade_type": "websocket", "filters": router()});
    assert_eq!(ask(&|document| upgrade(document, own.clone())), [200, 401]);
    assert_eq!(statuses(&gate, |document| upgrade(document, own.clone())), [401, 401], "without an upgrade");
    // A disabled one is rejected, unless a route enables it: then the upstream is called, which does not exist.
    let off = json!({"upgrade_type": "websocket", "enabled": false, "filters": router()});
    for (route, expected) in [
        (json!({"cluster": "backend"}), 403),
        (json!({"cluster": "backend", "upgrade_configs": [{"upgrade_type": "WebSocket"}]}), 503),
    ] {
        let switched = |document: &mut Value| {
            upgrade(document, off.clone());
            let to = json!({"match": {"prefix": "/"}, "route": route});
            manager(document, 0)["route_config"]["virtual_hosts"][0]["routes"][0] = to;
        };
        assert_eq!(ask(&switched), [expected, 401], "{route}");
    }
}

/// Two filter chains of one listener are two entrances.
#[test]
fn a_filter_chain_without_a_gate_is_open_beside_one_that_has_one() {
    let second = |document: &mut Value| {
        let listener = &mut document["static_resources"]["listeners"][0];
        let mut open = listener["filter_chains"][0].clone();
        let filters = &mut open["filters"][0]["typed_config"]["http_filters"];
        filters.as_array_mut().expect("a list").remove(0);
        listener["filter_chains"][0]["filter_chain_match"] =
            json!({"source_prefix_ranges": [{"address_prefix": "192.0.2.0", "prefix_len": 24}]});
        listener["default_filter_chain"] = open;
    };
    assert_eq!(statuses(&example("gate.yaml"), second), [200, 401]);
}

#[test]
fn a_default_that_is_no_gate_is_open_where_the_gate_is_refused() {
    let mut refused = example("gate.yaml");
    refused["resources"][0]["typed_config"]["config"]["configuration"]["value"] = json!("{\"consumer\": []}");
    assert_eq!(statuses(&refused, |_| {}), [401, 500], "without a default");
    let with_default = |document: &mut Value| {
        let cors = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";
        let discovery = &mut manager(document, 1)["http_filters"][1]["config_discovery"];
        discovery["default_config"] = json!({"@type": cors});
        discovery["type_urls"].as_array_mut().expect("a list").push(json!(cors));
    };
    assert_eq!(statuses(&refused, with_default), [401, 200]);
}

/// Envoy also rejects a remote module without a digest.
#[test]
fn envoy_refuses_a_gate_after_the_router() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = |change: &dyn Fn(&mut Value)| {
        let document = document(directory.path(), &example("gate.yaml"), change);
        Envoy::try_start(&document).map(|_| "it serves".to_owned()).unwrap_or_else(|log| log)
    };
    let after = refused(&|document| {
        let filters = manager(document, 1)["http_filters"].as_array_mut().expect("a list");
        filters.swap(1, 2);
    });
    assert!(after.contains("must be the last filter in a http filter chain"), "{after}");
    let unpinned = refused(&|document| {
        let vm = &mut manager(document, 0)["http_filters"][0]["typed_config"]["config"]["vm_config"];
        let uri = json!({"uri": "https://example.com/portcullis.wasm", "cluster": "backend", "timeout": "1s"});
        vm["code"] = json!({"remote": {"http_uri": uri}});
    });
    assert!(unpinned.contains("Sha256"), "{unpinned}");
}

/// Envoy runs without an optional filter that it does not have.
#[test]
fn an_optional_filter_is_left_out() {
    let unknown = |document: &mut Value, is_optional: bool| {
        let filters = &mut manager(document, 1)["http_filters"];
        filters[0] = json!({"name": "unknown", "is_optional": is_optional, "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "type.googleapis.com/no.such.Filter", "value": {}
        }});
    };
    assert_eq!(statuses(&example("gate.yaml"), |document| unknown(document, true)), [401, 401]);
    let directory = tempfile::tempdir().expect("a directory");
    let document = document(directory.path(), &example("gate.yaml"), |document| unknown(document, false));
    let log = Envoy::try_start(&document).map(|_| String::new()).unwrap_or_else(|log| log);
    assert!(log.contains("registered implementation"), "{log}");
}
