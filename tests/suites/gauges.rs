//! The gauges of a gate: its mode, when it was loaded, its keys by state, and how many of its instances are loaded.

use portcullis_tests::bootstrap::{Bootstrap, publish, watched};
use portcullis_tests::envoy::{Envoy, Options};
use portcullis_tests::fleet::{Fleet, policy, text};
use portcullis_tests::listener::Kind;
use portcullis_tests::proxy_wasm::{START, Vm};
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, poll};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

const WORKERS: u32 = 4;

#[test]
fn the_states_of_keys_are_kept_true_by_a_timer() {
    // START is 2027-01-15T08:00:00Z.
    let at = |time: &str| format!("2027-01-15T{time}Z");
    let document = json!({"name": "edge", "consumers": [{"name": "ci", "keys": [
        {"id": "always", "plaintext": "gauges-always"},
        {"id": "early", "plaintext": "gauges-early", "not_before": at("08:01:40")},
        {"id": "short", "plaintext": "gauges-short", "expires": at("08:03:20")},
        {"id": "off", "plaintext": "gauges-off", "expires": at("08:00:50"), "disabled": true},
    ]}]});
    let mut vm = Vm::start(document.to_string().as_bytes(), &BTreeMap::new(), None).expect("the policy stands");
    let states = |vm: &Vm| {
        let gauge = |name: &str| vm.metric(&format!("portcullis.edge.{name}")).expect("a gauge");
        let keys =
            ["usable", "disabled", "expired", "not_yet_valid"].map(|state| gauge(&format!("policy_keys.{state}")));
        (keys, gauge("next_key_expiry_seconds"))
    };
    assert_eq!(vm.metric("portcullis.edge.loaded_at_seconds"), Some(START));
    assert_eq!(states(&vm), ([2, 1, 0, 1], START + 200));
    let set = |vm: &Vm| vm.calls().iter().filter(|call| call.contains("policy_keys")).count();
    for (after, expected, changes) in [
        (5, ([2, 1, 0, 1], START + 200), false),
        (100, ([3, 1, 0, 0], START + 200), true),
        (105, ([3, 1, 0, 0], START + 200), false),
        (201, ([2, 1, 1, 0], 0), true),
        (1_000_000, ([2, 1, 1, 0], 0), false),
        // The clock was set back.
        (5, ([2, 1, 0, 1], START + 200), true),
    ] {
        vm.tick(START + after).expect("the timer runs");
        assert_eq!(states(&vm), expected, "{after} seconds later");
        assert_eq!(set(&vm) > 0, changes, "keys are counted only if one has changed: {:?}", vm.calls());
    }
}

/// Envoy keeps a gate until its last connection has ended. Its timer goes on.
#[test]
fn an_old_gate_does_not_overwrite_the_gauges_of_the_new_one() {
    let document = |keys: Value| json!({"name": "edge", "consumers": [{"name": "ci", "keys": keys}]}).to_string();
    let old = document(json!([{"plaintext": "gauges-old", "expires": "2027-01-15T08:00:50Z"}]));
    let new = document(json!([{"plaintext": "gauges-new"}, {"plaintext": "gauges-other"}]));
    let mut vm = Vm::start(old.as_bytes(), &BTreeMap::new(), None).expect("the policy stands");
    let states = |vm: &Vm| {
        ["policy_keys.usable", "policy_keys.expired", "next_key_expiry_seconds", "instances"]
            .map(|name| vm.metric(&format!("portcullis.edge.{name}")).expect("a gauge"))
    };
    assert_eq!(states(&vm), [1, 0, START + 50, 1]);
    vm.add(new.as_bytes()).expect("the policy stands");
    assert_eq!(states(&vm), [2, 0, 0, 2]);
    for after in [5, 49, 50, 55, 100] {
        vm.tick(START + after).expect("the timer runs");
        assert_eq!(states(&vm)[..3], [2, 0, 0], "after {after} seconds");
    }
    vm.end_old().expect("it ends");
    vm.tick(START + 105).expect("the timer runs");
    assert_eq!(states(&vm), [2, 0, 0, 1]);
}

