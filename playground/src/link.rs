//! Links: a policy and a request in the fragment of a URL, which browsers do not send. A link has no key and no credential, see
//! [`shared`]. Keys and secrets that it lacks are replaced by variables that are not set when it is opened, so that no key of such
//! a policy is valid. Its public paths, trusted callers and mode still apply.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_explain::stand_ins::StandIns;
use portcullis_explain::yaml::{Node, Tree};
use serde_json::{Value, json};

use crate::answer;
use crate::fault::Fault;
use crate::policy::Pasted;
use crate::request::{Described, given};
use crate::{secrets, shared};

/// The length of a fragment. Some programs cut longer links.
const MAX_LENGTH: usize = 32 * 1024;

/// The version of the format.
const VERSION: &str = "1.";

/// The variable in place of what was removed. It is not set anywhere.
const REMOVED: &str = "REMOVED_FROM_THE_LINK";

/// Makes a fragment.
pub(crate) fn share(policy: &str, request: &str) -> Result<Value, Fault> {
    let mut pasted = Pasted::parse(policy)?;
    let (document, loaded) = (pasted.document()?, pasted.compile()?);
    let described = Described::parse(request)?;
    described.spec()?;

    let mut removed = Vec::new();
    let mut node = shared::policy(&pasted.node);
    let mut keys = 0_usize;
    for consumer in &document.consumers {
        keys = keys.saturating_add(consumer.keys.len());
    }
    if keys > 0 {
        removed.push(format!("{keys} key{} of the policy", if keys == 1 { "" } else { "s" }));
    }
    if document.tokens.is_some() {
        removed.push("the secrets of tokens".to_owned());
    }
    removed.push("comments and descriptions".to_owned());
    let shared = shared::request(&described, &document);
    let mut secrets = secrets::of(&shared, &pasted.node);
    removed.extend(shared.removed);

    // The id of a key is no secret, but what stands in its place may be one.
    let mut key = Value::Null;
    if let Some(id) = given(&described.key) {
        let stand_ins = StandIns::new(&mut pasted.node, document.clone(), &loaded.refused_entries);
        match stand_ins.entry(id) {
            Some((consumer, entry)) => {
                key = json!({"id": id, "consumer": consumer});
                for member in shared::KEY_MEMBERS {
                    if let Some(value) = entry.get(member) {
                        key[member] = json!(value);
                    }
                }
            }
            None => {
                removed.push("the key id, which the policy does not have".to_owned());
                secrets.push(id.to_owned());
            }
        }
    }
    if node.tree == Tree::Null {
        node = Node::map::<String>([]);
    }
    let content = json!({"policy": node, "request": shared.request, "key": key, "tokens": document.tokens.is_some()});
    let fragment = format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(content.to_string()));
    if fragment.len() > MAX_LENGTH {
        return Err(Fault::new("link", "too long for a link (32 KiB): share the policy as a file"));
    }
    if secrets::found_in(&content, &secrets) {
        let message =
            "a key or a credential also stands in another place of the policy or the request: remove it there";
        return Err(Fault::new("link", message));
    }
    let opened = open(&fragment)?;
    let text = opened.get("policy").and_then(Value::as_str).unwrap_or_default();
    let with_link = decision(text, &opened["request"].to_string())
        .map_err(|_| Fault::new("link", "a link cannot have this policy: share it as a file"))?;
    if decision(policy, request).ok().as_ref() != Some(&with_link) {
        removed.push(format!("with the link, the decision is another one: {with_link}"));
    }
    Ok(json!({"fragment": fragment, "removed": removed}))
}

/// The decision with its reason, such as `allow key`. In the other modes: also what `enforce` would decide.
fn decision(policy: &str, request: &str) -> Result<String, Fault> {
    let answer = answer::explain(policy, request)?;
    let in_words = |answer: &Value| {
        let text = |name| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{} {}", text("decision"), text("reason"))
    };
    let enforced = answer.get("enforced").map(|enforced| format!(" (enforced: {})", in_words(enforced)));
    Ok(in_words(&answer) + &enforced.unwrap_or_default())
}

