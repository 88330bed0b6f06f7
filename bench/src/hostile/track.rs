//! The infrastructure of the measurement: an Envoy, connections to each listener, and a lane for each request at a
//! listener.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hdrhistogram::Histogram;
use portcullis_tests::envoy::V4;
use portcullis_tests::http1::Client;
use portcullis_tests::net::connect;

use super::race::Plan;
use super::{Request, usual};
use crate::contender::Contender;
use crate::load::Load;
use crate::stage::Stage;

/// A request that takes more CPU time than this, in microseconds, is sent once in a slice.
const DEAR: f64 = 10_000.0;
/// The fewest requests of a slice.
const FEWEST: f64 = 4.0;

/// A stage with its lanes.
pub(super) struct Track {
    stage: Stage,
    plan: Plan,
    /// The address of each listener, and connections to it.
    doors: BTreeMap<String, (SocketAddr, Load)>,
    lanes: Vec<Lane>,
}

/// One request at one listener.
struct Lane {
    listener: String,
    request: Arc<Request>,
    status: u16,
    /// Whether each request has its own connection: Envoy closes it after a reply of 400.
    is_last: bool,
    /// Requests of a slice.
    count: usize,
    /// Microseconds of CPU time of a request, round by round.
    rounds: Vec<f64>,
}

impl Track {
    /// Connects to the listeners of these contenders.
    pub(super) fn open(stage: Stage, contenders: &[Contender], plan: Plan) -> Result<Self, String> {
        let request = usual().bytes();
        let open = |contender: &Contender| {
            let failed = |error| format!("{}: {error}", contender.name);
            let address = stage.address(contender);
            let load = Load::connect(address, plan.connections, vec![request.clone()], 200);
            let mut load = load.map_err(failed)?;
            load.run(plan.warm_up, plan.connections, &mut histogram()).map_err(failed)?;
            Ok::<_, String>((contender.name.clone(), (address, load)))
        };
        let doors = contenders.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { stage, plan, doors, lanes: Vec::new() })
    }

    /// A lane for that request, which is sent twice to find its result and its cost. It uses one connection for each
    /// request if requested, or if nothing can follow on a connection.
    pub(super) fn lane(&mut self, listener: &str, request: &Arc<Request>, is_last: bool) -> Result<usize, String> {
        let (status, is_last, cost) =
            self.try_out(listener, request, is_last).map_err(|error| failed(listener, request, &error))?;
        let count = if cost > DEAR { 1.0 } else { (self.plan.slice / cost).max(FEWEST) };
        self.lanes.push(Lane {
            listener: listener.to_owned(),
            request: Arc::clone(request),
            status,
            is_last,
            count: (count as usize).min(self.plan.requests),
            rounds: Vec::new(),
        });
        Ok(self.lanes.len() - 1)
    }

    fn try_out(&self, listener: &str, request: &Request, is_last: bool) -> io::Result<(u16, bool, f64)> {
        let &(address, _) = self.doors.get(listener).ok_or(io::ErrorKind::NotFound)?;
        let bytes = request.bytes();
        let mut client = Client::new(connect(V4, address)?);
        let first = client.send(&bytes)?;
        // Data after a request for an upgrade is not a request. After a reply of 400 Envoy closes the connection, a
        // second later and without announcing it.
        let upgrades = request.headers.iter().any(|(name, _)| name == "upgrade");
        let closes = first.status == 400 || first.header("connection").is_some_and(|value| value == "close");
        let is_last = is_last || upgrades || closes;
        if is_last {
            client = Client::new(connect(V4, address)?);
        }
        let before = self.stage.worker.time();
        let reply = client.send(&bytes)?;
        if reply.status != first.status {
            return Err(io::Error::other(format!("status {} and then {}", first.status, reply.status)));
        }
        Ok((reply.status, is_last, (self.stage.worker.time() - before) as f64 / 1_000.0))
    }

    /// Microseconds of CPU time per request, for one slice.
    pub(super) fn slice(&mut self, lane: usize) -> Result<f64, String> {
        let Lane { listener, request, count, .. } = &self.lanes[lane];
        let (listener, request, count) = (listener.clone(), Arc::clone(request), *count);
        // Not counted: another lane has used the caches.
        let unmeasured = if count == 1 { 0 } else { (count / 4).max(2) };
        let mut measure = || {
            self.run(lane, unmeasured)?;
            let before = self.stage.worker.time();
            self.run(lane, count)?;
            Ok((self.stage.worker.time() - before) as f64 / 1_000.0 / count as f64)
        };
        measure().map_err(|error| failed(&listener, &request, &error))
    }

    fn run(&mut self, lane: usize, requests: usize) -> io::Result<()> {
        let Lane { listener, request, status, is_last, .. } = &self.lanes[lane];
        let bytes = request.bytes();
        let (address, load) = self.doors.get_mut(listener).ok_or(io::ErrorKind::NotFound)?;
        if !is_last {
            load.turn_to(vec![bytes], *status);
            load.run(requests, self.plan.connections, &mut histogram())?;
            return Ok(());
        }
        for _ in 0..requests {
            let reply = Client::new(connect(V4, *address)?).send(&bytes)?;
            if reply.status != *status {
                return Err(io::Error::other(format!("status {} instead of {status}", reply.status)));
            }
        }
        Ok(())
    }

    /// Keeps the result of a round for a lane.
    pub(super) fn keep(&mut self, lane: usize, round: f64) {
        self.lanes[lane].rounds.push(round);
    }

    /// The results of a lane.
    pub(super) fn rounds(&self, lane: usize) -> &[f64] {
        &self.lanes[lane].rounds
    }

    /// Whether each request of a lane has its own connection.
    pub(super) fn is_last(&self, lane: usize) -> bool {
        self.lanes[lane].is_last
    }

    /// The status of a lane's replies.
    pub(super) fn status(&self, lane: usize) -> u16 {
        self.lanes[lane].status
    }
}

fn failed(listener: &str, request: &Request, error: &io::Error) -> String {
    let headers: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    format!("{listener}: {:.60} with {}: {error}", request.target, headers.join(", "))
}

/// This value is not read.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 10_000_000_000, 1).expect("bounds in order")
}
