//! The filters of the guide, and its traps.

use std::fs;
use std::net::SocketAddr;

use portcullis_tests::console;
use portcullis_tests::crd::Schemas;
use portcullis_tests::paths::workspace;
use portcullis_tests::report::not_checked;
use serde_json::{Value, json};

use super::rate_limits;
use super::{Limited, filters, key};

/// A file of the guide.
pub(crate) fn file(name: &str) -> Value {
    let guide = fs::read_to_string(workspace().join("docs/guides/limits.md")).expect("the guide is there");
    let files = console::parts(&guide).into_iter().filter_map(|part| part.file);
    let (_, text) = files.into_iter().find(|(one, _)| one == name).unwrap_or_else(|| panic!("no file {name}"));
    serde_saphyr::from_str(&text).expect("it is YAML")
}

/// Replaces the numbers of a bucket, so that no test depends on how long it takes.
fn per_day(filter: &mut Value, limits: &[u32]) {
    let descriptors = filter["typed_config"]["descriptors"].as_array_mut().expect("a list");
    assert_eq!(descriptors.len(), limits.len());
    for (descriptor, limit) in descriptors.iter_mut().zip(limits) {
        descriptor["token_bucket"] = json!({"max_tokens": limit, "tokens_per_fill": limit, "fill_interval": "86400s"});
    }
}

/// The first filter of a file.
fn filter(name: &str) -> Value {
    file(name)[0].take()
}

/// Adds the cluster of the guide, with the address of the service.
pub(crate) fn add_cluster(document: &mut Value, service: SocketAddr) {
    let mut cluster = file("cluster.yaml");
    let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    endpoint["address"]["socket_address"]["port_value"] = json!(service.port());
    document["static_resources"]["clusters"].as_array_mut().expect("a list").push(cluster);
}

/// Removes what the guide has added, so that a loaded machine is not a failure: Envoy waits 20 ms for the service.
pub(crate) fn patient(mut filter: Value) -> Value {
    filter["typed_config"]["timeout"] = json!("60s");
    filter
}

#[test]
fn the_tiers_hold() {
    let limited = Limited::changed(&[], |document| {
        let mut tiers = filter("tiers.yaml");
        per_day(&mut tiers, &[3, 1]);
        filters(document).insert(1, tiers);
    });
    assert_eq!(limited.ask("gold", 4), [200, 200, 200, 429]);
    assert_eq!(limited.ask("both", 4), [200, 200, 200, 429]);
    assert_eq!(limited.ask("alice", 2), [200, 429]);
    assert_eq!(limited.ask("silver", 2), [200, 429]);
}

#[test]
fn trap_before_the_gate_the_caller_chooses_its_bucket() {
    let limited = Limited::changed(&["1/day"], |document| {
        let filters = filters(document);
        filters.swap(0, 1);
    });
    assert_eq!(limited.ask("alice", 3), [200; 3], "no limit without the header");
    assert_eq!(limited.ask_with("alice", 2, &[("x-portcullis-consumer", "bob")]), [200, 429]);
    let no_key = limited.send("/v2", &[("x-portcullis-consumer", "carol")]);
    assert_eq!(no_key.status, 401);
    assert_eq!(limited.ask_with("bob", 1, &[("x-portcullis-consumer", "carol")]), [429], "used up without a key");
}

#[test]
fn trap_a_consumer_comes_back_with_a_full_bucket_beyond_the_default_number() {
    for (buckets, comes_back_with) in [(None, 200), (Some(21), 429)] {
        // Only the filter: a header of the caller stands for the consumer.
        let limited = Limited::changed(&["1/day"], |document| {
            let filters = filters(document);
            filters.remove(0);
            let settings = filters[0]["typed_config"].as_object_mut().expect("an object");
            settings.remove("max_dynamic_descriptors").expect("it is rendered");
            settings.extend(buckets.map(|number| ("max_dynamic_descriptors".to_owned(), json!(number))));
        });
        let ask = |number: u32| limited.send("/v2", &[("x-portcullis-consumer", &number.to_string())]).status;
        assert_eq!((ask(0), ask(0)), (200, 429));
        (1..=20).for_each(|number| assert_eq!(ask(number), 200));
        assert_eq!(ask(0), comes_back_with, "{buckets:?}");
    }
}

