//! The JSON Schema of the policy in a third-party validator: it accepts every document that the gate accepts, and
//! rejects those that the gate refuses because of a single value.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::{fs, iter};

use portcullis::{Document, Policy};
use portcullis_tests::{cases, paths};
use serde_json::{Value, json};

/// The schema's verdict on each document; fails if the schema itself is invalid.
const VALIDATE: &str = "import json, sys; from jsonschema import Draft202012Validator as V; \
    schema, documents = json.load(sys.stdin); V.check_schema(schema); \
    json.dump([V(schema).is_valid(document) for document in documents], sys.stdout)";

fn taken_by_schema(documents: &[Value]) -> Vec<bool> {
    let mut python = Command::new("python3")
        .args(["-B", "-c", VALIDATE])
        .env("PYTHONPATH", paths::cyclonedx())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let question = json!([Document::json_schema(), documents]).to_string();
    python.stdin.take().expect("a pipe").write_all(question.as_bytes()).expect("it reads");
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the schema is no schema: see above");
    let answers: Vec<bool> = serde_json::from_slice(&output.stdout).expect("a list");
    assert_eq!(answers.len(), documents.len());
    answers
}

/// With every key entry valid, and every variable set.
fn taken_by_gate(document: &Value) -> bool {
    let loaded = Policy::load(document.to_string().as_bytes(), &|_| Some(b"schema-suite-key".to_vec()));
    loaded.is_ok_and(|loaded| {
        let duplicates = |entry: &portcullis::RefusedEntry| entry.to_string().contains("duplicate key, also at");
        loaded.refused_entries.iter().all(duplicates)
    })
}

/// The policies in the shipped configurations.
fn shipped() -> Vec<Value> {
    let mut found = Vec::new();
    for file in fs::read_dir(paths::workspace().join("envoy")).expect("envoy/ is there").map_while(Result::ok) {
        if file.path().extension().is_some_and(|ending| ending == "yaml") {
            let text = fs::read_to_string(file.path()).expect("a file that was listed");
            find(&serde_saphyr::from_str(&text).expect("it is YAML"), &mut found);
        }
    }
    assert!(found.len() >= 5, "only {} policies are shipped", found.len());
    found
}

fn find(value: &Value, found: &mut Vec<Value>) {
    if let Some(policy) = value.pointer("/configuration/value").filter(|_| value.get("vm_config").is_some()) {
        found.push(policy.as_str().map_or_else(|| policy.clone(), |text| serde_json::from_str(text).expect("JSON")));
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| find(member, found)),
        Value::Array(items) => items.iter().for_each(|item| find(item, found)),
        _ => {}
    }
}

#[test]
fn every_policy_that_the_gate_takes_is_taken() {
    let cases = cases::load_all().expect("the table can be read");
    let of_cases = cases.iter().flat_map(|cases| cases.policies.values().cloned());
    let all: Vec<Value> = of_cases.filter(taken_by_gate).chain(shipped()).chain([json!({})]).collect();
    assert!(all.len() > 50, "only {} policies", all.len());
    let taken = taken_by_schema(&all);
    let wrong: Vec<String> =
        all.iter().zip(taken).filter(|(_, taken)| !taken).map(|(one, _)| one.to_string()).collect();
    assert!(wrong.is_empty(), "the schema refuses:\n{}", wrong.join("\n"));
}

/// A document with the text in every place of its kind.
type With = fn(&str) -> Value;

/// The kinds of text whose allowed characters are in the schema too.
const EXACT: [(&str, With); 11] = [
    ("gate", |text| json!({"name": text})),
    ("consumer", |text| json!({"consumers": [{"name": text}]})),
    ("role", |text| json!({"consumers": [{"name": "a", "roles": [text]}]})),
    ("id", |text| json!({"consumers": [{"name": "a", "keys": [{"env": "A", "id": text}]}]})),
    ("variable", |text| json!({"consumers": [{"name": "a", "keys": [{"env": text}]}]})),
    ("plaintext", |text| json!({"consumers": [{"name": "a", "keys": [{"plaintext": text}]}]})),
    ("header", |text| json!({"upstream": {"key_id_header": text}})),
    ("parameter", |text| json!({"key_sources": [{"query": text}]})),
    ("method", |text| json!({"public_paths": [{"path": "/a", "methods": [text]}]})),
    ("state", |text| json!({"trusted_networks": {"client_address": {"filter_state": text}}})),
    ("realm", |text| json!({"reply": {"realm": text}})),
];

