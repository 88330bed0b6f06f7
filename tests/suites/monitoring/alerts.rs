//! Each alert fires and ends on a real Prometheus. Its waiting time (`for`) is as shipped: here it is seen as pending;
//! `monitoring/*.test.yaml` show the times.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_tests::envoy::V4;
use portcullis_tests::http1;
use portcullis_tests::monitored::{KEY, Monitored};
use portcullis_tests::net::connect;
use portcullis_tests::prometheus::{Prometheus, Sample, shipped_alerts};
use portcullis_tests::{paths, poll};
use serde_json::{Value, json};

use crate::dashboard::every_query_has_data;

/// The alerts that look back over minutes: their ends are shown in `monitoring/rules.test.yaml`.
const LOOKING_BACK: [&str; 2] = ["PortcullisExpiredKeyInUse", "PortcullisDenialSurge"];

/// Prometheus, two Envoys, and the alerts that were seen so far.
struct Watch {
    /// It makes labels with `stats_tags`.
    edge: Monitored,
    /// Prometheus makes its labels from names.
    untagged: Monitored,
    prometheus: Prometheus,
    seen: BTreeSet<String>,
}

impl Watch {
    fn start() -> Self {
        let edge = Monitored::start(|_| {});
        let untagged = Monitored::start(|document| {
            document.as_object_mut().expect("an object").remove("stats_config").expect("it has stats_tags");
        });
        let prometheus = Prometheus::start(&[edge.metrics(), untagged.metrics()]);
        Self { edge, untagged, prometheus, seen: BTreeSet::new() }
    }

