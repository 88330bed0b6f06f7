//! A switch with which a request can stop the VM, as a panic would. The suites use it to test how Envoy reacts. Only test
//! builds have it: the released module is built without the feature, and a test checks this.

use crate::request::Headers;

/// The header that triggers the switch. Its value is `UNDECIDED` or `MUTATED`.
const SWITCH: &str = "x-portcullis-trap";

/// Panics before the decision.
pub(super) const UNDECIDED: &str = "undecided";
/// Panics after the header mutations.
pub(super) const MUTATED: &str = "edited";

/// Panics if the request has the header with this value.
#[expect(clippy::panic, reason = "that is what it is for")]
pub(super) fn at(place: &str, headers: Headers<'_>) {
    if headers.iter().any(|(name, value)| name == SWITCH.as_bytes() && value == place.as_bytes()) {
        panic!("the trap switch was thrown: {place}");
    }
}
