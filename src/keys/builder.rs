//! Builds the keyring from the consumers of a document, one by one as they are parsed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::digest::Digest;
use super::entry::{ConsumerEntry, EntryProblem, Environment, KeyEntry, RefusedEntry};
use super::keyring::{Keyring, Owner, Place, Roles, Row};
use crate::value::names::RoleName;
use crate::value::text::Invalid;
use crate::value::timestamp::Timestamp;

pub(crate) struct KeyringBuilder<'a> {
    pub(crate) environment: &'a Environment<'a>,
    keyring: Keyring,
    /// The index of each list of roles, by its header value.
    roles: HashMap<String, u32, BuildHasherDefault<DefaultHasher>>,
    /// The skipped entries, with their places.
    refused: Vec<(Place, RefusedEntry)>,
    /// The digests that appear more than once, with the first place of each.
    duplicates: HashMap<Digest, Place, BuildHasherDefault<DefaultHasher>>,
    /// The index that the next key has among the keys of its consumer.
    number: u32,
}

/// A duplicate name or id.
pub(crate) struct Duplicate {
    /// The path of the second occurrence.
    pub(crate) path: String,
    pub(crate) shown: String,
    pub(crate) invalid: Invalid,
}

impl Place {
    fn path(self) -> String {
        format!("consumers[{}].keys[{}]", self.0, self.1)
    }
}

impl<'a> KeyringBuilder<'a> {
    pub(crate) fn new(environment: &'a Environment<'a>) -> Self {
        Self {
            environment,
            keyring: Keyring::default(),
            roles: HashMap::default(),
            refused: Vec::new(),
            duplicates: HashMap::default(),
            number: 0,
        }
    }

    /// Adds a key of the next consumer.
    pub(crate) fn key(&mut self, key: KeyEntry) {
        let KeyEntry { id, secret, not_before, expires, disabled, .. } = key;
        let place = Place(index(&self.keyring.owners), self.number);
        self.number = self.number.saturating_add(1);
        let id: Option<Box<str>> = id.map(|id| id.as_str().into());
        match secret.resolve(self.environment) {
            Err(problem) => self.refuse(place, id, problem),
            Ok(digest) => {
                let has_default_id = id.as_ref().is_some_and(|id| id.as_bytes() == digest.handle_digits());
                self.add(Row {
                    digest,
                    id: id.filter(|_| !has_default_id),
                    has_default_id,
                    not_before: not_before.unwrap_or(Timestamp::MIN),
                    expires: expires.unwrap_or(Timestamp::MAX),
                    place,
                    disabled,
                });
            }
        }
    }

    /// Adds a key. If another key has the same digest, all of them are skipped: their owners cannot be distinguished.
    fn add(&mut self, row: Row) {
        let first = match (self.duplicates.get(&row.digest).copied(), self.keyring.take(&row.digest)) {
            (Some(first), _) => first,
            (None, Some(other)) => {
                self.duplicates.insert(row.digest, other.place);
                let place = other.place;
                self.refuse(place, written_id(*other), EntryProblem::DuplicateDigest(row.place.path()));
                place
            }
            (None, None) => return self.keyring.insert(row),
        };
        self.refuse(row.place, written_id(row), EntryProblem::DuplicateDigest(first.path()));
    }

    fn refuse(&mut self, place: Place, id: Option<Box<str>>, problem: EntryProblem) {
        self.refused.push((place, RefusedEntry { path: place.path(), id: id.map(String::from), problem }));
    }

    /// Adds a consumer. Its keys were added before.
    pub(crate) fn consumer(&mut self, consumer: ConsumerEntry) {
        let roles = self.roles(consumer.roles);
        self.keyring.owners.push(Owner { name: consumer.name.as_str().into(), roles });
        self.number = 0;
    }

    /// Returns the index of a list of roles, and adds the list if it is new.
    fn roles(&mut self, names: Vec<RoleName>) -> u32 {
        let value = names.iter().map(RoleName::as_str).collect::<Vec<_>>().join(",");
        if let Some(index) = self.roles.get(&value) {
            return *index;
        }
        let index = index(&self.keyring.roles);
        self.keyring.roles.push(Roles { names, value: value.clone(), ..Roles::default() });
        self.roles.insert(value, index);
        index
    }

    /// Returns the keyring and the skipped entries.
    ///
    /// # Errors
    /// The first duplicate name or id in the document.
    pub(crate) fn finish(mut self) -> Result<(Keyring, Vec<RefusedEntry>), Duplicate> {
        if let Some(duplicate) = self.find_duplicate() {
            return Err(duplicate);
        }
        self.keyring.shrink();
        Ok((self.keyring, self.refused.into_iter().map(|(_, entry)| entry).collect()))
    }

    fn find_duplicate(&self) -> Option<Duplicate> {
        let names = self.keyring.owners.iter().zip(0..).map(|(owner, place)| (&*owner.name, place));
        let good = self.keyring.keys.iter().map(|row| (row.id.as_deref(), row.place));
        let refused = self.refused.iter().map(|(place, entry)| (entry.id.as_deref(), *place));
        let all = good.chain(refused).filter_map(|(id, place)| Some((id?, place)));
        // Of the right size at once: what a growing list leaves behind stays in the memory of the VM.
        let mut ids: Vec<(&str, Place)> = Vec::with_capacity(all.clone().count());
        ids.extend(all);
        ids.sort_unstable();
        // A default id can only be the same as an explicit one: digests differ.
        let defaults = self.keyring.keys.iter().filter(|row| row.id.is_none()).filter_map(|row| {
            let handle = row.digest.handle_digits();
            let at = ids.binary_search_by(|(id, _)| id.as_bytes().cmp(&handle)).ok()?;
            Some((ids.get(at)?.0, row.place))
        });
        let defaults: Vec<_> = defaults.collect();
        ids.extend(defaults);
        let (name, id) = (first_repeated(names.collect()), first_repeated(ids));
        // A consumer's name precedes the ids of its keys.
        let id = id.filter(|(_, place)| name.is_none_or(|(_, named)| place.0 < named));
        let (path, shown, why, fix) = match (id, name) {
            (Some((id, place)), _) => {
                (format!("{}.id", place.path()), id, "duplicate key id", "give each key an id of its own")
            }
            (None, Some((name, place))) => {
                (format!("consumers[{place}].name"), name, "duplicate consumer name", "merge the two")
            }
            (None, None) => return None,
        };
        Some(Duplicate { path, shown: shown.to_owned(), invalid: Invalid::new(why, fix) })
    }
}

/// Returns the id that the document has.
fn written_id(row: Row) -> Option<Box<str>> {
    row.id.or_else(|| row.has_default_id.then(|| row.digest.handle().into()))
}

/// Returns the first text that has an earlier copy, with its place.
fn first_repeated<P: Copy + Ord>(mut texts: Vec<(&str, P)>) -> Option<(&str, P)> {
    texts.sort_unstable();
    let repeated = texts.windows(2).filter_map(|pair| match pair {
        [(one, _), (other, place)] if one == other => Some((*other, *place)),
        _ => None,
    });
    repeated.min_by_key(|(_, place)| *place)
}

/// Returns the index of the next item. A VM has memory for fewer than 2^32 items of any kind.
fn index<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
