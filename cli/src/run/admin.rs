//! Envoy's admin interface, on a socket in the private directory or at an address: reads statistics, and stops Envoy.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::admin::Client;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The location of the interface.
#[derive(Debug)]
pub(super) struct Admin {
    /// Its socket, if it has one.
    pub(super) socket: Option<PathBuf>,
    /// The file to which Envoy writes its address, since port 0 means any free port.
    pub(super) address_file: PathBuf,
}

impl Admin {
    /// The address at which it listens.
    pub(super) fn listens(&self) -> Result<SocketAddr> {
        Ok(fs::read_to_string(&self.address_file)?.trim().parse()?)
    }

    /// Whether Envoy is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.client().is_ok_and(|client| client.text("/ready", &[], PATIENCE).is_ok())
    }

    /// The value of a gauge or counter, if it exists.
    pub(super) fn stat(&self, name: &str) -> Option<u64> {
        let found = self.stats(&format!("^{}$", name.replace('.', r"\."))).ok()?;
        found.first().map(|(_, value)| *value)
    }

    /// The number of active requests, not counting this one.
    pub(super) fn active_requests(&self) -> Result<u64> {
        let found = self.stats(r"^http\..*\.downstream_rq_active$")?;
        Ok(found.iter().filter(|(name, _)| !name.starts_with("http.admin.")).map(|(_, value)| value).sum())
    }

    /// The gauges and counters whose name matches a regular expression.
    fn stats(&self, filter: &str) -> Result<Vec<(String, u64)>> {
        let stats = self.client()?.json("/stats", &[("format", "json"), ("filter", filter)], PATIENCE)?;
        let all = stats["stats"].as_array().context("Envoy has no statistics")?;
        Ok(all.iter().filter_map(|one| Some((one["name"].as_str()?.to_owned(), one["value"].as_u64()?))).collect())
    }

    /// The listeners that have an address, by name. The port is 0 until the listener is open.
    pub(super) fn listeners(&self) -> Result<Vec<(String, SocketAddr)>> {
        let listeners = self.client()?.json("/listeners", &[("format", "json")], PATIENCE)?;
        let listeners = listeners["listener_statuses"].as_array().context("Envoy has no listener")?;
        let address = |listener: &Value| {
            let address = listener.pointer("/local_address/socket_address")?;
            let port = address["port_value"].as_u64().unwrap_or_default();
            let address = SocketAddr::new(address["address"].as_str()?.parse().ok()?, u16::try_from(port).ok()?);
            Some((listener["name"].as_str()?.to_owned(), address))
        };
        Ok(listeners.iter().filter_map(address).collect())
    }

    /// Sends a POST request to a page.
    pub(super) fn post(&self, page: &str) -> Result<()> {
        self.client()?.post(page, PATIENCE)
    }

    fn client(&self) -> Result<Client> {
        Ok(match &self.socket {
            Some(file) => Client::Socket(file.clone()),
            None => Client::Url(format!("http://{}", self.listens()?)),
        })
    }
}
