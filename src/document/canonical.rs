//! The canonical form of a document, and its digest: defaults filled in, members in a fixed order, keys as digests.
//!
//! The form uses `postcard`:
//!
//! * Texts and lists are preceded by their lengths.
//! * An enum variant is written as its number.
//! * Members have no names, since all of them are always present.
//!
//! Consumers, which are most of a large document, are hashed one by one as they are parsed.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::root::Document;
use super::tokens::Endpoints;
use crate::keys::digest::Digest;
use crate::keys::entry::{ConsumerEntry, KeyEntry, Secret};

/// Hashes a document: first its keys and consumers, one by one, then the rest.
#[derive(Default)]
pub(crate) struct CanonicalHash {
    keys: Serialized,
    /// The number of keys since the last consumer.
    count: usize,
    consumers: Serialized,
}

/// A hash of serialized values. The values are not kept.
#[derive(Default)]
struct Serialized {
    hash: Sha256,
    /// Reused for each value.
    buffer: Vec<u8>,
}

impl Serialized {
    fn add(&mut self, value: &impl Serialize) {
        self.buffer.clear();
        // Every part of a document can be serialized.
        self.buffer = postcard::to_extend(value, core::mem::take(&mut self.buffer)).unwrap_or_default();
        self.hash.update(&self.buffer);
    }

