//! Tokens that the policy core issues at any time, without a gate.

use portcullis::{HeaderBlock, Host, Outcome, Policy, Request, Timestamp};
use serde_json::Value;

/// A host whose clock stands at a time, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub i64);

impl Host for Clock {
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp(self.0))
    }

    fn random(&self) -> Option<[u8; 16]> {
        Some([1; 16])
    }
}

/// The token for a key at this time, under a policy with `endpoints.token` whose secrets all have this value.
///
/// # Panics
/// If the policy is refused, or no token is issued.
pub fn token(policy: &Value, secret: &str, key: &str, clock: Clock) -> String {
    let path = policy["endpoints"]["token"].as_str().expect("the policy has the endpoint");
    let loaded = Policy::load(policy.to_string().as_bytes(), &|_| Some(secret.into())).expect("a policy");
    let block = HeaderBlock::new(&[(":method", "POST"), (":path", path), (":authority", "gate"), ("x-api-key", key)]);
    let request = Request::new(block.headers());
    let decision = loaded.policy.decide(&request, &clock, &mut ());
    let Outcome::Reply(reply) = loaded.policy.outcome(&request, &decision) else { panic!("the gate answers") };
    let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
    answer["token"].as_str().expect("a token").to_owned()
}
