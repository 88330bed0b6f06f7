//! The reader of policy documents: it never panics, reads JSON text and `Struct` alike, and never shows a secret.
//!
//! Input: a document, as JSON text or as a serialized `google.protobuf.Struct`.

use std::sync::LazyLock;

use jsonschema::Validator;
use portcullis::document::{Document, Problem};
use portcullis::keys::EntryProblem;
use portcullis::{Loaded, Policy, Refusal, RefusedEntry};
use portcullis_models::reference::{self, Environment};
use portcullis_models::structs;
use serde_json::{Map, Number, Value};

/// Part of every secret, and of nothing else.
const MARK: &str = "s3cr3t~9";
/// Part of a secret that is a number.
const MARKED_NUMBER: i64 = 98_765_432_101;

/// Every variable whose name begins with `E` is set; most others are not.
fn environment() -> Environment {
    let value = |text: &str| format!("{text}{MARK}").into_bytes();
    [
        ("E", value("e")),
        ("EMPTY", Vec::new()),
        ("LINE", [value("l"), b"\r\n".to_vec()].concat()),
        ("BLANK", [value("b"), b" ".to_vec()].concat()),
        ("BYTES", [value("y"), vec![0xFF]].concat()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// One input.
///
/// # Panics
/// On a finding.
pub fn run(input: &[u8]) {
    let loaded = load(input);
    let is_marked = input.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    if !is_marked {
        hides_secrets(input, &loaded, &[MARK]);
    }
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    if let Ok(loaded) = &loaded {
        others_read_the_same(input, &value, &loaded.policy);
    }
    let Value::Object(members) = value else { return };
    let document = as_doubles(Value::Object(members));
    both_forms_agree(&document);
    let number = MARKED_NUMBER.to_string();
    // After rounding, another large number could show the mark too.
    if !is_marked && !document.to_string().contains(&number) && !has_large_number(&document) {
        let mut secret = document;
        mark(&mut secret, false);
        let text = secret.to_string();
        hides_secrets(text.as_bytes(), &load(text.as_bytes()), &[MARK, &number]);
    }
}

fn load(configuration: &[u8]) -> Result<Loaded, Refusal> {
    let environment = environment();
    Policy::load(configuration, &|name| environment.get(name).cloned())
}

/// The schema must accept every document that the gate accepts. The command's YAML reader (YAML includes JSON) must
/// find the same policy in it.
fn others_read_the_same(input: &[u8], value: &Value, policy: &Policy) {
    static SCHEMA: LazyLock<Validator> =
        LazyLock::new(|| jsonschema::validator_for(&Document::json_schema()).expect("the schema is one"));
    // The schema checks the form of digests and keys; the gate skips such an entry.
    let is_whole = load(input).is_ok_and(|loaded| !loaded.refused_entries.iter().any(is_malformed));
    assert!(!is_whole || SCHEMA.is_valid(value), "taken, and not by the schema: {value}");
    let Ok(text) = core::str::from_utf8(input) else { return };
    // Not every YAML reader accepts every JSON text: a tab, half of a surrogate pair.
    let Ok(yaml) = serde_saphyr::from_str::<Value>(text) else { return };
    let read = load(yaml.to_string().as_bytes()).unwrap_or_else(|refusal| panic!("taken, but not as YAML: {refusal}"));
    assert_eq!(read.policy.digest(), policy.digest(), "another policy as YAML: {text}");
}

fn is_malformed(entry: &RefusedEntry) -> bool {
    matches!(entry.problem, EntryProblem::MalformedDigest | EntryProblem::MalformedPlaintext | EntryProblem::NotAKey(_))
}

/// Everything printable of a document, its policy and its refusal, searched for secrets.
fn hides_secrets(configuration: &[u8], loaded: &Result<Loaded, Refusal>, marks: &[&str]) {
    let mut printed = vec![format!("{loaded:?}")];
    match loaded {
        Ok(loaded) => printed.extend(loaded.refused_entries.iter().map(|entry| format!("{entry} {entry:?}"))),
        Err(refusal) => printed.push(refusal.to_string()),
    }
    if let Ok(document) = Document::read(configuration) {
        printed.push(format!("{document:?}"));
        printed.push(serde_json::to_string(&document).expect("a document can be written"));
    }
    for text in printed {
        assert!(!marks.iter().any(|mark| text.contains(mark)), "a secret is shown: {text}");
    }
}

/// Numbers as a `Struct` has them.
fn as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let double = number.as_f64().unwrap_or_default();
            let whole = double as i64;
            let is_whole = double.abs() < 9_007_199_254_740_992.0 && whole as f64 == double;
            if is_whole { whole.into() } else { Number::from_f64(double).map_or(Value::Null, Value::Number) }
        }
        Value::Array(items) => items.into_iter().map(as_doubles).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, as_doubles(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// The same document as text and as a `Struct` must give the same policy or the same refusal. The reference must read
/// every accepted document, with the same number of keys.
fn both_forms_agree(document: &Value) {
    let (text, bytes) = (load(document.to_string().as_bytes()), load(&structs::encode(document)));
    match (&text, &bytes) {
        (Ok(text), Ok(bytes)) => {
            assert_eq!(text.policy.digest(), bytes.policy.digest(), "{document}");
            assert_eq!(text.refused_entries, bytes.refused_entries, "{document}");
            let read = reference::document::Document::read(document);
            let read = read.unwrap_or_else(|error| panic!("taken, and {error}: {document}"));
            assert_eq!(text.policy.keyring().len(), read.usable_keys(&environment()).len(), "{document}");
        }
        (Err(text), Err(bytes)) => assert_eq!(without_numbers(text), without_numbers(bytes), "{document}"),
        _ => panic!("{:?} as text, {:?} as a Struct: {document}", text.err(), bytes.err()),
    }
}

/// A number that is not whole is shown as written in JSON text, and rounded if it is a double.
fn without_numbers(refusal: &Refusal) -> Refusal {
    let mut refusal = refusal.clone();
    if let Problem::WrongType { found: "a number", shown, .. } = &mut refusal.problem {
        *shown = None;
    }
    refusal
}

fn has_large_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() >= MARKED_NUMBER as f64),
        Value::Array(items) => items.iter().any(has_large_number),
        Value::Object(members) => members.values().any(has_large_number),
        _ => false,
    }
}

/// Puts the mark into everything at the place of a key.
fn mark(value: &mut Value, is_secret: bool) {
    match value {
        Value::String(text) if is_secret => text.push_str(MARK),
        Value::Number(_) if is_secret => *value = MARKED_NUMBER.into(),
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, is_secret)),
        Value::Object(members) => {
            for (name, value) in members {
                mark(value, is_secret || matches!(name.as_str(), "sha256" | "plaintext"));
            }
        }
        _ => {}
    }
}
