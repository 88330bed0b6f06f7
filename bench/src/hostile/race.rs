//! The measurement of hostile requests: the CPU time of Envoy's worker for each, with the gate and without, side by
//! side.
//!
//! As in the comparison, there are rounds with each request once, in a different order. There are thousands of cells,
//! so slices are short, and there are few rounds; a cell near its bound gets more.

use std::sync::Arc;

use serde::Serialize;

use super::policies::Under;
use super::track::Track;
use super::{BY_ENVOY, BY_USUAL, Cell, usual};
use crate::contender::{Contender, Kind, NOTHING};
use crate::contenders::wasm::filter;
use crate::options::Module;
use crate::stage::Stage;
use crate::statistics::{Estimate, Series, median};

/// The size of a measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// The total number of rounds of cells near a bound.
    pub rounds_near: usize,
    /// The total number of rounds of cells that are above a bound after those: the median of a few rounds may be there by
    /// chance.
    pub rounds_above: usize,
    /// CPU time of a slice, in microseconds; at least four requests.
    pub slice: f64,
    /// The maximum number of requests in a slice.
    pub requests: usize,
    /// Usual requests to each listener before the first round: V8 optimizes frequently used code.
    pub warm_up: usize,
    /// Connections.
    pub connections: usize,
}

impl Plan {
    /// Takes a few minutes.
    pub const FULL: Self = Self {
        rounds: 5,
        rounds_near: 15,
        rounds_above: 45,
        slice: 5_000.0,
        requests: 150,
        warm_up: 10_000,
        connections: 8,
    };
}

/// Usual requests are measured once for this number of groups of cells.
const GROUPS: usize = 25;
/// The fraction of its bound from which a cell is near it.
const NEAR: std::ops::Range<f64> = 0.5..2.0;

/// The measurement of one cell.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The module.
    pub module: String,
    /// The shape.
    pub shape: &'static str,
    /// The length; `None` if the shape has its own length.
    pub length: Option<usize>,
    /// Whether a key is in the request.
    pub keyed: bool,
    /// The policy.
    pub policy: &'static str,
    /// The status of the reply.
    pub status: u16,
    /// Rounds.
    pub rounds: usize,
    /// Microseconds of CPU time that Envoy alone spends on the request.
    pub alone: Estimate,
    /// Microseconds of CPU time that the gate adds.
    pub added: Estimate,
    /// The ratio of the added time to that of Envoy alone.
    pub by_envoy: Estimate,
    /// The ratio of the added time to that of a usual request with a key.
    pub by_usual: Estimate,
}

impl Row {
    /// Whether a bound is exceeded.
    pub fn is_over(&self) -> bool {
        self.part_of_bound() > 1.0
    }

    /// The fraction of its bound that it takes, for the nearer bound.
    pub fn part_of_bound(&self) -> f64 {
        (self.by_envoy.value / BY_ENVOY).max(self.by_usual.value / BY_USUAL)
    }
}

/// All measurements.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// The size of the measurement.
    pub plan: Plan,
    /// Microseconds of CPU time that each module adds to a usual request with a key.
    pub usual: Vec<(String, Estimate)>,
    /// The cells.
    pub rows: Vec<Row>,
}

/// The listeners: one without a filter, and one for each module under each policy.
pub(super) fn contenders(modules: &[Module], cells: &[Cell]) -> Vec<Contender> {
    let mut policies: Vec<Under> = cells.iter().map(|cell| cell.under).chain([Under::Usual]).collect();
    policies.sort_unstable();
    policies.dedup();
    let gate = |module: &Module, under: Under| {
        let name = listener(module, under);
        let filters = vec![filter(&name, &module.file, &under.policy().to_string())];
        Contender { upgrades: true, ..Contender::new(&name, Kind::Gate, filters) }
    };
    let gates = modules.iter().flat_map(|module| policies.iter().map(move |under| gate(module, *under)));
    let nothing = Contender { upgrades: true, ..Contender::new(NOTHING, Kind::Nothing, Vec::new()) };
    std::iter::once(nothing).chain(gates).collect()
}

/// The name of a module's listener under a policy.
pub(super) fn listener(module: &Module, under: Under) -> String {
    format!("{}: {}", module.name, under.name())
}

/// One request in its cells, by the indexes of their lanes.
struct Group {
    /// Without a filter: on persistent connections, and with one connection for each request if a cell needs that.
    alone: Vec<usize>,
    cells: Vec<Runner>,
}

/// A cell with one of the modules.
struct Runner {
    cell: Cell,
    module: usize,
    lane: usize,
    /// The lane that it is compared with.
    alone: usize,
}

/// Measures; `progress` gets the current step.
///
/// # Errors
/// If Envoy itself rejects a request, or a listener does not answer.
pub fn race(modules: &[Module], cells: &[Cell], plan: Plan, mut progress: impl FnMut(&str)) -> Result<Table, String> {
    let all = contenders(modules, cells);
    progress(&format!("{} cells at {} listeners", cells.len() * modules.len(), all.len()));
    // No contender here calls the authorization server.
    let stage = Stage::start(&all, ([127, 0, 0, 1], 9).into());
    crate::cpu::keep_here_on(1);
    let mut race = Race::start(modules, cells, Track::open(stage, &all, plan)?)?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut order: Vec<usize> = (0..race.groups.len()).collect();
    for round in 0..plan.rounds_above {
        if round == plan.rounds {
            order.retain(|group| race.any(*group, |row| NEAR.contains(&row.part_of_bound())));
            progress(&format!("{} of {} requests are near a bound", order.len(), race.groups.len()));
        } else if round == plan.rounds_near {
            order.retain(|group| race.any(*group, Row::is_over));
            progress(&format!("{} of {} requests are above a bound", order.len(), race.groups.len()));
        }
        if order.is_empty() {
            break;
        }
        random.shuffle(&mut order);
        race.round(&order, &mut random)?;
        progress(&format!("round {} of {}", round + 1, plan.rounds_above));
    }
    race.table(plan)
}

