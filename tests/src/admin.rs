//! Envoy's admin interface: readiness, ports, statistics.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::http1::{Client, get};
use crate::message::Reply;
use crate::net::connect;

/// Asks one Envoy's admin interface.
#[derive(Debug, Clone, Copy)]
pub struct Admin {
    address: SocketAddr,
}

impl Admin {
    /// The interface at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where the interface is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether all listeners of the start are up and serving.
    pub fn ready(&self) -> bool {
        self.get("/ready").is_ok_and(|reply| reply.status == 200)
    }

    /// The addresses of each listener by its name.
    ///
    /// # Errors
    /// An interface that does not answer, or not with JSON.
    pub fn listeners(&self) -> io::Result<BTreeMap<String, Vec<SocketAddr>>> {
        let body: Value = serde_json::from_slice(&self.get("/listeners?format=json")?.body)?;
        let mut found = BTreeMap::new();
        for listener in body["listener_statuses"].as_array().into_iter().flatten() {
            let more = listener["additional_local_addresses"].as_array().into_iter().flatten();
            let all = std::iter::once(&listener["local_address"]).chain(more).filter_map(address).collect();
            found.insert(listener["name"].as_str().unwrap_or_default().to_owned(), all);
        }
        Ok(found)
    }

    /// All counters and gauges whose name contains `part`.
    ///
    /// # Errors
    /// An interface that does not answer.
    pub fn stats(&self, part: &str) -> io::Result<BTreeMap<String, u64>> {
        let body = self.get("/stats")?.body;
        let text = String::from_utf8_lossy(&body);
        let numbers = text.lines().filter_map(|line| line.rsplit_once(": "));
        let wanted = numbers.filter(|(name, _)| name.contains(part));
        Ok(wanted.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect())
    }

    /// The counter or gauge of that name, if there is one.
    ///
    /// # Panics
    /// If the interface does not answer.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.stats(name).expect("the admin interface answers").get(name).copied()
    }

    /// The reply to a GET of `path`.
    ///
    /// # Errors
    /// An interface that does not answer.
    pub fn get(&self, path: &str) -> io::Result<Reply> {
        Client::new(connect(self.address.ip(), self.address)?).send(&get(path, &[("connection", "close")]))
    }
}

fn address(value: &Value) -> Option<SocketAddr> {
    let socket = &value["socket_address"];
    let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
    let address: std::net::IpAddr = socket["address"].as_str()?.parse().ok()?;
    // Clients of a dual-stack socket connect over IPv4.
    Some(SocketAddr::new(address.to_canonical(), port))
}
