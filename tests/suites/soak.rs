//! The soak: many streams stay open, many requests are sent and some of them reset, while the policy changes.
//!
//! At the end, each request was answered as expected, or was reset by its sender; the gate's counters are exact; the
//! upstream received each forwarded request once; every stream is open; no VM was restarted; and memory use is flat.
//!
//! `make test` runs it in a short form, `make soak` in full.

#[path = "soak/memory.rs"]
mod memory;
#[path = "soak/policies.rs"]
mod policies;
#[path = "soak/probes.rs"]
mod probes;
#[path = "soak/requests.rs"]
mod requests;
#[path = "soak/streams.rs"]
mod streams;
#[path = "soak/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use memory::Memory;
use policies::{good, key, refused};
use portcullis::Reason;
use portcullis_tests::bootstrap::{cluster, socket};
use portcullis_tests::envoy::Options;
use portcullis_tests::fleet::Fleet;
use portcullis_tests::streaming::Streaming;
use portcullis_tests::{paths, poll};
use probes::Probes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, Value, json};
use streams::{Open, Turning};
use traffic::{Outcome, Tally, Traffic};

/// The size of the soak.
#[derive(Clone, Copy, Debug)]
struct Size {
    streams: usize,
    requests: usize,
    updates: usize,
}

const SHORT: Size = Size { streams: 50, requests: 4_000, updates: 10 };
const FULL: Size = Size { streams: 1_000, requests: 300_000, updates: 120 };

const GATE: &str = "main";
const WORKERS: u32 = 2;
const CLIENTS: usize = 4;
/// Streams that are replaced, one with each update.
const TURNING: usize = 20;
/// One update in so many comes after a refused one.
const REFUSED: usize = 5;
/// The time limit of all requests.
const MAX_DURATION: Duration = Duration::from_secs(30 * 60);
/// The open files of a process: each stream has a socket here on both sides of Envoy, and so in Envoy.
const FILES: u64 = 4096;

impl Size {
    /// The size from the environment, `PORTCULLIS_SOAK=STREAMS:REQUESTS:UPDATES`, for investigations.
    fn asked() -> Option<Self> {
        let text = std::env::var("PORTCULLIS_SOAK").ok()?;
        let numbers: Vec<usize> = text.split(':').filter_map(|number| number.parse().ok()).collect();
        let [streams, requests, updates] = numbers[..] else {
            panic!("PORTCULLIS_SOAK={text}: not as 1000:300000:120")
        };
        Some(Self { streams, requests, updates })
    }
}

#[test]
fn a_short_soak() {
    soak(SHORT);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn the_soak() {
    let memory = soak(Size::asked().unwrap_or(FULL));
    Memory::is_flat(&memory);
}

/// Memory use, every ten updates.
fn soak(size: Size) -> Vec<Memory> {
    let begin = Instant::now();
    allow_files();
    let upstream = Streaming::start(size.requests);
    let options = Options { workers: WORKERS, ..Options::default() };
    let change = |document: &mut Value| change(document, &upstream);
    let mut fleet = Fleet::start_changed(&[(GATE, &good(0))], options, paths::module(), change);
    let machines = machines(&fleet);
    let mut probes = Probes::begin(&fleet);
    let mut open = Open::begin(fleet.address(GATE), &key(0), size.streams);
    let mut turning = Turning::begin(fleet.address(GATE), TURNING);
    open.check("the first word", &upstream);
    eprintln!("{} streams are open after {:?}", open.count(), begin.elapsed());

    let traffic = Traffic::begin(fleet.address(GATE), CLIENTS, size.requests);
    let (mut memory, mut refusals, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    for number in 1..=size.updates {
        let share = number * size.requests / (size.updates + 1);
        poll::within(MAX_DURATION, "requests go on", || {
            assert_eq!(traffic.board.failure(), None);
            (traffic.board.done.load(Ordering::SeqCst) >= share).then_some(())
        });
        if number.is_multiple_of(REFUSED) {
            refusals += 1;
            fleet.update(GATE, &refused(number));
            poll::until("the refusal is counted", || {
                (fleet.counters(GATE)["update_rejected"] == refusals).then_some(())
            });
            probes.see_still(number - 1);
        }
        let since = Instant::now();
        fleet.update(GATE, &good(number));
        probes.see(number);
        slowest = slowest.max(since.elapsed());
        traffic.board.current.store(number, Ordering::SeqCst);
        turning.turn(&key(number), &format!("turn {number}"));
        if number.is_multiple_of(10) {
            open.check(&format!("word {number}"), &upstream);
            poll::until("the VM that has checked the policy is gone", || {
                (self::machines(&fleet) == machines).then_some(())
            });
            let now = Memory::of(&fleet.stage.envoy);
            eprintln!("{number} updates, {share} requests, {:?}: {now}", begin.elapsed());
            memory.push(now);
        }
    }
    let tally = traffic.end();
    open.check("the last word", &upstream);
    eprintln!("{size:?}, {refusals} refused updates, in {:?}; the slowest update took {slowest:?}", begin.elapsed());
    eprintln!("decisions about the requests of the clients: {:?}", tally.reasons);

    let counters = fleet.counters(GATE);
    assert_eq!((counters["config_fail"], counters["update_rejected"]), (refusals, refusals));
    assert_eq!(counters["update_success"], size.updates as u64 + 1, "one for each, and the first: {counters:?}");
    judge_counts(&fleet, &tally, &probes, size);
    judge_arrivals(&upstream, &tally, size);
    judge_envoy(&fleet);
    memory
}

/// Raises the limit of open files for this process and, because they inherit it, for its children.
fn allow_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < FILES) {
        assert!(
            maximum.is_none_or(|most| most >= FILES),
            "{FILES} open files are needed: raise the hard limit (ulimit -Hn)"
        );
        setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum }).expect("it is below the hard limit");
    }
}

