//! Requests that run in the background of a test, one after the other on one connection, and their outcomes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::envoy::V4;
use crate::http1;
use crate::net::connect;

/// A client that sends requests until it is stopped or dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    client: Option<JoinHandle<Tally>>,
}

/// The outcomes of the requests of a [`Load`].
#[derive(Debug, Default)]
pub struct Tally {
    /// The number of replies with each status.
    pub statuses: BTreeMap<u16, u64>,
    /// The number of requests without a reply.
    pub lost: u64,
}

impl Load {
    /// Starts sending requests to `address` with these headers. When a connection ends, it opens a new one.
    pub fn begin(address: SocketAddr, headers: &[(&str, &str)]) -> Self {
        let (stop, request) = (Arc::new(AtomicBool::new(false)), http1::get("/v2/models", headers));
        let stopped = Arc::clone(&stop);
        let client = thread::spawn(move || {
            let mut tally = Tally::default();
            let mut connection = None;
            while !stopped.load(Ordering::Relaxed) {
                let reply = match connection.take() {
                    Some(client) => Ok(client),
                    None => connect(V4, address).map(http1::Client::new),
                }
                .and_then(|mut client| client.send(&request).map(|reply| (client, reply)));
                match reply {
                    Ok((client, reply)) => {
                        *tally.statuses.entry(reply.status).or_default() += 1;
                        connection = (reply.header("connection").as_deref() != Some("close")).then_some(client);
                    }
                    Err(_) => tally.lost += 1,
                }
            }
            tally
        });
        Self { stop, client: Some(client) }
    }

    /// Stops it.
    ///
    /// # Panics
    /// If the client has panicked.
    pub fn end(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let client = self.client.take().expect("it has not ended before");
        client.join().expect("the client does not panic")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(client) = self.client.take() {
            let _ = client.join();
        }
    }
}

impl Tally {
    /// The number of replies with `status`.
    pub fn of(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// Whether every request got a reply with one of these statuses.
    pub fn is_only(&self, statuses: &[u16]) -> bool {
        self.lost == 0 && self.statuses.keys().all(|status| statuses.contains(status))
    }
}
