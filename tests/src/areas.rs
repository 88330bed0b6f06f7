//! The gate and the words of a path, for the suites that compare its interpretation of paths with that of backends.

use portcullis::{HeaderBlock, Policy, Request};
pub use portcullis_models::backends::{ADMIN, GUEST, is_public, is_restricted, policy as document};
use serde_json::{Value, json};

/// Strings that backends may interpret in several ways, and words to put between them. A slash is the most frequent.
pub const WORDS: [&str; 54] = [
    "pub",
    "docs",
    "admin",
    "ADMIN",
    "v",
    "p",
    "x",
    "a",
    "/",
    "/",
    "/",
    "//",
    ".",
    "..",
    ";",
    ";a=b",
    "\\",
    "%2f",
    "%2F",
    "%2e",
    "%2E%2e",
    "%5c",
    "%3b",
    "%25",
    "%252f",
    "%252e%252e",
    "%253b",
    "%00",
    "%20",
    "%09",
    "%61",
    "%2561",
    "%41",
    "%",
    "%zz",
    "%3f",
    "%23",
    "%c3%a9",
    "%c0%ae",
    "%ff",
    "...",
    "+",
    "~",
    ":",
    "index.php",
    "index.html",
    ".php/",
    ".json",
    "%2fh",
    "(S(x))",
    "::$DATA",
    "~1",
    "_next/data/x/",
    "__data.json",
];

/// The policy.
///
/// # Panics
/// If the gate refuses it.
pub fn policy() -> Policy {
    load(&document())
}

/// The opposite policy: restricted places are protected, and all others are public.
///
/// # Panics
/// If the gate refuses it.
pub fn protecting() -> Policy {
    load(&json!({"protected_paths": ["/admin/**", "/v/{item}/p"]}))
}

fn load(document: &Value) -> Policy {
    Policy::load(document.to_string().as_bytes(), &|_| None).expect("the policy stands").policy
}

/// The gate's decision about a GET of the path.
pub fn decide(policy: &Policy, path: &str, key: Option<&str>) -> &'static str {
    decide_with(policy, path, None, key)
}

/// As [`decide`], for a request with a header, whose name may be in any case.
pub fn decide_with(policy: &Policy, path: &str, header: Option<(&str, &str)>, key: Option<&str>) -> &'static str {
    let name = header.map(|(name, _)| name.to_ascii_lowercase()).unwrap_or_default();
    let mut headers = vec![(":method", "GET"), (":authority", "gate"), (":path", path)];
    headers.extend(header.map(|(_, value)| (name.as_str(), value)));
    headers.extend(key.map(|key| ("x-api-key", key)));
    policy.decide(&Request::new(HeaderBlock::new(&headers).headers()), &(), &mut ()).reason.name()
}
