//! The measurement of hostile requests: the processor time of Envoy's worker for each, with the gate and without, side by side.
//!
//! As in the comparison, rounds in which each is loaded once, in another order. There are thousands of cells, so a slice is
//! short, and there are few rounds; a cell near its bound gets more.

use std::collections::BTreeMap;
use std::io;

use hdrhistogram::Histogram;
use portcullis_tests::envoy::V4;
use portcullis_tests::http1::Client;
use portcullis_tests::net::connect;
use serde::Serialize;

use super::policies::Under;
use super::{BY_ENVOY, BY_USUAL, Cell, Request, usual};
use crate::contender::{Contender, Kind, NOTHING};
use crate::contenders::wasm::filter;
use crate::load::Load;
use crate::options::Module;
use crate::stage::Stage;
use crate::statistics::{Estimate, Series};

/// How much is asked.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Rounds in all of cells near a bound.
    pub rounds_near: usize,
    /// Processor time of a slice, in microseconds.
    pub slice: f64,
    /// The most requests of a slice.
    pub requests: usize,
    /// Usual requests to each listener before the first round.
    pub warm_up: usize,
    /// Connections.
    pub connections: usize,
}

impl Plan {
    /// A few minutes.
    pub const FULL: Self =
        Self { rounds: 5, rounds_near: 15, slice: 5_000.0, requests: 150, warm_up: 10_000, connections: 8 };
}

/// What a request may cost at most, in one slice: one that costs more than this is asked once.
const DEAR: f64 = 10_000.0;
/// Usual requests are asked once for so many groups of cells.
const GROUPS: usize = 25;

/// What was measured of one cell.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The module.
    pub module: String,
    /// The shape.
    pub shape: &'static str,
    /// The length; none where the shape has one of its own.
    pub length: Option<usize>,
    /// Whether a key is in the request.
    pub keyed: bool,
    /// The policy.
    pub policy: &'static str,
    /// The status of the reply.
    pub status: u16,
    /// Microseconds of processor time that Envoy alone spends on the request.
    pub alone: Estimate,
    /// Microseconds of processor time that the gate adds.
    pub added: Estimate,
    /// What is added, in what Envoy alone spends.
    pub by_envoy: Estimate,
    /// What is added, in what the gate adds to a usual request with a key.
    pub by_usual: Estimate,
}

impl Row {
    /// Whether a bound is exceeded.
    pub fn is_over(&self) -> bool {
        self.by_envoy.value > BY_ENVOY || self.by_usual.value > BY_USUAL
    }

    /// How much of its bound it takes, of the one that is nearer.
    pub fn part_of_bound(&self) -> f64 {
        (self.by_envoy.value / BY_ENVOY).max(self.by_usual.value / BY_USUAL)
    }
}

/// All that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// How much was asked.
    pub plan: Plan,
    /// Microseconds of processor time that each module adds to a usual request with a key.
    pub usual: Vec<(String, Estimate)>,
    /// The cells.
    pub rows: Vec<Row>,
}

/// The listeners: one without a filter, and one for each module under each policy.
pub fn contenders(modules: &[Module], policies: &[Under]) -> Vec<Contender> {
    let gate = |(module, under): (&Module, Under)| {
        let name = listener(module, under);
        let filters = vec![filter(&name, &module.file, &under.policy().to_string())];
        Contender::new(&name, Kind::Gate, filters)
    };
    let gates = modules.iter().flat_map(|module| policies.iter().map(move |under| (module, *under))).map(gate);
    let all = std::iter::once(Contender::new(NOTHING, Kind::Nothing, Vec::new())).chain(gates);
    all.map(|contender| Contender { upgrades: true, ..contender }).collect()
}

/// The name of a module's listener under a policy.
pub fn listener(module: &Module, under: Under) -> String {
    format!("{}: {}", module.name, under.name())
}

/// One request at one listener.
struct Lane {
    listener: String,
    request: Request,
    status: u16,
    /// Whether Envoy closes the connection behind the reply, as it does where a request asked for an upgrade.
    closes: bool,
    /// Requests of a slice.
    count: usize,
    /// Microseconds of processor time of a request, round by round.
    cpu: Vec<f64>,
}

/// The lanes of one request: without a filter, and in each cell.
struct Group {
    alone: usize,
    cells: Vec<(usize, usize, Cell)>,
}

