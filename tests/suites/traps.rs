//! The behaviour of a gate whose VM stops. No request can stop the released module (see `survive`); a test build has a
//! switch for it: a header.

use std::net::TcpStream;

use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::fleet::{Fleet, policy, text};
use portcullis_tests::listener::Kind;
use portcullis_tests::load::Load;
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{http1, paths, poll};

const SWITCH: &str = "x-portcullis-trap";
const WORKERS: u32 = 4;

fn reloads(envoy: &Envoy, what: &str) -> u64 {
    envoy.admin().count(&format!("wasm.portcullis.vm_reload{what}")).expect("Envoy counts reloads by this name")
}

/// The status of a request that triggers the switch.
fn throw(stage: &Stage, gate: &str, key: &str, when: &str) -> u16 {
    stage.ask(gate, "/v2/models", &[("x-api-key", key), (SWITCH, when)]).0
}

/// Two gates in one VM, each with its own policy.
fn pair(options: Options) -> Fleet {
    let (north, south) = (text(&policy("north", "trap-north-key")), text(&policy("south", "trap-south-key")));
    Fleet::start_with(&[("north", &north), ("south", &south)], options, paths::trap_module())
}

#[test]
fn the_released_module_has_no_switch() {
    let gate = text(&policy("main", "trap-main-key"));
    let fleet = Fleet::start(&[("main", &gate)]);
    for when in ["undecided", "edited"] {
        assert_eq!(throw(&fleet.stage, "main", "trap-main-key", when), 200);
        assert_eq!(throw(&fleet.stage, "main", "trap-stranger", when), 401);
    }
    assert_eq!(reloads(&fleet.stage.envoy, ""), 0);
}

/// `FAIL_RELOAD`, which all shipped configurations have: while the VM is down, and afterwards, no request passes that
/// would not have passed before.
#[test]
fn under_load_a_stopped_vm_lets_nobody_in_and_comes_back_with_the_current_policy() {
    let mut fleet = pair(Options::default());
    fleet.update("north", &text(&policy("north", "trap-current-key")));
    poll::until("the current key works", || (fleet.status("north", "trap-current-key") == 200).then_some(()));
    let digests = |fleet: &Fleet| ["north", "south"].map(|gate| fleet.metric(gate, "policy_digest"));
    let before = digests(&fleet);
    let load = |gate: &str, key: &str| Load::begin(fleet.address(gate), &[("x-api-key", key)]);
    let known = [load("north", "trap-current-key"), load("south", "trap-south-key")];
    let unknown = [load("north", "trap-north-key"), load("south", "trap-current-key")];
    for round in 0..6 {
        let gate = ["north", "south"][round % 2];
        // The first of the two finds a running VM; the second too, or one that is already down.
        for (key, when) in [("trap-current-key", "edited"), ("trap-stranger", "undecided")] {
            let status = throw(&fleet.stage, gate, key, when);
            assert!(status == 503 || (gate == "south" && status == 401), "{gate} {key}: {status}");
        }
        for (gate, key) in [("north", "trap-current-key"), ("south", "trap-south-key")] {
            poll::until("the gate is back", || (fleet.status(gate, key) == 200).then_some(()));
        }
    }
    let (known, unknown) = (known.map(Load::end), unknown.map(Load::end));
    eprintln!("known {known:?}, unknown {unknown:?}");
    assert!(known.iter().all(|tally| tally.is_only(&[200, 503]) && tally.of(200) > 0), "{known:?}");
    assert!(unknown.iter().all(|tally| tally.is_only(&[401, 503]) && tally.of(401) > 0), "{unknown:?}");
    assert!(known.iter().any(|tally| tally.of(503) > 0), "a control: nobody saw the VM down: {known:?}");
    assert!(reloads(&fleet.stage.envoy, "_success") > 0);
    assert_eq!(digests(&fleet), before, "the current policy, not the first one");
    assert_eq!(fleet.status("north", "trap-north-key"), 401);
    // Updates still work, with a VM that was restarted and with one that is down.
    fleet.update("north", &text(&policy("north", "trap-later-key")));
    poll::until("an update after the traps", || (fleet.status("north", "trap-later-key") == 200).then_some(()));
    assert_eq!(throw(&fleet.stage, "south", "trap-south-key", "undecided"), 503);
    fleet.update("north", &text(&policy("north", "trap-last-key")));
    poll::until("an update in between", || (fleet.status("north", "trap-last-key") == 200).then_some(()));
    assert_eq!(fleet.status("north", "trap-later-key"), 401);
    poll::until("the other gate is back", || (fleet.status("south", "trap-south-key") == 200).then_some(()));
}

