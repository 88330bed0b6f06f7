//! The time of hostile requests in the core alone: natively, in this process, and in seconds. It measures the core that
//! this command was built with, without Envoy's part.
//!
//! The interpreter of the other counts is not suitable here: for short loops its cost is ten times that of V8.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use portcullis::{HeaderBlock, Host, Outcome, Policy};
use rustix::time::{ClockId, clock_gettime};

use super::policies::Under;
use super::{Cell, LENGTHS, Request, usual};

/// How long a cell is repeated.
const SPAN: Duration = Duration::from_millis(2);
/// The minimum number of repetitions, unless a single one took this long.
const LEAST: u32 = 7;
const LONG: Duration = Duration::from_millis(100);

/// The result of one cell.
#[derive(Debug)]
pub struct Timed {
    /// The cell.
    pub cell: Cell,
    /// Microseconds, the minimum of several.
    pub time: f64,
    /// The result of the request: a status, or the number of edits with which it was forwarded.
    pub outcome: String,
}

/// Microseconds of the usual request, and of each cell.
///
/// # Errors
/// If a policy is refused.
pub fn time(cells: Vec<Cell>) -> Result<(f64, Vec<Timed>), String> {
    let mut policies: BTreeMap<Under, Policy> = BTreeMap::new();
    let reference = decide(&load(Under::Usual)?, &usual(), SPAN).0;
    let mut time = |cell: Cell| {
        let policy = match policies.entry(cell.under) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(load(cell.under)?),
        };
        let (time, outcome) = decide(policy, &cell.request, SPAN);
        Ok::<_, String>(Timed { cell, time, outcome })
    };
    Ok((reference, cells.into_iter().map(&mut time).collect::<Result<_, _>>()?))
}

/// The compiled policy.
pub(super) fn load(under: Under) -> Result<Policy, String> {
    let policy = under.policy().to_string();
    let loaded = Policy::load(policy.as_bytes(), &|_: &str| None);
    Ok(loaded.map_err(|error| format!("{}: {error}", under.name()))?.policy)
}

/// A host that has a peer, and no clock.
struct Peer;

impl Host for Peer {
    fn source_address(&self) -> Option<Vec<u8>> {
        Some(b"127.0.0.1:40000".to_vec())
    }
}

/// Microseconds of a decision, the minimum of several in that time, and the result of the request.
pub(super) fn decide(policy: &Policy, request: &Request, span: Duration) -> (f64, String) {
    let block = HeaderBlock::new(&request.pairs());
    let mut least = Duration::MAX;
    let mut outcome = String::new();
    let begin = Instant::now();
    for round in 0_u32.. {
        let before = thread_time();
        let request = portcullis::Request::new(black_box(&block).headers());
        let decision = policy.decide(&request, &Peer, &mut ());
        let mut edits = 0;
        let reply = match policy.outcome(&request, &decision) {
            Outcome::Forward(all) => {
                let _ = all.try_each(|edit| {
                    black_box(edit);
                    edits += 1;
                    Ok::<_, ()>(())
                });
                None
            }
            Outcome::Reply(reply) => Some(reply.status),
        };
        let took = thread_time().saturating_sub(before);
        least = least.min(took);
        if round == 0 {
            outcome = reply.map_or(format!("+{edits}"), |status| status.to_string());
        }
        if took > LONG || (round >= LEAST && begin.elapsed() > span) {
            break;
        }
    }
    (least.as_secs_f64() * 1e6, outcome)
}

/// CPU time of this thread, independent of other load on the machine.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// A table of the shapes, the most expensive first: for each length, the most microseconds under any policy. Then the
/// most expensive cells.
pub fn lines(reference: f64, timed: &[Timed], most: usize) -> String {
    let mut text = format!("the usual request with a key: {reference:.2} us\n\n");
    let mut shapes: BTreeMap<&str, BTreeMap<Option<usize>, f64>> = BTreeMap::new();
    for one in timed {
        let worst = shapes.entry(one.cell.shape).or_default().entry(one.cell.length).or_default();
        *worst = one.time.max(*worst);
    }
    let mut shapes: Vec<_> = shapes.into_iter().collect();
    let largest = |lengths: &BTreeMap<Option<usize>, f64>| lengths.values().copied().fold(0.0, f64::max);
    shapes.sort_by(|one, other| largest(&other.1).total_cmp(&largest(&one.1)));
    let _ = writeln!(text, "us under the worst policy; by length {LENGTHS:?}, or the only one");
    for (shape, lengths) in shapes {
        let lengths = lengths.values().map(|worst| format!("{worst:>11.1}"));
        let _ = writeln!(text, "{}  {shape}", lengths.collect::<String>());
    }
    let mut sorted: Vec<&Timed> = timed.iter().collect();
    sorted.sort_by(|one, other| other.time.total_cmp(&one.time));
    let _ = writeln!(text, "\n{:>11} {:>7}  cell", "us", "outcome");
    for one in sorted.iter().take(most) {
        let _ = writeln!(text, "{:>11.1} {:>7}  {}", one.time, one.outcome, one.cell.name());
    }
    text
}
