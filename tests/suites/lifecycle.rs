//! Restarts, several workers, several gates in one VM, and several gates in one filter chain.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

use portcullis_tests::bootstrap::{Gate, Listener};
use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::fleet::{Fleet, policy, text};
use portcullis_tests::listener::Kind;
use portcullis_tests::message::{pairs, values};
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::{Seen, Upstream};
use portcullis_tests::{http1, paths, poll};
use serde_json::{Value, json};

const WORKERS: u32 = 4;

/// A policy that is refused.
fn wrong(name: &str, key: &str) -> Gate {
    let mut policy = policy(name, key);
    policy["consumers"][0]["colour"] = json!("red");
    text(&policy)
}

#[test]
fn the_policy_that_served_last_serves_after_a_restart() {
    let mut fleet = Fleet::start(&[("main", &text(&policy("main", "life-first-key")))]);
    fleet.update("main", &text(&policy("main", "life-second-key")));
    poll::until("the second key works", || (fleet.status("main", "life-second-key") == 200).then_some(()));
    let digest = fleet.metric("main", "policy_digest");
    let fleet = fleet.restart();
    assert_eq!((fleet.status("main", "life-second-key"), fleet.status("main", "life-first-key")), (200, 401));
    assert_eq!(fleet.metric("main", "policy_digest"), digest);
}

/// A refused update is harmless to a running Envoy. A new Envoy has no other policy, and lets no request through.
#[test]
fn a_restart_with_a_refused_policy_lets_nobody_in() {
    let good = text(&policy("main", "life-first-key"));
    let mut fleet = Fleet::start(&[("main", &good)]);
    fleet.update("main", &wrong("main", "life-second-key"));
    poll::until("the refusal is counted", || (fleet.counters("main")["config_fail"] == 1).then_some(()));
    assert_eq!((fleet.status("main", "life-first-key"), fleet.status("main", "life-second-key")), (200, 401));
    let mut fleet = fleet.restart();
    let asked = fleet.stage.upstream.count();
    for key in ["life-first-key", "life-second-key"] {
        assert_eq!(fleet.status("main", key), 500);
    }
    assert_eq!(fleet.stage.upstream.count(), asked, "nobody reached the upstream");
    assert_eq!(fleet.counters("main")["config_fail"], 1);
    fleet.update("main", &good);
    poll::until("a good policy serves", || (fleet.status("main", "life-first-key") == 200).then_some(()));
}

/// With the policy in the bootstrap, Envoy does not start without it.
#[test]
fn envoy_does_not_start_with_a_refused_policy_of_its_own() {
    let upstream = Upstream::start();
    let mut gate = listener("main", Kind::Edge, &policy("main", "life-static-key"));
    assert!(Envoy::try_start(&bootstrap(vec![gate.clone()], &upstream).document()).is_ok(), "a control");
    gate.gate = wrong("main", "life-static-key");
    let failure = Envoy::try_start(&bootstrap(vec![gate], &upstream).document()).expect_err("it is refused");
    assert!(failure.contains("consumers[0]: unknown field `colour`"), "{failure}");
}

/// Connections to all workers; Envoy distributes them evenly.
fn one_for_each_worker(fleet: &Fleet, gate: &str) -> Vec<http1::Client<TcpStream>> {
    let connection = |_| http1::Client::new(connect(V4, fleet.address(gate)).expect("Envoy listens"));
    let mut connections: Vec<_> = (0..2 * WORKERS).map(connection).collect();
    for client in &mut connections {
        client.send(&http1::get("/v2/models", &[])).expect("a reply");
    }
    let stats = fleet.stage.envoy.admin().stats(".worker_").expect("the admin interface answers");
    for worker in 0..WORKERS {
        let end = format!(".worker_{worker}.downstream_cx_total");
        let of_listeners = |name: &str| name.starts_with("listener.") && name.ends_with(&end);
        let accepted: u64 = stats.iter().filter(|(name, _)| of_listeners(name)).map(|(_, count)| count).sum();
        assert!(accepted > 0, "worker {worker} has no connection: {stats:?}");
    }
    connections
}

fn status(client: &mut http1::Client<TcpStream>, key: &str) -> u16 {
    client.send(&http1::get("/v2/models", &[("x-api-key", key)])).expect("a reply").status
}

