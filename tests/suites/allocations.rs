//! Memory use of a request: for the usual policy and the usual path, the core decides, edits and replies without
//! allocating.

use std::hint::black_box;

use allocation_counter::measure;
use portcullis::{HeaderBlock, HeaderMutation, Outcome, Policy, Request};
use serde_json::{Value, json};

const KEY: (&str, &str) = ("x-api-key", "allocations-suite-key");
const WITHOUT_ID: (&str, &str) = ("x-api-key", "allocations-suite-key-without-id");
const BEARER: (&str, &str) = ("authorization", "Bearer allocations-suite-key");

/// Reads a request, decides, and makes the edits if it is allowed. Returns the reason, and the number of allocations.
fn decide(policy: &Value, method: &str, path: &str, headers: &[(&str, &str)]) -> (&'static str, u64) {
    let policy = Policy::load(policy.to_string().as_bytes(), &|_| None).expect("the policy stands").policy;
    let usual = [(":method", method), (":path", path), (":authority", "gate.test"), ("accept", "*/*")];
    let block = HeaderBlock::new(&usual.iter().chain(headers).copied().collect::<Vec<_>>());
    let mut reason = "";
    let taken = measure(|| {
        let request = Request::new(block.headers());
        let decision = policy.decide(&request, &(), &mut ());
        reason = decision.reason.name();
        match policy.outcome(&request, &decision) {
            Outcome::Forward(mutations) => {
                let is_none = |mutation| black_box(mutation) == HeaderMutation::Remove(b"");
                let made = mutations.try_each(|mutation| if is_none(mutation) { Err(()) } else { Ok(()) });
                assert!(made.is_ok());
            }
            Outcome::Reply(reply) => assert_ne!(black_box(reply).status, 200),
        }
    });
    (reason, taken.count_total)
}

/// A policy with some patterns of each kind.
fn policy() -> Value {
    json!({
        "consumers": [{"name": "ci", "roles": ["predict"], "keys": [{"id": "one", "plaintext": KEY.1}, {"plaintext": WITHOUT_ID.1}]}],
        "public_paths": ["/", "/v2/", {"path": "/docs/**", "methods": ["GET"]}],
        "rules": [
            {"path": "/v2/models/{model}/predict", "methods": ["POST"], "roles": ["predict", "admin"]},
            {"path": "/v2/models/**", "methods": ["DELETE"], "roles": ["admin"]},
            {"path": "/Admin/", "roles": ["admin"]},
        ],
    })
}

#[test]
fn the_usual_request_is_decided_and_edited_without_taking_memory() {
    for (method, path, headers, reason) in [
        ("GET", "/", &[][..], "public_path"),
        ("GET", "/v2/?x=1", &[], "public_path"),
        ("GET", "/docs/a/index.html", &[], "public_path"),
        ("GET", "/docs/?verbose=1", &[], "public_path"),
        ("POST", "/v2/models/m-1/predict", &[KEY], "key"),
        ("POST", "/v2/models/m-1/predict?x=%41", &[BEARER], "key"),
        ("GET", "/.well-known/x", &[KEY], "key"),
        ("GET", "/v2/models", &[WITHOUT_ID], "key"),
        ("DELETE", "/v2/models/m-1", &[KEY], "missing_role"),
        ("GET", "/admin", &[KEY], "missing_role"),
        ("GET", "/v2/models", &[], "no_credential"),
        ("GET", "/v2/models", &[("x-api-key", "another")], "unknown_key"),
    ] {
        assert_eq!(decide(&policy(), method, path, headers), (reason, 0), "{method} {path}");
    }
}

#[test]
fn a_path_that_no_pattern_protects_is_let_through_without_taking_memory() {
    let policy = json!({"protected_paths": ["/v2/models/**", "/Admin"]});
    for (path, reason) in [("/", "public_path"), ("/docs/index.html", "public_path"), ("/admin.json", "no_credential")]
    {
        assert_eq!(decide(&policy, "GET", path, &[]), (reason, 0), "{path}");
    }
}

#[test]
fn capitals_and_a_slash_at_the_end_take_one_copy_at_most() {
    let path = "/v2/models/BERT/predict/";
    assert_eq!(decide(&policy(), "POST", path, &[KEY]), ("key", 1));
    assert_eq!(decide(&policy(), "POST", &path.to_lowercase(), &[KEY]), ("key", 0));
}

/// Control: the counter does count.
#[test]
fn a_path_that_can_be_read_in_several_ways_takes_memory() {
    let (reason, taken) = decide(&policy(), "POST", "/v2/models/%6d;a/predict", &[KEY]);
    assert_eq!(reason, "key");
    assert!(taken > 8, "{taken}");
}
