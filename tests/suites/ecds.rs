//! Policy updates by filesystem ECDS: a good one takes effect without a restart, a refused one leaves the old policy
//! serving and is visible in Envoy's counters and log.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_tests::bootstrap::{Bootstrap, GATE, Gate, Listener, replace};
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::http1;
use portcullis_tests::listener::Kind;
use portcullis_tests::net::connect;
use portcullis_tests::poll;
use portcullis_tests::stage::{Stage, bootstrap};
use portcullis_tests::upstream::Upstream;
use serde_json::{Value, json};
use tempfile::TempDir;

const FILE: &str = "policy.json";

/// An Envoy whose gate has its policy from a watched file.
struct Fleet {
    stage: Stage,
    bootstrap: Bootstrap,
    directory: TempDir,
    version: u32,
}

impl Fleet {
    fn start(first: &Gate) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let upstream = Upstream::start();
        let gate = Gate::Discovered { directory: directory.path().to_owned(), file: FILE.to_owned() };
        let listener = Listener { name: "main".to_owned(), kind: Kind::Edge, gate, tls: None };
        let bootstrap = bootstrap(vec![listener], &upstream);
        replace(directory.path(), FILE, &bootstrap.discovery("1", first).to_string());
        let envoy = Envoy::start(&bootstrap.document());
        Self { stage: Stage { envoy, upstream }, bootstrap, directory, version: 1 }
    }

    fn update(&mut self, policy: &Gate) {
        self.version += 1;
        let document = self.bootstrap.discovery(&self.version.to_string(), policy);
        replace(self.directory.path(), FILE, &document.to_string());
    }

    /// Envoy's counters of this resource, by the last part of their names.
    fn counters(&self) -> BTreeMap<String, u64> {
        let prefix = format!("extension_config_discovery.http_filter.{GATE}.");
        let all = self.stage.envoy.admin().stats(&prefix).expect("the admin interface answers");
        all.into_iter().filter_map(|(name, count)| Some((name.split_once(&prefix)?.1.to_owned(), count))).collect()
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        let name = format!("wasmcustom.portcullis.ecds.{name}");
        self.stage.envoy.admin().stats(&name).expect("the admin interface answers").get(&name).copied()
    }

    fn status(&self, key: &str) -> u16 {
        self.stage.ask("main", "/v2/models", &[("x-api-key", key)]).0
    }

    /// Updates to a policy that is to be refused, and shows that nothing but the counters has changed.
    fn refuses(&mut self, policy: &Gate, logged: &[&str]) {
        let before = self.counters();
        self.update(policy);
        poll::until("the refused update is counted", || {
            (self.counters()["config_fail"] == before["config_fail"] + 1).then_some(())
        });
        // `config_reload` is no sign of success: it counts refused updates too.
        let after = self.counters();
        assert_eq!(after["update_rejected"], before["update_rejected"] + 1);
        assert_eq!((after["update_success"], after["version"]), (before["update_success"], before["version"]));
        assert_eq!((self.status("ecds-old-key"), self.status("ecds-new-key")), (200, 401));
        let log = self.stage.envoy.log();
        for words in logged {
            assert!(log.contains(words), "the log lacks `{words}`:\n{log}");
        }
        assert!(!log.contains("ecds-new-key"), "{log}");
    }
}

fn document(keys: &Value) -> Value {
    json!({"version": 1, "name": "ecds", "consumers": [{"name": "ci", "keys": keys}]})
}

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
    let mut fleet = Fleet::start(&text(&old_policy()));
    assert_eq!((fleet.status("ecds-old-key"), fleet.status("ecds-new-key")), (200, 401));
    let digest = fleet.gauge("policy_digest");
    fleet.update(&text(&new_policy()));
    poll::until("the new key works", || (fleet.status("ecds-new-key") == 200).then_some(()));
    assert_eq!(fleet.status("ecds-old-key"), 401);
    assert_ne!(fleet.gauge("policy_digest"), digest);
    assert_eq!(fleet.counters()["config_fail"], 0);
}

#[test]
fn an_update_may_change_the_form_of_the_policy() {
    let mut fleet = Fleet::start(&text(&old_policy()));
    let digest = fleet.gauge("policy_digest");
    fleet.update(&Gate::Struct(new_policy()));
    poll::until("the new key works", || (fleet.status("ecds-new-key") == 200).then_some(()));
    fleet.update(&Gate::Struct(old_policy()));
    poll::until("the old key works again", || (fleet.status("ecds-old-key") == 200).then_some(()));
    assert_eq!(fleet.gauge("policy_digest"), digest, "the digest is that of the policy, not of its form");
}

