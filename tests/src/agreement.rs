//! Checks that the engines agree: for each row, every observation must give the same account.

use std::collections::BTreeMap;

use crate::bytes::{self, show};
use crate::listener::Kind;
use crate::message::{Pair, values};
use crate::observation::{Discrepancy, Observation};

/// What all engines must have in common for a row: what it is about, and what was observed.
pub type Account = BTreeMap<String, String>;

/// Headers that Envoy adds to a reply of the gate.
const OF_ENVOYS_REPLY: [&str; 4] = ["connection", "content-length", "date", "server"];

/// Envoy turns a gRPC reply into status 200 with `grpc-status`, and its body into `grpc-message`.
const OF_ENVOYS_GRPC_REPLY: [&str; 6] =
    ["connection", "content-length", "content-type", "date", "grpc-message", "server"];

/// Headers that Envoy adds to a forwarded request, or removes because they belong to one connection.
const OF_ENVOYS_REQUEST: [&str; 8] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-forwarded-proto",
    "x-request-id",
];

/// Headers that only the harness uses.
const OF_THE_HARNESS: &str = "x-test-";

/// The account of an observation on this kind of listener.
pub fn account(observation: &Observation, kind: Kind) -> Account {
    let mut account = Account::new();
    let mut note = |what: &str, got: String| _ = account.insert(what.to_owned(), got);
    let written = |text: &Option<String>| text.clone().filter(|text| text != "-").unwrap_or_default();
    note("reason", written(&observation.reason));
    note("decision", written(&observation.decision));
    note("consumer", written(&observation.consumer));
    note("key id", written(&observation.key_id));
    note("upstream", observation.seen.is_some().to_string());
    match (&observation.seen, &observation.reply) {
        (Some(seen), _) => {
            note("upstream method", show(&seen.method));
            note("upstream path", show(&seen.path));
            headers("upstream", &seen.headers, &OF_ENVOYS_REQUEST, &mut note);
            if kind.appends_peer() {
                account.remove("upstream header x-forwarded-for");
            }
        }
        (None, Ok(reply)) if reply.header("grpc-status").is_some() => {
            let message = reply.header("grpc-message").map(|text| percent_decoded(&text));
            note("body", show(message.as_ref().unwrap_or(&reply.body)));
            headers("reply", &reply.headers, &OF_ENVOYS_GRPC_REPLY, &mut note);
        }
        (None, Ok(reply)) => {
            note("status", reply.status.to_string());
            note("body", without_tokens(&reply.body).unwrap_or_else(|| show(&reply.body)));
            headers("reply", &reply.headers, &OF_ENVOYS_REPLY, &mut note);
        }
        (None, Err(error)) => note("status", format!("no reply: {error}")),
    }
    account
}

/// The answer of a token endpoint without its tokens, which are different each time.
fn without_tokens(body: &[u8]) -> Option<String> {
    let mut answer: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    (answer.remove("access_token")? == answer.remove("token")?).then(|| format!("{answer:?} and the token twice"))
}

fn headers(whose: &str, fields: &[Pair], of_envoy: &[&str], note: &mut impl FnMut(&str, String)) {
    for (name, _) in fields {
        let name = show(&name.to_ascii_lowercase());
        if of_envoy.contains(&name.as_str()) || name.starts_with(OF_THE_HARNESS) {
            continue;
        }
        // Blanks around a value are not part of it (RFC 9110, section 5.5); HTTP/1 drops them in transit.
        let all: Vec<String> = values(fields, &name).into_iter().map(|value| show(value.trim_ascii())).collect();
        note(&format!("{whose} header {name}"), all.join(" | "));
    }
}

/// `grpc-message` as a client decodes it: percent-encoded UTF-8 (gRPC over HTTP/2, "Responses").
fn percent_decoded(text: &str) -> Vec<u8> {
    bytes::parse(&text.replace('\\', r"\\").replace('%', r"\x")).unwrap_or_else(|_| text.into())
}

/// Where two accounts differ: the value of the first and the value of the second.
pub fn disagreements(first: &Account, other: &Account) -> Vec<Discrepancy> {
    let mut all: Vec<&String> = first.keys().chain(other.keys()).collect();
    all.sort();
    all.dedup();
    let seen = |account: &Account, what: &String| account.get(what).cloned().unwrap_or_else(|| "(none)".to_owned());
    let differ = all.into_iter().filter(|what| first.get(*what) != other.get(*what));
    differ.map(|what| Discrepancy { what: what.clone(), expected: seen(first, what), got: seen(other, what) }).collect()
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn a_message_is_percent_decoded_to_its_bytes() {
        assert_eq!(percent_decoded(r"100%25 \o/ %C3%A9"), "100% \\o/ é".as_bytes());
        assert_eq!(percent_decoded("100%"), b"100%");
    }
}
