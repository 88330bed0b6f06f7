//! From the consumers of a document, one by one as they are read, to the keyring.

use core::cmp::Ordering;
use std::collections::BTreeMap;

use super::index::{self, Index};
use super::{Facts, Keyring, NO_ID, Roles, Row, blocks::Blocks};
use crate::credential::is_presentable;
use crate::digest::Digest;
use crate::document::refusal::{EntryProblem, Invalid, Problem, Refusal, RefusedEntry};
use crate::document::{Consumer, KeyEntry, Plaintext, RoleName, Secret};

/// Reads an environment variable of the VM.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

/// Takes consumers in.
pub(crate) struct Intake<'a> {
    environment: &'a Environment<'a>,
    keyring: Keyring,
    consumers: Blocks<Owner>,
    /// The places of the lists of roles, by their values.
    roles: BTreeMap<String, u32>,
    /// Entries that are wrong alone, with their places.
    refused: Vec<(u32, RefusedEntry)>,
    /// The place of the first key of the consumer that comes next.
    first_key: u32,
    /// Whether something found no place any more.
    is_full: bool,
}

struct Owner {
    /// The place of its name in the texts.
    name: u32,
    /// The place of its first key entry.
    keys: u32,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(environment: &'a Environment<'a>) -> Self {
        Self {
            environment,
            keyring: Keyring::default(),
            consumers: Blocks::default(),
            roles: BTreeMap::new(),
            refused: Vec::new(),
            first_key: 0,
            is_full: false,
        }
    }

    /// Takes the next key of the consumer that comes next.
    pub(crate) fn key(&mut self, key: KeyEntry) {
        self.is_full |= self.add_key(key).is_none();
    }

    /// Takes the next consumer, whose keys came before it.
    pub(crate) fn consumer(&mut self, consumer: Consumer) {
        self.is_full |= self.add_consumer(consumer).is_none();
    }

    fn add_consumer(&mut self, consumer: Consumer) -> Option<()> {
        let roles = self.roles(consumer.roles)?;
        let name = self.keyring.texts.push(consumer.name.as_str())?;
        self.consumers.push(Owner { name, keys: self.first_key })?;
        for place in self.first_key..self.keyring.keys.len() {
            let row = self.keyring.keys.get_mut(place)?;
            (row.name, row.roles) = (name, roles);
        }
        self.first_key = self.keyring.keys.len();
        Some(())
    }

    fn add_key(&mut self, key: KeyEntry) -> Option<()> {
        let KeyEntry { id, secret, not_before, expires, disabled, .. } = key;
        let mut facts = self.keyring.times.len().checked_mul(1 << Facts::BITS)?;
        for (time, flag) in [(not_before, Facts::BEGINS), (expires, Facts::ENDS)] {
            if let Some(time) = time {
                self.keyring.times.push(time)?;
                facts |= flag;
            }
        }
        if disabled {
            facts |= Facts::DISABLED;
        }
        let resolved = secret.resolve(self.environment);
        if resolved.is_err() {
            facts |= Facts::REFUSED;
        }
        let digest = resolved.as_ref().copied().unwrap_or(Digest::from_bytes([0; 32]));
        let id = id.map_or(Some(NO_ID), |id| self.keyring.texts.push(id.as_str()))?;
        // Whose it is comes behind it.
        let (name, roles) = (u32::MAX, u32::MAX);
        let place = self.keyring.keys.push(Row { digest, name, roles, id, facts: Facts(facts) })?;
        if let Err(problem) = resolved {
            self.refuse(place, problem);
        }
        Some(())
    }

    /// The place of a list of roles.
    fn roles(&mut self, names: Vec<RoleName>) -> Option<u32> {
        let value = names.iter().map(RoleName::as_str).collect::<Vec<_>>().join(",");
        if let Some(place) = self.roles.get(&value) {
            return Some(*place);
        }
        let place = u32::try_from(self.keyring.roles.len()).ok()?;
        self.keyring.roles.push(Roles { names, value: value.clone(), permit_everything: std::sync::OnceLock::new() });
        self.roles.insert(value, place);
        Some(place)
    }

    /// The keyring, and the entries that were refused alone.
    ///
    /// # Errors
    /// A name or an id that is given twice.
    pub(crate) fn finish(mut self) -> Result<(Keyring, Vec<RefusedEntry>), Refusal> {
        self.roles = BTreeMap::new();
        if self.is_full {
            let invalid = Invalid::new("more than a policy can hold", "share the consumers out among several gates");
            return Err(Refusal { path: "consumers".into(), problem: Problem::Invalid { shown: None, invalid } });
        }
        self.check_names()?;
        self.index_keys();
        Ok((self.keyring, in_order(self.refused)))
    }

