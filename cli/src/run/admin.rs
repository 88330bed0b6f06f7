//! Envoy's admin interface, on a socket in the private directory or at an address: what is live, and how to stop.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

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
        self.ask("GET", "/ready").is_ok()
    }

    /// A gauge or counter, where there is one.
    pub(super) fn stat(&self, name: &str) -> Option<u64> {
        let filter: String = name.split('.').collect::<Vec<_>>().join("%5C.");
        let stats = self.ask("GET", &format!("/stats?filter=^{filter}$")).ok()?;
        stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.trim().parse().ok())
    }

    /// Where the gate's listener is.
    pub(super) fn listener(&self) -> Result<SocketAddr> {
        let listeners: Value = serde_json::from_str(&self.ask("GET", "/listeners?format=json")?)?;
        let address = listeners.pointer("/listener_statuses/0/local_address/socket_address");
        let address = address.context("Envoy has no listener")?;
        let (ip, port) = (address["address"].as_str().unwrap_or_default(), address["port_value"].as_u64());
        Ok(SocketAddr::new(ip.parse()?, u16::try_from(port.unwrap_or_default())?))
    }

    /// Has Envoy do something.
    pub(super) fn post(&self, page: &str) -> Result<()> {
        self.ask("POST", page).map(drop)
    }

    fn ask(&self, method: &str, page: &str) -> Result<String> {
        match &self.address {
            Address::Socket(file) => {
                let stream = UnixStream::connect(file)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, method, page)
            }
            Address::Address(_) => {
                let stream = TcpStream::connect_timeout(&self.listens()?, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, method, page)
            }
        }
    }
}

fn exchange(mut stream: impl Read + Write, method: &str, page: &str) -> Result<String> {
    let request =
        format!("{method} {page} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").context("Envoy's admin interface ended early")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("Envoy's admin interface says {}", head.lines().next().unwrap_or_default());
    }
    let chunked = head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    if chunked { unchunked(body) } else { Ok(body.to_owned()) }
}

/// Chunks put together (RFC 9112, section 7.1).
fn unchunked(mut body: &str) -> Result<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").context("a chunk without its size")?;
        let size = usize::from_str_radix(size.trim(), 16)?;
        if size == 0 {
            return Ok(whole);
        }
        let (chunk, rest) = rest.split_at_checked(size).context("a chunk that ends early")?;
        whole.push_str(chunk);
        body = rest.strip_prefix("\r\n").context("a chunk without its end")?;
    }
}