    fn digest(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

impl CanonicalHash {
    /// Adds a key of the consumer that is added next.
    pub(crate) fn key(&mut self, key: &KeyEntry) {
        let KeyEntry { id, description, secret, not_before, expires, disabled } = key;
        // An invalid key has no digest.
        let (digest, variable) = match secret {
            Secret::Sha256(digest) => (*digest, None),
            Secret::Plaintext(key) => (key.digest().ok(), None),
            Secret::Env(variable) => (None, Some(variable)),
        };
        let digest = digest.as_ref().map(Digest::as_bytes);
        let times = [not_before, expires].map(|time| time.map(|time| time.0));
        self.keys.add(&(id, description, digest, variable, times, disabled));
        self.count = self.count.saturating_add(1);
    }

    /// Adds a consumer. Its keys were added before.
    pub(crate) fn consumer(&mut self, consumer: &ConsumerEntry) {
        let ConsumerEntry { name, description, roles, keys: _ } = consumer;
        self.consumers.add(&(name, description, roles, core::mem::take(&mut self.count)));
    }

    /// Adds the rest of the document.
    pub(crate) fn finish(self, rest: &Document) -> Digest {
        let mut form = Serialized::default();
        form.add(&(self.keys.digest(), self.consumers.digest()));
        form.add(rest);
        // Apart, so that a policy without them has the digest that filters without tokens computed.
        if rest.tokens.is_some() || rest.endpoints != Endpoints::default() {
            form.add(&(&rest.endpoints, &rest.tokens));
        }
        Digest::from_bytes(form.digest())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::decision::policy::Policy;

    /// Documents that each differ in one optional member, or only in where one list ends and the next begins.
    #[test]
    fn policies_that_differ_have_digests_that_differ() {
        let digest = "00".repeat(32);
        let key = |members: &str| format!(r#"{{"sha256": "{digest}"{members}}}"#);
        let other = format!(r#"{{"sha256": "{}"}}"#, "11".repeat(32));
        let consumers = |consumers: &str| format!(r#"{{"consumers": [{consumers}]}}"#);
        let of_one = |key: String| consumers(&format!(r#"{{"name": "a", "keys": [{key}]}}"#));
        let mut documents = [
            "{}",
            r#"{"mode": "report"}"#,
            r#"{"mode": "disabled"}"#,
            r#"{"name": "a"}"#,
            r#"{"description": "a"}"#,
            r#"{"key_sources": ["bearer"]}"#,
            r#"{"key_sources": [{"header": "a"}]}"#,
            r#"{"key_sources": [{"query": "a"}]}"#,
            r#"{"key_sources": [{"cookie": "a"}]}"#,
            r#"{"public_paths": ["/a", "/b"]}"#,
            r#"{"public_paths": ["/b", "/a"]}"#,
            r#"{"public_paths": ["/a"]}"#,
            r#"{"public_paths": [{"path": "/a", "methods": ["GET"]}]}"#,
            r#"{"public_paths": [{"path": "/a", "methods": ["GET", "PUT"]}]}"#,
            r#"{"public_paths": [{"path": "/a", "description": "GET"}]}"#,
            r#"{"protected_paths": ["/a"]}"#,
            r#"{"trusted_networks": {"ranges": ["10.0.0.0/8"]}}"#,
            r#"{"trusted_networks": {"ranges": ["10.0.0.0/8"], "client_address": "remote_ip"}}"#,
            r#"{"trusted_networks": {"ranges": ["10.0.0.0/8"], "client_address": {"filter_state": "a"}}}"#,
            r#"{"trusted_identities": ["spiffe://a/ns/b"]}"#,
            r#"{"cors_preflight": "allow"}"#,
            r#"{"rules": [{"path": "/a", "roles": ["a", "b"]}]}"#,
            r#"{"rules": [{"path": "/a", "roles": ["a"], "description": "b"}]}"#,
            r#"{"rules": [{"path": "/a", "roles": ["a"]}, {"path": "/a", "roles": ["b"]}]}"#,
            r#"{"rules": [{"path": "/a", "methods": ["GET"], "roles": ["a"]}]}"#,
            r#"{"endpoints": {"whoami": "/a"}}"#,
            r#"{"endpoints": {"whoami": "/b"}}"#,
            r#"{"tokens": {"secrets": [{"env": "A"}]}}"#,
            r#"{"tokens": {"secrets": [{"env": "B"}]}}"#,
            r#"{"tokens": {"secrets": [{"env": "A"}, {"env": "B"}]}}"#,
            r#"{"tokens": {"secrets": [{"env": "A"}], "lifetime": "14min"}}"#,
            r#"{"tokens": {"secrets": [{"env": "A"}]}, "endpoints": {"token": "/a"}}"#,
            r#"{"tokens": {"secrets": [{"env": "A"}]}, "endpoints": {"whoami": "/a"}}"#,
            r#"{"reply": {"realm": "a"}}"#,
            r#"{"reply": {"detail": "a"}}"#,
            r#"{"upstream": {"consumer_header": "x-a"}}"#,
            r#"{"upstream": {"roles_header": "x-a"}}"#,
            r#"{"upstream": {"key_id_header": "x-a"}}"#,
            r#"{"upstream": {"forward_credential": true}}"#,
        ]
        .map(str::to_owned)
        .to_vec();
        documents.extend([
            consumers(r#"{"name": "a"}"#),
            consumers(r#"{"name": "a", "description": "b"}"#),
            consumers(r#"{"name": "a", "roles": ["b"]}"#),
            consumers(r#"{"name": "a", "roles": ["b", "c"]}"#),
            consumers(r#"{"name": "a"}, {"name": "b"}"#),
            consumers(r#"{"name": "b"}, {"name": "a"}"#),
            of_one(key("")),
            of_one(key(r#", "id": "b""#)),
            of_one(key(r#", "description": "b""#)),
            of_one(key(r#", "disabled": true"#)),
            of_one(key(r#", "expires": "2027-01-01T00:00:00Z""#)),
            of_one(key(r#", "not_before": "2027-01-01T00:00:00Z""#)),
            of_one(key(r#", "not_before": "2027-01-01T00:00:00Z", "expires": "2027-01-01T00:00:01Z""#)),
            of_one(r#"{"env": "A"}"#.into()),
            of_one(r#"{"env": "B"}"#.into()),
            of_one(r#"{"plaintext": "a"}"#.into()),
            of_one(r#"{"sha256": "none"}"#.into()),
        ]);
        // The same keys in the same order, with different owners.
        documents.extend(["K, O | ", "K | O", " | K, O"].map(|keys| {
            let keys = keys.replace('K', &key("")).replace('O', &other);
            let (a, b) = keys.split_once(" | ").unwrap();
            consumers(&format!(r#"{{"name": "a", "keys": [{a}]}}, {{"name": "b", "keys": [{b}]}}"#).replace(", ]", "]"))
        }));
        let mut seen = BTreeMap::new();
        for document in documents {
            let loaded = Policy::load(document.as_bytes(), &|_| None);
            let digest = loaded.unwrap_or_else(|refusal| panic!("{document}: {refusal}")).policy.digest();
            if let Some(same) = seen.insert(*digest.as_bytes(), document.clone()) {
                panic!("{document} has the digest of {same}");
            }
        }
    }
}
