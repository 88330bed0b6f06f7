//! Consumers and their keys, found by the digest of the key.

use crate::digest::Digest;
use crate::document::{ConsumerName, KeyId, RoleName};
use crate::timestamp::Timestamp;

/// Who a key belongs to.
#[derive(Debug)]
pub struct Consumer {
    /// The name.
    pub name: ConsumerName,
    /// The roles, in the order of the document.
    pub roles: Vec<RoleName>,
    /// The roles as a header has them, comma-separated.
    pub roles_value: String,
}

impl Consumer {
    /// Whether the consumer has any of the roles.
    #[must_use]
    pub fn has_any(&self, roles: &[RoleName]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }
}

/// All keys, sorted by digest.
#[derive(Debug, Default)]
pub struct Keyring(Vec<Key>);

/// One key.
#[derive(Debug)]
pub struct Key {
    pub(crate) digest: Digest,
    pub(crate) id: Option<KeyId>,
    pub(crate) consumer: usize,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) disabled: bool,
}

impl Key {
    /// Its public handle.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.as_ref().map_or_else(|| self.digest.handle(), |id| id.as_str().to_owned())
    }

    /// The first second in which it is valid, if it has one.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// The first second in which it is valid no more, if it has one.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }
}

impl Keyring {
    pub(crate) fn new(mut keys: Vec<Key>) -> Self {
        keys.sort_unstable_by_key(|key| key.digest);
        Self(keys)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody can come in with a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key with this digest. Where the search ends tells a caller at most how its own digest compares with others';
    /// the last word is a comparison in constant time.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<&Key> {
        let index = self.0.binary_search_by_key(digest, |key| key.digest).ok()?;
        self.0.get(index).filter(|key| key.digest.same(digest))
    }
}