/// Reads a fragment. It may be hostile.
pub(crate) fn open(fragment: &str) -> Result<Value, Fault> {
    let invalid = || Fault::new("link", "this link is not of this page, or it was cut: ask for it again");
    let content = fragment.strip_prefix(VERSION).filter(|_| fragment.len() <= MAX_LENGTH).ok_or_else(invalid)?;
    let content = URL_SAFE_NO_PAD.decode(content).map_err(|_| invalid())?;
    let content = String::from_utf8(content).map_err(|_| invalid())?;
    let content = Node::parse(&content).map_err(|_| invalid())?;
    let mut policy = content.get("policy").map(shared::policy).ok_or_else(invalid)?;
    let request = content.get("request").and_then(|request| request.to_json().ok()).ok_or_else(invalid)?;
    let mut request = Described::parse(&String::from_utf8_lossy(&request)).map_err(|_| invalid())?;
    request.key = String::new();
    if content.get("tokens").is_some_and(|tokens| tokens.tree == Tree::Bool(true)) {
        policy.set("tokens", Node::map([("secrets", Node::list([stand_in()]))]));
    }
    let key = content.get("key");
    let text = |name| key.and_then(|key| key.get(name)).and_then(Node::text);
    if let Some((id, consumer)) = text("id").zip(text("consumer")) {
        let mut entry = stand_in().with("id", id.into());
        for member in shared::KEY_MEMBERS {
            let value = key.and_then(|key| key.get(member));
            if let Some(value) = value.filter(|value| matches!(value.tree, Tree::Text(_) | Tree::Bool(_))) {
                entry.set(member, value.clone());
            }
        }
        let consumers = policy.get_mut("consumers").map(|list| &mut list.tree);
        if let Some(Tree::List(consumers)) = consumers {
            let named = |one: &&mut Node| one.get("name").and_then(Node::text) == Some(consumer);
            if let Some(consumer) = consumers.iter_mut().find(named) {
                consumer.set("keys", Node::list([entry]));
                request.key = id.to_owned();
            }
        }
    }
    let policy = policy.to_yaml().map_err(|_| invalid())?;
    Ok(json!({"policy": policy, "request": request}))
}

