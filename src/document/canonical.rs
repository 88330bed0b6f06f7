//! The canonical form of a document, and its digest: defaults filled in, members in a fixed order, keys as digests.
//!
//! It is a [form](super::form) of bytes and not text: there is less to hash, and of the consumers, which are most of a large
//! document, it is complete when the last of them is read.

use serde::Serialize as _;

use super::form::Form;
use super::{Consumer, Document, KeyEntry, Secret};
use crate::digest::Digest;

/// Makes the digest of a document: first of its keys and consumers, one by one, then of the rest.
#[derive(Default)]
pub(crate) struct Canonical {
    keys: Form,
    /// How many keys there are since the last consumer.
    count: usize,
    consumers: Form,
}

impl Canonical {
    /// The next key of the consumer that comes next.
    pub(crate) fn key(&mut self, key: &KeyEntry) {
        let KeyEntry { id, description, secret, not_before, expires, disabled } = key;
        let form = &mut self.keys;
        // Neither an id nor a description is ever empty.
        form.text(id.as_ref().map_or("", |id| id.as_str()));
        form.text(description.as_ref().map_or("", |text| text.as_str()));
        form.bytes(&[not_before.is_some(), expires.is_some(), *disabled].map(u8::from));
        // What the gate refuses is refused whatever it is.
        let digest = match secret {
            Secret::Sha256(digest) => *digest,
            Secret::Plaintext(key) => key.digest(),
            Secret::Env(_) => None,
        };
        match (digest, secret) {
            (Some(digest), _) => {
                form.bytes(&[1]);
                form.bytes(digest.as_bytes());
            }
            (None, Secret::Env(variable)) => {
                form.bytes(&[2]);
                form.text(variable.as_str());
            }
            (None, _) => form.bytes(&[0]),
        }
        for time in [not_before, expires].into_iter().flatten() {
            form.bytes(&time.0.to_le_bytes());
        }
        self.count = self.count.saturating_add(1);
    }

    /// The next consumer, whose keys came before it.
    pub(crate) fn consumer(&mut self, consumer: &Consumer) {
        let Consumer { name, description, roles, keys: _ } = consumer;
        let form = &mut self.consumers;
        form.text(name.as_str());
        form.text(description.as_ref().map_or("", |text| text.as_str()));
        form.number(roles.len());
        roles.iter().for_each(|role| form.text(role.as_str()));
        form.number(core::mem::take(&mut self.count));
    }

    /// The digest of the document to which they belong.
    pub(crate) fn finish(self, rest: &Document) -> Digest {
        let mut form = Form::default();
        form.bytes(&self.keys.digest());
        form.bytes(&self.consumers.digest());
        // A document has nothing that has no form.
        let _ = rest.serialize(&mut form);
        Digest::from_bytes(form.digest())
    }
}