/// Measures; `progress` hears what is being done.
///
/// # Errors
/// A request that Envoy itself refuses, a listener that does not answer.
pub fn race(modules: &[Module], cells: Vec<Cell>, plan: Plan, mut progress: impl FnMut(&str)) -> Result<Table, String> {
    let mut policies: Vec<Under> = cells.iter().map(|cell| cell.under).chain([Under::Usual]).collect();
    policies.sort_unstable();
    policies.dedup();
    let all = contenders(modules, &policies);
    progress(&format!("{} cells under {} policies", cells.len(), policies.len()));
    // No contender here asks the authorization server.
    let stage = Stage::start(&all, ([127, 0, 0, 1], 9).into());
    let mut track = Track::open(stage, &all, plan)?;
    crate::cpu::keep_here_on(1);
    // The usual request, alone and in each module.
    let bare = track.lane(NOTHING, usual())?;
    let usuals = modules
        .iter()
        .map(|module| track.lane(&listener(module, Under::Usual), usual()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut groups: BTreeMap<(&str, Option<usize>, bool), Group> = BTreeMap::new();
    for cell in cells {
        let key = (cell.shape, cell.length, cell.keyed);
        if !groups.contains_key(&key) {
            let alone = track.lane(NOTHING, cell.request.clone())?;
            if track.lanes[alone].status != 200 {
                return Err(format!("{}: Envoy itself answers {}", cell.name(), track.lanes[alone].status));
            }
            groups.insert(key, Group { alone, cells: Vec::new() });
        }
        for (number, module) in modules.iter().enumerate() {
            let lane = track.lane(&listener(module, cell.under), cell.request.clone())?;
            if let Some(group) = groups.get_mut(&key) {
                group.cells.push((number, lane, cell.clone()));
            }
        }
    }
    let groups: Vec<Group> = groups.into_values().collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let first: Vec<usize> = std::iter::once(bare).chain(usuals.iter().copied()).collect();
    for round in 0..plan.rounds_near.max(plan.rounds) {
        if round == plan.rounds {
            let is_near = |group: &Group| {
                group.cells.iter().any(|(module, lane, cell)| {
                    let row = track.row(modules, cell, *module, *lane, group.alone, bare, usuals[*module]);
                    row.is_some_and(|row| (0.5..2.0).contains(&row.part_of_bound()))
                })
            };
            order.retain(|group| is_near(&groups[*group]));
            progress(&format!("{} of {} requests are near a bound", order.len(), groups.len()));
        }
        random.shuffle(&mut order);
        let mut seen = vec![Vec::new(); first.len()];
        for (place, group) in order.iter().map(|place| &groups[*place]).enumerate() {
            if place % GROUPS == 0 {
                for (seen, lane) in seen.iter_mut().zip(&first) {
                    seen.push(track.slice(*lane)?);
                }
            }
            let mut lanes: Vec<usize> = group.cells.iter().map(|(_, lane, _)| *lane).chain([group.alone]).collect();
            random.shuffle(&mut lanes);
            for lane in lanes {
                let slice = track.slice(lane)?;
                track.lanes[lane].cpu.push(slice);
            }
        }
        for (mut seen, lane) in seen.into_iter().zip(&first) {
            if !seen.is_empty() {
                track.lanes[*lane].cpu.push(crate::statistics::median(&mut seen));
            }
        }
        progress(&format!("round {} of {}", round + 1, plan.rounds_near.max(plan.rounds)));
    }
    let rows = groups.iter().flat_map(|group| group.cells.iter().map(move |cell| (group.alone, cell)));
    let rows = rows.filter_map(|(alone, (module, lane, cell))| {
        track.row(modules, cell, *module, *lane, alone, bare, usuals[*module])
    });
    let added = |lane: usize| Some(track.series(lane)?.with(&track.series(bare)?, |one, other| one - other).estimate());
    let names = modules.iter().map(|module| module.name.clone()).zip(&usuals);
    Ok(Table {
        plan,
        usual: names.filter_map(|(name, lane)| Some((name, added(*lane)?))).collect(),
        rows: rows.collect(),
    })
}

/// What runs on the stage.
struct Track {
    stage: Stage,
    plan: Plan,
    loads: BTreeMap<String, Load>,
    lanes: Vec<Lane>,
}

impl Track {
    fn open(stage: Stage, contenders: &[Contender], plan: Plan) -> Result<Self, String> {
        let request = usual().bytes();
        let open = |contender: &Contender| {
            let failed = |error| format!("{}: {error}", contender.name);
            let load = Load::connect(stage.address(contender), plan.connections, vec![request.clone()], 200);
            let mut load = load.map_err(failed)?;
            // V8 optimizes what it has seen often.
            load.run(plan.warm_up, plan.connections, &mut histogram()).map_err(failed)?;
            Ok::<_, String>((contender.name.clone(), load))
        };
        let loads = contenders.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { stage, plan, loads, lanes: Vec::new() })
    }

    /// A lane for that request, asked twice to see what becomes of it and what it costs.
    fn lane(&mut self, listener: &str, request: Request) -> Result<usize, String> {
        let address = self.stage.envoy.address(listener, V4);
        let ask = || -> io::Result<(u16, bool, f64)> {
            let bytes = request.bytes();
            let mut client = Client::new(connect(V4, address)?);
            let first = client.send(&bytes)?;
            let before = self.stage.worker.time();
            let (reply, closes) = match client.send(&bytes) {
                Ok(reply) => (reply, false),
                Err(_) => (Client::new(connect(V4, address)?).send(&bytes)?, true),
            };
            if reply.status != first.status {
                return Err(io::Error::other(format!("status {} and then {}", first.status, reply.status)));
            }
            Ok((reply.status, closes, (self.stage.worker.time() - before) as f64 / 1_000.0))
        };
        let (status, closes, cost) = ask().map_err(|error| failed(listener, &request, &error))?;
        let count = if cost > DEAR { 1.0 } else { (self.plan.slice / cost).clamp(4.0, self.plan.requests as f64) };
        let (listener, count) = (listener.to_owned(), count as usize);
        self.lanes.push(Lane { listener, request, status, closes, count, cpu: Vec::new() });
        Ok(self.lanes.len() - 1)
    }

    /// Microseconds of processor time a request, of one slice.
    fn slice(&mut self, lane: usize) -> Result<f64, String> {
        let Lane { listener, request, count, .. } = &self.lanes[lane];
        let count = *count;
        // Not counted: another lane has had the caches.
        let unmeasured = if count == 1 { 0 } else { (count / 4).max(2) };
        let (listener, request) = (listener.clone(), request.clone());
        let mut measure = || {
            self.run(lane, unmeasured)?;
            let before = self.stage.worker.time();
            self.run(lane, count)?;
            Ok((self.stage.worker.time() - before) as f64 / 1_000.0 / count as f64)
        };
        measure().map_err(|error| failed(&listener, &request, &error))
    }

    fn run(&mut self, lane: usize, requests: usize) -> io::Result<()> {
        let Lane { listener, request, status, closes, .. } = &self.lanes[lane];
        let bytes = request.bytes();
        if !closes {
            let load = self.loads.get_mut(listener).ok_or(io::ErrorKind::NotFound)?;
            load.turn_to(vec![bytes], *status);
            load.run(requests, self.plan.connections, &mut histogram())?;
            return Ok(());
        }
        let address = self.stage.envoy.address(listener, V4);
        for _ in 0..requests {
            let reply = Client::new(connect(V4, address)?).send(&bytes)?;
            if reply.status != *status {
                return Err(io::Error::other(format!("status {} instead of {status}", reply.status)));
            }
        }
        Ok(())
    }

    fn series(&self, lane: usize) -> Option<Series> {
        Series::of(&self.lanes.get(lane)?.cpu)
    }

    fn row(
        &self,
        modules: &[Module],
        cell: &Cell,
        module: usize,
        lane: usize,
        alone: usize,
        bare: usize,
        usual: usize,
    ) -> Option<Row> {
        let rounds = self.lanes.get(lane)?.cpu.len();
        // Rounds of one number, so that what drifts in a round drifts for all.
        let series = |lane: usize| {
            let cpu = &self.lanes.get(lane)?.cpu;
            Series::of(&cpu[..rounds.min(cpu.len())])
        };
        let (alone, bare) = (series(alone)?, series(bare)?);
        let less = |one: f64, other: f64| one - other;
        let ratio = |one: f64, other: f64| one / other;
        let (added, usual) = (series(lane)?.with(&alone, less), series(usual)?.with(&bare, less));
        Some(Row {
            module: modules.get(module)?.name.clone(),
            shape: cell.shape,
            length: cell.length,
            keyed: cell.keyed,
            policy: cell.under.name(),
            status: self.lanes.get(lane)?.status,
            alone: alone.estimate(),
            added: added.estimate(),
            by_envoy: added.with(&alone, ratio).estimate(),
            by_usual: added.with(&usual, ratio).estimate(),
        })
    }
}

fn failed(listener: &str, request: &Request, error: &io::Error) -> String {
    let headers: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    format!("{listener}: {:.60} with {}: {error}", request.target, headers.join(", "))
}

/// Nobody reads it.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 10_000_000_000, 1).expect("bounds in order")
}