#[test]
fn every_character_and_every_length_is_judged_as_the_gate_does() {
    let characters = (0..0x100_u32).filter_map(char::from_u32).chain(['€', '😀']);
    let texts: Vec<String> = characters
        .flat_map(|one| [one.to_string(), format!("a{one}b")])
        .chain([0, 32, 33, 64, 65, 128, 129, 1024, 1025].map(|length| "a".repeat(length)))
        .chain([32, 33].map(|length| "A".repeat(length)))
        .collect();
    let all: Vec<(&str, &String, Value)> =
        EXACT.iter().flat_map(|(kind, with)| texts.iter().map(move |text| (*kind, text, with(text)))).collect();
    let documents: Vec<Value> = all.iter().map(|(_, _, document)| document.clone()).collect();
    let taken = taken_by_schema(&documents);
    let differ = all.iter().zip(&taken).filter(|((_, _, document), taken)| taken_by_gate(document) != **taken);
    let differ: Vec<String> =
        differ.map(|((kind, text, _), taken)| format!("{kind} {text:?}: the schema says {taken}")).collect();
    assert_eq!(differ.join("\n"), "");
    let both = taken.iter().filter(|taken| **taken).count();
    assert!(both > 1000 && taken.len() - both > 1000, "a control: {both} of {} are taken", taken.len());
}

#[test]
fn what_one_value_tells_is_refused_by_both() {
    let refused = json!([
        [],
        {"rulez": []},
        {"version": 2},
        {"version": "1"},
        {"name": 12_345_678},
        {"mode": false},
        {"mode": "off"},
        {"access_log": "yes"},
        {"public_paths": null},
        {"public_paths": [1]},
        {"public_paths": [{"path": "/a", "methods": []}]},
        {"public_paths": [{"methods": ["GET"]}]},
        {"protected_paths": []},
        {"protected_paths": [{"path": "/a", "methods": ["GET"]}]},
        {"key_sources": []},
        {"key_sources": ["basic"]},
        {"key_sources": ["bearer", "bearer"]},
        {"key_sources": [{}]},
        {"key_sources": [{"header": "a", "query": "b"}]},
        {"consumers": [{"roles": []}]},
        {"consumers": [{"name": "a", "keys": ["key"]}]},
        {"consumers": [{"name": "a", "keys": [{}]}]},
        {"consumers": [{"name": "a", "keys": [{"env": "A", "plaintext": "key"}]}]},
        {"consumers": [{"name": "a", "keys": [{"sha256": "abc"}]}]},
        {"consumers": [{"name": "a", "keys": [{"env": "A", "expires": "2027-02-01"}]}]},
        {"trusted_networks": {"ranges": ["all"]}},
        {"trusted_networks": {"client_address": "xff"}},
        {"trusted_networks": {"client_address": {"state": "a"}}},
        {"trusted_identities": ["*"]},
        {"cors_preflight": "deny"},
        {"rules": [{"path": "/a"}]},
        {"rules": [{"path": "/a", "roles": []}]},
        {"reply": {"realm": "a\"b"}},
        {"upstream": {"forward_credential": 1}},
    ]);
    let paths =
        ["", "a", "//", "/a//b", "/**/a", "/a*", "/{a", "/{}", "/a b", "/a?b", "/a#b", "/a%20b", "/a;b", "/a\\b"];
    let paths = paths.into_iter().map(|path| json!({"public_paths": [path]}));
    let all: Vec<Value> = refused.as_array().expect("a list").iter().cloned().chain(paths).collect();
    let wrong =
        |says: &dyn Fn(&Value) -> bool| all.iter().filter(|one| says(one)).map(Value::to_string).collect::<Vec<_>>();
    assert_eq!(wrong(&taken_by_gate), [""; 0], "taken by the gate");
    let taken: Vec<bool> = taken_by_schema(&all);
    let taken: Vec<String> =
        iter::zip(&all, taken).filter(|(_, taken)| *taken).map(|(one, _)| one.to_string()).collect();
    assert_eq!(taken, [""; 0], "taken by the schema");
}

#[test]
fn every_path_that_the_gate_takes_is_taken() {
    let paths = ["/", "/**", "/a", "/a/", "/a/**", "/*", "/{a_1}/b", "/a/*/é", "/a.b/~c", "/v2/models/{model}/predict"];
    let all: Vec<Value> = paths.iter().map(|path| json!({"rules": [{"path": path, "roles": ["a"]}]})).collect();
    assert!(all.iter().all(taken_by_gate));
    assert_eq!(taken_by_schema(&all), vec![true; all.len()]);
}