/// The leases of old gates end while others are still counted.
#[test]
fn the_timer_costs_the_same_after_many_updates() {
    let document = |number: usize| json!({"name": "edge", "reply": {"realm": format!("r{number}")}}).to_string();
    let mut vm = Vm::start(document(0).as_bytes(), &BTreeMap::new(), None).expect("the policy stands");
    let mut after = |updates: std::ops::Range<usize>| {
        for number in updates {
            vm.add(document(number).as_bytes()).expect("the policy stands");
        }
        vm.end_old().expect("they end");
        vm.tick(START + 5).expect("the timer runs");
        vm.calls().len()
    };
    let (few, many) = (after(1..3), after(3..50));
    assert_eq!(few, many);
}

/// The lease ends if the timer does not renew it. A VM that has trapped is like that.
#[test]
fn an_instance_counts_as_long_as_its_timer_runs() {
    let document = |name: &str| json!({ "name": name }).to_string();
    let mut vm = Vm::start(document("edge").as_bytes(), &BTreeMap::new(), None).expect("the policy stands");
    let instances = |vm: &Vm, name: &str| vm.metric(&format!("portcullis.{name}.instances"));
    assert_eq!(instances(&vm, "edge"), Some(1));
    for after in (5..100).step_by(5) {
        vm.tick(START + after).expect("the timer runs");
        assert_eq!(instances(&vm, "edge"), Some(1), "after {after} seconds");
    }
    // The clock is set: forward, then back.
    for now in [START + 10_000, START] {
        vm.tick(now).expect("the timer runs");
        assert_eq!(instances(&vm, "edge"), Some(1), "at {now}");
    }
    vm.update(document("edge").as_bytes()).expect("the policy stands");
    for after in [5, 10, 15, 20] {
        vm.tick(START + after).expect("the timer runs");
        assert_eq!(instances(&vm, "edge"), Some(1), "the new one, after {after} seconds");
    }
    // A policy with another name is another gate.
    vm.update(document("other").as_bytes()).expect("the policy stands");
    assert_eq!((instances(&vm, "edge"), instances(&vm, "other")), (Some(0), Some(1)));
}

#[test]
fn the_mode_is_a_number_and_the_time_of_loading_is_that_of_the_last_policy() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let with = |mode: &str| {
        let mut policy = policy("main", "gauges-key");
        policy["mode"] = json!(mode);
        text(&policy)
    };
    let started = now();
    let mut fleet = Fleet::start(&[("main", &with("disabled"))]);
    for (mode, number) in [("disabled", 0), ("report", 1), ("enforce", 2)] {
        fleet.update("main", &with(mode));
        poll::until(mode, || (fleet.metric("main", "mode") == Some(number)).then_some(()));
        let loaded = fleet.metric("main", "loaded_at_seconds").expect("a gauge");
        assert!((started..=now()).contains(&loaded), "{loaded}, between {started} and {}", now());
    }
}

#[test]
fn each_worker_and_the_main_thread_have_an_instance() {
    let options = Options { workers: WORKERS, ..Options::default() };
    let (one, other) = (text(&policy("main", "gauges-one-key")), text(&policy("main", "gauges-other-key")));
    let mut fleet = Fleet::start_with(
        &[("main", &one), ("spare", &text(&policy("spare", "gauges-spare-key")))],
        options,
        paths::module(),
    );
    let instances = |fleet: &Fleet, gate: &str| fleet.metric(gate, "instances");
    let all = Some(u64::from(WORKERS) + 1);
    poll::until("all are counted", || {
        (["main", "spare"].map(|gate| instances(&fleet, gate)) == [all; 2]).then_some(())
    });
    fleet.update("main", &other);
    poll::until("the update works", || (fleet.status("main", "gauges-other-key") == 200).then_some(()));
    poll::until("the new ones are counted instead", || (instances(&fleet, "main") == all).then_some(()));
    let mut wrong = policy("main", "gauges-wrong-key");
    wrong["consumers"][0]["colour"] = json!("red");
    fleet.update("main", &text(&wrong));
    poll::until("the refusal is counted", || (fleet.counters("main")["config_fail"] == 1).then_some(()));
    assert_eq!(instances(&fleet, "main"), all, "a refused policy is no instance");
}

