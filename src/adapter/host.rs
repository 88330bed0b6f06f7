//! What a decision asks Envoy for.

use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;

use crate::{Host, Timestamp};

/// Envoy, by hostcalls. Attributes: Envoy documentation, "Attributes".
pub(super) struct Envoy;

impl Host for Envoy {
    fn now(&self) -> Option<Timestamp> {
        let since = hostcalls::get_current_time().ok()?.duration_since(UNIX_EPOCH).ok()?;
        // 0 is what a host without a clock leaves, and it would be before every `expires`.
        i64::try_from(since.as_secs()).ok().filter(|seconds| *seconds != 0).map(Timestamp)
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