#[test]
fn a_request_that_stops_the_vm_does_not_reach_the_upstream() {
    let fleet = pair(Options::default());
    for when in ["undecided", "edited"] {
        let before = fleet.stage.upstream.count();
        assert_eq!(throw(&fleet.stage, "north", "trap-north-key", when), 503, "{when}");
        assert_eq!(fleet.stage.upstream.count(), before, "{when}");
        poll::until("the gate is back", || (fleet.status("north", "trap-north-key") == 200).then_some(()));
    }
}

/// A VM only stops on its own worker.
#[test]
fn other_workers_go_on() {
    let fleet = pair(Options { workers: WORKERS, ..Options::default() });
    let connection = |_| http1::Client::new(connect(V4, fleet.address("north")).expect("Envoy listens"));
    let mut connections: Vec<http1::Client<TcpStream>> = (0..2 * WORKERS).map(connection).collect();
    let send = |client: &mut http1::Client<TcpStream>, headers: &[(&str, &str)]| {
        client.send(&http1::get("/v2/models", headers)).expect("a reply").status
    };
    let (good, bad) = (("x-api-key", "trap-north-key"), ("x-api-key", "trap-stranger"));
    // After the first stop, the next request restarts the VM; after another one, Envoy waits before it retries.
    poll::until("the VM of one worker is down", || {
        assert_eq!(send(&mut connections[0], &[good, (SWITCH, "undecided")]), 503);
        (send(&mut connections[0], &[good]) == 503).then_some(())
    });
    // Connections are distributed evenly: one other is on the same worker.
    let statuses: Vec<u16> = connections[1..].iter_mut().map(|client| send(client, &[good])).collect();
    assert!(statuses.iter().filter(|status| **status == 200).count() >= 6, "{statuses:?}");
    for client in &mut connections {
        let status = send(client, &[bad]);
        assert!(matches!(status, 401 | 503), "{status}");
    }
    for client in &mut connections {
        poll::until("the gate is back", || (send(client, &[good]) == 200).then_some(()));
    }
}

/// Envoy's other failure policies: why no shipped configuration has one of these.
#[test]
fn fail_closed_stays_down_and_fail_open_opens_the_gate() {
    let stage = |failure_policy: &str| {
        let upstream = Upstream::start();
        let mut parts = bootstrap(vec![listener("main", Kind::Edge, &policy("main", "trap-main-key"))], &upstream);
        parts.module = paths::trap_module();
        let document = parts.document().to_string().replace("FAIL_RELOAD", failure_policy);
        let envoy = Envoy::start(&serde_json::from_str(&document).expect("it is still JSON"));
        Stage { envoy, upstream }
    };
    let (closed, open) = (stage("FAIL_CLOSED"), stage("FAIL_OPEN"));
    for stage in [&closed, &open] {
        assert_eq!(stage.ask("main", "/x", &[("x-api-key", "trap-main-key")]).0, 200);
        assert_eq!(stage.ask("main", "/x", &[]).0, 401);
        throw(stage, "main", "trap-stranger", "undecided");
    }
    assert_eq!(closed.ask("main", "/x", &[("x-api-key", "trap-main-key")]).0, 503);
    assert_eq!(closed.ask("main", "/x", &[]).0, 503);
    assert_eq!(open.ask("main", "/x", &[]).0, 200, "a caller without a key comes in");
}
