//! Envoy as the host of a decision: its clock and its attributes.

use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls::{get_current_time, get_property};

use crate::decision::Host;
use crate::value::Timestamp;

/// The host Envoy, called by hostcalls. The attributes are in Envoy's documentation, "Attributes".
pub(super) struct Envoy;

fn attribute(path: Vec<&str>) -> Option<Vec<u8>> {
    get_property(path).ok().flatten()
}

impl Host for Envoy {
    fn now(&self) -> Option<Timestamp> {
        let since = get_current_time().ok()?.duration_since(UNIX_EPOCH).ok()?;
        // A host without a clock returns 0, which would be before every `expires`.
        i64::try_from(since.as_secs()).ok().filter(|seconds| *seconds != 0).map(Timestamp)
    }

    fn random(&self) -> Option<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok().map(|()| bytes)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        attribute(vec!["source", "address"])
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        attribute(vec!["filter_state", key])
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        // `connection.mtls` means that the peer presented a certificate. No attribute tells whether the listener verified
        // it, with a `trusted_ca` and without `ACCEPT_UNTRUSTED`. A boolean is one byte.
        if attribute(vec!["connection", "mtls"])? != [1] {
            return None;
        }
        attribute(vec!["connection", "uri_san_peer_certificate"])
    }
}