/// Each worker has its own VM. On each, no request with the old key passes after one with the new key has passed.
#[test]
fn every_worker_gets_every_update() {
    let options = Options { workers: WORKERS, ..Options::default() };
    let name = |number: u32| format!("life-key-{number}");
    let keys = |number: u32| text(&policy("main", &name(number)));
    let mut fleet = Fleet::start_with(&[("main", &keys(0))], options, paths::module());
    let mut connections = one_for_each_worker(&fleet, "main");
    for number in 1..=20 {
        fleet.update("main", &keys(number));
        for client in &mut connections {
            let (new, old) = (name(number), name(number - 1));
            poll::until("the new key works", || (status(client, &new) == 200).then_some(()));
            assert_eq!(status(client, &old), 401, "update {number}");
        }
    }
    fleet.update("main", &wrong("main", "life-refused-key"));
    poll::until("the refusal is counted", || (fleet.counters("main")["config_fail"] == 1).then_some(()));
    for client in &mut connections {
        assert_eq!((status(client, &name(20)), status(client, "life-refused-key")), (200, 401));
    }
    assert_eq!(fleet.counters("main")["update_success"], 21);
}

/// The number of running VMs in this Envoy.
fn machines(fleet: &Fleet) -> u64 {
    fleet.stage.envoy.admin().count("wasm.envoy.wasm.runtime.v8.active").expect("Envoy counts its VMs by this name")
}

#[test]
fn gates_in_one_vm_keep_their_own_policies() {
    let gates = ["north", "south"];
    let first = gates.map(|gate| text(&policy(gate, &format!("life-{gate}-key"))));
    let alone = machines(&Fleet::start(&[("north", &first[0])]));
    let mut fleet = Fleet::start(&[("north", &first[0]), ("south", &first[1])]);
    assert_eq!(machines(&fleet), alone, "the second gate has no VM of its own");
    let seen = |fleet: &Fleet, key: &str| gates.map(|gate| fleet.status(gate, key));
    let digests = |fleet: &Fleet| gates.map(|gate| fleet.metric(gate, "policy_digest").expect("a gauge"));
    assert_eq!((seen(&fleet, "life-north-key"), seen(&fleet, "life-south-key")), ([200, 401], [401, 200]));

    let before = digests(&fleet);
    fleet.update("north", &text(&policy("north", "life-other-key")));
    poll::until("the update of the one", || (fleet.status("north", "life-other-key") == 200).then_some(()));
    assert_eq!((seen(&fleet, "life-north-key"), seen(&fleet, "life-south-key")), ([401, 401], [401, 200]));
    assert_eq!(seen(&fleet, "life-other-key"), [200, 401]);
    assert!(digests(&fleet)[0] != before[0] && digests(&fleet)[1] == before[1]);

    fleet.update("south", &wrong("south", "life-wrong-key"));
    poll::until("the refusal is counted", || (fleet.counters("south")["config_fail"] == 1).then_some(()));
    assert_eq!(fleet.counters("north")["config_fail"], 0);
    assert_eq!((seen(&fleet, "life-other-key"), seen(&fleet, "life-south-key")), ([200, 401], [401, 200]));
    assert_eq!(seen(&fleet, "life-wrong-key"), [401, 401]);
    assert_eq!(machines(&fleet), alone);

    // A policy is identified by its place, not by its name or text: two may have the same.
    let same = text(&policy("north", "life-same-key"));
    fleet.update("north", &same);
    fleet.update("south", &same);
    poll::until("the same policy in both", || (seen(&fleet, "life-same-key") == [200, 200]).then_some(()));
    fleet.update("north", &text(&policy("north", "life-last-key")));
    poll::until("another one in the first", || (seen(&fleet, "life-last-key") == [200, 401]).then_some(()));
    assert_eq!(seen(&fleet, "life-same-key"), [401, 200]);
}

/// Two gates in a row on one listener: `outer` requires a key in X-API-Key, `inner` a bearer token.
fn chain() -> Stage {
    let outer = json!({
        "version": 1, "name": "outer", "access_log": true,
        "key_sources": [{"header": "x-api-key"}],
        "public_paths": ["/open", "/outer"],
        "consumers": [{"name": "edge", "roles": ["admin"], "keys": [{"id": "outer-id", "plaintext": "life-outer-key"}]}],
    });
    let inner = json!({
        "version": 1, "name": "inner", "access_log": true,
        // The first gate's source is missing there: that gate has removed it.
        "key_sources": ["bearer", {"header": "x-api-key"}],
        "public_paths": ["/open", "/inner"],
        "consumers": [{"name": "team", "keys": [{"id": "inner-id", "plaintext": "life-inner-key"}]}],
        "rules": [{"path": "/admin", "roles": ["admin"]}],
    });
    let upstream = Upstream::start();
    let one = |name: &str, policy: &Value| Listener { gate: text(policy), ..listener(name, Kind::Edge, policy) };
    let mut document = bootstrap(vec![one("main", &outer), one("spare", &inner)], &upstream).document();
    let filters = |listener: usize| {
        format!("/static_resources/listeners/{listener}/filter_chains/0/filters/0/typed_config/http_filters")
    };
    let is_gate = |filter: &Value| filter["name"] == "portcullis";
    let find = |document: &Value, listener: usize| {
        let all = document.pointer(&filters(listener)).and_then(Value::as_array).expect("a list of filters");
        let at = all.iter().position(is_gate).expect("a gate among them");
        (at, all[at].clone())
    };
    let (at, _) = find(&document, 0);
    let (_, mut second) = find(&document, 1);
    second["name"] = json!("portcullis.inner");
    let chain = document.pointer_mut(&filters(0)).and_then(Value::as_array_mut).expect("a list of filters");
    chain.insert(at + 1, second);
    Stage { envoy: Envoy::start(&document), upstream }
}