#[test]
fn refused_updates_leave_the_old_policy_serving() {
    let mut fleet = Fleet::start(&text(&old_policy()));

    let mut unknown = new_policy();
    unknown["consumers"][0]["colour"] = json!("red");
    fleet.refuses(&text(&unknown), &["policy refused", "consumers[0]", "unknown field `colour`"]);

    let mut wrong = new_policy();
    wrong["consumers"][0]["name"] = json!(12_345);
    fleet.refuses(&text(&wrong), &["consumers[0].name: 12345 is a number", "quote it"]);
    fleet.refuses(&Gate::Struct(wrong), &["consumers[0].name: 12345 is a number"]);

    fleet.refuses(&Gate::Text(r#"{"version": 1, "consumers": ["#.to_owned()), &["not valid JSON (line 1, column 29)"]);

    let mut unsafe_range = new_policy();
    unsafe_range["trusted_networks"] = json!({"ranges": ["0.0.0.0/0"]});
    fleet.refuses(&text(&unsafe_range), &["trusted_networks.ranges[0]"]);

    fleet.update(&text(&new_policy()));
    poll::until("a good update after refused ones", || (fleet.status("ecds-new-key") == 200).then_some(()));
}

#[test]
fn one_bad_key_entry_is_refused_alone() {
    let mut fleet = Fleet::start(&text(&old_policy()));
    assert_eq!(fleet.gauge("refused_entries"), Some(0));
    let keys = json!([
        {"plaintext": "ecds-new-key"},
        {"id": "typo", "sha256": "9f86d0"},
        {"id": "unset", "env": "ECDS_NOT_SET"},
    ]);
    fleet.update(&text(&document(&keys)));
    poll::until("the new key works", || (fleet.status("ecds-new-key") == 200).then_some(()));
    assert_eq!((fleet.gauge("refused_entries"), fleet.gauge("keys")), (Some(2), Some(1)));
    assert_eq!(fleet.counters()["config_fail"], 0);
    let log = fleet.stage.envoy.log();
    for words in ["consumers[0].keys[1] (id typo)", "consumers[0].keys[2] (id unset)"] {
        assert!(log.contains(words), "the log lacks `{words}`:\n{log}");
    }
    assert!(!log.contains("9f86d0"), "{log}");
}

#[test]
fn a_refused_first_policy_lets_nobody_in() {
    let mut fleet = Fleet::start(&Gate::Text("{".to_owned()));
    assert_eq!(fleet.status("ecds-old-key"), 500);
    assert!(fleet.stage.upstream.count() == 0);
    fleet.update(&text(&old_policy()));
    poll::until("the first good policy serves", || (fleet.status("ecds-old-key") == 200).then_some(()));
}

/// Many updates while requests run. `PORTCULLIS_UPDATES` makes it more.
#[test]
fn no_request_is_lost_while_policies_change_and_a_revoked_key_stops_at_once() {
    let keys = |number: u32| {
        let current = format!("ecds-key-{number}");
        text(&document(&json!([{"plaintext": "ecds-steady-key"}, {"plaintext": current}])))
    };
    let updates: u32 = std::env::var("PORTCULLIS_UPDATES").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let mut fleet = Fleet::start(&keys(0));
    let address = fleet.stage.envoy.address("main", V4);
    let stop = AtomicBool::new(false);
    let (answered, failed) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = http1::Client::new(connect(V4, address).expect("Envoy listens"));
            let request = http1::get("/v2/models", &[("x-api-key", "ecds-steady-key")]);
            let (mut answered, mut failed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                match client.send(&request) {
                    Ok(reply) if reply.status == 200 => answered += 1,
                    _ => failed += 1,
                }
            }
            (answered, failed)
        });
        // Whatever happens here, the load must end, or the scope never does.
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            for number in 1..=updates {
                fleet.update(&keys(number));
                let (new, old) = (format!("ecds-key-{number}"), format!("ecds-key-{}", number - 1));
                poll::until("the new key works", || (fleet.status(&new) == 200).then_some(()));
                assert_eq!(fleet.status(&old), 401, "the key of update {number} works, and the one before it too");
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let counts = load.join().expect("the load does not panic");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counts
    });
    assert_eq!(failed, 0, "{failed} of {answered} requests failed");
    assert!(answered > updates, "only {answered} requests ran beside {updates} updates");
    let counters = fleet.counters();
    assert_eq!((counters["config_fail"], counters["update_rejected"]), (0, 0));
}
