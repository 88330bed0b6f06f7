//! From the consumers of a document, one by one as they are read, to the keyring.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::{ByDigest, Keyring, Owner, Roles, Row};
use crate::credential::is_presentable;
use crate::digest::Digest;
use crate::document::refusal::{EntryProblem, Invalid, Problem, Refusal, RefusedEntry};
use crate::document::{Consumer, KeyEntry, Plaintext, RoleName, Secret};
use crate::timestamp::Timestamp;

/// Reads an environment variable of the VM.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

/// Takes consumers in.
pub(crate) struct Intake<'a> {
    environment: &'a Environment<'a>,
    keyring: Keyring,
    /// The places of the lists of roles, by their values.
    roles: HashMap<String, u32, BuildHasherDefault<DefaultHasher>>,
    /// Entries that are wrong alone, with their places.
    refused: Vec<(Place, RefusedEntry)>,
    /// Digests that stand twice, with the first place of each.
    clashes: HashMap<Digest, Place, BuildHasherDefault<DefaultHasher>>,
    /// The number of the next key of the consumer that comes next.
    number: u32,
}

/// Where an entry stands: the number of the consumer, and its own among the consumer's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u32, u32);

impl Place {
    fn path(self) -> String {
        format!("consumers[{}].keys[{}]", self.0, self.1)
    }
}

impl<'a> Intake<'a> {
    pub(crate) fn new(environment: &'a Environment<'a>) -> Self {
        Self {
            environment,
            keyring: Keyring::default(),
            roles: HashMap::default(),
            refused: Vec::new(),
            clashes: HashMap::default(),
            number: 0,
        }
    }

    /// Takes the next key of the consumer that comes next.
    pub(crate) fn key(&mut self, key: KeyEntry) {
        let KeyEntry { id, secret, not_before, expires, disabled, .. } = key;
        let place = Place(count(&self.keyring.owners), self.number);
        self.number = self.number.saturating_add(1);
        let id = id.map(|id| id.as_str().into());
        match secret.resolve(self.environment) {
            Err(problem) => self.refuse(place, id, problem),
            Ok(digest) => self.add(Row {
                digest,
                id,
                not_before: not_before.unwrap_or(Timestamp::MIN),
                expires: expires.unwrap_or(Timestamp::MAX),
                owner: place.0,
                number: place.1,
                disabled,
            }),
        }
    }

    /// Adds a key. Of those with the same digest, which owner would count? None.
    fn add(&mut self, row: Row) {
        let place = Place(row.owner, row.number);
        let first = match (self.clashes.get(&row.digest).copied(), self.keyring.keys.take(&row.digest)) {
            (Some(first), _) => first,
            (None, Some(ByDigest(other))) => {
                let first = Place(other.owner, other.number);
                self.clashes.insert(row.digest, first);
                self.refuse(first, other.id, EntryProblem::DuplicateDigest(place.path()));
                first
            }
            (None, None) => {
                self.keyring.keys.insert(ByDigest(Box::new(row)));
                return;
            }
        };
        self.refuse(place, row.id, EntryProblem::DuplicateDigest(first.path()));
    }

    /// Takes the next consumer, whose keys came before it.
    pub(crate) fn consumer(&mut self, consumer: Consumer) {
        let roles = self.roles(consumer.roles);
        self.keyring.owners.push(Owner { name: consumer.name.as_str().into(), roles });
        self.number = 0;
    }

    /// The place of a list of roles.
    fn roles(&mut self, names: Vec<RoleName>) -> u32 {
        let value = names.iter().map(RoleName::as_str).collect::<Vec<_>>().join(",");
        if let Some(place) = self.roles.get(&value) {
            return *place;
        }
        let place = count(&self.keyring.roles);
        self.keyring.roles.push(Roles { names, value: value.clone(), ..Roles::default() });
        self.roles.insert(value, place);
        place
    }

    /// The keyring, and the entries that were refused alone.
    ///
    /// # Errors
    /// A name or an id that is given twice.
    pub(crate) fn finish(mut self) -> Result<(Keyring, Vec<RefusedEntry>), Refusal> {
        self.check_names()?;
        self.keyring.keys.shrink_to_fit();
        Ok((self.keyring, self.refused.into_iter().map(|(_, entry)| entry).collect()))
    }

    /// Refuses the first name or id in the document that stands there before.
    fn check_names(&self) -> Result<(), Refusal> {
        let names = self.keyring.owners.iter().zip(0..).map(|(owner, place)| (&*owner.name, place));
        let good = self.keyring.keys.iter().map(|ByDigest(row)| (row.id.as_deref(), Place(row.owner, row.number)));
        let refused = self.refused.iter().map(|(place, entry)| (entry.id.as_deref(), *place));
        let ids = good.chain(refused).filter_map(|(id, place)| Some((id?, place)));
        let (name, id) = (first_again(names.collect()), first_again(ids.collect()));
        // A consumer's name stands before the ids of its keys.
        let id = id.filter(|(_, place)| name.is_none_or(|(_, named)| place.0 < named));
        let (path, shown, why, fix) = match (id, name) {
            (Some((id, place)), _) => {
                (format!("{}.id", place.path()), id, "is the id of another key too", "give each key an id of its own")
            }
            (None, Some((name, place))) => {
                (format!("consumers[{place}].name"), name, "is the name of another consumer too", "join the two")
            }
            (None, None) => return Ok(()),
        };
        let problem = Problem::Invalid { shown: Some(shown.to_owned()), invalid: Invalid::new(why, fix) };
        Err(Refusal { path, problem })
    }

    fn refuse(&mut self, place: Place, id: Option<Box<str>>, problem: EntryProblem) {
        self.refused.push((place, RefusedEntry { path: place.path(), id: id.map(String::from), problem }));
    }
}

/// The first place of a text that has an earlier one, with the text.
fn first_again<P: Copy + Ord>(mut texts: Vec<(&str, P)>) -> Option<(&str, P)> {
    texts.sort_unstable();
    let again = texts.windows(2).filter_map(|pair| match pair {
        [(one, _), (other, place)] if one == other => Some((*other, *place)),
        _ => None,
    });
    again.min_by_key(|(_, place)| *place)
}

/// How many there are: a VM has room for fewer than 2^32 of anything.
fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

impl Plaintext {
    /// Its digest; `None` where no request can present it.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let key = self.expose().as_bytes();
        is_presentable(key).then(|| Digest::of(key))
    }
}

impl Secret {
    /// The digest of the key, which may stand in the environment.
    ///
    /// # Errors
    /// Why the gate refuses the entry.
    pub fn resolve(&self, environment: &Environment<'_>) -> Result<Digest, EntryProblem> {
        match self {
            Self::Sha256(digest) => digest.ok_or(EntryProblem::MalformedDigest),
            Self::Plaintext(key) => key.digest().ok_or(EntryProblem::MalformedPlaintext),
            Self::Env(variable) => {
                let name = || variable.clone();
                let value = environment(variable.as_str()).ok_or_else(|| EntryProblem::UnsetVariable(name()))?;
                let key = value.strip_suffix(b"\n").unwrap_or(&value);
                let key = key.strip_suffix(b"\r").unwrap_or(key);
                match key {
                    [] => Err(EntryProblem::EmptyVariable(name())),
                    key if is_presentable(key) => Ok(Digest::of(key)),
                    _ => Err(EntryProblem::MalformedVariable(name())),
                }
            }
        }
    }
}
