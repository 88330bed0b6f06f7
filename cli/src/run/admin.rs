//! Envoy's admin interface, on a socket in the private directory or at an address: what is live, and how to stop.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::admin::Client;
use crate::render::envoy::Admin as Address;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the interface is, and where Envoy writes which address it has.
#[derive(Debug)]
pub(super) struct Admin {
    /// As it was asked for.
    pub(super) address: Address,
    /// The file that Envoy writes the address to: port 0 is any free one.
    pub(super) told: PathBuf,
}

impl Admin {
    /// Where it listens, as Envoy says.
    pub(super) fn listens(&self) -> Result<SocketAddr> {
        Ok(fs::read_to_string(&self.told)?.trim().parse()?)
    }

    /// Whether Envoy serves.
    pub(super) fn is_ready(&self) -> bool {
        self.client().is_ok_and(|client| client.text("/ready", &[], PATIENCE).is_ok())
    }

    /// A gauge or counter, where there is one.
    pub(super) fn stat(&self, name: &str) -> Option<u64> {
        let filter = format!("^{}$", name.replace('.', r"\."));
        let stats = self.client().ok()?.json("/stats", &[("format", "json"), ("filter", &filter)], PATIENCE).ok()?;
        stats.pointer("/stats/0/value")?.as_u64()
    }

    /// Where the gate's listener is.
    pub(super) fn listener(&self) -> Result<SocketAddr> {
        let listeners = self.client()?.json("/listeners", &[("format", "json")], PATIENCE)?;
        let address = listeners.pointer("/listener_statuses/0/local_address/socket_address");
        let address = address.context("Envoy has no listener")?;
        let (ip, port) = (address["address"].as_str().unwrap_or_default(), address["port_value"].as_u64());
        Ok(SocketAddr::new(ip.parse()?, u16::try_from(port.unwrap_or_default())?))
    }

    /// Has Envoy do something.
    pub(super) fn post(&self, page: &str) -> Result<()> {
        self.client()?.post(page, PATIENCE)
    }

    fn client(&self) -> Result<Client> {
        Ok(match &self.address {
            Address::Socket(file) => Client::Socket(file.clone()),
            Address::Address(_) => Client::Url(format!("http://{}", self.listens()?)),
        })
    }
}
