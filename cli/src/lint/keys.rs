//! Lints of consumers and their keys.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use portcullis::document::Document;
use portcullis::keys::{ConsumerEntry, Digest, KeyEntry, NotAKey, Secret};

use super::code::Code;
use super::finding::Finding;
use super::policy::Subject;
use crate::import::rxinfer::DEV_TOKEN;
use crate::keys::key_format::is_generated;
use crate::when::Span;

/// The keys of `envoy/envoy.yaml`, which are publicly known.
const DEMO_KEYS: [&str; 2] = ["pk_demo_ci_not_a_secret", "pk_demo_admin_not_a_secret"];

/// Common keys, which attackers try first, and placeholders, of which digests were made by mistake.
const WELL_KNOWN: [&str; 54] = [
    "$API_KEY",
    "$KEY",
    "$TOKEN",
    "${API_KEY}",
    "${KEY}",
    "${TOKEN}",
    "0000",
    "1234",
    "12345",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "CHANGEME",
    "CHANGE_ME",
    "REPLACE_ME",
    "abc123",
    "admin",
    "administrator",
    "api-key",
    "api_key",
    "apikey",
    "bearer",
    "change-me",
    "changeit",
    "changeme",
    "default",
    "demo",
    "dev",
    "development",
    "dummy",
    "example",
    "hunter2",
    "key",
    "letmein",
    "my-api-key",
    "my-secret-token",
    "mysecret",
    "none",
    "null",
    "password",
    "placeholder",
    "qwerty",
    "replace-me",
    "root",
    "sample",
    "secret",
    "test",
    "test-key",
    "todo",
    "token",
    "undefined",
    "your-api-key",
];

/// A key of fewer bytes can be guessed: 16 random hex digits are 64 bits.
const SHORTEST: usize = 16;

static KNOWN: LazyLock<BTreeMap<Digest, Code>> = LazyLock::new(|| {
    let digests = |keys: &'static [&str], code| keys.iter().map(move |key| (Digest::of(key.as_bytes()), code));
    let empty = [(Digest::of(b""), Code::EmptyKey)];
    let dev_token = [(Digest::of(DEV_TOKEN.0.as_bytes()), Code::DevToken)];
    let known = digests(&WELL_KNOWN, Code::WeakKey).chain(digests(&DEMO_KEYS, Code::DemoKey));
    known.chain(dev_token).chain(empty).collect()
});

/// Checks every consumer.
pub(super) fn examine(subject: &Subject<'_>, document: &Document, findings: &mut Vec<Finding>) {
    let consumers = &document.consumers;
    if consumers.iter().all(|consumer| consumer.keys.is_empty()) {
        let message = "no consumer has a key: only public paths and trusted callers pass";
        findings.push(subject.finding(
            Code::NoKeys,
            "consumers",
            message,
            "create a key: `portcullis keys generate --consumer NAME`",
        ));
    }
    names(subject, consumers, findings);
    for (index, consumer) in consumers.iter().enumerate() {
        let path = format!("consumers[{index}]");
        for (number, key) in consumer.keys.iter().enumerate() {
            examine_key(subject, &format!("{path}.keys[{number}]"), key, findings);
        }
        let is_idle = consumer.keys.iter().all(|key| is_over(subject, key));
        if is_idle && !consumers.iter().all(|consumer| consumer.keys.is_empty()) {
            findings.push(idle(subject, &path, consumer));
        }
    }
}

fn is_over(subject: &Subject<'_>, key: &KeyEntry) -> bool {
    key.disabled || key.expires.is_some_and(|expires| expires <= subject.times.0)
}

fn idle(subject: &Subject<'_>, path: &str, consumer: &ConsumerEntry) -> Finding {
    let why = if consumer.keys.is_empty() { "has no key" } else { "has only keys that are disabled or have expired" };
    let name = consumer.name.as_str();
    let fix = format!("give it a key (`portcullis keys generate --consumer {name}`), or remove the consumer");
    subject.finding(Code::IdleConsumer, path, &format!("the consumer {name} {why}"), fix)
}

/// The key itself, if it is known, and its digest.
fn key_and_digest(subject: &Subject<'_>, key: &KeyEntry) -> (Option<Vec<u8>>, Option<Digest>) {
    let of_variable = |name: &str| subject.variables.get(name).map(|value| value.trim_ascii_end().to_vec());
    let (value, digest) = match &key.secret {
        Secret::Sha256(digest) => (None, *digest),
        Secret::Plaintext(key) => (Some(key.expose().as_bytes().to_vec()), None),
        Secret::Env(variable) => (of_variable(variable.as_str()), None),
    };
    let value = value.filter(|value| !value.is_empty());
    let digest = digest.or_else(|| value.as_deref().map(Digest::of));
    (value, digest)
}

