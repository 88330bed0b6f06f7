//! The policies of the soak, one after the other.

use portcullis::keys::Digest;
use portcullis_tests::bootstrap::Gate;
use serde_json::{Value, json};

/// A key of every policy.
pub(crate) const STEADY: &str = "soak-steady-key";
/// A key of every policy, with the role that rules require.
pub(crate) const ADMIN: &str = "soak-admin-key";

/// Further keys of each policy, which differ in the next one: so a leak of policies would be visible.
const FURTHER_KEYS: usize = 200;

/// The key that only the policy with that number has.
pub(crate) fn key(number: usize) -> String {
    format!("soak-key-{number}")
}

/// The policy with that number.
pub(crate) fn good(number: usize) -> Gate {
    in_one_form(number, policy(number))
}

/// A policy that is refused, for different reasons; otherwise it would be the one with that number.
pub(crate) fn refused(number: usize) -> Gate {
    let mut policy = policy(number);
    match number % 3 {
        0 => return Gate::Text(policy.to_string().split_off(1)),
        1 => policy["consumers"][1]["colour"] = json!("red"),
        _ => policy["trusted_networks"] = json!({"ranges": ["0.0.0.0/0"]}),
    }
    in_one_form(number, policy)
}

/// As JSON text and as a `Struct`, alternately.
fn in_one_form(number: usize, policy: Value) -> Gate {
    if number.is_multiple_of(2) { Gate::Text(policy.to_string()) } else { Gate::Struct(policy) }
}

fn policy(number: usize) -> Value {
    let further = |place| json!({"sha256": Digest::of(format!("soak-further-{number}-{place}").as_bytes()).to_hex()});
    json!({
        "version": 1, "name": "soak", "access_log": true,
        "consumers": [
            {"name": "ci", "roles": ["predict"], "keys": [{"plaintext": STEADY}, {"plaintext": key(number)}]},
            {"name": "admin", "roles": ["admin"], "keys": [{"plaintext": ADMIN}]},
            {"name": "others", "keys": (0..FURTHER_KEYS).map(further).collect::<Vec<_>>()},
        ],
        "public_paths": ["/docs/**"],
        "rules": [
            {"path": "/v2/models/{model}/predict", "methods": ["POST"], "roles": ["predict"]},
            {"path": "/admin/**", "roles": ["admin"]},
            {"path": "/**", "methods": ["DELETE"], "roles": ["admin"]},
        ],
    })
}
