//! What a decision asks Envoy for.

use portcullis_abi as abi;

use crate::{Host, Timestamp};

/// Envoy, by hostcalls. Attributes: Envoy documentation, "Attributes".
pub(super) struct Envoy;

impl Host for Envoy {
    type Bytes = abi::Handed;

    fn now(&self) -> Option<Timestamp> {
        let seconds = abi::current_time_nanoseconds().ok()? / 1_000_000_000;
        // 0 is what a host without a clock leaves, and it would be before every `expires`.
        i64::try_from(seconds).ok().filter(|seconds| *seconds != 0).map(Timestamp)
    }

    fn source_address(&self) -> Option<Self::Bytes> {
        abi::property(b"source\0address").ok()
    }

    fn filter_state(&self, key: &str) -> Option<Self::Bytes> {
        abi::property(&[b"filter_state\0", key.as_bytes()].concat()).ok()
    }

    fn mtls_identity(&self) -> Option<Self::Bytes> {
        // `connection.mtls`: the peer presented a certificate; whether the listener verified it, with a `trusted_ca` and
        // without `ACCEPT_UNTRUSTED`, no attribute tells. A boolean is one byte.
        let mtls = abi::property(b"connection\0mtls").ok()?;
        if *mtls != [1] {
            return None;
        }
        abi::property(b"connection\0uri_san_peer_certificate").ok()
    }
}