fn stand_in() -> Node {
    Node::map([("env", Node::from(REMOVED))])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const POLICY: &str = "
# comment-secret
description: description-secret
key_sources: [bearer, {header: x-team-key}, {query: api_key}, {cookie: session}]
tokens: {secrets: [{env: VARIABLE_SECRET}]}
endpoints: {token: /token}
public_paths: [{path: /docs/**, description: description-secret}]
consumers:
  - name: ci
    roles: [predict]
    keys:
      - {id: one, plaintext: plaintext-secret}
      - {id: two, env: VARIABLE_SECRET}
      - {id: three, sha256: 3f2c6a1fbb8f0e0d5a3f5c4f8d2b6b8a0e9a7d1c4b5e6f708192a3b4c5d6e7f8}
";

    fn shared(request: &Value) -> Value {
        share(POLICY, &request.to_string()).unwrap()
    }

    fn content(shared: &Value) -> String {
        let content = shared["fragment"].as_str().unwrap().strip_prefix(VERSION).unwrap();
        String::from_utf8(URL_SAFE_NO_PAD.decode(content).unwrap()).unwrap()
    }

    #[test]
    fn a_link_has_no_secret_in_any_spelling() {
        for headers in [
            "Authorization: Bearer request-secret",
            "AUTHORIZATION : Basic request-secret",
            "Proxy-Authorization: Basic request-secret",
            "X-API-Key: request-secret",
            "x_api_key: request-secret",
            "x-team-key: request-secret",
            "X_Team.Key: request-secret",
            "Cookie: session=request-secret",
            "Sec-WebSocket-Protocol: key, request-secret",
            "X-Auth-Token: request-secret",
            "X-Original-URL: /x?api_key=request-secret",
            "X-Original-URL: /x%3Fapi_key=request-secret",
            "Forwarded: for=\"request-secret@host\"",
        ] {
            let content = content(&shared(&json!({"path": "/docs", "headers": headers})));
            assert!(!content.contains("secret"), "{headers}: {content}");
        }
        for path in [
            "/docs?api_key=request-secret",
            "/docs?a=b&api%5Fkey=request-secret",
            "/docs?request-secret",
            "/docs%3Fapi_key=request-secret",
            "/docs%253fapi_key=request-secret",
            "/docs%23request-secret",
            "/docs#request-secret",
        ] {
            let content = content(&shared(&json!({"path": path})));
            assert!(content.contains("/docs") && !content.contains("secret"), "{path}: {content}");
        }
        for (field, value) in [("authority", "user:request-secret@host"), ("identity", "spiffe://a/b?request-secret")] {
            let content = content(&shared(&json!({"path": "/", field: value})));
            assert!(!content.contains("secret"), "{field}: {content}");
        }
    }

    #[test]
    fn nothing_of_a_key_is_shared_but_a_known_id() {
        let known = content(&shared(&json!({"path": "/", "key": "one"})));
        let unknown = content(&shared(&json!({"path": "/", "key": "a-key-and-not-an-id"})));
        assert!(known.contains(r#""id":"one""#) && !unknown.contains("a-key"), "{known} {unknown}");
        for content in [known, unknown] {
            for absent in ["secret", "SECRET", "keys\"", "plaintext", "env", "sha256", "3f2c6a1f", "two"] {
                assert!(!content.contains(absent), "{absent}: {content}");
            }
        }
    }

    #[test]
    fn every_header_of_the_core_is_shared() {
        use portcullis::request as core;
        let lists: [&[&str]; 7] = [
            &core::ADDED_BY_A_PROXY,
            &core::CLIENT_ADDRESSES,
            &core::HOLDS_THE_CLIENT,
            &core::METHOD_OVERRIDES,
            &core::ROOT_OVERRIDES,
            &core::URL_BEGINNINGS,
            &core::URL_OVERRIDES,
        ];
        for name in lists.into_iter().flatten() {
            for name in [(*name).to_owned(), name.to_ascii_uppercase().replace('-', "_")] {
                let shared = shared(&json!({"path": "/", "headers": format!("{name}: /a")}));
                let content = content(&shared);
                assert!(content.contains(&format!("{name}: /a")), "{name}: {content}");
            }
        }
        let shared = shared(&json!({"path": "/docs/a", "headers": "Script-Name: /a"}));
        let opened = open(shared["fragment"].as_str().unwrap()).unwrap();
        let request = opened["request"].to_string();
        let answer = answer::explain(opened["policy"].as_str().unwrap(), &request).unwrap();
        assert_eq!(answer["decision"], "deny", "{answer}");
    }

    #[test]
    fn a_key_keeps_what_makes_it_invalid() {
        for (member, reason) in [
            ("not_before: 2030-01-01T00:00:00Z", "key_not_yet_valid"),
            ("expires: 2020-01-01T00:00:00Z", "expired_key"),
            ("disabled: true", "disabled_key"),
            ("disabled: false", "key"),
        ] {
            for id in ["id: one, ", ""] {
                let policy = format!("consumers: [{{name: ci, keys: [{{{id}plaintext: key-secret, {member}}}]}}]");
                let id = if id.is_empty() { portcullis::Digest::of(b"key-secret").handle() } else { "one".to_owned() };
                let request = json!({"path": "/", "key": id, "now": "2026-12-01T00:00:00Z"});
                let shared = share(&policy, &request.to_string()).unwrap();
                let opened = open(shared["fragment"].as_str().unwrap()).unwrap();
                let (policy, request) = (opened["policy"].as_str().unwrap(), opened["request"].to_string());
                assert_eq!(answer::explain(policy, &request).unwrap()["reason"], reason, "{policy}");
                let removed = shared["removed"].to_string();
                assert!(!removed.contains("another one"), "{removed}");
            }
        }
    }

    #[test]
    fn another_decision_with_the_link_is_said() {
        let last = |policy: &str, request: Value| {
            let shared = share(policy, &request.to_string()).unwrap();
            shared["removed"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
        };
        let said = "with the link, the decision is another one: ";
        // Two credentials, of which one is a header that is removed.
        let two = json!({"path": "/x", "key": "one", "headers": "X-Team-Key: some-key"});
        assert_eq!(last(POLICY, two.clone()), format!("{said}allow key"));
        let key = json!({"path": "/x", "headers": "X-Team-Key: plaintext-secret"});
        assert_eq!(last(POLICY, key.clone()), format!("{said}deny no_credential"));
        let report = format!("mode: report\n{POLICY}");
        assert_eq!(last(&report, two), format!("{said}allow key (enforced: allow key)"));
        assert_eq!(last(&report, key.clone()), format!("{said}report no_credential (enforced: deny no_credential)"));
        let disabled = format!("mode: disabled\n{POLICY}");
        assert_eq!(last(&disabled, key), format!("{said}allow disabled (enforced: deny no_credential)"));
        assert_eq!(last(POLICY, json!({"path": "/x", "key": "one"})), "comments and descriptions");
        assert_eq!(last(POLICY, json!({"path": "/docs/a"})), "comments and descriptions");
    }

    #[test]
    fn a_link_is_opened_to_the_same_decision() {
        let request = json!({"path": "/docs/a", "headers": "Host: example.com", "key": "one"});
        let opened = open(shared(&request)["fragment"].as_str().unwrap()).unwrap();
        let policy = opened["policy"].as_str().unwrap();
        for request in [json!({"path": "/docs/a"}), json!({"path": "/x", "key": "one"})] {
            let decided = |policy| answer::explain(policy, &request.to_string()).unwrap()["reason"].clone();
            assert_eq!(decided(POLICY), decided(policy), "{policy}");
        }
        assert_eq!(opened["request"]["key"], "one");
        let loaded = Pasted::parse(policy).unwrap().compile().unwrap();
        assert_eq!(loaded.refused_entries.len(), 2, "its key and its secret of tokens are variables that are not set");
    }

    #[test]
    fn a_hostile_fragment_is_an_error() {
        let packed = |content: &str| format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(content));
        let deep = format!(r#"{{"policy":{},"request":{{}}}}"#, "[".repeat(8_000));
        for fragment in [
            String::new(),
            "1".to_owned(),
            "1.%%%".to_owned(),
            "1.====".to_owned(),
            "2.e30".to_owned(),
            "<script>alert(1)</script>".to_owned(),
            packed("{}"),
            packed("null"),
            packed("[]"),
            packed(&deep),
            packed(r#"{"policy":{},"request":{"__proto__":{"a":1}}}"#),
            packed(r#"{"policy":{},"request":{"path":[1]}}"#),
            packed(r#"{"policy":{},"policy":{},"request":{}}"#),
            packed(&"x".repeat(MAX_LENGTH)),
            format!("{VERSION}_w"),
        ] {
            assert!(open(&fragment).is_err(), "{}", fragment.get(..60).unwrap_or(&fragment));
        }
    }

    #[test]
    fn members_that_are_not_listed_are_not_opened_either() {
        let content = r#"{"policy":{"__proto__":{"x":1},"constructor":1,"name":"a","consumers":[{"name":"b","keys":[{"plaintext":"k"}]}]},
            "request":{"path":"/"},"key":{"id":"i","consumer":"b","plaintext":"k","expires":{"__proto__":1},"disabled":[{"plaintext":"k"}]}}"#;
        let opened = open(&format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(content))).unwrap();
        let policy = opened["policy"].as_str().unwrap();
        assert!(
            !policy.contains("proto") && !policy.contains("constructor") && !policy.contains("plaintext"),
            "{policy}"
        );
        assert!(policy.contains(REMOVED), "{policy}");
    }
}