const OUTER: (&str, &str) = ("x-api-key", "life-outer-key");
const INNER: (&str, &str) = ("authorization", "Bearer life-inner-key");

#[test]
fn a_request_must_pass_both_gates_of_a_chain() {
    let stage = chain();
    let ask = |path: &str, headers: &[(&str, &str)]| stage.ask("main", path, headers);
    let says = |status: u16, reason: &str| (status, reason.to_owned());
    assert_eq!(ask("/x", &[OUTER, INNER]), says(200, "key"));
    assert_eq!(ask("/x", &[OUTER]), says(401, "no_credential"));
    assert_eq!(ask("/x", &[INNER]), says(401, "no_credential"));
    assert_eq!(ask("/x", &[]), says(401, "no_credential"));
    assert_eq!(ask("/x", &[OUTER, ("authorization", "Bearer life-outer-key")]), says(401, "unknown_key"));
    assert_eq!(ask("/x", &[("x-api-key", "life-inner-key"), INNER]), says(401, "unknown_key"));
    // Public in both policies.
    assert_eq!(ask("/open", &[]), says(200, "public_path"));
    for (path, key) in [("/outer", INNER), ("/inner", OUTER)] {
        assert_eq!(ask(path, &[]), says(401, "no_credential"), "{path}");
        assert_eq!(ask(path, &[key]).0, 200, "{path}");
    }
    // The second gate does not use the first gate's result: neither the consumer nor the roles.
    assert_eq!(ask("/admin", &[OUTER, INNER]), says(403, "missing_role"));
    let forged =
        [("x-portcullis-consumer", "edge"), ("x-portcullis-roles", "admin"), ("x-portcullis-key-id", "outer-id")];
    assert_eq!(ask("/x", &[&[OUTER], forged.as_slice()].concat()), says(401, "no_credential"));
    assert_eq!(ask("/admin", &[&[OUTER, INNER], forged.as_slice()].concat()), says(403, "missing_role"));
    // Each gate counts separately, and requests that the first one denied did not reach the second.
    let count = |name: &str| stage.envoy.admin().count(&format!("wasmcustom.portcullis.{name}"));
    assert_eq!((count("outer.denied.no_credential"), count("inner.denied.no_credential")), (Some(3), Some(3)));
    assert_eq!((count("outer.denied.unknown_key"), count("inner.denied.unknown_key")), (Some(1), Some(1)));
}

/// The identity headers of that version of a gate's policy.
fn identity_headers(gate: &str, version: usize) -> [String; 3] {
    ["consumer", "roles", "key-id"].map(|what| format!("x-{gate}-{version}-{what}"))
}

fn version(gate: &str, version: usize) -> Gate {
    let mut policy = policy(gate, &format!("life-{gate}-{version}"));
    let [consumer, roles, key_id] = identity_headers(gate, version);
    policy["consumers"][0]["roles"] = json!([format!("role-{version}")]);
    policy["upstream"] = json!({"consumer_header": consumer, "roles_header": roles, "key_id_header": key_id});
    text(&policy)
}

/// The headers of a request with that version's key, and the first piece of its body.
fn begin(fleet: &Fleet, gate: &str, version: usize) -> TcpStream {
    let mut stream = connect(V4, fleet.address(gate)).expect("Envoy listens");
    let head = format!(
        "POST /v2/models HTTP/1.1\r\nHost: gate.test\r\nx-api-key: life-{gate}-{version}\r\n\
         transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n"
    );
    stream.write_all(head.as_bytes()).expect("Envoy reads");
    stream
}

