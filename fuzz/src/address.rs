//! Which callers are local, compared with the reference.
//!
//! Input: [lines](crate::lines): `@ranges` (separated by blanks), `@mode` (`direct`, `remote_ip`, or `filter_state`),
//! `@source`, `@state`, and headers.

use portcullis::{HeaderBlock, Policy, Request};
use portcullis_models::reference::{self, address, document::Document, request};
use serde_json::json;

use crate::host::{Host, STATE};
use crate::lines::Lines;

/// One input.
///
/// # Panics
/// If the gate and the reference differ.
pub fn run(input: &[u8]) {
    let mut lines = Lines::read(input);
    lines.assume(":path", "/");
    lines.assume(":authority", "gate");
    let ranges: Vec<&str> = lines.text("@ranges").unwrap_or("localhost 10.0.0.0/8 fd00::/8").split(' ').collect();
    let client_address = match lines.text("@mode") {
        Some("remote_ip") => json!("remote_ip"),
        Some("filter_state") => json!({"filter_state": STATE}),
        _ => json!("direct"),
    };
    let document = json!({"trusted_networks": {"ranges": ranges, "client_address": client_address}});
    let loaded = Policy::load(document.to_string().as_bytes(), &|_| None);
    let well_formed = ranges.iter().all(|range| address::is_a_range(range));
    assert_eq!(loaded.is_ok(), well_formed, "{document}");
    let Ok(loaded) = loaded else { return };
    let host = Host::of(&lines);
    let block = HeaderBlock::new(&lines.headers);
    let reason = loaded.policy.decide(&Request::new(block.headers()), &host, &mut ()).reason.name();
    let document = Document::read(&document).expect("the reference reads what the gate takes");
    let request = request::Request(lines.headers.clone());
    let decisions = reference::decisions(&document, &reference::Environment::new(), &request, &host.0);
    let expected: Vec<&str> = decisions.iter().map(|decision| decision.reason).collect();
    assert!(expected.contains(&reason), "{reason} to the gate, {expected:?} to the reference");
}
