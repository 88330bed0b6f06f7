//! Policies made of arbitrary bytes. All of them are well formed: the gate must accept each.

use arbitrary::{Result, Unstructured};
use portcullis_models::reference::Environment;
use portcullis_models::reference::document::sha256;
use serde_json::{Map, Value, json};

use crate::host::STATE;

/// Unusual keys: no request can present some of them, some are not bearer tokens, some belong to several consumers.
const ODD_KEYS: [&str; 8] = ["k1", "k2", "k3", "a=b", "k!", "a,b", "", "a b"];
/// Variables of [`environment`], and one that is not set.
const VARIABLES: [&str; 6] = ["E1", "LINE", "CRLF", "EMPTY", "BLANK", "UNSET"];
const ROLES: [&str; 3] = ["r1", "r2", "admin"];
const METHODS: [&str; 5] = ["GET", "POST", "HEAD", "DELETE", "OPTIONS"];
const NAMES: [&str; 14] =
    ["a", "b", "docs", "admin", "v", "A", "Docs", "a.b", "c.", ".x", "+", "caf\u{e9}", "\u{ff41}", "a-b_c~d"];
const RANGES: [&str; 10] = [
    "localhost",
    "127.0.0.1",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "::1",
    "fd00::/8",
    "::ffff:10.2.0.0/112",
    "::ffff:192.0.2.1",
    "127.0.0.6",
    "::/64",
];
const IDENTITIES: [&str; 4] =
    ["spiffe://c.local/ns/shop/sa/*", "spiffe://c.local/ns/*/sa/cart", "spiffe://c.local/job", "spiffe://d/*/x"];
const TIMES: [&str; 4] =
    ["1970-01-01T00:00:10Z", "1970-01-01T01:00:20+01:00", "1970-01-01T00:00:30.9Z", "1969-12-31t23:59:40z"];

/// The environment of the VM.
#[must_use]
pub fn environment() -> Environment {
    [("E1", "e1"), ("LINE", "k1\n"), ("CRLF", "e2\r\n"), ("EMPTY", "\n"), ("BLANK", "e b")]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into()
}

/// A policy document.
///
/// # Errors
/// Never: [`Unstructured`] continues with zeros after its end.
pub fn policy(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let mut policy = Map::new();
    let mut set = |name: &str, value: Value| {
        let _ = policy.insert(name.to_owned(), value);
    };
    set("consumers", consumers(bytes)?);
    set("rules", (0..bytes.int_in_range(0..=4)?).map(|_| rule(bytes)).collect::<Result<_>>()?);
    if bytes.arbitrary()? {
        set("public_paths", (0..bytes.int_in_range(0..=3)?).map(|_| place(bytes)).collect::<Result<_>>()?);
    }
    if bytes.ratio(1, 3)? {
        let paths = (0..bytes.int_in_range(1..=3)?).map(|_| Ok(json!({"path": pattern(bytes)?})));
        set("protected_paths", paths.collect::<Result<_>>()?);
    }
    if bytes.arbitrary()? {
        set("key_sources", key_sources(bytes)?);
    }
    if bytes.ratio(1, 3)? {
        let address = bytes.choose(&[json!("direct"), json!("remote_ip"), json!({"filter_state": STATE})])?.clone();
        set("trusted_networks", json!({"ranges": some(bytes, &RANGES)?, "client_address": address}));
    }
    if bytes.ratio(1, 4)? {
        set("trusted_identities", json!(some(bytes, &IDENTITIES)?));
    }
    if bytes.ratio(1, 4)? {
        set("cors_preflight", json!(bytes.choose(&["allow", "authenticate"])?));
    }
    if bytes.ratio(1, 4)? {
        set("mode", json!(bytes.choose(&["report", "disabled", "enforce"])?));
    }
    if bytes.ratio(1, 4)? {
        set("reply", json!({"realm": bytes.choose(&["x", "a b"])?}));
    }
    if bytes.ratio(1, 3)? {
        let names = bytes.choose(&[["x-consumer", "x-roles", "x-key"], ["x-user", "x_role", "x.id"]])?;
        let forward: bool = bytes.arbitrary()?;
        let [consumer, roles, key] = names;
        set(
            "upstream",
            json!({"consumer_header": consumer, "roles_header": roles, "key_id_header": key, "forward_credential": forward}),
        );
    }
    Ok(policy.into())
}

