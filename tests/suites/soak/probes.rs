//! Connections to each worker, to check that each update takes effect.

use std::collections::BTreeMap;
use std::net::TcpStream;

use portcullis_tests::envoy::V4;
use portcullis_tests::fleet::Fleet;
use portcullis_tests::net::connect;
use portcullis_tests::stage::verdict;
use portcullis_tests::{http1, poll};

use crate::policies::{STEADY, key};
use crate::{GATE, WORKERS};

/// The connections, and how many requests were decided on them, by reason.
pub(crate) struct Probes {
    connections: Vec<http1::Client<TcpStream>>,
    pub(crate) reasons: BTreeMap<String, u64>,
}

impl Probes {
    /// Connects; Envoy distributes connections evenly.
    pub(crate) fn begin(fleet: &Fleet) -> Self {
        let connection = |_| http1::Client::new(connect(V4, fleet.address(GATE)).expect("Envoy listens"));
        let mut probes = Self { connections: (0..2 * WORKERS).map(connection).collect(), reasons: BTreeMap::new() };
        for place in 0..probes.connections.len() {
            probes.ask(place, STEADY);
        }
        let stats = fleet.stage.envoy.admin().stats(".worker_").expect("the admin interface answers");
        for worker in 0..WORKERS {
            let end = format!(".worker_{worker}.downstream_cx_total");
            let of_it = stats.iter().filter(|(name, _)| name.starts_with("listener.") && name.ends_with(&end));
            assert!(of_it.map(|(_, count)| count).sum::<u64>() > 0, "worker {worker} has no connection: {stats:?}");
        }
        probes
    }

    fn ask(&mut self, place: usize, key: &str) -> u16 {
        let request = http1::get("/v2/models", &[("x-api-key", key)]);
        let (status, reason) = verdict(&self.connections[place].send(&request).expect("Envoy replies"));
        *self.reasons.entry(reason).or_default() += 1;
        status
    }

    /// Waits until the key of that policy works on every worker, and checks that the key of the previous policy then no
    /// longer works.
    pub(crate) fn see(&mut self, number: usize) {
        for place in 0..self.connections.len() {
            poll::until("the new key works", || (self.ask(place, &key(number)) == 200).then_some(()));
            assert_eq!(self.ask(place, &key(number - 1)), 401, "the revoked key, after update {number}");
        }
    }

    /// Checks that this policy is active on every worker, and the next one is not.
    pub(crate) fn see_still(&mut self, number: usize) {
        for place in 0..self.connections.len() {
            let statuses = [number, number + 1].map(|number| self.ask(place, &key(number)));
            assert_eq!(statuses, [200, 401], "policy {number} serves, and not the one that was refused");
        }
    }
}