struct Race<'m> {
    modules: &'m [Module],
    track: Track,
    /// The lanes of the usual request: without a filter, and for each module.
    usual: Vec<usize>,
    groups: Vec<Group>,
}

impl<'m> Race<'m> {
    fn start(modules: &'m [Module], cells: &[Cell], mut track: Track) -> Result<Self, String> {
        let request = Arc::new(usual());
        let mut usual = vec![track.lane(NOTHING, &request, false)?];
        for module in modules {
            usual.push(track.lane(&listener(module, Under::Usual), &request, false)?);
        }
        let mut groups = Vec::new();
        // Cells of one request are adjacent.
        for cells in cells.chunk_by(|one, other| Arc::ptr_eq(&one.request, &other.request)) {
            let Some(first) = cells.first() else { continue };
            let alone = track.lane(NOTHING, &first.request, false)?;
            if track.status(alone) != 200 {
                return Err(format!("{}: Envoy itself answers {}", first.name(), track.status(alone)));
            }
            let mut group = Group { alone: vec![alone], cells: Vec::new() };
            for cell in cells {
                for (module, of) in modules.iter().enumerate() {
                    let lane = track.lane(&listener(of, cell.under), &cell.request, false)?;
                    // Compares like with like: for Envoy, a connection costs more than a request.
                    let alike = group.alone.iter().copied().find(|alone| track.is_last(*alone) == track.is_last(lane));
                    let alone = match alike {
                        Some(alone) => alone,
                        None => track.lane(NOTHING, &cell.request, true)?,
                    };
                    if !group.alone.contains(&alone) {
                        group.alone.push(alone);
                    }
                    group.cells.push(Runner { cell: cell.clone(), module, lane, alone });
                }
            }
            groups.push(group);
        }
        Ok(Self { modules, track, usual, groups })
    }

    /// Runs each lane of these groups once, and the usual requests in between.
    fn round(&mut self, order: &[usize], random: &mut fastrand::Rng) -> Result<(), String> {
        let mut seen = vec![Vec::new(); self.usual.len()];
        for (place, group) in order.iter().map(|group| &self.groups[*group]).enumerate() {
            if place % GROUPS == 0 {
                for (seen, lane) in seen.iter_mut().zip(&self.usual) {
                    seen.push(self.track.slice(*lane)?);
                }
            }
            let mut lanes: Vec<usize> =
                group.cells.iter().map(|runner| runner.lane).chain(group.alone.iter().copied()).collect();
            random.shuffle(&mut lanes);
            for lane in lanes {
                let slice = self.track.slice(lane)?;
                self.track.keep(lane, slice);
            }
        }
        for (mut seen, lane) in seen.into_iter().zip(&self.usual) {
            self.track.keep(*lane, median(&mut seen));
        }
        Ok(())
    }

    /// Whether this is true of a row of a group.
    fn any(&self, group: usize, test: impl Fn(&Row) -> bool) -> bool {
        self.groups[group].cells.iter().filter_map(|runner| self.row(runner)).any(|row| test(&row))
    }

    fn row(&self, runner: &Runner) -> Option<Row> {
        let Runner { cell, module, lane, alone } = runner;
        let rounds = self.track.rounds(*lane).len();
        // From the same rounds, so that drift in a round affects all of them.
        let series = |lane: usize| {
            let all = self.track.rounds(lane);
            Series::of(all.get(..rounds).unwrap_or(all))
        };
        let less = |one: f64, other: f64| one - other;
        let ratio = |one: f64, other: f64| one / other;
        let alone = series(*alone)?;
        let added = series(*lane)?.with(&alone, less);
        let usual = series(*self.usual.get(module + 1)?)?.with(&series(*self.usual.first()?)?, less);
        Some(Row {
            module: self.modules.get(*module)?.name.clone(),
            shape: cell.shape,
            length: cell.length,
            keyed: cell.keyed,
            policy: cell.under.name(),
            status: self.track.status(*lane),
            rounds,
            alone: alone.estimate(),
            added: added.estimate(),
            by_envoy: added.with(&alone, ratio).estimate(),
            by_usual: added.with(&usual, ratio).estimate(),
        })
    }

    fn table(&self, plan: Plan) -> Result<Table, String> {
        let of = |lane: usize| Series::of(self.track.rounds(lane)).ok_or("no round");
        let (bare, usuals) = self.usual.split_first().ok_or("no lane")?;
        let bare = of(*bare)?;
        let usual = self.modules.iter().zip(usuals).map(|(module, lane)| {
            Ok((module.name.clone(), of(*lane)?.with(&bare, |one, other| one - other).estimate()))
        });
        let rows = self.groups.iter().flat_map(|group| group.cells.iter().filter_map(|runner| self.row(runner)));
        Ok(Table { plan, usual: usual.collect::<Result<_, String>>()?, rows: rows.collect() })
    }
}
