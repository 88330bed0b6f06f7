//! What a decision asks its host for.

use crate::value::timestamp::Timestamp;

/// The host of the gate. Each question costs a call out of the VM, so it is asked only when a step needs the answer.
pub trait Host {
    /// Bytes as the host sends them.
    type Bytes: AsRef<[u8]>;
    /// The time now; `None` without a clock.
    fn now(&self) -> Option<Timestamp>;
    /// Envoy's `source.address`: `ip:port`, with port 0 where it comes from a header.
    fn source_address(&self) -> Option<Self::Bytes>;
    /// A filter state object that the listener recorded before the gate.
    fn filter_state(&self, key: &str) -> Option<Self::Bytes>;
    /// The first URI SAN of the certificate that the peer presented in mutual TLS. Whether it was verified depends on the
    /// listener.
    fn mtls_identity(&self) -> Option<Self::Bytes>;
}

/// A host that knows nothing: for what the request alone decides.
impl Host for () {
    type Bytes = [u8; 0];

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn source_address(&self) -> Option<Self::Bytes> {
        None
    }

    fn filter_state(&self, _: &str) -> Option<Self::Bytes> {
        None
    }

    fn mtls_identity(&self) -> Option<Self::Bytes> {
        None
    }
}

/// The host of unit tests: it knows the time, if that.
#[cfg(test)]
pub(crate) struct Clock(pub(crate) Option<Timestamp>);

#[cfg(test)]
impl Host for Clock {
    type Bytes = [u8; 0];

    fn now(&self) -> Option<Timestamp> {
        self.0
    }

    fn source_address(&self) -> Option<Self::Bytes> {
        None
    }

    fn filter_state(&self, _: &str) -> Option<Self::Bytes> {
        None
    }

    fn mtls_identity(&self) -> Option<Self::Bytes> {
        None
    }
}
