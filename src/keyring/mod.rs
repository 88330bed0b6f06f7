//! Consumers and their keys, found by the digest of the key.
//!
//! A policy may hold a hundred thousand of them in the linear memory of a VM, which never shrinks: so they are no tree of
//! texts, but rows of fixed size in [blocks](blocks), names and ids in one store of texts, and an [index](index). So that a
//! request touches few places in memory, the rows are in the order of the index, and have in them all that it asks for.

mod blocks;
mod index;
mod intake;

use core::fmt;
use std::sync::OnceLock;

use blocks::{Blocks, Texts};
use index::Index;
pub(crate) use intake::{Environment, Intake};

use crate::digest::Digest;
use crate::document::RoleName;
use crate::timestamp::Timestamp;

/// All keys that work, and whose they are.
#[derive(Default)]
pub struct Keyring {
    /// Those that work in the order of the index, and behind them the others.
    keys: Blocks<Row>,
    /// Each list of roles that consumers have, once.
    roles: Vec<Roles>,
    texts: Texts,
    times: Blocks<Timestamp>,
    /// The keys that work, by their digests.
    index: Index,
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
    keyring: &'p Keyring,
    /// The default id, where the document gives none.
    handle: [u8; 16],
}

/// One key entry of the document.
#[derive(Clone, Copy)]
struct Row {
    digest: Digest,
    /// The place of its consumer's name in the texts.
    name: u32,
    /// The place of its consumer's roles.
    roles: u32,
    /// Its place in the texts; [`NO_ID`] where the document gives none.
    id: u32,
    facts: Facts,
}

const NO_ID: u32 = u32::MAX;

/// What else there is to a key: the low bits are flags, the others the place of its first time.
#[derive(Clone, Copy)]
struct Facts(u32);

impl Facts {
    const REFUSED: u32 = 1;
    const DISABLED: u32 = 2;
    const BEGINS: u32 = 4;
    const ENDS: u32 = 8;
    const BITS: u32 = 4;

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    fn first_time(self) -> u32 {
        self.0 >> Self::BITS
    }
}

#[derive(Default)]
struct Roles {
    names: Vec<RoleName>,
    value: String,
    /// Whether they are enough for every rule, once somebody asked.
    permit_everything: OnceLock<bool>,
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

impl<'p> Key<'p> {
    /// The SHA-256 of the key.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.row.digest
    }

    /// Its public handle.
    #[must_use]
    pub fn id(&self) -> &str {
        let given = if self.row.id == NO_ID { None } else { self.keyring.texts.get(self.row.id) };
        given.or_else(|| core::str::from_utf8(&self.handle).ok()).unwrap_or_default()
    }

    /// The first second in which it is valid, if it has one.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        let facts = self.row.facts;
        facts.has(Facts::BEGINS).then(|| self.keyring.time(facts.first_time(), i64::MAX))
    }

    /// The first second in which it is valid no more, if it has one.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        let facts = self.row.facts;
        let place = facts.first_time().saturating_add(facts.has(Facts::BEGINS).into());
        facts.has(Facts::ENDS).then(|| self.keyring.time(place, i64::MIN))
    }

    /// Whether it is switched off.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.row.facts.has(Facts::DISABLED)
    }
}

impl Keyring {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nobody can come in with a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key with this digest, and whose it is. Where the search ends tells a caller at most how its own digest compares
    /// with others'; the last word is a comparison in constant time.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<(Consumer<'_>, Key<'_>)> {
        let words = digest.words();
        let compare = |place| Some(self.keys.get(place)?.digest.words().cmp(&words));
        let row = self.index.find(hash(&words), compare).and_then(|place| self.keys.get(place))?;
        let (name, roles) = (self.texts.get(row.name)?, self.roles.get(usize::try_from(row.roles).ok()?)?);
        let Roles { names, value, permit_everything } = roles;
        let consumer = Consumer { name, roles: names, roles_value: value, permits_everything: permit_everything };
        let handle = if row.id == NO_ID { digest.handle_digits() } else { [0; 16] };
        row.digest.same(digest).then_some((consumer, Key { row, keyring: self, handle }))
    }

    /// A time that a row says is there. Were it not, `otherwise` makes the key one that is not valid.
    fn time(&self, place: u32, otherwise: i64) -> Timestamp {
        self.times.get(place).copied().unwrap_or(Timestamp(otherwise))
    }
}

/// A digest is its own hash.
fn hash(digest: &[u64; 4]) -> u32 {
    let [.., last] = digest;
    u32::try_from(last >> 32).unwrap_or_default()
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
