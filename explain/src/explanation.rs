//! A decision with everything that explains it.

use portcullis::{Decision, HeaderBlock, Outcome, Policy, Request};
use serde_json::{Value, json};

use crate::request_spec::RequestSpec;
use crate::trace::{self, Step};
use crate::wire;
use crate::yaml::Node;

/// A policy as written: what the steps quote, and where it is.
pub trait Written {
    /// The document.
    fn node(&self) -> &Node;

    /// The place of the value at `path`, such as `policy.yaml:3:5`; `None` if this very value has no position.
    fn known_place(&self, path: &str) -> Option<String>;
}

/// A request and what the gate does with it.
pub struct Explanation<'a> {
    /// The request.
    pub request: Request<'a>,
    /// The decision.
    pub decision: Decision<'a>,
    /// `allow`, `deny` or `report`.
    pub verdict: &'static str,
    /// The reply, or the header mutations.
    pub outcome: Outcome<'a>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl<'a> Explanation<'a> {
    /// Decides a request. `block` holds its headers.
    pub fn of(policy: &'a Policy, written: &dyn Written, spec: &RequestSpec, block: &'a HeaderBlock) -> Self {
        let request = Request::new(block.headers());
        let mut events = Vec::new();
        let decision = policy.decide(&request, spec, &mut events);
        Self {
            request,
            verdict: policy.verdict(&decision),
            outcome: policy.outcome(&request, &decision),
            steps: trace::steps(written, spec, &events, &decision),
            decision,
        }
    }

    /// The explanation as JSON, without any credential.
    pub fn as_json(&self) -> Value {
        let caller = self.decision.caller.as_ref();
        json!({
            "decision": self.verdict,
            "reason": self.decision.reason.name(),
            "consumer": caller.map(|caller| caller.consumer.name),
            "key_id": caller.map(|caller| caller.key.id()),
            "outcome": wire::as_json(&self.outcome, &self.request),
            "trace": trace::as_json(&self.steps),
        })
    }
}
