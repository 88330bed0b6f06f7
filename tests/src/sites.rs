//! The [backends](crate::backends) as sites, each one set-up of a backend, and clients for them.

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
    /// Its address.
    pub address: Address,
    /// Its speed.
    pub pace: Pace,
    /// On how many paths it must find a restricted place under another name; with fewer, a suite would prove little.
    pub fewest: usize,
}

/// How many requests a site can answer in the time of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All.
    Quick,
    /// A part of the random paths.
    Slow,
}

/// The address of a site.
#[derive(Debug, Clone)]
pub enum Address {
    /// A Unix domain socket.
    Socket(PathBuf),
    /// A TCP port.
    Port(SocketAddr),
}

impl Site {
    /// The host name in requests.
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

    /// Whether it answers a request for a public resource with that resource.
    pub fn serves(&self) -> bool {
        self.dial().is_ok_and(|stream| {
            let reply = http1::Client::new(stream).send(&http1::get("/pub/x", &[]));
            reply.is_ok_and(|reply| reply.status == 200)
        })
    }

    /// Connects to the site.
    ///
    /// # Errors
    /// If nothing listens there.
    pub fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match &self.address {
            Address::Port(address) => Ok(Box::new(connect(V4, *address)?)),
            Address::Socket(path) => Ok(Box::new(connect_unix(path)?)),
        }
    }
}

/// A connection of any kind.
pub trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Requests over a connection that is reopened if the other side has closed it.
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
    /// A dialogue over connections that `dial` opens.
    pub fn new(dial: D) -> Self {
        Self { dial, client: None }
    }

    /// Sends a request and reads the reply to it.
    ///
    /// # Errors
    /// If a new connection ends without a reply.
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

/// The resource in a site's reply.
pub fn resource(reply: &Reply) -> Option<String> {
    (reply.status == 200).then(|| String::from_utf8_lossy(&reply.body).into_owned())
}