/// Another upstream, silent streams are allowed, and there may be many.
fn change(document: &mut Value, upstream: &Streaming) {
    let resources = &mut document["static_resources"];
    let limits =
        ["max_connections", "max_pending_requests", "max_requests"].map(|name| (name.to_owned(), json!(FILES)));
    let settings = &mut resources["clusters"][0];
    settings["circuit_breakers"] = json!({"thresholds": [Map::from_iter(limits)]});
    settings["load_assignment"] = cluster("upstream", &socket(upstream.address()))["load_assignment"].take();
    let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["stream_idle_timeout"] = json!("0s");
    for route in manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().into_iter().flatten() {
        route["route"]["timeout"] = json!("0s");
    }
}

/// The number of running VMs in this Envoy.
fn machines(fleet: &Fleet) -> u64 {
    fleet.stage.envoy.admin().count("wasm.envoy.wasm.runtime.v8.active").expect("Envoy counts its VMs by this name")
}

/// The gate has decided about each request once, with the result that its sender saw.
fn judge_counts(fleet: &Fleet, tally: &Tally, probes: &Probes, size: Size) {
    let prefix = "wasmcustom.portcullis.soak.";
    let gate = fleet.stage.envoy.admin().stats(prefix).expect("the admin interface answers");
    for reason in Reason::ALL {
        let group = if reason.is_allowed() { "allowed" } else { "denied" };
        let reason = reason.name();
        let of_streams = if reason == "key" { (size.streams + size.updates) as u64 } else { 0 };
        let of_clients = tally.reasons.get(reason).copied().unwrap_or(0);
        let sent = of_clients + probes.reasons.get(reason).copied().unwrap_or(0) + of_streams;
        assert_eq!(gate[&format!("{prefix}{group}.{reason}")], sent, "{reason}: the gate's count, and ours");
    }
}

/// Forwarded requests arrived once, denied ones did not, and reset ones at most once.
fn judge_arrivals(upstream: &Streaming, tally: &Tally, size: Size) {
    assert_eq!(tally.outcomes.len(), size.requests, "each request is over");
    let mut outcomes = BTreeMap::<_, u64>::new();
    for (number, outcome) in &tally.outcomes {
        let arrivals = upstream.arrivals(*number);
        let is_right = match outcome {
            Outcome::Forwarded => arrivals == 1,
            Outcome::Denied | Outcome::ResetDenied => arrivals == 0,
            Outcome::ResetAllowed => arrivals <= 1,
        };
        assert!(is_right, "request {number}, {outcome:?}, has arrived {arrivals} times");
        *outcomes.entry(format!("{outcome:?}, arrived {arrivals}")).or_default() += 1;
    }
    eprintln!("{outcomes:?}");
    assert_eq!(upstream.credentials(), 0, "requests have arrived with their credential");
}

/// No VM was restarted, and Envoy itself rejected nothing.
fn judge_envoy(fleet: &Fleet) {
    let stats = fleet.stage.envoy.admin().stats("").expect("the admin interface answers");
    for part in ["", "_backoff", "_failure", "_success"] {
        assert_eq!(stats[&format!("wasm.portcullis.vm_reload{part}")], 0, "vm_reload{part}");
    }
    for what in
        ["upstream_cx_overflow", "upstream_rq_pending_overflow", "upstream_cx_connect_fail", "upstream_rq_retry"]
    {
        assert_eq!(stats[&format!("cluster.upstream.{what}")], 0, "{what}");
    }
}
