//! The effect of one attacker on another caller of the same worker.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use portcullis_tests::envoy::V4;
use portcullis_tests::http1::Client;
use portcullis_tests::net::connect;
use serde::Serialize;

use super::attack::{Attacker, blocks};
use super::race::{contenders, listener};
use super::shapes::Shape;
use super::{BY_ENVOY, Cell, Request, shapes, usual};
use crate::contender::{CLIENT, NOTHING};
use crate::contenders::KEY;
use crate::options::Module;
use crate::stage::Stage;

/// The attacker's rate, in bytes per second.
pub const RATE: usize = 10 * 1024;
/// The bound on another caller's median latency, as a multiple of the latency without the attacker.
pub const STALL: f64 = 2.0;

/// The number of attacking requests for choosing an attack.
const SEEMS: usize = 8;
/// The number of seemingly most expensive attacks that are tried again.
const TRIED_AGAIN: usize = 40;

/// The size of a measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Plan {
    /// The number of attacks: the most expensive ones, each of another shape.
    pub attacks: usize,
    /// The duration of each attack, and of the time without it, in milliseconds.
    pub milliseconds: u64,
    /// The number of attacking requests that are measured alone.
    pub requests: usize,
}

impl Plan {
    /// The size for which the bound is defined.
    pub const FULL: Self = Self { attacks: 4, milliseconds: 10_000, requests: 300 };
}

/// The effect of one attack.
#[derive(Debug, Clone, Serialize)]
pub struct Stall {
    /// The module.
    pub module: String,
    /// The shape.
    pub shape: &'static str,
    /// Its length: the longest that fits into the dynamic table.
    pub length: usize,
    /// Whether a key is in the attacking request.
    pub keyed: bool,
    /// The policy.
    pub policy: &'static str,
    /// The bytes of an attacking request on the wire.
    pub wire: usize,
    /// Attacking requests per second: fewer than the rate allows if the worker cannot keep up.
    pub rate: f64,
    /// Microseconds of CPU time that Envoy alone spends on an attacking request.
    pub alone: f64,
    /// Microseconds of CPU time that the gate adds to it.
    pub added: f64,
    /// The other caller's median latency without the attacker, in microseconds.
    pub calm: f64,
    /// The other caller's median latency, in microseconds.
    pub attacked: f64,
}

impl Stall {
    /// The ratio of the added time to that of Envoy alone.
    pub fn by_envoy(&self) -> f64 {
        self.added / self.alone
    }

    /// The ratio of the median latency to that without the attacker.
    pub fn by_calm(&self) -> f64 {
        self.attacked / self.calm
    }

    /// Whether a bound is exceeded.
    pub fn is_over(&self) -> bool {
        self.by_envoy() > BY_ENVOY || self.by_calm() > STALL
    }
}

/// The longest request of a shape that fits into HPACK's table, and its length.
fn longest(shape: &Shape, keyed: bool) -> Option<(usize, Request)> {
    let lengths = if shape.has_length { (0..4_000).step_by(20).rev().collect() } else { vec![0] };
    lengths.into_iter().find_map(|length| {
        let mut request = shape.request(length);
        // An attacker does not need the headers of a usual client.
        request.headers.retain(|(name, _)| !CLIENT.iter().any(|(known, _)| known == name));
        let request = if keyed { request.with_key(KEY) } else { request };
        // Headers that HTTP/2 does not allow would make it another request.
        let is_there = !request.headers.iter().any(|(name, _)| name == "connection");
        (is_there && blocks(&request.fields()).is_some()).then_some((length, request))
    })
}

/// Every attack: each shape with the maximum length, with and without a key, under each of its policies.
fn attacks(only: &[String]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for shape in shapes::named(only) {
        for keyed in [false, true] {
            let Some((length, request)) = longest(shape, keyed) else { continue };
            let request = Arc::new(request);
            for &under in shape.under.iter().filter(|under| keyed || under.matters_without_key()) {
                let (shape, length, request) = (shape.name, Some(length), Arc::clone(&request));
                cells.push(Cell { shape, length, keyed, under, request });
            }
        }
    }
    cells
}

