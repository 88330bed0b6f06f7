//! What is public and what is restricted in the suites that hold the gate's reading of a path against others': a policy, and
//! the same said again in other words.

use portcullis::{Policy, Request};
use serde_json::{Value, json};

use crate::core_engine::Nowhere;

/// The key of a consumer without the role that the restricted area asks for.
pub const GUEST: &str = "areas-guest-key";
/// The key of a consumer who has it.
pub const ADMIN: &str = "areas-admin-key";

/// What a caller may send that is read in more than one way, and words to put between. A slash comes up most.
pub const WORDS: [&str; 44] = [
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
];

/// The policy, as a document.
pub fn document() -> Value {
    json!({
        "consumers": [
            {"name": "guest", "roles": ["guest"], "keys": [{"plaintext": GUEST}]},
            {"name": "admin", "roles": ["admin"], "keys": [{"plaintext": ADMIN}]},
        ],
        "public_paths": ["/", "/pub/**", "/docs/*"],
        "rules": [{"path": "/admin/**", "roles": ["admin"]}, {"path": "/v/{item}/p", "roles": ["admin"]}],
    })
}

/// The policy.
///
/// # Panics
/// If the gate refuses it.
pub fn policy() -> Policy {
    Policy::load(document().to_string().as_bytes(), &|_| None).expect("the policy stands").policy
}

/// What the gate decides about a GET of the path.
pub fn decide(policy: &Policy, path: &str, key: Option<&str>) -> &'static str {
    let mut headers = vec![(":method".to_owned(), b"GET".to_vec()), (":path".to_owned(), path.as_bytes().to_vec())];
    headers.extend(key.map(|key| ("x-api-key".to_owned(), key.as_bytes().to_vec())));
    policy.decide(&Request::new(&headers), &Nowhere).reason()
}

/// Whether the resource is public.
pub fn is_public(resource: &str) -> bool {
    let file = resource.strip_prefix("/docs/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
    matches!(resource, "/" | "/pub") || resource.starts_with("/pub/") || file
}

/// Whether the resource is restricted, to a reader who does not care about a slash at the end.
pub fn is_restricted(resource: &str) -> bool {
    let resource = resource.trim_end_matches('/');
    let item = resource.strip_prefix("/v/").and_then(|rest| rest.strip_suffix("/p"));
    resource == "/admin"
        || resource.starts_with("/admin/")
        || item.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}