    /// Refuses the first name or id in the document that stands there before.
    fn check_names(&self) -> Result<(), Refusal> {
        let Keyring { keys, texts, .. } = &self.keyring;
        let name = |place| texts.bytes(self.consumers.get(place)?.name);
        let id = |place| keys.get(place).filter(|row| row.id != NO_ID).and_then(|row| texts.bytes(row.id));
        let (name_again, id_again) = (first_again(self.consumers.len(), &name), first_again(keys.len(), &id));
        // A consumer's name stands before the ids of its keys.
        let id_again = id_again.filter(|place| name_again.is_none_or(|named| self.owner(*place) < named));
        let (path, shown, why, fix) = match (id_again, name_again) {
            (Some(place), _) => {
                let path = format!("{}.id", self.path(place));
                (path, id(place), "is the id of another key too", "give each key an id of its own")
            }
            (None, Some(place)) => {
                (format!("consumers[{place}].name"), name(place), "is the name of another consumer too", "join the two")
            }
            (None, None) => return Ok(()),
        };
        let shown = shown.map(|shown| String::from_utf8_lossy(shown).into_owned());
        Err(Refusal { path, problem: Problem::Invalid { shown, invalid: Invalid::new(why, fix) } })
    }

    /// Makes the index of keys. Of those with the same digest, which owner would count? None.
    fn index_keys(&mut self) {
        loop {
            let keys = &self.keyring.keys;
            let is_usable = |row: &&Row| !row.facts.has(Facts::REFUSED);
            let digest = |place| keys.get(place).map(|row| row.digest.words());
            let hash = |place| keys.get(place).filter(is_usable).map(|row| super::hash(&row.digest.words()));
            let compare = |one, other| digest(one).cmp(&digest(other));
            let mut index = Index::new(keys.len(), &hash, &compare);
            let pairs = index.pairs(&compare);
            if pairs.is_empty() {
                let mut order = index.take_order();
                order.extend((0..keys.len()).filter(|place| keys.get(*place).filter(is_usable).is_none()));
                self.keyring.keys.arrange(order);
                self.keyring.index = index;
                return;
            }
            drop(index);
            let mut first = None;
            let mut last = None;
            for (one, other) in pairs {
                // Pairs of one digest hang together.
                let owner = if last == Some(one) { first.unwrap_or(one) } else { one };
                if last != Some(one) {
                    first = Some(one);
                    let problem = EntryProblem::DuplicateDigest(self.path(other));
                    let entry = self.entry(one, problem);
                    self.refused.push((other, entry));
                }
                let problem = EntryProblem::DuplicateDigest(self.path(owner));
                self.refuse(other, problem);
                last = Some(other);
                for place in [one, other] {
                    if let Some(row) = self.keyring.keys.get_mut(place) {
                        row.facts.0 |= Facts::REFUSED;
                    }
                }
            }
        }
    }

    fn refuse(&mut self, place: u32, problem: EntryProblem) {
        let entry = self.entry(place, problem);
        self.refused.push((place, entry));
    }

    fn entry(&self, place: u32, problem: EntryProblem) -> RefusedEntry {
        let id = self.keyring.keys.get(place).map(|row| row.id).filter(|id| *id != NO_ID);
        let id = id.and_then(|id| self.keyring.texts.get(id)).map(str::to_owned);
        RefusedEntry { path: self.path(place), id, problem }
    }

    /// Where an entry stands in the document.
    fn path(&self, place: u32) -> String {
        let consumer = self.owner(place);
        let first = self.consumers.get(consumer).map_or(self.first_key, |owner| owner.keys);
        format!("consumers[{consumer}].keys[{}]", place.saturating_sub(first))
    }

    /// The number of the consumer whose key entry has that place: the last that has none before it.
    fn owner(&self, place: u32) -> u32 {
        let (mut start, mut end) = (0, self.consumers.len());
        if place >= self.first_key {
            return end;
        }
        while start < end {
            let middle = start.midpoint(end);
            if self.consumers.get(middle).is_some_and(|owner| owner.keys <= place) {
                start = middle.saturating_add(1);
            } else {
                end = middle;
            }
        }
        start.saturating_sub(1)
    }
}

/// Entries in the order of their places, and those of one place as they came.
fn in_order(refused: Vec<(u32, RefusedEntry)>) -> Vec<RefusedEntry> {
    let (places, mut entries): (Vec<_>, Vec<_>) =
        refused.into_iter().map(|(place, entry)| (place, Some(entry))).unzip();
    let place = |number| places.get(usize::try_from(number).ok()?);
    let mut order: Vec<u32> = (0..).take(places.len()).collect();
    index::sort(&mut order, &|one, other| place(one).cmp(&place(other)));
    order.into_iter().filter_map(|number| entries.get_mut(usize::try_from(number).ok()?)?.take()).collect()
}

/// The first of `count` texts that stands before it already.
fn first_again<'t>(count: u32, text: &dyn Fn(u32) -> Option<&'t [u8]>) -> Option<u32> {
    let compare = |one, other| -> Ordering { text(one).cmp(&text(other)) };
    let index = Index::new(count, &|place| text(place).map(index::hash), &compare);
    index.pairs(&compare).into_iter().map(|(_, again)| again).min()
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