/// The most expensive attacks, each of another shape. All are tried; the seemingly most expensive ones are tried again.
fn worst(module: &Module, stage: &Stage, cells: Vec<Cell>, most: usize) -> Result<Vec<Cell>, String> {
    let mut costs = Vec::new();
    let mut tried: Vec<(f64, Cell)> = cells.into_iter().map(|cell| (0.0, cell)).collect();
    for (requests, left) in [(SEEMS, TRIED_AGAIN), (SEEMS * 4, usize::MAX)] {
        for (_, cell) in tried.drain(..) {
            let address = stage.envoy.address(&listener(module, cell.under), V4);
            let cost = cost(stage, address, &cell.request, requests);
            costs.push((cost.map_err(|error| format!("{}: {error}", cell.name()))?, cell));
        }
        costs.sort_by(|one, other| other.0.total_cmp(&one.0));
        tried.extend(costs.drain(..).take(left));
    }
    let mut chosen: Vec<Cell> = Vec::new();
    for (_, cell) in tried {
        if chosen.len() < most && chosen.iter().all(|other| other.shape != cell.shape) {
            chosen.push(cell);
        }
    }
    Ok(chosen)
}

/// Microseconds of CPU time of an attacking request.
fn cost(stage: &Stage, address: SocketAddr, request: &Request, requests: usize) -> io::Result<f64> {
    let mut attacker = Attacker::connect(address, &request.fields())?;
    attacker.run(requests)?;
    let before = stage.worker.time();
    attacker.run(requests)?;
    Ok((stage.worker.time() - before) as f64 / 1_000.0 / requests as f64)
}

/// Measures the worst attacks on one module; `progress` gets the current one.
///
/// # Errors
/// If a listener does not answer.
pub fn stall(
    module: &Module,
    only: &[String],
    plan: Plan,
    mut progress: impl FnMut(&str),
) -> Result<Vec<Stall>, String> {
    let cells = attacks(only);
    let all = contenders(std::slice::from_ref(module), &cells);
    let stage = Stage::start(&all, ([127, 0, 0, 1], 9).into());
    crate::cpu::keep_here_on(1);
    for contender in &all {
        // The first requests run unoptimized code.
        latency(stage.address(contender), Duration::from_millis(plan.milliseconds / 10))
            .map_err(|error| format!("{}: {error}", contender.name))?;
    }
    progress(&format!("the worst of {} attacks", cells.len()));
    let cells = worst(module, &stage, cells, plan.attacks)?;
    let measure = |cell: Cell| {
        progress(&cell.name());
        one(module, &stage, &cell, plan).map_err(|error| format!("{}: {error}", cell.name()))
    };
    cells.into_iter().map(measure).collect()
}

fn one(module: &Module, stage: &Stage, cell: &Cell, plan: Plan) -> io::Result<Stall> {
    let fields = cell.request.fields();
    let gate = stage.envoy.address(&listener(module, cell.under), V4);
    let alone = cost(stage, stage.envoy.address(NOTHING, V4), &cell.request, plan.requests)?;
    let added = cost(stage, gate, &cell.request, plan.requests)? - alone;
    let span = Duration::from_millis(plan.milliseconds);
    let calm = latency(gate, span)?;
    let mut attacker = Attacker::connect(gate, &fields)?;
    let ended = AtomicBool::new(false);
    let (attacked, took) = thread::scope(|scope| {
        let attack = scope.spawn(|| {
            let begin = Instant::now();
            attacker.attack(RATE, || !ended.load(Ordering::Relaxed)).map(|()| begin.elapsed())
        });
        let attacked = latency(gate, span);
        ended.store(true, Ordering::Relaxed);
        Ok::<_, io::Error>((attacked?, attack.join().expect("the attacker does not panic")?))
    })?;
    Ok(Stall {
        module: module.name.clone(),
        shape: cell.shape,
        length: cell.length.unwrap_or_default(),
        keyed: cell.keyed,
        policy: cell.under.name(),
        wire: attacker.wire(),
        rate: attacker.sent as f64 / took.as_secs_f64(),
        alone,
        added,
        calm,
        attacked,
    })
}

/// The median time from a usual request with a key to its reply, in microseconds: sends one after the other for this
/// time.
fn latency(address: SocketAddr, span: Duration) -> io::Result<f64> {
    let mut client = Client::new(connect(V4, address)?);
    let request = usual().bytes();
    let mut times = Histogram::<u64>::new_with_bounds(100, 100_000_000_000, 3).expect("bounds in order");
    let begin = Instant::now();
    while begin.elapsed() < span {
        let asked = Instant::now();
        let reply = client.send(&request)?;
        times.saturating_record(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if reply.status != 200 {
            return Err(io::Error::other(format!("the other caller gets status {}", reply.status)));
        }
    }
    Ok(times.value_at_quantile(0.5) as f64 / 1_000.0)
}