#[test]
fn trap_filter_state_in_a_generic_key_is_literal_text() {
    let limited = Limited::changed(&["1/day"], |document| {
        let consumer = "%FILTER_STATE(wasm.portcullis.consumer:PLAIN)%";
        let actions = json!([{"generic_key": {"descriptor_key": "consumer", "descriptor_value": consumer}}]);
        filters(document)[1]["typed_config"]["rate_limits"] = json!([{"actions": actions}]);
    });
    assert_eq!((limited.ask("alice", 1), limited.ask("bob", 1)), (vec![200], vec![429]));
}

#[test]
fn trap_requests_without_a_consumer_have_no_bucket() {
    let limited = Limited::with_policy("trusted_networks: {ranges: [localhost]}\n", &["1/day"]);
    assert_eq!(limited.ask("alice", 3), [200; 3], "a trusted caller, with or without a key");
    let limited = Limited::with_policy("mode: report\n", &["1/day"]);
    assert_eq!(limited.ask("nobody", 3), [200; 3]);
    assert_eq!(limited.ask("alice", 2), [200, 429], "a control");
    let limited = Limited::with_policy("mode: disabled\n", &["1/day"]);
    assert_eq!(limited.ask_with("alice", 3, &[("x-portcullis-consumer", "alice")]), [200; 3], "no gate, no consumer");
}

#[test]
fn trap_without_the_two_fractions_nothing_is_limited() {
    for fraction in [None, Some("filter_enabled"), Some("filter_enforced")] {
        let limited = Limited::changed(&["1/day"], |document| {
            let filters = filters(document);
            filters.remove(0);
            let settings = filters[0]["typed_config"].as_object_mut().expect("an object");
            settings.retain(|name, _| Some(name.as_str()) != fraction);
        });
        let statuses = [0; 2].map(|_| limited.send("/v2", &[("x-portcullis-consumer", "alice")]).status);
        assert_eq!(statuses, [200, if fraction.is_some() { 200 } else { 429 }], "{fraction:?}");
    }
}

#[test]
fn several_envoys_count_together() {
    let service = rate_limits(&["consumer=3"]);
    let shared = || {
        Limited::changed(&[], |document| {
            filters(document).insert(1, patient(filter("shared.yaml")));
            add_cluster(document, service.address);
        })
    };
    let [one, other] = [shared(), shared()];
    assert_eq!((one.ask("alice", 2), other.ask("alice", 2)), (vec![200; 2], vec![200, 429]));
    assert_eq!((one.ask("alice", 1), one.ask("bob", 3)), (vec![429], vec![200; 3]));
    assert_eq!(one.send("/healthz", &[]).status, 200, "no consumer, no limit");
}

#[test]
fn without_the_service_requests_go_through_unless_the_filter_says_otherwise() {
    for (is_closed, expected) in [(false, 200), (true, 500)] {
        let limited = Limited::changed(&[], |document| {
            let mut shared = patient(filter("shared.yaml"));
            shared["typed_config"]["failure_mode_deny"] = json!(is_closed);
            filters(document).insert(1, shared);
            let manager = &mut document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
            let routes = &mut manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"];
            let direct = json!({"match": {"path": "/direct"}, "direct_response": {"status": 200}});
            routes.as_array_mut().expect("a list").insert(0, direct);
            // Nothing listens at port 1 (TCPMUX).
            add_cluster(document, ([127, 0, 0, 1], 1).into());
        });
        assert_eq!(limited.ask("alice", 1), [expected]);
        let direct = limited.send("/direct", &[("x-api-key", &key("alice"))]);
        assert_eq!(direct.status, 200, "the filter does not act on what is not forwarded");
    }
}

#[test]
fn the_filter_for_istio_limits_and_its_resource_is_accepted() {
    let resource = file("istio.yaml");
    let patch = resource["spec"]["configPatches"][0]["patch"].clone();
    assert_eq!(patch["operation"], "INSERT_BEFORE", "before the router, so behind the gate");
    let limited = Limited::changed(&[], |document| {
        let mut value = patch["value"].clone();
        per_day(&mut value, &[1]);
        filters(document).insert(1, value);
    });
    assert_eq!(limited.ask("alice", 2), [200, 429]);
    assert_eq!(limited.ask("bob", 2), [200, 429]);
    let Some(schemas) = Schemas::from_environment() else {
        return not_checked("the EnvoyFilter of the guide: PORTCULLIS_SCHEMAS names no folder");
    };
    let findings = schemas.check(&resource).expect("the schema of an EnvoyFilter");
    assert!(findings.errors.is_empty(), "{:?}", findings.errors);
}
