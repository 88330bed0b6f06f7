//! The interface to the host: time, randomness, peer address, filter state and mTLS identity.

use crate::value::timestamp::Timestamp;

/// The host of the gate. Each method costs a call out of the VM, so it is called only if a step needs the answer. All
/// methods default to `None`.
pub trait Host {
    /// Returns the current time; `None` without a clock.
    fn now(&self) -> Option<Timestamp> {
        None
    }

    /// Returns 16 bytes that nobody can guess; `None` without a source of them. They become the `jti` of a token.
    fn random(&self) -> Option<[u8; 16]> {
        None
    }

    /// Returns Envoy's `source.address`: `ip:port`. The port is 0 if Envoy took the address from a header.
    fn source_address(&self) -> Option<Vec<u8>> {
        None
    }

    /// Returns a filter state object that the listener recorded before the gate.
    fn filter_state(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }

    /// Returns the first URI SAN of the certificate that the peer presented in mutual TLS. Whether the certificate was
    /// verified depends on the listener.
    fn mtls_identity(&self) -> Option<Vec<u8>> {
        None
    }
}

/// A host without answers: for decisions that need only the request.
impl Host for () {}

/// A host with only a clock, or without one.
#[cfg(test)]
pub(crate) struct Clock(pub(crate) Option<Timestamp>);

#[cfg(test)]
impl Host for Clock {
    fn now(&self) -> Option<Timestamp> {
        self.0
    }
}