/// A random subset of `all`.
fn some(bytes: &mut Unstructured<'_>, all: &[&str]) -> Result<Vec<String>> {
    let chosen: u16 = bytes.arbitrary()?;
    Ok(all.iter().enumerate().filter(|(index, _)| chosen >> index & 1 == 1).map(|(_, one)| (*one).to_owned()).collect())
}

/// As [`some`], and at least one.
fn at_least_one(bytes: &mut Unstructured<'_>, all: &[&str]) -> Result<Vec<String>> {
    let some = some(bytes, all)?;
    Ok(if some.is_empty() { vec![(*bytes.choose(all)?).to_owned()] } else { some })
}

fn consumers(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let mut count = 0;
    let mut consumer = |index: u8| {
        let keys: Vec<Value> =
            (0..bytes.int_in_range(1..=3)?).map(|_| key(bytes, &mut count)).collect::<Result<_>>()?;
        Ok(json!({"name": format!("c{index}"), "roles": some(bytes, &ROLES)?, "keys": keys}))
    };
    (0..3).map(&mut consumer).collect()
}

/// The first key is `k1`, the second `k2`, and so on, except for unusual ones.
fn key(bytes: &mut Unstructured<'_>, count: &mut usize) -> Result<Value> {
    *count += 1;
    let key = if bytes.ratio(1, 4)? { (*bytes.choose(&ODD_KEYS)?).to_owned() } else { format!("k{count}") };
    let mut entry = match bytes.int_in_range(0..=15)? {
        0..=3 => json!({"sha256": sha256(key.as_bytes()).to_uppercase()}),
        4 | 5 => json!({"env": bytes.choose(&VARIABLES)?}),
        6 => json!({"sha256": "k1"}),
        _ => json!({"plaintext": key}),
    };
    if bytes.ratio(1, 3)? {
        entry["id"] = json!(format!("id-{count}"));
    }
    match bytes.int_in_range(0..=8)? {
        0 => entry["disabled"] = json!(true),
        1 => entry["not_before"] = json!(bytes.choose(&TIMES)?),
        2 => entry["expires"] = json!(bytes.choose(&TIMES)?),
        3 => {
            entry["not_before"] = json!(TIMES[0]);
            entry["expires"] = json!(TIMES[2]);
        }
        _ => {}
    }
    Ok(entry)
}

fn key_sources(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let mut all = vec![
        json!("bearer"),
        json!({"header": "x-api-key"}),
        json!({"header": "x_api_key"}),
        json!({"query": "api_key"}),
        json!({"query": "a.b"}),
        json!({"cookie": "session"}),
        json!({"cookie": "api_key"}),
        json!({"websocket_protocol": "gate"}),
    ];
    let count = bytes.int_in_range(1..=4)?;
    let mut chosen = Vec::new();
    for _ in 0..count {
        chosen.push(all.remove(bytes.choose_index(all.len())?));
    }
    Ok(chosen.into())
}

fn pattern(bytes: &mut Unstructured<'_>) -> Result<String> {
    let mut pattern = String::new();
    for _ in 0..bytes.int_in_range(0..=3)? {
        pattern.push('/');
        pattern.push_str(if bytes.ratio(1, 4)? { bytes.choose(&["*", "{x}"])? } else { bytes.choose(&NAMES)? });
    }
    let end = bytes.choose(&["/**", "/", ""])?;
    if !(pattern.is_empty() && end.is_empty()) {
        pattern.push_str(end);
        return Ok(pattern);
    }
    Ok("/".into())
}

fn place(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let path = pattern(bytes)?;
    Ok(if bytes.arbitrary()? { json!({"path": path, "methods": at_least_one(bytes, &METHODS)?}) } else { json!(path) })
}

fn rule(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let mut rule = json!({"path": pattern(bytes)?, "roles": at_least_one(bytes, &ROLES)?});
    if bytes.arbitrary()? {
        rule["methods"] = json!(at_least_one(bytes, &METHODS)?);
    }
    Ok(rule)
}
