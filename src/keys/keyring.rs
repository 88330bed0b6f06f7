//! Consumers and their keys, indexed by the digest of the key.

use core::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::OnceLock;

use hashbrown::HashTable;

use super::digest::Digest;
use crate::value::names::RoleName;
use crate::value::timestamp::Timestamp;

/// All keys whose entries were not skipped, and their owners.
#[derive(Default)]
pub struct Keyring {
    /// By their digests. Keys are boxed to save memory: the table then has no unused space
    /// for whole keys, and does not need twice the space while it grows. The memory of a VM never shrinks.
    pub(super) keys: HashTable<Box<Row>>,
    pub(super) owners: Vec<Owner>,
    /// The distinct lists of roles of consumers.
    pub(super) roles: Vec<Roles>,
    /// The ids of the keys, with their digests. Empty unless the policy has tokens, which contain the id.
    ids: HashTable<(Box<str>, Digest)>,
}

pub(super) struct Owner {
    pub(super) name: Box<str>,
    pub(super) roles: u32,
}

/// The place of a key: the index of its owner, and its index among the owner's keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u32, pub(super) u32);

pub(super) struct Row {
    pub(super) digest: Digest,
    /// `None` if the document has none, or the default one: that is what `portcullis keys` writes.
    pub(super) id: Option<Box<str>>,
    /// Whether the document has the default id.
    pub(super) has_default_id: bool,
    /// [`Timestamp::MIN`] if the document has none.
    pub(super) not_before: Timestamp,
    /// [`Timestamp::MAX`] if the document has none.
    pub(super) expires: Timestamp,
    pub(super) place: Place,
    pub(super) disabled: bool,
}

#[derive(Default)]
pub(super) struct Roles {
    pub(super) names: Vec<RoleName>,
    pub(super) value: String,
    /// Whether the roles are enough for every rule. Computed on first use.
    pub(super) permit_everything: OnceLock<bool>,
}

/// The owner of a key.
#[derive(Debug, Clone, Copy)]
pub struct Consumer<'p> {
    /// The consumer's name.
    pub name: &'p str,
    /// The roles, in the order of the document.
    pub roles: &'p [RoleName],
    /// The roles as a header value, comma-separated.
    pub roles_value: &'p str,
    permits_everything: &'p OnceLock<bool>,
}

impl Consumer<'_> {
    /// Whether the roles are enough for every rule. The result is computed once for all consumers with these roles, since
    /// callers could otherwise cause this work with each request.
    pub(crate) fn permits_everything(&self, find_out: impl FnOnce() -> bool) -> bool {
        *self.permits_everything.get_or_init(find_out)
    }

    /// Whether the consumer has any of the roles.
    pub fn has_any(&self, roles: &[RoleName]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }
}

/// A key of the policy.
#[derive(Clone, Copy)]
pub struct Key<'p> {
    row: &'p Row,
    /// The default id, if the document has none.
    handle: [u8; 16],
}

impl Key<'_> {
    /// Returns the SHA-256 of the key.
    pub fn digest(&self) -> Digest {
        self.row.digest
    }

    /// Returns the key's public handle.
    pub fn id(&self) -> &str {
        match &self.row.id {
            Some(id) => id,
            None => core::str::from_utf8(&self.handle).unwrap_or_default(),
        }
    }

    /// Returns the first second in which the key is valid, if it has `not_before`.
    pub fn not_before(&self) -> Option<Timestamp> {
        Some(self.row.not_before).filter(|time| *time != Timestamp::MIN)
    }

    /// Returns the first second in which the key is no longer valid, if it has `expires`.
    pub fn expires(&self) -> Option<Timestamp> {
        Some(self.row.expires).filter(|time| *time != Timestamp::MAX)
    }

    /// Whether the key is disabled.
    pub fn is_disabled(&self) -> bool {
        self.row.disabled
    }
}

/// Does not show the digest.
impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

impl Keyring {
    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn insert(&mut self, row: Row) {
        self.keys.insert_unique(hash(&row.digest), Box::new(row), |row| hash(&row.digest));
    }

    pub(super) fn take(&mut self, digest: &Digest) -> Option<Box<Row>> {
        let entry = self.keys.find_entry(hash(digest), |row| row.digest == *digest).ok()?;
        Some(entry.remove().0)
    }

    pub(super) fn shrink(&mut self) {
        self.keys.shrink_to_fit(|row| hash(&row.digest));
    }

    /// Returns every key and its owner, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Consumer<'_>, Key<'_>)> {
        self.keys.iter().filter_map(|row| self.find(&row.digest))
    }

    /// Finds the key with this digest, and its owner. Digests are compared in constant time. Lookup timing depends only on
    /// whether a digest in the table has the same hash as the caller's.
    pub fn find(&self, digest: &Digest) -> Option<(Consumer<'_>, Key<'_>)> {
        let row = self.keys.find(hash(digest), |row| row.digest == *digest)?;
        let owner = self.owners.get(usize::try_from(row.place.0).ok()?)?;
        let Roles { names, value, permit_everything } = self.roles.get(usize::try_from(owner.roles).ok()?)?;
        let consumer =
            Consumer { name: &owner.name, roles: names, roles_value: value, permits_everything: permit_everything };
        let handle = if row.id.is_none() { digest.handle_digits() } else { [0; 16] };
        Some((consumer, Key { row, handle }))
    }

    /// Prepares for [`find_by_id`](Self::find_by_id).
    pub(crate) fn index_ids(&mut self) {
        for row in &self.keys {
            let id = row.id.clone().unwrap_or_else(|| row.digest.handle().into());
            self.ids.insert_unique(hash(&*id), (id, row.digest), |(id, _)| hash(id));
        }
    }

    /// Finds the key with this id, and its owner.
    pub(crate) fn find_by_id(&self, id: &str) -> Option<(Consumer<'_>, Key<'_>)> {
        let (_, digest) = self.ids.find(hash(id), |(other, _)| **other == *id)?;
        self.find(digest)
    }
}

/// Not a part of the digest itself: the author of a policy could choose digests that have it in common.
fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Shows only the number of keys: there may be many.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.len())
    }
}
