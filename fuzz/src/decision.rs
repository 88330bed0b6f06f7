//! The whole decision, compared with the reference: the reason, the owner of the key, and the result for the request.
//!
//! Input: [lines](crate::lines) with headers and attributes of the host; after an empty line, bytes from which a policy
//! is built. `@connect` omits the path.

use arbitrary::Unstructured;
use portcullis::{HeaderBlock, HeaderMutation, HeaderMutations, Outcome, Policy, Request};
use portcullis_models::reference::document::Document;
use portcullis_models::reference::{self, Decision, forward, reply, request};

use crate::host::Host;
use crate::lines::Lines;
use crate::policies;

/// One input. Returns the gate's reason.
///
/// # Panics
/// If the gate and the reference differ.
pub fn run(input: &[u8]) -> Option<&'static str> {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let mut lines = Lines::read(&input[..end]);
    if lines.told("@connect").is_none() {
        lines.assume(":path", "/");
        lines.assume(":authority", "gate");
    }
    lines.assume("@source", "127.0.0.1:40000");
    let bytes = input.get(end + 2..).unwrap_or_default();
    let Ok(document) = policies::policy(&mut Unstructured::new(bytes)) else { return None };
    let (host, environment) = (Host::of(&lines), policies::environment());
    let loaded = Policy::load(document.to_string().as_bytes(), &|name| environment.get(name).cloned());
    let policy = loaded.unwrap_or_else(|refusal| panic!("{refusal}: {document}")).policy;
    let block = HeaderBlock::new(&lines.headers);
    let request = Request::new(block.headers());
    let decision = policy.decide(&request, &host, &mut ());

    let read = Document::read(&document).expect("the reference reads what the gate takes");
    let pairs = request::Request(lines.headers.clone());
    let expected = reference::decisions(&read, &environment, &pairs, &host.0);
    let expected = expected.iter().find(|one| one.reason == decision.reason.name()).unwrap_or_else(|| {
        panic!("{} to the gate, {:?} to the reference: {document}", decision.reason.name(), expected.first())
    });
    same_caller(&decision, expected);
    same_outcome(&read, &pairs, &policy.outcome(&request, &decision), expected);
    Some(decision.reason.name())
}

fn same_caller(decision: &portcullis::Decision<'_>, expected: &Decision) {
    let caller = decision.caller.as_ref().map(|caller| (caller.consumer.name, caller.key.id().to_owned()));
    let caller = caller.zip(decision.source).map(|((name, id), source)| (name, id, source));
    let owner = expected.owner.as_ref().map(|owner| (owner.name.as_str(), owner.key_id.clone()));
    let owner = owner.zip(expected.source).map(|((name, id), source)| (name, id, source));
    assert_eq!(caller, owner, "the gate is on the left");
}

fn same_outcome(document: &Document, request: &request::Request, outcome: &Outcome<'_>, expected: &Decision) {
    match outcome {
        Outcome::Forward(mutations) => {
            assert_eq!(reply::status(document, expected), None, "{expected:?} is forwarded");
            let mut forwarded = applied(request.0.clone(), mutations);
            let mut wanted = forward::forwarded(document, request, expected);
            forwarded.sort();
            wanted.sort();
            assert_eq!(forwarded, wanted, "the gate is on the left");
        }
        Outcome::Reply(reply) => {
            assert_eq!(Some(reply.status), reply::status(document, expected), "{expected:?}");
            let challenges = reply.headers.headers().iter().filter(|(name, _)| *name == b"www-authenticate");
            let challenges: Vec<_> = challenges.map(|(_, value)| String::from_utf8_lossy(value)).collect();
            assert_eq!(challenges, reply::challenges(document, expected), "the gate is on the left");
        }
    }
}

/// The header pairs after the mutations.
fn applied(mut headers: Vec<(String, Vec<u8>)>, mutations: &HeaderMutations<'_>) -> Vec<(String, Vec<u8>)> {
    let has = |headers: &[(String, Vec<u8>)], name: &[u8]| headers.iter().any(|(header, _)| header.as_bytes() == name);
    for mutation in &mutations.list() {
        match mutation {
            HeaderMutation::Add(name, _) => assert!(!has(&headers, name), "{name:?} is there already"),
            HeaderMutation::Remove(name) | HeaderMutation::Set(name, _) => {
                headers.retain(|(header, _)| header.as_bytes() != *name)
            }
        }
        if let HeaderMutation::Add(name, value) | HeaderMutation::Set(name, value) = mutation {
            headers.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portcullis::Reason;

    /// Control: the decisions for these seeds include every reason.
    #[test]
    fn the_seeds_reach_every_reason() {
        let seeds = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/decision")).expect("the seeds");
        let inputs = seeds.map(|seed| std::fs::read(seed.expect("a seed").path()).expect("a file"));
        let reached: BTreeSet<_> = inputs.filter_map(|input| super::run(&input)).collect();
        // Those of endpoints and tokens are for the target `credential`.
        let others = ["token", "whoami", "endpoint", "method_not_allowed"];
        let all = Reason::ALL.iter().map(|reason| reason.name());
        let all: BTreeSet<_> = all.filter(|name| !others.iter().any(|other| name.contains(other))).collect();
        assert_eq!(reached, all);
    }
}