/// Finds keys in the place of names. The message does not show them.
fn names(subject: &Subject<'_>, consumers: &[ConsumerEntry], findings: &mut Vec<Finding>) {
    let keys = consumers.iter().flat_map(|consumer| &consumer.keys);
    let digests: HashSet<Digest> = keys.filter_map(|key| key_and_digest(subject, key).1).collect();
    let mut examine = |path: String, text: &str| {
        if is_generated(text) || digests.contains(&Digest::of(text.as_bytes())) {
            let message = "this is a key: names are logged, listed and sent to the service, and descriptions are shown";
            let fix = "use another name, and replace the key: `portcullis keys rotate`";
            findings.push(subject.finding(Code::KeyAsName, &path, message, fix));
        }
    };
    for (index, consumer) in consumers.iter().enumerate() {
        let path = format!("consumers[{index}]");
        examine(format!("{path}.name"), consumer.name.as_str());
        for (number, role) in consumer.roles.iter().enumerate() {
            examine(format!("{path}.roles[{number}]"), role.as_str());
        }
        for (number, key) in consumer.keys.iter().enumerate() {
            let id = key.id.as_ref().map(|id| ("id", id.as_str()));
            let description = key.description.as_ref().map(|text| ("description", text.as_str()));
            for (member, text) in id.into_iter().chain(description) {
                examine(format!("{path}.keys[{number}].{member}"), text);
            }
        }
    }
}

fn examine_key(subject: &Subject<'_>, path: &str, key: &KeyEntry, findings: &mut Vec<Finding>) {
    let (value, digest) = key_and_digest(subject, key);
    let id = key.id.as_ref().map(|id| id.as_str().to_owned()).or_else(|| digest.map(|digest| digest.handle()));
    let id = id.filter(|id| !is_generated(id) && digest != Some(Digest::of(id.as_bytes())));
    let name = id.as_ref().map(|id| format!(" (id {id})")).unwrap_or_default();
    let mut warn =
        |code, message: &str, fix: &str| findings.push(subject.finding(code, path, &format!("{message}{name}"), fix));
    // The gate skips the entry, which is reported already.
    if value.as_deref().and_then(NotAKey::of).is_some() {
        return;
    }
    const NEW: &str = "create a new one with `portcullis keys generate`";
    match digest.and_then(|digest| KNOWN.get(&digest)) {
        Some(Code::EmptyKey) => {
            warn(
                Code::EmptyKey,
                "SHA-256 of an empty text: the variable was probably empty",
                "hash the key again: printf %s \"$KEY\" | sha256sum",
            );
        }
        Some(Code::DemoKey) => warn(Code::DemoKey, "this is a key of the demonstration, which is publicly known", NEW),
        Some(Code::DevToken) => {
            warn(Code::DevToken, "this is RxInferServer's development token, which is publicly known", NEW);
        }
        Some(_) => warn(Code::WeakKey, "this is a common key, which attackers try first", NEW),
        None if value.as_ref().is_some_and(|value| value.len() < SHORTEST) => {
            warn(Code::ShortKey, "the key has fewer than 16 characters, so it can be guessed", NEW);
        }
        None => {}
    }
    let in_sight = match &key.secret {
        Secret::Plaintext(_) => Some("in the policy"),
        Secret::Env(variable) if subject.variables.shows(variable.as_str()) => {
            Some("among the variables of the module")
        }
        _ => None,
    };
    if let Some(place) = in_sight {
        let fix = "use its sha256 (printf %s \"$KEY\" | sha256sum), or put the key into an environment variable of \
                   the proxy and use env";
        warn(Code::PlaintextKey, &format!("the key itself is {place}: whoever can read it can use it"), fix);
    }
    let (now, soon) = subject.times;
    match key.expires {
        _ if key.disabled => {}
        Some(expires) if expires <= now => {
            warn(Code::ExpiredKey, "the key has expired", "remove it, or give its consumer a new one")
        }
        Some(expires) if expires <= soon => {
            let left = Span::between(now, expires);
            let fix = format!("replace it: `portcullis keys rotate {}`", id.as_deref().unwrap_or("ID"));
            warn(Code::ExpiresSoon, &format!("the key expires in {left}"), &fix);
        }
        _ => {}
    }
}
