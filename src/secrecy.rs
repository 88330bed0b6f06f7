//! Tests that no message and no `Debug` output shows a secret, wherever the secret was written.

use std::fmt::Debug;

use serde_json::{Value, json};

use crate::decision::host::Clock;
use crate::path::target::split_query;
use crate::request::credential::{Presented, find};
use crate::{Document, HeaderBlock, Outcome, Policy, Request, Timestamp};

/// Part of every secret in these tests, in each of its forms.
const MARK: &str = "hunter2";

/// A policy with every field that contains a key, or into which a key may be written by mistake.
fn policy() -> Value {
    json!({
        "key_sources": ["bearer", {"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "api_key"}],
        "consumers": [{"name": "ci", "roles": ["predict"], "keys": [
            {"id": "a", "description": "a remark", "plaintext": "hunter2-plain", "not_before": "2020-01-01T00:00:00Z",
             "expires": "2999-01-01T00:00:00Z", "disabled": false},
            {"id": "b", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
            {"id": "c", "env": "HUNTER"},
        ]}],
        "rules": [{"path": "/admin", "roles": ["admin"]}],
        "endpoints": {"whoami": "/whoami", "token": "/token"},
        "tokens": {"secrets": [{"env": "HUNTER"}], "lifetime": "15min"},
    })
}

/// Values that an author may write in the wrong place.
fn mistakes() -> Vec<Value> {
    let mistakes = json!([
        "hunter2", "hunter2-Secret", "hunter2, secret", "X-API-Key: hunter2", "", "hunter2\"\\\u{1}ü", "hunter2hunter2==",
        ["hunter2"], {"hunter2": "hunter2"}, {"plaintxt": "hunter2"}, [["hunter2"]],
        // Keys may also look like numbers.
        7_702_002, 7_702_002.5, 18_446_744_073_709_551_615_u64, "7702002", -7_702_002,
    ]);
    mistakes.as_array().cloned().unwrap_or_default()
}

fn is_shown(text: &str) -> bool {
    text.contains(MARK) || text.contains("7702002") || text.contains("18446744073709551615")
}

/// Returns the places of all values in `value`, as JSON pointers.
fn places(value: &Value, at: &str) -> Vec<String> {
    let mut found = vec![at.to_owned()];
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, it)| found.extend(places(it, &format!("{at}/{name}"))))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, it)| found.extend(places(it, &format!("{at}/{i}"))))
        }
        _ => {}
    }
    found
}

/// Loads a document and returns all error messages and `Debug` output about it.
fn said(document: &Value) -> String {
    let environment = |name: &str| (name == "HUNTER").then(|| b"hunter2 from the environment".to_vec());
    match Policy::load(document.to_string().as_bytes(), &environment) {
        Err(refusal) => format!("{refusal}\n{refusal:?}"),
        Ok(loaded) => loaded.refused_entries.iter().map(|entry| format!("{entry}\n{entry:?}\n")).collect(),
    }
}

#[test]
fn no_message_shows_a_key_that_was_put_in_the_wrong_place() {
    let mut refused = 0;
    // Names, roles, ids and descriptions are public: a well-formed value is shown, and sent to the upstream.
    let public = ["/consumers/0/name", "/consumers/0/roles", "/consumers/0/roles/0"];
    let document = policy();
    let in_keys = places(&document["consumers"], "/consumers").into_iter();
    let others = ["key_sources", "endpoints", "tokens"];
    let others = others.iter().flat_map(|name| places(&document[name], &format!("/{name}")));
    for place in in_keys.chain(others).filter(|place| !public.contains(&place.as_str())) {
        for mistake in mistakes() {
            let mut document = document.clone();
            if let Some(value) = document.pointer_mut(&place) {
                *value = mistake.clone();
            }
            let said = said(&document);
            let id_is_public = place.ends_with("/id") && said.contains("(id ");
            assert!(!is_shown(&said) || id_is_public, "{mistake} at {place}: {said}");
            refused += usize::from(!said.is_empty());
        }
    }
    assert!(refused > 250, "a control: only {refused} documents were refused");
}

#[test]
fn no_message_shows_the_value_or_the_name_of_a_misspelt_field() {
    let document = policy();
    for place in places(&document, "") {
        for (name, value) in
            [("plaintxt", "hunter2"), ("hunter2", "hunter2"), ("passwd", "hunter2"), ("HUNTER2-hunter2", "x")]
        {
            let mut document = document.clone();
            if let Some(Value::Object(members)) = document.pointer_mut(&place) {
                members.insert(name.to_owned(), json!(value));
                let said = said(&document);
                assert!(said.contains("unknown field") && !is_shown(&said), "{name} at {place}: {said}");
            }
        }
    }
}

fn hides(what: &str, value: &dyn Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        let bytes = format!("{:?}", MARK.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        let lines: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!is_shown(&text) && !lines.contains(bytes), "{what}: {text}");
        let digest = crate::keys::digest::Digest::of(b"hunter2-plain").to_hex();
        assert!(!text.contains(&digest), "{what}: {text}");
    }
}

#[test]
fn no_debug_output_shows_a_key_or_a_credential() {
    let text = policy().to_string();
    let environment = |_: &str| Some(b"hunter2-environment".to_vec());
    hides("document", &Document::read(text.as_bytes()).expect("stands"));
    let loaded = Policy::load(text.as_bytes(), &environment).expect("stands");
    hides("loaded", &loaded.refused_entries);
    let policy = loaded.policy;
    hides("policy", &policy);
    hides("keyring", policy.keyring());
    let presented = [
        ("/x", "authorization", "Bearer hunter2-plain"),
        ("/x", "authorization", "Bearer hunter2-wrong"),
        ("/x", "authorization", "Bearer hunter2 wrong"),
        ("/x", "authorization", "Basic hunter2"),
        ("/x", "x-api-key", "hunter2-environment"),
        ("/x?a=hunter2&api_key=hunter2-plain", "accept", "*/*"),
        ("/x", "cookie", "api_key=hunter2-plain; session=hunter2"),
        ("/x?api_key=hunter2", "x-api-key", "hunter2"),
        ("/admin", "x-api-key", "hunter2-plain"),
    ];
    for (path, name, value) in presented {
        let block = HeaderBlock::new(&[(":method", "GET"), (":path", path), (":authority", "gate"), (name, value)]);
        let request = Request::new(block.headers());
        hides("request", &request);
        let query = split_query(path.as_bytes()).1;
        let found: Presented<'_> = find(&request, query, policy.key_sources(), crate::keys::token::MAX_TOKEN_LENGTH);
        hides("credential", &found);
        let decision = policy.decide(&request, &Clock(Some(Timestamp(1_800_000_000))), &mut ());
        hides("decision", &decision);
        let outcome: Outcome<'_> = policy.outcome(&request, &decision);
        hides("outcome", &outcome);
    }
}