/// An Envoy whose listener comes by LDS, with or without the gate in it.
struct ByLds {
    stage: Stage,
    directory: tempfile::TempDir,
    listener: Value,
}

impl ByLds {
    fn start(has_other: bool) -> Self {
        const FILE: &str = "listener.json";
        let upstream = Upstream::start();
        let mut gates = vec![listener("main", Kind::Edge, &policy("main", "gauges-key"))];
        // A gate that stays keeps the statistics of the VM.
        gates.extend(has_other.then(|| listener("other", Kind::Edge, &policy("other", "gauges-other-key"))));
        let parts = Bootstrap { module: paths::trap_module(), ..bootstrap(gates, &upstream) };
        let mut document = parts.document();
        let listeners = document["static_resources"]["listeners"].as_array_mut().expect("a list");
        let mut listener = listeners.remove(0);
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        let directory = tempfile::tempdir().expect("a temporary directory");
        publish(directory.path(), FILE, "1", &listener);
        document["dynamic_resources"] = json!({"lds_config": watched(directory.path(), FILE)});
        let envoy = Envoy::start_with(&document, Options { drain: 1, ..Options::default() });
        Self { stage: Stage { envoy, upstream }, directory, listener }
    }

    /// Updates the listener to one without the gate.
    fn take_the_gate_out(&self) {
        let mut open = self.listener.clone();
        let filters = open.pointer_mut("/filter_chains/0/filters/0/typed_config/http_filters");
        let filters = filters.and_then(Value::as_array_mut).expect("a list of filters");
        let before = filters.len();
        filters.retain(|filter| filter["name"] != "portcullis");
        assert_eq!(filters.len() + 1, before, "the gate was there");
        publish(self.directory.path(), "listener.json", "2", &open);
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        self.stage.envoy.admin().count(&format!("wasmcustom.portcullis.main.{name}"))
    }

    fn instances(&self) -> Option<u64> {
        self.gauge("instances")
    }

    fn status(&self, headers: &[(&str, &str)]) -> u16 {
        self.stage.ask("main", "/v2/models", headers).0
    }
}

/// Without another gate in the VM, Envoy drops its metrics. Otherwise, the other gauges keep their last values.
#[test]
fn a_gate_that_was_taken_out_has_no_instance() {
    for (has_other, expected) in [(false, [None, None]), (true, [Some(0), Some(2)])] {
        let envoy = ByLds::start(has_other);
        poll::until("all are counted", || (envoy.instances() == Some(2)).then_some(()));
        envoy.take_the_gate_out();
        poll::until("the gate is gone", || (envoy.status(&[]) == 200).then_some(()));
        poll::until("none is counted after the drain", || {
            ([envoy.instances(), envoy.gauge("mode")] == expected).then_some(())
        });
    }
}

#[test]
fn a_vm_that_has_trapped_counts_again_and_only_once_when_it_is_back() {
    let envoy = ByLds::start(true);
    let key = ("x-api-key", "gauges-key");
    poll::until("all are counted", || (envoy.instances() == Some(2)).then_some(()));
    assert_eq!(envoy.status(&[key, ("x-portcullis-trap", "undecided")]), 503);
    poll::until("its lease ends", || (envoy.instances() == Some(1)).then_some(()));
    poll::until("the gate is back", || (envoy.status(&[key]) == 200).then_some(()));
    poll::until("it is counted again", || (envoy.instances() == Some(2)).then_some(()));
    // At once after a trap, the count has the VM that trapped, and the one that is back.
    assert_eq!(envoy.status(&[key, ("x-portcullis-trap", "undecided")]), 503);
    poll::until("the gate is back again", || (envoy.status(&[key]) == 200).then_some(()));
    envoy.take_the_gate_out();
    poll::until("the gate is gone", || (envoy.status(&[]) == 200).then_some(()));
    poll::until("none is counted after the drain", || (envoy.instances() == Some(0)).then_some(()));
}