    /// Waits until these alerts of `edge` are active and no others, except those that look back.
    fn expect(&mut self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|name| format!("Portcullis{name}")).collect();
        let mut last = BTreeSet::new();
        poll::until(&format!("the alerts are {expected:?}"), || {
            let mut active = self.prometheus.active(self.edge.metrics());
            self.seen.extend(active.iter().cloned());
            active.retain(|name| expected.contains(name) || !LOOKING_BACK.contains(&name.as_str()));
            if active != last {
                eprintln!("active: {active:?}");
                last.clone_from(&active);
            }
            (active == expected).then_some(())
        });
    }

    /// The number of scrapes of that Envoy from a time to the first time at which the alert fired.
    fn scrapes(&self, since: f64, alert: &str) -> usize {
        let fired = self.prometheus.times(&format!("ALERTS{{alertname=\"Portcullis{alert}\"}}[5m]"));
        let fired = fired.into_iter().find(|time| *time > since).expect("it fired");
        let scraped = self.prometheus.times(&format!("up{{instance=\"{}\"}}[5m]", self.edge.metrics()));
        scraped.into_iter().filter(|time| (since..=fired).contains(time)).count()
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// A time by GNU date, such as `3 days`.
fn date(from_now: &str) -> String {
    let output =
        Command::new("date").args(["-u", "-d", from_now, "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date starts");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The metrics of the gates, without the Envoy, and without what depends on time. Names cannot have `-`, labels can.
fn labelled(samples: &[Sample], instance: &str) -> BTreeMap<BTreeMap<String, String>, u64> {
    let of_it = samples.iter().filter(|(labels, _)| labels["instance"] == instance);
    let mut all = BTreeMap::new();
    for (labels, value) in of_it {
        let mut labels = labels.clone();
        labels.remove("instance");
        labels.values_mut().for_each(|value| *value = value.replace('-', "_"));
        let is_timed = ["portcullis_loaded_at_seconds", "portcullis_instances"].contains(&labels["__name__"].as_str());
        all.insert(labels, if is_timed { 0 } else { value.to_bits() });
    }
    all
}

/// Requests of each kind.
fn ask(envoy: &Monitored) {
    assert_eq!(envoy.status("/v2/models", &[("x-api-key", KEY)]), 200);
    assert_eq!(envoy.status("/v2/models", &[("x-api-key", "monitoring-unknown-key")]), 401);
    assert_eq!(envoy.status("/v2/admin/x", &[("x-api-key", KEY)]), 200);
    assert_eq!(envoy.status("/healthz", &[]), 200);
}

fn same_metrics_by_tags_and_by_names(watch: &Watch) {
    [&watch.edge, &watch.untagged].into_iter().for_each(ask);
    let names = r#"{__name__=~"portcullis_.*|envoy_extension_config_discovery_http_filter_(update|config).*",le=""}"#;
    let names = names.replace("le=", r#"__name__!~".*(time|duration.*)",le="#);
    let mut last = (0, 0);
    poll::until("both have the same metrics", || {
        let all = watch.prometheus.query(&names);
        let [tagged, untagged] =
            [&watch.edge, &watch.untagged].map(|envoy| labelled(&all, &envoy.metrics().to_string()));
        let used = |name: &str, gate: &str| {
            tagged.iter().any(|(labels, value)| {
                labels["__name__"] == name && labels.get("gate").is_some_and(|named| named == gate) && *value > 0
            })
        };
        let is_complete =
            ["allowed", "denied", "key", "mode"].iter().all(|name| used(&format!("portcullis_{name}"), "edge"))
                && used("portcullis_reported", "canary")
                && used("portcullis_policy_keys", "edge");
        let different: Vec<_> = tagged.iter().filter(|&(labels, value)| untagged.get(labels) != Some(value)).collect();
        let missing: Vec<_> = untagged.keys().filter(|labels| !tagged.contains_key(*labels)).collect();
        if (different.len(), missing.len()) != last {
            last = (different.len(), missing.len());
            eprintln!("with labels from tags only: {different:?}\nwith labels from names only: {missing:?}");
        }
        (is_complete && last == (0, 0)).then_some(())
    });
}

/// `portcullis status` has the gates of both Envoys.
fn status_asks_prometheus(watch: &Watch) {
    let mut command = Command::new(paths::workspace().join("target/release/portcullis"));
    command.args(["status", "--output", "json", "--prometheus", &format!("http://{}", watch.prometheus.address())]);
    let output = command.env("http_proxy", "http://127.0.0.1:1").output().expect("the command is built");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*error), (Some(0), ""), "{}", String::from_utf8_lossy(&output.stdout));
    let status: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let envoys = status["envoys"].as_array().expect("a list");
    let found = envoys.iter().flat_map(|envoy| {
        let gates = envoy["gates"].as_array().expect("a list").iter();
        gates.map(|gate| (envoy["admin"].clone(), gate["name"].clone(), gate["mode"].clone(), gate["keys"].clone()))
    });
    let expected = [watch.edge.metrics(), watch.untagged.metrics()].into_iter().flat_map(|instance| {
        [("canary", "report"), ("edge", "enforce")]
            .map(|(gate, mode)| (json!(instance.to_string()), json!(gate), json!(mode), json!(1)))
    });
    let sorted = |gates: Vec<(Value, Value, Value, Value)>| {
        gates.into_iter().map(|gate| format!("{gate:?}")).collect::<BTreeSet<_>>()
    };
    assert_eq!(sorted(found.collect()), sorted(expected.collect()), "{status}");
    let digest = watch.edge.envoy.admin().count("wasmcustom.portcullis.edge.policy_digest").expect("a gauge");
    let digests = envoys.iter().map(|envoy| &envoy["gates"][1]["digest"]);
    assert!(digests.into_iter().all(|other| *other == format!("{digest:012x}")), "{status}");
}

/// A policy that only reports, skips an entry, and has keys that expire soon and that have expired.
fn questionable(policy: &mut Value) {
    policy["mode"] = json!("report");
    policy["consumers"][0]["keys"].as_array_mut().expect("keys").extend([
        json!({"id": "unset", "env": "PORTCULLIS_MONITORING_UNSET"}),
        json!({"id": "soon", "plaintext": "monitoring-soon-key", "expires": date("3 days")}),
        json!({"id": "late", "plaintext": "monitoring-late-key", "expires": date("3 days ago")}),
    ]);
}

fn states(watch: &mut Watch) {
    watch.expect(&[]);
    // Rates need a change between two scrapes.
    ask(&watch.edge);
    watch.edge.update(questionable);
    watch.expect(&["ReportMode", "RefusedEntries", "KeyExpiresSoon", "DigestsDiffer"]);
    assert_eq!(watch.edge.status("/v2/models", &[("x-api-key", "monitoring-late-key")]), 200, "it only reports");
    watch.expect(&["ReportMode", "RefusedEntries", "KeyExpiresSoon", "DigestsDiffer", "ExpiredKeyInUse"]);
    every_query_has_data(&watch.prometheus);
    watch.edge.update(|policy| policy["mode"] = json!("disabled"));
    watch.expect(&["GateOpen", "DigestsDiffer"]);
    watch.edge.update(|policy| policy["colour"] = json!("red"));
    watch.expect(&["GateOpen", "DigestsDiffer", "UpdateRefused"]);
    watch.edge.update(|_| {});
    watch.expect(&[]);
}

fn surge(watch: &mut Watch) {
    let mut client = http1::Client::new(connect(V4, watch.edge.envoy.address("main", V4)).expect("Envoy listens"));
    for _ in 0..500 {
        let reply = client.send(&http1::get("/v2/models", &[("x-api-key", "monitoring-tried-key")]));
        assert_eq!(reply.expect("a reply").status, 401);
    }
    watch.expect(&["DenialSurge"]);
}

/// Callers without a key, until the sender is dropped, which a failed assertion does too.
fn with_callers(address: SocketAddr, run: impl FnOnce()) {
    let (callers, end) = channel::<()>();
    thread::scope(|scope| {
        let _callers = callers;
        scope.spawn(move || {
            while end.try_recv() == Err(TryRecvError::Empty) {
                let stream = connect(V4, address).expect("Envoy listens");
                http1::Client::new(stream).send(&http1::get("/v2/models", &[])).expect("a reply");
            }
        });
        run();
    });
}

/// After a policy was loaded, the alert for requests waits a minute.
fn a_minute_after_the_last_load(watch: &Watch, envoy: &Monitored) {
    let loads = format!("changes(portcullis_loaded_at_seconds{{instance=\"{}\"}}[1m]) > 0", envoy.metrics());
    let minute_and_more = Duration::from_secs(90);
    poll::within(minute_and_more, "no policy was loaded in the last minute", || {
        watch.prometheus.query(&loads).is_empty().then_some(())
    });
}

/// Removes the gate `edge` by LDS; the other gate stays. Returns since when requests pass.
fn remove(envoy: &mut Monitored) -> f64 {
    envoy.remove(&["portcullis"]);
    poll::until("requests pass without the gate", || {
        (envoy.get("main", "/v2/models", &[])?.status == 200).then_some(())
    });
    now()
}

fn removal(watch: &mut Watch) {
    let count = |envoy: &Monitored| envoy.envoy.admin().count("wasmcustom.portcullis.edge.instances");
    poll::until("the worker and the main thread have an instance", || (count(&watch.edge) == Some(2)).then_some(()));
    a_minute_after_the_last_load(watch, &watch.edge);
    let since = remove(&mut watch.edge);
    with_callers(watch.edge.envoy.address("main", V4), || {
        watch.expect(&["RequestsWithoutDecision"]);
        let scrapes = watch.scrapes(since, "RequestsWithoutDecision");
        assert!(scrapes <= 2, "it fired after {scrapes} scrapes");
        poll::until("no instance is left after the drain", || (count(&watch.edge) == Some(0)).then_some(()));
        let since = now();
        watch.expect(&["RequestsWithoutDecision", "GateGone"]);
        let scrapes = watch.scrapes(since, "GateGone");
        assert!(scrapes <= 2, "it fired after {scrapes} scrapes");
        watch.edge.remove(&[]);
        watch.expect(&[]);
    });
}

/// Whether an alert for the gate `edge` of the other Envoy fires.
fn fires(watch: &Watch, alert: &str) -> bool {
    let instance = watch.untagged.metrics();
    let query = format!("ALERTS{{alertname=\"Portcullis{alert}\",gate=\"edge\",instance=\"{instance}\"}}");
    !watch.prometheus.query(&query).is_empty()
}

/// Removes a gate whose VM has trapped, so that it cannot take itself off the count of instances. The other gate stays.
fn removal_after_a_trap(watch: &mut Watch) {
    let trap = [("x-api-key", KEY), ("x-portcullis-trap", "undecided")];
    assert_eq!(watch.untagged.status("/v2/models", &trap), 503);
    remove(&mut watch.untagged);
}

/// The other gate's timer ends the lease of the VM. Envoy drops all metrics of the gates with the last VM.
fn alerts_after_a_trap(watch: &mut Watch) {
    let address = watch.untagged.envoy.address("main", V4);
    let both_fire = |watch: &Watch| {
        with_callers(address, || {
            poll::until("both alerts fire", || {
                ["GateGone", "RequestsWithoutDecision"].iter().all(|alert| fires(watch, alert)).then_some(())
            });
        });
    };
    both_fire(watch);
    watch.untagged.remove(&["portcullis", "portcullis.canary"]);
    let metrics = format!("portcullis_instances{{instance=\"{}\"}}", watch.untagged.metrics());
    poll::until("the metrics are gone", || watch.prometheus.query(&metrics).is_empty().then_some(()));
    both_fire(watch);
    watch.untagged.remove(&[]);
    poll::until("the alert for the gate ends", || (!fires(watch, "GateGone")).then_some(()));
}

#[test]
fn every_alert_fires_and_ends() {
    let mut watch = Watch::start();
    same_metrics_by_tags_and_by_names(&watch);
    status_asks_prometheus(&watch);
    states(&mut watch);
    removal_after_a_trap(&mut watch);
    surge(&mut watch);
    removal(&mut watch);
    alerts_after_a_trap(&mut watch);
    assert_eq!(watch.seen, shipped_alerts());
}
