//! The results as numbers: what each contender adds, and its ratio to others of the same round.

use serde::Serialize;

use crate::contender::{Contender, Kind};
use crate::race::Run;
use crate::statistics::{Estimate, Series};

/// The cost of one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Microseconds of CPU time per request, in total.
    pub total: Estimate,
    /// Microseconds of CPU time per request above the baseline.
    pub added: Estimate,
    /// The ratio of the added time to that of the Lua contender that does the same.
    pub to_lua: Option<Estimate>,
    /// The ratio of the added time to that of the hand-written module with the same hostcalls.
    pub to_floor: Option<Estimate>,
    /// Requests per second.
    pub throughput: Estimate,
    /// Microseconds from request to reply, one request at a time: p50, p90, p99, p99.9.
    pub alone: [f64; 4],
    /// The same with all connections busy.
    pub busy: [f64; 4],
}

/// The rows, in the order of the contenders. The baseline of each is among them.
pub fn rows(contenders: &[Contender], runs: &[Run]) -> Vec<Row> {
    let totals: Vec<Series> = runs.iter().filter_map(|run| Series::of(&run.cpu)).collect();
    let place = |name: &str| contenders.iter().position(|contender| contender.name == name);
    let baseline = |contender: &Contender| totals.get(place(contender.baseline)?);
    let added: Vec<Series> = contenders
        .iter()
        .zip(&totals)
        .filter_map(|(contender, total)| Some(total.with(baseline(contender)?, |one, other| one - other)))
        .collect();
    let row = |(number, (contender, run)): (usize, (&Contender, &Run))| {
        let ratio = |other: Option<&str>| {
            let other = added.get(place(other?)?)?;
            Some(added.get(number)?.with(other, |one, other| one / other).estimate())
        };
        Some(Row {
            name: contender.name.clone(),
            kind: contender.kind,
            total: totals.get(number)?.estimate(),
            added: added.get(number)?.estimate(),
            to_lua: ratio(contender.lua),
            to_floor: ratio(contender.floor.as_deref()),
            throughput: Series::of(&run.throughput)?.estimate(),
            alone: percentiles(&run.alone),
            busy: percentiles(&run.busy),
        })
    };
    contenders.iter().zip(runs).enumerate().filter_map(row).collect()
}

fn percentiles(times: &hdrhistogram::Histogram<u64>) -> [f64; 4] {
    [0.5, 0.9, 0.99, 0.999].map(|part| times.value_at_quantile(part) as f64 / 1_000.0)
}
