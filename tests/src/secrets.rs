//! Records every key that this process has given to an Envoy, and every credential that it has sent to one, and
//! searches Envoy's output for them. [`crate::envoy`] searches when an Envoy ends, so every suite on a real Envoy does.
//!
//! Configurations and clients register their secrets automatically; suites need not. Envoy's configuration dump is not
//! searched: by design, it shows the policy to everyone with access to the admin interface.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use serde_json::Value;

use crate::message::Pair;

/// Shorter strings occur in every log.
const SHORTEST: usize = 8;
/// A part of a long secret is enough, so that truncated output is found too.
const MAX_LENGTH: usize = 64;

/// The secrets, and the headers in which they are sent.
struct Known {
    secrets: BTreeSet<Vec<u8>>,
    /// Names of environment variables, which callers try as keys, and which messages show.
    variables: BTreeSet<Vec<u8>>,
    headers: BTreeSet<String>,
}

static KNOWN: Mutex<Known> =
    Mutex::new(Known { secrets: BTreeSet::new(), variables: BTreeSet::new(), headers: BTreeSet::new() });

/// The headers that contain credentials under every policy.
const HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "x-api-key"];

impl Known {
    /// The visible parts of a value, without commas: a log may escape or split the rest.
    fn note(&mut self, value: &[u8]) {
        for piece in value.split(|byte| !byte.is_ascii_graphic() || *byte == b',') {
            if piece.len() >= SHORTEST {
                self.secrets.insert(piece[..piece.len().min(MAX_LENGTH)].to_vec());
            }
        }
    }

    /// The secrets of a configuration: keys, digests, the VM's environment, and whole policies.
    fn note_document(&mut self, document: &Value) {
        match document {
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), member) {
                        ("plaintext" | "sha256", Value::String(secret)) => self.note(secret.as_bytes()),
                        ("key_values", Value::Object(variables)) => {
                            variables.values().filter_map(Value::as_str).for_each(|value| self.note(value.as_bytes()));
                        }
                        ("env", Value::String(name)) => _ = self.variables.insert(name.as_bytes().to_vec()),
                        ("value", Value::String(text)) => self.note_text(text),
                        ("header", Value::String(name)) => _ = self.headers.insert(normal(name.as_bytes())),
                        _ => self.note_document(member),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.note_document(item)),
            _ => {}
        }
    }

    /// A policy as text, which may be malformed.
    fn note_text(&mut self, text: &str) {
        if text.contains("consumers") {
            self.secrets.insert(text.as_bytes()[..text.len().min(MAX_LENGTH)].to_vec());
        }
        if let Ok(policy) = serde_json::from_str(text) {
            self.note_document(&policy);
        }
    }

    fn note_field(&mut self, name: &[u8], value: &[u8]) {
        match normal(name).as_str() {
            ":path" => self.note_query(value),
            "cookie" => value.split(|byte| *byte == b';').for_each(|pair| self.note(after(pair, b'='))),
            name if HEADERS.contains(&name) || self.headers.contains(name) => self.note(value),
            _ => {}
        }
    }

    fn note_query(&mut self, target: &[u8]) {
        after(target, b'?').split(|byte| *byte == b'&').for_each(|parameter| self.note(after(parameter, b'=')));
    }
}

/// The text after the first `mark`.
fn after(text: &[u8], mark: u8) -> &[u8] {
    text.iter().position(|byte| *byte == mark).map_or(&[], |at| &text[at + 1..])
}

fn normal(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-")
}

fn known<T>(then: impl FnOnce(&mut Known) -> T) -> T {
    then(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Records the secrets of a configuration for an Envoy.
pub fn in_document(document: &Value) {
    known(|known| known.note_document(document));
}

/// Records a secret that an Envoy gets in another way.
pub fn in_value(value: &str) {
    known(|known| known.note(value.as_bytes()));
}

/// Records the credentials of an HTTP/1 request, with any bytes.
pub fn in_request(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    known(|known| {
        let first = lines.next().unwrap_or_default();
        known.note_query(first.strip_suffix(b" HTTP/1.1\r").unwrap_or(first));
        let mut name = [].as_slice();
        for line in lines {
            // A line that begins with a blank continues the value of the line before it.
            if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                name = line.split(|byte| *byte == b':').next().unwrap_or_default();
                known.note_field(name, after(line, b':'));
            } else {
                known.note_field(name, line);
            }
        }
    });
}

/// Records the credentials of an HTTP/2 request.
pub fn in_fields(fields: &[Pair]) {
    known(|known| fields.iter().for_each(|(name, value)| known.note_field(name, value)));
}

/// The first line of `text` that contains a secret, if there is one, with the secret in front.
///
/// # Panics
/// If there are more secrets than fit into memory.
pub fn found_in(text: &[u8]) -> Option<String> {
    let secrets: Vec<Vec<u8>> = known(|known| known.secrets.difference(&known.variables).cloned().collect());
    let search = AhoCorasick::new(&secrets).expect("the secrets of a suite fit into memory");
    let hit = search.find(text)?;
    let begin = text[..hit.start()].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = text[begin..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(format!("`{}` in: {}", shown(&secrets[hit.pattern()]), shown(line)))
}

#[cfg(test)]
mod tests {
    use super::{found_in, in_document, in_fields, in_request};
    use serde_json::json;

    fn holds(text: &str) -> bool {
        found_in(text.as_bytes()).is_some()
    }

    #[test]
    fn what_configurations_hold_is_found() {
        let text = json!({"consumers": [{"name": "a", "keys": [{"plaintext": "unit-in-text"}]}]}).to_string();
        let policy = json!({"key_sources": [{"header": "x-unit-token"}], "consumers": [{"keys": [{"plaintext": "unit-plain"}]}]});
        in_document(&json!({"listeners": [{"value": text}, {"value": policy}]}));
        in_document(&json!({"environment_variables": {"key_values": {"A": "unit-environment\n"}}}));
        for secret in ["unit-in-text", "unit-plain", "unit-environment", &text] {
            assert!(holds(&format!("a line\nanother {secret}\n")), "{secret}");
        }
        in_fields(&[(b"x-unit-token".to_vec(), b"unit-by-policy".to_vec())]);
        assert!(holds("unit-by-policy"));
    }

    #[test]
    fn what_requests_hold_is_found() {
        in_request(
            b"GET /x?a=1&b=unit-query HTTP/1.1\r\nX_API-Key: unit-header\r\nAuthorization: Bearer\r\n unit-folded\r\n\
              Cookie: a=b; c=unit-cookie\r\nX-Other: unit-other\r\n\r\n",
        );
        in_fields(&[(b"authorization".to_vec(), b"Bearer unit-first,unit-second\xff".to_vec())]);
        for secret in ["unit-query", "unit-header", "unit-folded", "unit-cookie", "unit-first", "unit-second"] {
            assert!(holds(secret), "{secret}");
        }
        assert!(!holds("unit-other") && !holds("Bearer"));
    }
}
