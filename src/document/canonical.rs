//! The canonical form of a document, and its digest: defaults filled in, members in a fixed order, keys as digests.
//!
//! Most of a large document are its consumers. Their form is bytes and not text: there is less to hash, and it is complete
//! when the last of them is read.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use super::{Consumer, Document, KeyEntry, Secret};
use crate::digest::Digest;

/// Makes the digest of a document: first of its keys and consumers, one by one, then of the rest.
#[derive(Default)]
pub(crate) struct Canonical {
    keys: Sha256,
    /// How many keys there are since the last consumer.
    count: usize,
    consumers: Sha256,
    /// The form of one of them. What can be of any length stands in it behind its length, so that no two have the same.
    form: Vec<u8>,
}

impl Canonical {
    /// The next key of the consumer that comes next.
    pub(crate) fn key(&mut self, key: &KeyEntry) {
        let KeyEntry { id, description, secret, not_before, expires, disabled } = key;
        self.form.clear();
        // Neither an id nor a description is ever empty.
        self.text(id.as_ref().map_or("", |id| id.as_str()));
        self.text(description.as_ref().map_or("", |text| text.as_str()));
        let flags = [not_before.is_some(), expires.is_some(), *disabled].map(u8::from);
        self.form.extend(flags);
        // What the gate refuses is refused whatever it is.
        let digest = match secret {
            Secret::Sha256(digest) => *digest,
            Secret::Plaintext(key) => key.digest(),
            Secret::Env(_) => None,
        };
        match (digest, secret) {
            (Some(digest), _) => {
                self.form.push(1);
                self.form.extend(digest.as_bytes());
            }
            (None, Secret::Env(variable)) => {
                self.form.push(2);
                self.text(variable.as_str());
            }
            (None, _) => self.form.push(0),
        }
        for time in [not_before, expires].into_iter().flatten() {
            self.form.extend(time.0.to_le_bytes());
        }
        self.count = self.count.saturating_add(1);
        self.keys.update(&self.form);
    }

    /// The next consumer, whose keys came before it.
    pub(crate) fn consumer(&mut self, consumer: &Consumer) {
        let Consumer { name, description, roles, keys: _ } = consumer;
        self.form.clear();
        self.text(name.as_str());
        self.text(description.as_ref().map_or("", |text| text.as_str()));
        self.number(roles.len());
        roles.iter().for_each(|role| self.text(role.as_str()));
        let count = core::mem::take(&mut self.count);
        self.number(count);
        self.consumers.update(&self.form);
    }

    /// The digest of the document to which they belong.
    pub(crate) fn finish(self, rest: &Document) -> Digest {
        struct Sink(Sha256);
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        // These two have a fixed length, so that the rest is what comes after them.
        let mut sink = Sink(Sha256::new_with_prefix(self.keys.finalize()).chain_update(self.consumers.finalize()));
        // Neither the sink nor the document can fail: no map with keys that are no text, no I/O.
        let _ = serde_json::to_writer(&mut sink, rest);
        Digest::from_bytes(sink.0.finalize().into())
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.form.extend_from_slice(text.as_bytes());
    }

    /// Seven bits a byte, the last without the high bit: most numbers here are small.
    fn number(&mut self, mut number: usize) {
        while number > 0x7F {
            self.form.push(u8::try_from(number & 0x7F).unwrap_or_default() | 0x80);
            number >>= 7;
        }
        self.form.push(u8::try_from(number).unwrap_or_default());
    }
}
