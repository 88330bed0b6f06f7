//! Policy updates by filesystem ECDS: a valid one takes effect without a restart; a refused one leaves the old policy
//! active and shows in Envoy's counters and log.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use portcullis_tests::bootstrap::{Gate, replace};
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::fleet::Fleet;
use portcullis_tests::http1::{Client, request};
use portcullis_tests::listener::Kind;
use portcullis_tests::load::Load;
use portcullis_tests::message::pairs;
use portcullis_tests::net::connect;
use portcullis_tests::poll;
use portcullis_tests::stage::{bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use serde_json::{Value, json};

/// Updates to a policy that must be refused, and checks that only the counters change.
fn refuses(fleet: &mut Fleet, policy: &Gate, logged: &[&str]) {
    let before = fleet.counters("main");
    fleet.update("main", policy);
    poll::until("the refused update is counted", || {
        (fleet.counters("main")["config_fail"] == before["config_fail"] + 1).then_some(())
    });
    // `config_reload` does not mean success: it counts refused updates too.
    let after = fleet.counters("main");
    assert_eq!(after["update_rejected"], before["update_rejected"] + 1);
    assert_eq!((after["update_success"], after["version"]), (before["update_success"], before["version"]));
    assert_eq!((fleet.status("main", "ecds-old-key"), fleet.status("main", "ecds-new-key")), (200, 401));
    let log = fleet.stage.envoy.log();
    for words in logged {
        assert!(log.contains(words), "the log lacks `{words}`:\n{log}");
    }
}

fn document(keys: &Value) -> Value {
    json!({"version": 1, "name": "ecds", "consumers": [{"name": "ci", "keys": keys}]})
}

/// The maximum growth of resident memory in the long run, in KiB.
const GROWTH: u64 = 3 * 1024;

fn text(document: &Value) -> Gate {
    Gate::Text(document.to_string())
}

fn old_policy() -> Value {
    document(&json!([{"plaintext": "ecds-old-key"}]))
}

fn new_policy() -> Value {
    document(&json!([{"plaintext": "ecds-new-key"}]))
}

#[test]
fn a_good_update_takes_effect_without_a_restart() {
    let mut fleet = Fleet::start(&[("main", &text(&old_policy()))]);
    assert_eq!((fleet.status("main", "ecds-old-key"), fleet.status("main", "ecds-new-key")), (200, 401));
    let digest = fleet.metric("ecds", "policy_digest");
    fleet.update("main", &text(&new_policy()));
    poll::until("the new key works", || (fleet.status("main", "ecds-new-key") == 200).then_some(()));
    assert_eq!(fleet.status("main", "ecds-old-key"), 401);
    assert_ne!(fleet.metric("ecds", "policy_digest"), digest);
    assert_eq!(fleet.counters("main")["config_fail"], 0);
}

#[test]
fn an_update_may_change_the_form_of_the_policy() {
    let mut fleet = Fleet::start(&[("main", &text(&old_policy()))]);
    let digest = fleet.metric("ecds", "policy_digest");
    fleet.update("main", &Gate::Struct(new_policy()));
    poll::until("the new key works", || (fleet.status("main", "ecds-new-key") == 200).then_some(()));
    fleet.update("main", &Gate::Struct(old_policy()));
    poll::until("the old key works again", || (fleet.status("main", "ecds-old-key") == 200).then_some(()));
    assert_eq!(fleet.metric("ecds", "policy_digest"), digest, "the digest is that of the policy, not of its form");
}

#[test]
fn refused_updates_leave_the_old_policy_serving() {
    let mut fleet = Fleet::start(&[("main", &text(&old_policy()))]);

    let mut unknown = new_policy();
    unknown["consumers"][0]["colour"] = json!("red");
    refuses(&mut fleet, &text(&unknown), &["policy refused", "consumers[0]", "unknown field `colour`"]);

    let mut wrong = new_policy();
    wrong["consumers"][0]["name"] = json!(12_345);
    refuses(&mut fleet, &text(&wrong), &["consumers[0].name: found a number (12345)", "quote it"]);
    refuses(&mut fleet, &Gate::Struct(wrong), &["consumers[0].name: found a number (12345)"]);

    refuses(
        &mut fleet,
        &Gate::Text(r#"{"version": 1, "consumers": ["#.to_owned()),
        &["not valid JSON (line 1, column 29)"],
    );

    let mut unsafe_range = new_policy();
    unsafe_range["trusted_networks"] = json!({"ranges": ["0.0.0.0/0"]});
    refuses(&mut fleet, &text(&unsafe_range), &["trusted_networks.ranges[0]"]);

    fleet.update("main", &text(&new_policy()));
    poll::until("a good update after refused ones", || (fleet.status("main", "ecds-new-key") == 200).then_some(()));
}

#[test]
fn an_invalid_key_entry_is_skipped() {
    let mut fleet = Fleet::start(&[("main", &text(&old_policy()))]);
    assert_eq!(fleet.metric("ecds", "refused_entries"), Some(0));
    let keys = json!([
        {"plaintext": "ecds-new-key"},
        {"id": "typo", "sha256": "9f86d0"},
        {"id": "unset", "env": "ECDS_NOT_SET"},
    ]);
    fleet.update("main", &text(&document(&keys)));
    poll::until("the new key works", || (fleet.status("main", "ecds-new-key") == 200).then_some(()));
    assert_eq!(
        (fleet.metric("ecds", "refused_entries"), fleet.metric("ecds", "policy_keys.usable")),
        (Some(2), Some(1))
    );
    assert_eq!(fleet.counters("main")["config_fail"], 0);
    let log = fleet.stage.envoy.log();
    for words in ["consumers[0].keys[1] (id typo)", "consumers[0].keys[2] (id unset)"] {
        assert!(log.contains(words), "the log lacks `{words}`:\n{log}");
    }
    assert!(!log.contains("9f86d0"), "a digest that is cut short: {log}");
}

#[test]
fn a_refused_first_policy_lets_nobody_in() {
    let mut fleet = Fleet::start(&[("main", &Gate::Text("{".to_owned()))]);
    assert_eq!(fleet.status("main", "ecds-old-key"), 500);
    assert!(fleet.stage.upstream.count() == 0);
    fleet.update("main", &text(&old_policy()));
    poll::until("the first good policy serves", || (fleet.status("main", "ecds-old-key") == 200).then_some(()));
}

/// Many updates while requests run, with a refused one after every hundred. `PORTCULLIS_UPDATES` sets the number.
#[test]
fn no_request_is_lost_while_policies_change_and_a_revoked_key_stops_at_once() {
    let name = |number: u32| format!("ecds-key-{number}");
    let keys = |number: u32| document(&json!([{"plaintext": "ecds-steady-key"}, {"plaintext": name(number)}]));
    let updates: u32 = std::env::var("PORTCULLIS_UPDATES").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut fleet = Fleet::start(&[("main", &text(&keys(0)))]);
    let load = Load::begin(fleet.address("main"), &[("x-api-key", "ecds-steady-key")]);
    let strangers = Load::begin(fleet.address("main"), &[("x-api-key", "ecds-stranger")]);
    let (begin, mut slowest, mut refused, mut resident) = (Instant::now(), Duration::ZERO, 0, Vec::new());
    for number in 1..=updates {
        let since = Instant::now();
        fleet.update("main", &text(&keys(number)));
        poll::until("the new key works", || (fleet.status("main", &name(number)) == 200).then_some(()));
        slowest = slowest.max(since.elapsed());
        let old = fleet.status("main", &name(number - 1));
        assert_eq!(old, 401, "the key of update {number} works, and the one before it too");
        if number % 100 == 0 {
            let mut wrong = keys(number + 1);
            wrong["consumers"][0]["colour"] = json!("red");
            fleet.update("main", &text(&wrong));
            refused += 1;
            poll::until("the refusal is counted", || {
                (fleet.counters("main")["update_rejected"] == refused).then_some(())
            });
            assert_eq!((fleet.status("main", &name(number)), fleet.status("main", &name(number + 1))), (200, 401));
        }
        if number % 100 == 0 || number == updates {
            resident.push(fleet.stage.envoy.resident());
        }
    }
    let (took, load, strangers) = (begin.elapsed(), load.end(), strangers.end());
    eprintln!(
        "{updates} updates and {refused} refused ones in {took:?}, the slowest in {slowest:?}; resident KiB {resident:?}"
    );
    eprintln!("beside them {load:?}, strangers {strangers:?}");
    assert!(load.is_only(&[200]) && load.of(200) > u64::from(updates), "{load:?}");
    assert!(strangers.is_only(&[401]) && strangers.of(401) > u64::from(updates), "{strangers:?}");
    let counters = fleet.counters("main");
    assert_eq!((counters["config_fail"], counters["update_rejected"]), (refused, refused));
    assert!(counters["update_success"] > u64::from(updates), "one for each, and the first: {counters:?}");
    // The first hundred are a warm-up.
    let (first, last) = (resident[0], resident[resident.len() - 1]);
    assert!(last < first + GROWTH, "resident memory grows: {resident:?} KiB");
}

/// With LDS, the policy is a part of the listener.
#[test]
fn with_lds_an_open_connection_keeps_the_old_policy() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::start();
    let with = |policy: &Value| bootstrap(vec![listener("main", Kind::Edge, policy)], &upstream).document();
    let deliver = |policy: &Value| {
        let mut listener = with(policy)["static_resources"]["listeners"][0].take();
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        replace(directory.path(), "listeners.json", &json!({"resources": [listener]}).to_string());
    };
    deliver(&old_policy());
    let mut document = with(&old_policy());
    document["static_resources"]["listeners"] = json!([]);
    let source =
        json!({"path": directory.path().join("listeners.json"), "watched_directory": {"path": directory.path()}});
    document["dynamic_resources"] = json!({"lds_config": {"resource_api_version": "V3", "path_config_source": source}});
    let envoy = Envoy::start(&document);
    let address = poll::until("the listener is there", || {
        let all = envoy.admin().stats("listener_manager.total_listeners_active").expect("the admin interface answers");
        all.values().any(|count| *count == 1).then(|| envoy.address("main", V4))
    });
    let ask = |client: &mut Client<TcpStream>, key: &str| {
        let bytes = request(b"GET", b"/v2/models", b"gate.test", &pairs(&[("x-api-key", key)]), None);
        client.send(&bytes).expect("Envoy replies").status
    };
    let open = || Client::new(connect(V4, address).expect("Envoy listens"));
    let mut old = open();
    assert_eq!(ask(&mut old, "ecds-old-key"), 200);
    deliver(&new_policy());
    poll::until("a new connection has the new policy", || (ask(&mut open(), "ecds-new-key") == 200).then_some(()));
    assert_eq!(ask(&mut open(), "ecds-old-key"), 401);
    assert_eq!((ask(&mut old, "ecds-old-key"), ask(&mut old, "ecds-new-key")), (200, 401), "until it is drained");
}
