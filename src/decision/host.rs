//! What a decision asks its host for.

use crate::value::timestamp::Timestamp;

/// The host of the gate. Each question costs a call out of the VM, so it is asked only when a step needs the answer. A host
/// that implements no question knows nothing.
pub trait Host {
    /// The time now; `None` without a clock.
    fn now(&self) -> Option<Timestamp> {
        None
    }

    /// Envoy's `source.address`: `ip:port`, with port 0 where it comes from a header.
    fn source_address(&self) -> Option<Vec<u8>> {
        None
    }

    /// A filter state object that the listener recorded before the gate.
    fn filter_state(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }

    /// The first URI SAN of the certificate that the peer presented in mutual TLS. Whether it was verified depends on the
    /// listener.
    fn mtls_identity(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Knows nothing: for what the request alone decides.
impl Host for () {}

/// A host that knows the time, if that.
#[cfg(test)]
pub(crate) struct Clock(pub(crate) Option<Timestamp>);

#[cfg(test)]
impl Host for Clock {
    fn now(&self) -> Option<Timestamp> {
        self.0
    }
}
