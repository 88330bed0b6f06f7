//! The linear memory of a VM with many keys, each with an id, two dates and a consumer of its own. It never shrinks.

use std::collections::BTreeMap;

use portcullis_models::structs;
use portcullis_tests::fleet::{Fleet, text};
use portcullis_tests::proxy_wasm::{Program, Vm};
use portcullis_tests::{paths, poll};
use serde_json::{Value, json};

/// The ids are the first digits of the digests, as `portcullis keys` has them, or others.
fn policy(keys: usize, has_default_ids: bool) -> Value {
    let consumer = |number: usize| {
        let id = if has_default_ids { format!("{number:016x}") } else { format!("key-of-2026-{number:07}") };
        json!({"name": format!("consumer-{number:07}"), "keys": [{
            "id": id, "sha256": format!("{number:016x}{number:048x}"),
            "not_before": "2026-11-01T00:00:00Z", "expires": "2099-12-31T00:00:00Z",
        }]})
    };
    json!({"version": 1, "name": "memory", "consumers": (1..=keys).map(consumer).collect::<Vec<_>>()})
}

/// In MiB: with the policy loaded once, and after an update, when both are in memory for a while.
fn memory(configuration: &[u8]) -> [f64; 2] {
    let program = Program::read(&paths::module(), false);
    let mut vm = Vm::start_on(&program, configuration, &BTreeMap::new(), None).expect("it is loaded");
    let first = vm.memory();
    vm.update(configuration).expect("it is loaded again");
    [first, vm.memory()].map(|bytes| f64::from(u32::try_from(bytes).expect("32 bits")) / f64::from(1 << 20))
}

#[test]
fn ten_thousand_keys_as_a_struct_take_at_most_sixteen_mebibytes() {
    let memory = memory(&structs::encode(&policy(10_000, false)));
    eprintln!("10,000 keys as a Struct: {memory:.1?} MiB");
    assert!(memory[1] <= 16.0, "{memory:?}");
}

#[test]
#[ignore = "a minute: make nightly"]
fn a_hundred_thousand_keys_take_at_most_twenty_mebibytes() {
    let [own, default] = [false, true].map(|has_default_ids| {
        let memory = memory(policy(100_000, has_default_ids).to_string().as_bytes());
        eprintln!(
            "100,000 keys as JSON text, with {} ids: {memory:.1?} MiB",
            if has_default_ids { "default" } else { "other" }
        );
        memory
    });
    assert!(own[0] <= 20.0 && own[1] <= 36.0, "{own:?}");
    assert!(default[0] < own[0], "a default id takes no memory: {default:?}");
}

/// The figures in docs/sizes.md, which Envoy's own memory makes a little different in each run.
#[test]
#[ignore = "a minute: make nightly"]
fn an_envoy_with_a_hundred_thousand_keys_takes_at_most_four_hundred_mebibytes() {
    let mut last = 0.0;
    for keys in [1, 1_000, 10_000, 100_000] {
        let [first, second] = [1, 2].map(|version| {
            let mut policy = policy(keys, true);
            policy["reply"] = json!({"realm": format!("version-{version}")});
            policy
        });
        let [vm, vm_after] = memory(first.to_string().as_bytes());
        let mut fleet = Fleet::start(&[("main", &text(&first))]);
        let digest = fleet.metric("memory", "policy_digest");
        let mebibytes = |fleet: &Fleet| f64::from(u32::try_from(fleet.stage.envoy.resident()).expect("KiB")) / 1024.0;
        let loaded = mebibytes(&fleet);
        fleet.update("main", &text(&second));
        poll::until("the update is loaded", || (fleet.metric("memory", "policy_digest") != digest).then_some(()));
        last = mebibytes(&fleet);
        eprintln!(
            "{keys} keys: VM {vm:.1} MiB, {vm_after:.1} after an update; Envoy {loaded:.0} MiB, {last:.0} after it"
        );
    }
    assert!(last <= 400.0, "{last} MiB");
}
