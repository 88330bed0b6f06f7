//! The measurement: rounds, each with every contender once, in a different order. So drift of the machine affects all
//! of them.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::contender::Contender;
use crate::load::Load;
use crate::stage::Stage;
use crate::statistics::median;

/// How often the baseline is measured in a round.
const BASELINES: usize = 3;

/// The size of a measurement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Requests of each contender in a round.
    pub requests: usize,
    /// Requests of each contender before the first round: V8 optimizes frequently used code.
    pub warm_up: usize,
    /// Connections.
    pub connections: usize,
    /// Requests of each contender in a round on one connection, for the latency of single requests.
    pub alone: usize,
}

impl Plan {
    /// Accurate to about half a microsecond on a busy virtual machine.
    pub const FULL: Self = Self { rounds: 200, requests: 500, warm_up: 20_000, connections: 8, alone: 60 };
    /// In under two minutes.
    pub const QUICK: Self = Self { rounds: 45, requests: 500, warm_up: 10_000, connections: 8, alone: 40 };
}

/// The measurements of one contender.
#[derive(Debug)]
pub struct Run {
    /// Processor time of Envoy's worker for each request, in microseconds, round by round.
    pub cpu: Vec<f64>,
    /// Requests a second, round by round.
    pub throughput: Vec<f64>,
    /// Time from request to reply with all connections busy, in nanoseconds.
    pub busy: Histogram<u64>,
    /// Time from request to reply of one request at a time, in nanoseconds.
    pub alone: Histogram<u64>,
}

/// Runs the rounds; `progress` gets the number of finished ones. The results are in the order of the contenders.
///
/// # Errors
/// If a contender does not answer as expected, with its name.
pub fn race(
    stage: &Stage,
    contenders: &[Contender],
    plan: Plan,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Run>, String> {
    let mut lanes = Vec::with_capacity(contenders.len());
    for contender in contenders {
        let address = stage.address(contender);
        contender.check(address)?;
        let failed = |error| format!("{}: {error}", contender.name);
        let mut load =
            Load::connect(address, plan.connections, contender.requests(), contender.status()).map_err(failed)?;
        load.run(plan.warm_up, plan.connections, &mut histogram()).map_err(failed)?;
        let run = Run { cpu: Vec::new(), throughput: Vec::new(), busy: histogram(), alone: histogram() };
        lanes.push((load, run));
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut order: Vec<usize> = (0..lanes.len()).collect();
    // Every figure is a difference to the baseline, so the baseline is measured several times in each round.
    let is_baseline = |place: usize| contenders[place].baseline == contenders[place].name;
    let baselines = order.iter().copied().filter(|place| is_baseline(*place)).collect::<Vec<_>>();
    order.extend((1..BASELINES).flat_map(|_| baselines.clone()));
    for round in 0..plan.rounds {
        random.shuffle(&mut order);
        let mut slices = vec![Vec::new(); lanes.len()];
        for &place in &order {
            let (load, run) = &mut lanes[place];
            let slice = measure(stage, load, run, plan);
            slices[place].push(slice.map_err(|error| format!("{}: {error}", contenders[place].name))?);
        }
        for ((_, run), slices) in lanes.iter_mut().zip(slices) {
            run.cpu.push(median(&mut slices.iter().map(|slice| slice.0).collect::<Vec<_>>()));
            run.throughput.push(median(&mut slices.iter().map(|slice| slice.1).collect::<Vec<_>>()));
        }
        progress(round + 1);
    }
    Ok(lanes.into_iter().map(|(_, run)| run).collect())
}

/// Microseconds of CPU time per request, and requests per second.
fn measure(stage: &Stage, load: &mut Load, run: &mut Run, plan: Plan) -> std::io::Result<(f64, f64)> {
    // Not counted: another contender has used the caches, and the host of a virtual machine may have reclaimed idle
    // memory (touching a page again took 10 to 70 microseconds). So each request is sent at least once.
    let unmeasured = (plan.requests / 5).max(load.requests());
    load.run(unmeasured, plan.connections, &mut histogram())?;
    let before = stage.worker.time();
    let took = load.run(plan.requests, plan.connections, &mut run.busy)?;
    let spent = stage.worker.time() - before;
    load.run(plan.alone, 1, &mut run.alone)?;
    let requests = plan.requests as f64;
    Ok((spent as f64 / 1_000.0 / requests, requests / took.as_secs_f64()))
}

/// From 1 microsecond to 10 seconds, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 10_000_000_000, 3).expect("bounds in order")
}
