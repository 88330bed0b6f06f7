//! Consumers and their keys, found by the digest of the key.

use core::borrow::Borrow;
use core::fmt;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use super::digest::Digest;
use crate::value::names::RoleName;
use crate::value::timestamp::Timestamp;

/// All keys that work, and their owners.
#[derive(Default)]
pub struct Keyring {
    pub(super) keys: HashSet<ByDigest, BuildHasherDefault<DefaultHasher>>,
    pub(super) owners: Vec<Owner>,
    /// Each list of roles that consumers have, once.
    pub(super) roles: Vec<Roles>,
}

pub(super) struct Owner {
    pub(super) name: Box<str>,
    /// The index of its roles.
    pub(super) roles: u32,
}

/// A key, found by its digest. Boxed, so that the set needs no room for more keys than there are, nor twice the room while it
/// grows: the memory of a VM never shrinks.
pub(super) struct ByDigest(pub(super) Box<Row>);

pub(super) struct Row {
    pub(super) digest: Digest,
    /// `None` where the document gives none.
    pub(super) id: Option<Box<str>>,
    /// The earliest time there is, where the document gives none.
    pub(super) not_before: Timestamp,
    /// The last time there is, where the document gives none.
    pub(super) expires: Timestamp,
    /// The index of its owner.
    pub(super) owner: u32,
    /// The index among its owner's keys.
    pub(super) number: u32,
    pub(super) disabled: bool,
}

#[derive(Default)]
pub(super) struct Roles {
    pub(super) names: Vec<RoleName>,
    pub(super) value: String,
    /// Whether they are enough for every rule, once that was needed.
    pub(super) permit_everything: OnceLock<bool>,
}

impl Borrow<Digest> for ByDigest {
    fn borrow(&self) -> &Digest {
        &self.0.digest
    }
}

impl PartialEq for ByDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for ByDigest {}

impl Hash for ByDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

/// The owner of a key.
#[derive(Debug, Clone, Copy)]
pub struct Consumer<'p> {
    /// The name.
    pub name: &'p str,
    /// The roles, in the order of the document.
    pub roles: &'p [RoleName],
    /// The roles as a header has them, comma-separated.
    pub roles_value: &'p str,
    permits_everything: &'p OnceLock<bool>,
}

impl Consumer<'_> {
    /// Whether the roles are enough for every rule. That is found out once for all consumers with these roles, since a caller
    /// may make it necessary for each request.
    pub(crate) fn permits_everything(&self, find_out: impl FnOnce() -> bool) -> bool {
        *self.permits_everything.get_or_init(find_out)
    }

    /// Whether the consumer has any of the roles.
    #[must_use]
    pub fn has_any(&self, roles: &[RoleName]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }
}

/// One key.
#[derive(Clone, Copy)]
pub struct Key<'p> {
    row: &'p Row,
    /// The default id, where the document gives none.
    handle: [u8; 16],
}

impl Key<'_> {
    /// The SHA-256 of the key.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.row.digest
    }

    /// Its public handle.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.row.id {
            Some(id) => id,
            None => core::str::from_utf8(&self.handle).unwrap_or_default(),
        }
    }

    /// The first second in which it is valid, if it has one.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        Some(self.row.not_before).filter(|time| *time != Timestamp::MIN)
    }

    /// The first second in which it is not valid any more, if it has one.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        Some(self.row.expires).filter(|time| *time != Timestamp::MAX)
    }

    /// Whether it is disabled.
    #[must_use]
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
    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Finds the key with this digest, and its owner. Digests are compared in constant time. The time of the look-up tells a
    /// caller at most whether another digest has the same hash in the table as that of its own key.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<(Consumer<'_>, Key<'_>)> {
        let ByDigest(row) = self.keys.get(digest)?;
        let owner = self.owners.get(usize::try_from(row.owner).ok()?)?;
        let Roles { names, value, permit_everything } = self.roles.get(usize::try_from(owner.roles).ok()?)?;
        let consumer =
            Consumer { name: &owner.name, roles: names, roles_value: value, permits_everything: permit_everything };
        let handle = if row.id.is_none() { digest.handle_digits() } else { [0; 16] };
        Some((consumer, Key { row, handle }))
    }
}

/// Does not show digests and names: there may be many.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.len())
    }
}
