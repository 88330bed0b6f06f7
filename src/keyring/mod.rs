//! Consumers and their keys, found by the digest of the key.

mod intake;

use core::borrow::Borrow;
use core::fmt;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

pub(crate) use intake::{Environment, Intake};

use crate::digest::Digest;
use crate::document::RoleName;
use crate::timestamp::Timestamp;

/// All keys that work, and whose they are.
#[derive(Default)]
pub struct Keyring {
    keys: HashSet<ByDigest, BuildHasherDefault<DefaultHasher>>,
    owners: Vec<Owner>,
    /// Each list of roles that consumers have, once.
    roles: Vec<Roles>,
}

struct Owner {
    name: Box<str>,
    /// The place of its roles.
    roles: u32,
}

/// A key, found by its digest. In a box, so that the set needs no room of the size of keys for more of them than there are, nor
/// a second one while it grows: the memory of a VM never shrinks.
struct ByDigest(Box<Row>);

struct Row {
    digest: Digest,
    /// `None` where the document gives none.
    id: Option<Box<str>>,
    /// The earliest time there is, where the document gives none.
    not_before: Timestamp,
    /// The last time there is, where the document gives none.
    expires: Timestamp,
    /// The place of its owner.
    owner: u32,
    /// Which of its owner's keys it is.
    number: u32,
    disabled: bool,
}

#[derive(Default)]
struct Roles {
    names: Vec<RoleName>,
    value: String,
    /// Whether they are enough for every rule, once somebody asked.
    permit_everything: OnceLock<bool>,
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

/// Who a key belongs to.
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

/// One key.
#[derive(Clone, Copy)]
pub struct Key<'p> {
    row: &'p Row,
    /// The default id, where the document gives none.
    handle: [u8; 16],
}

impl Consumer<'_> {
    /// Whether the roles are enough for everything that the policy has. It is found out once for all consumers with these
    /// roles, since a caller may have it asked at each request.
    pub(crate) fn permits_everything(&self, find_out: impl FnOnce() -> bool) -> bool {
        *self.permits_everything.get_or_init(find_out)
    }

    /// Whether the consumer has any of the roles.
    #[must_use]
    pub fn has_any(&self, roles: &[RoleName]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }
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

    /// The first second in which it is valid no more, if it has one.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        Some(self.row.expires).filter(|time| *time != Timestamp::MAX)
    }

    /// Whether it is switched off.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.row.disabled
    }
}

impl Keyring {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nobody can come in with a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key with this digest, and whose it is. How long the search takes tells a caller at most how the hash of its own key
    /// compares with others'; the last word is a comparison in constant time.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<(Consumer<'_>, Key<'_>)> {
        let ByDigest(row) = self.keys.get(digest)?;
        let owner = self.owners.get(usize::try_from(row.owner).ok()?)?;
        let Roles { names, value, permit_everything } = self.roles.get(usize::try_from(owner.roles).ok()?)?;
        let consumer =
            Consumer { name: &owner.name, roles: names, roles_value: value, permits_everything: permit_everything };
        let handle = if row.id.is_none() { digest.handle_digits() } else { [0; 16] };
        row.digest.same(digest).then_some((consumer, Key { row, handle }))
    }
}

/// Without digests and names: there may be many.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.len())
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}
