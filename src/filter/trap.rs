//! A switch by which a request stops the VM, as a panic would. Only test builds have it: it is how the suites see what
//! Envoy does then. The module that is released is built without the feature, and a test holds it to that.

use crate::request::Headers;

/// The header that throws the switch; its value says when.
const SWITCH: &str = "x-portcullis-trap";

/// Before the request is decided.
pub(super) const UNDECIDED: &str = "undecided";
/// After the headers were changed.
pub(super) const MUTATED: &str = "edited";

/// Panics if the request says so.
#[expect(clippy::panic, reason = "that is what it is for")]
pub(super) fn at(place: &str, headers: Headers<'_>) {
    if headers.iter().any(|(name, value)| name == SWITCH.as_bytes() && value == place.as_bytes()) {
        panic!("the trap switch was thrown: {place}");
    }
}