/// Two gates in one VM, which alternate with each request, and their updates. The last update restores a policy under
/// which requests are still running. In between, there are enough requests to make the module clean up finished ones.
#[test]
fn a_request_ends_under_the_policy_that_it_began_under() {
    const VERSIONS: usize = 4;
    const OPEN: usize = 20;
    let gates = ["north", "south"];
    let mut fleet = Fleet::start(&[("north", &version("north", 0)), ("south", &version("south", 0))]);
    let all: Vec<String> = gates
        .iter()
        .flat_map(|gate| (0..VERSIONS).flat_map(|version| identity_headers(gate, version)))
        .chain(["x-other".to_owned()])
        .collect();
    let trailers: String = all.iter().map(|name| format!("{name}: root\r\n")).collect();
    let end = |fleet: &Fleet, stream: TcpStream, gate: &str, version: usize| {
        let place = format!("{gate} {version}");
        let reply = http1::Client::new(stream).send(format!("0\r\n{trailers}\r\n").as_bytes()).expect("a reply");
        assert_eq!(reply.status, 200, "{place}");
        let seen = fleet.stage.upstream.seen(&reply).expect("the upstream replies");
        let own = identity_headers(gate, version);
        let kept: Vec<&str> =
            all.iter().map(String::as_str).filter(|name| !own.iter().any(|own| own == name)).collect();
        let came: Vec<&str> = seen.trailers.iter().map(|(name, _)| std::str::from_utf8(name).expect("text")).collect();
        assert_eq!(came, kept, "{place}");
        assert_eq!(values(&seen.headers, &own[1]), [format!("role-{version}").as_bytes()], "{place}");
    };
    let mut open = Vec::new();
    for now in (0..VERSIONS).chain([0]) {
        for gate in gates {
            if !open.is_empty() {
                fleet.update(gate, &version(gate, now));
            }
            let key = format!("life-{gate}-{now}");
            poll::until("the update works", || (fleet.status(gate, &key) == 200).then_some(()));
        }
        for _ in 0..OPEN {
            open.extend(gates.map(|gate| (begin(&fleet, gate, now), gate, now)));
        }
        // These begin after those, on the single worker.
        for _ in 0..100 {
            for gate in gates {
                let short = http1::request(
                    b"POST",
                    b"/v2/models",
                    b"gate.test",
                    &pairs(&[("x-api-key", &format!("life-{gate}-{now}"))]),
                    Some(b"body"),
                );
                let stream = connect(V4, fleet.address(gate)).expect("Envoy listens");
                assert_eq!(http1::Client::new(stream).send(&short).expect("a reply").status, 200, "{gate} {now}");
            }
        }
        for gate in gates {
            end(&fleet, begin(&fleet, gate, now), gate, now);
        }
        // Some end here, out of order, the others after all updates.
        if now == 2 {
            let (early, late): (Vec<_>, Vec<_>) = open.drain(..).enumerate().partition(|(place, _)| place % 3 == 0);
            open = late.into_iter().map(|(_, one)| one).collect();
            early.into_iter().for_each(|(_, (stream, gate, now))| end(&fleet, stream, gate, now));
        }
    }
    for (stream, gate, now) in open {
        end(&fleet, stream, gate, now);
    }
    for gate in gates {
        assert_eq!(fleet.counters(gate)["config_fail"], 0);
    }
}

fn identity(seen: &Seen) -> BTreeMap<&str, Vec<&[u8]>> {
    ["x-portcullis-consumer", "x-portcullis-roles", "x-portcullis-key-id", "x-api-key", "authorization"]
        .into_iter()
        .map(|name| (name, values(&seen.headers, name)))
        .filter(|(_, values)| !values.is_empty())
        .collect()
}

#[test]
fn the_upstream_hears_of_the_last_gate_of_a_chain_alone() {
    let stage = chain();
    let seen = |path: &str, headers: &[(&str, &str)]| {
        let reply = stage.get("main", path, headers).expect("Envoy replies");
        stage.upstream.seen(&reply).expect("the upstream replies")
    };
    let by_inner: BTreeMap<&str, Vec<&[u8]>> =
        [("x-portcullis-consumer", vec![b"team".as_slice()]), ("x-portcullis-key-id", vec![b"inner-id"])].into();
    // The first gate's consumer has a role, the second's has none: none remains.
    assert_eq!(identity(&seen("/x", &[OUTER, INNER])), by_inner);
    // Exempt in one gate, identified in the other, and the opposite: the last gate decides, and its result is that
    // there is no identity.
    assert_eq!(identity(&seen("/outer", &[INNER])), by_inner);
    assert_eq!(identity(&seen("/inner", &[OUTER])), BTreeMap::new());
}
