//! What a decision asks Envoy for.

use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;

use crate::{Host, Timestamp};

/// Envoy, by hostcalls. Attributes: Envoy documentation, "Attributes".
pub(super) struct Envoy;

impl Host for Envoy {
    fn now(&self) -> Timestamp {
        let now = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        // Without a clock every key that ever expires has expired.
        Timestamp(now.and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(i64::MAX))
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        hostcalls::get_property(vec!["source", "address"]).ok().flatten()
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        hostcalls::get_property(vec!["filter_state", key]).ok().flatten()
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        // `connection.mtls`: the peer presented a certificate; whether the listener verified it, with a `trusted_ca` and
        // without `ACCEPT_UNTRUSTED`, no attribute tells. A boolean is one byte.
        let mtls = hostcalls::get_property(vec!["connection", "mtls"]).ok().flatten();
        if mtls.as_deref() != Some(&[1]) {
            return None;
        }
        hostcalls::get_property(vec!["connection", "uri_san_peer_certificate"]).ok().flatten()
    }
}
