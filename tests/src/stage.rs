//! An Envoy and its upstream, for suites that send individual requests.

use std::io;

use serde_json::Value;

use crate::bootstrap::{Bootstrap, Gate, Listener};
use crate::envoy::{Envoy, V4};
use crate::http1;
use crate::listener::{Kind, REASON};
use crate::message::{Reply, pairs};
use crate::net::connect;
use crate::paths;
use crate::upstream::Upstream;
use crate::wire_engine::with_access_log;

/// A running Envoy in front of a recording upstream.
#[derive(Debug)]
pub struct Stage {
    /// Envoy; declared before its upstream, so that it ends first.
    pub envoy: Envoy,
    /// The upstream.
    pub upstream: Upstream,
}

impl Stage {
    /// Starts Envoy with these listeners.
    ///
    /// # Panics
    /// If Envoy does not start.
    pub fn start(listeners: Vec<Listener>) -> Self {
        let upstream = Upstream::start();
        let envoy = Envoy::start(&bootstrap(listeners, &upstream).document());
        Self { envoy, upstream }
    }

    /// Sends a GET from 127.0.0.1 over a new connection.
    ///
    /// # Errors
    /// If the connection ends without a reply.
    pub fn get(&self, listener: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Reply> {
        self.send(listener, "GET", path, headers)
    }

    /// As [`Stage::get`], with another method.
    ///
    /// # Errors
    /// If the connection ends without a reply.
    pub fn send(&self, listener: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Reply> {
        let stream = connect(V4, self.envoy.address(listener, V4))?;
        let request = http1::request(method.as_bytes(), path.as_bytes(), b"gate.test", &pairs(headers), None);
        http1::Client::new(stream).send(&request)
    }

    /// The status of the reply to such a GET, and the reason that the gate gave; `-` if it gave none.
    ///
    /// # Panics
    /// If the connection ends without a reply.
    pub fn ask(&self, listener: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        verdict(&self.get(listener, path, headers).expect("Envoy replies"))
    }
}

/// A configuration of these listeners in front of `upstream`, with the module under test.
pub fn bootstrap(listeners: Vec<Listener>, upstream: &Upstream) -> Bootstrap {
    Bootstrap { listeners, upstream: upstream.address(), module: paths::module(), environment: Vec::new() }
}

/// A listener whose gate has the policy as JSON text, and which shows decisions.
pub fn listener(name: &str, kind: Kind, policy: &Value) -> Listener {
    Listener { name: name.to_owned(), kind, gate: Gate::Text(with_access_log(policy).to_string()), tls: None }
}

/// The status of a reply and the reason that the gate gave; `-` if it gave none.
pub fn verdict(reply: &Reply) -> (u16, String) {
    (reply.status, reply.header(REASON).unwrap_or_else(|| "-".to_owned()))
}
