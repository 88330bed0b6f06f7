//! The engine `core`: calls the policy library directly. Each policy is loaded from JSON text and from a `Struct`.

use std::collections::BTreeMap;

use portcullis::{HeaderBlock, HeaderMutation, HeaderMutations, Host, Outcome, Policy, Request, Timestamp};

use crate::cases::{Cases, Row};
use crate::listener::PEER_KEY;
use crate::message::{Pair, Reply};
use crate::observation::Observation;
use crate::told::{self, Told};
use crate::wire_engine::{Form, with_access_log};

/// The policies of one file, each in both forms.
#[derive(Debug)]
pub struct CoreEngine {
    policies: BTreeMap<String, Vec<(Form, Policy)>>,
}

impl CoreEngine {
    /// Loads all policies of `cases`.
    ///
    /// # Errors
    /// A policy that is refused.
    pub fn load(cases: &Cases) -> Result<Self, String> {
        let environment = |name: &str| cases.env.get(name).map(|value| value.clone().into_bytes());
        let mut policies = BTreeMap::new();
        for (name, document) in &cases.policies {
            let document = with_access_log(document);
            let load = |form: Form| {
                let loaded = Policy::load(&form.bytes(&document), &environment);
                let refused = |error| format!("policy `{name}` of {} as {}: {error}", cases.name, form.name());
                loaded.map(|loaded| (form, loaded.policy)).map_err(refused)
            };
            policies.insert(name.clone(), Form::ALL.into_iter().map(load).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { policies })
    }

    /// Decides the request of a row with both forms of its policy.
    pub fn run(&self, cases: &Cases, row: &Row) -> Vec<Observation> {
        let forms = self.policies.get(&row.policy).into_iter().flatten();
        forms.map(|(form, policy)| observe(*form, policy, cases, row)).collect()
    }
}

fn observe(form: Form, policy: &Policy, cases: &Cases, row: &Row) -> Observation {
    let told = Told::by(cases, row);
    let block = HeaderBlock::new(&told.headers);
    let request = Request::new(block.headers());
    let decision = policy.decide(&request, &told, &mut ());
    let outcome = policy.outcome(&request, &decision);
    let name = match (decision.is_allowed(), &outcome) {
        (true, _) => "allow",
        (false, Outcome::Forward(_)) => "report",
        (false, Outcome::Reply(_)) => "deny",
    };
    let caller = decision.caller.as_ref();
    let (reply, seen) = match outcome {
        Outcome::Forward(mutations) => {
            (told::upstream_reply(), Some(told::forwarded(changed(told.headers.clone(), &mutations))))
        }
        Outcome::Reply(reply) => (told.sent_by_envoy(owned(&reply)), None),
    };
    Observation {
        engine: format!("core {}", form.name()),
        on_wire: false,
        reason: Some(decision.reason.name().to_owned()),
        decision: Some(name.to_owned()),
        consumer: caller.map(|caller| caller.consumer.name.to_owned()),
        key_id: caller.map(|caller| caller.key.id().to_owned()),
        source: None,
        reply: Ok(reply),
        seen,
    }
}

fn changed(mut headers: Vec<Pair>, mutations: &HeaderMutations<'_>) -> Vec<Pair> {
    for mutation in &mutations.list() {
        if let HeaderMutation::Remove(name) | HeaderMutation::Set(name, _) = mutation {
            headers.retain(|(header, _)| header != name);
        }
        if let HeaderMutation::Add(name, value) | HeaderMutation::Set(name, value) = mutation {
            headers.push((name.to_vec(), value.to_vec()));
        }
    }
    headers
}

fn owned(reply: &portcullis::Reply<'_>) -> Reply {
    let pair = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    Reply {
        status: reply.status,
        headers: reply.headers.headers().iter().map(pair).collect(),
        body: reply.body.as_bytes().into(),
    }
}

impl Host for Told {
    fn now(&self) -> Option<Timestamp> {
        Some(self.now)
    }

    fn random(&self) -> Option<[u8; 16]> {
        Some([7; 16])
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        Some(self.source.clone().into_bytes())
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        self.state.clone().filter(|_| key == PEER_KEY).map(String::into_bytes)
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        self.identity.clone().map(String::into_bytes)
    }
}
