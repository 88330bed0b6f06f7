//! The comparison of paths, compared with models of backends: a path that the gate calls public must be public in each
//! model, and a path that any model finds restricted must be restricted by the gate.
//!
//! Input: a request target.

use std::sync::LazyLock;

use portcullis::{HeaderBlock, Policy, Request};
use portcullis_models::backends::{self, BY_OTHER_NAMES, GUEST, MODELS, is_public, is_restricted};
use serde_json::json;

use crate::host::Host;
use crate::lines::Lines;

static BY_PUBLIC_PATHS: LazyLock<Policy> = LazyLock::new(|| load(&backends::policy()));

/// The opposite policy: what a model finds restricted is protected, and everything else is public.
static BY_PROTECTED_PATHS: LazyLock<Policy> =
    LazyLock::new(|| load(&json!({"protected_paths": ["/admin/**", "/v/{item}/p"]})));

fn load(document: &serde_json::Value) -> Policy {
    Policy::load(document.to_string().as_bytes(), &|_| None).expect("the policy stands").policy
}

/// One input.
///
/// # Panics
/// On a finding.
pub fn run(target: &[u8]) {
    let target = if target.first() == Some(&b'/') { target.to_vec() } else { [b"/", target].concat() };
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (public, unprotected) = (decide(&BY_PUBLIC_PATHS, &target, None), decide(&BY_PROTECTED_PATHS, &target, None));
    let guest = decide(&BY_PUBLIC_PATHS, &target, Some(GUEST));
    for (models, says_what_is_public) in [(&MODELS[..], true), (&BY_OTHER_NAMES[..], false)] {
        for (name, model) in models {
            let Some(resource) = model(path) else { continue };
            let shown = || format!("{} is {resource} to {name}", target.escape_ascii());
            let is_public = !says_what_is_public || is_public(&resource);
            assert!(public != "public_path" || is_public, "public, and {}", shown());
            if is_restricted(&resource) {
                assert!(unprotected != "public_path", "unprotected, and {}", shown());
                assert!(matches!(guest, "missing_role" | "bad_request_target"), "{guest}, and {}", shown());
            }
        }
    }
}

fn decide(policy: &Policy, target: &[u8], key: Option<&str>) -> &'static str {
    let mut headers = vec![(":method", &b"GET"[..]), (":authority", b"gate"), (":path", target)];
    headers.extend(key.map(|key| ("x-api-key", key.as_bytes())));
    policy
        .decide(&Request::new(HeaderBlock::new(&headers).headers()), &Host::of(&Lines::default()), &mut ())
        .reason
        .name()
}
