//! What the [backends](crate::backends) serve: sites, each a way to set a backend up, and how to talk to them.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::envoy::V4;
use crate::http1;
use crate::message::Reply;
use crate::net::{connect, connect_unix};

/// One way to set up a backend.
#[derive(Debug, Clone)]
pub struct Site {
    /// The name, which begins with the backend's.
    pub name: &'static str,
    /// Where it listens.
    pub address: Address,
    /// How quick it is.
    pub pace: Pace,
    /// On how many paths it must find something restricted under another name than its own, or a suite proves little.
    pub fewest: usize,
}

/// How much may be asked of a site in the time that a suite has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All.
    Quick,
    /// A part of what chance makes.
    Slow,
}

/// Where a site listens.
#[derive(Debug, Clone)]
pub enum Address {
    /// A Unix domain socket.
    Socket(PathBuf),
    /// A TCP port.
    Port(SocketAddr),
}

impl Site {
    /// The name of the host, in requests.
    pub fn host(&self) -> String {
        format!("{}.test", self.name)
    }

    /// The port that it listens on.
    ///
    /// # Panics
    /// If it is on a Unix domain socket.
    pub fn port(&self) -> u16 {
        match &self.address {
            Address::Port(address) => address.port(),
            Address::Socket(path) => panic!("{} is on {}", self.name, path.display()),
        }
    }

    /// Whether it answers a request for something public with it.
    pub fn serves(&self) -> bool {
        self.dial().is_ok_and(|stream| {
            let reply = http1::Client::new(stream).send(&http1::get("/pub/x", &[]));
            reply.is_ok_and(|reply| reply.status == 200)
        })
    }

    /// Connects to the site.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match &self.address {
            Address::Port(address) => Ok(Box::new(connect(V4, *address)?)),
            Address::Socket(path) => Ok(Box::new(connect_unix(path)?)),
        }
    }
}

/// A connection of whatever kind.
pub trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Requests over a connection that is made anew where the other side has closed it.
pub struct Dialogue<D> {
    dial: D,
    client: Option<http1::Client<Box<dyn Stream>>>,
}

impl<D> fmt::Debug for Dialogue<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dialogue").field("connected", &self.client.is_some()).finish_non_exhaustive()
    }
}

impl<D: Fn() -> io::Result<Box<dyn Stream>>> Dialogue<D> {
    /// A dialogue over connections that `dial` makes.
    pub fn new(dial: D) -> Self {
        Self { dial, client: None }
    }

    /// Sends a request and reads the reply to it.
    ///
    /// # Errors
    /// A new connection that ends without a reply.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        if let Some(mut client) = self.client.take()
            && let Ok(reply) = client.send(request)
        {
            self.keep(client, &reply);
            return Ok(reply);
        }
        let mut client = http1::Client::new((self.dial)()?);
        let reply = client.send(request)?;
        self.keep(client, &reply);
        Ok(reply)
    }

    fn keep(&mut self, client: http1::Client<Box<dyn Stream>>, reply: &Reply) {
        let closing = reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.client = (!closing).then_some(client);
    }
}

/// The resource that a reply of a site names.
pub fn resource(reply: &Reply) -> Option<String> {
    (reply.status == 200).then(|| String::from_utf8_lossy(&reply.body).into_owned())
}
