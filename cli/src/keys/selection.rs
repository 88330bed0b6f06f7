//! Selects keys of the store.

use std::collections::HashSet;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use portcullis::Timestamp;
use portcullis::keys::Digest;

use super::input::{Line, read_keys};
use super::key_format::is_typo;
use super::known::AllKeys;
use crate::output::{count, note};
use crate::similar::{did_you_mean, similar};
use crate::store::{Locked, Store, StoredKey};
use crate::store_file::StoreFile;

/// How many ids a message names.
const MAX_IDS: usize = 3;

/// The selected ids, `-` for keys on standard input, or all keys of a consumer.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// The id of a key; `-` reads keys from standard input, one on each line
    #[arg(required_unless_present = "consumer", value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// All keys of this consumer
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    pub(super) consumer: Option<String>,
    /// A note for the log of the store, such as the number of a ticket
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
}

/// The locked store, and the ids of the selected keys.
pub(crate) struct Selected {
    /// The store.
    pub(crate) locked: Locked,
    ids: HashSet<String>,
    /// What is not selected, although it belongs to the same consumer.
    remains: Option<String>,
}

impl Selection {
    /// Selects by ids.
    pub(super) fn of(ids: Vec<String>, note: Option<String>) -> Self {
        Self { ids, consumer: None, note }
    }

    /// Locks the store, and finds all selected keys.
    ///
    /// # Errors
    /// The first key that is not in the store.
    pub(crate) fn open(&self, files: &StoreFile) -> Result<Selected> {
        // Read before the lock is taken: reading from a terminal may take long.
        let lines = if self.ids.iter().any(|id| id == "-") { read_keys(None)? } else { Vec::new() };
        let mut locked = files.lock()?;
        locked.why.clone_from(&self.note);
        // Only the store: a key can be disabled even if the policy is invalid.
        let stored = AllKeys::of(&locked.store, None)?;
        if let Some(name) = &self.consumer {
            return Selected::of_consumer(name, locked, files);
        }
        let by_key = lines.iter().map(|line| find_key(&stored, line, files));
        let by_id = self
            .ids
            .iter()
            .zip(1..)
            .filter(|(id, _)| *id != "-")
            .map(|(id, number)| find_id(&stored, id, number, files));
        let ids = by_key.chain(by_id).collect::<Result<_>>()?;
        Ok(Selected { locked, ids, remains: None })
    }
}

impl Selected {
    /// Locks the store, and selects the keys that have expired.
    ///
    /// # Errors
    /// If there is no store.
    pub(crate) fn expired(files: &StoreFile, now: Timestamp) -> Result<Self> {
        let locked = files.lock()?;
        let all = AllKeys::of(&locked.store, None)?;
        let expired = all.keys.iter().filter(|key| key.expires.is_some_and(|at| at <= now));
        let ids = expired.map(|key| key.id.clone()).collect();
        Ok(Self { locked, ids, remains: None })
    }

    /// All keys of a consumer that are in the store. Those in the policy are named: they stay as they are.
    fn of_consumer(name: &str, locked: Locked, files: &StoreFile) -> Result<Self> {
        let stored = locked.store.consumers.get(name);
        let ids: HashSet<String> = stored.iter().flat_map(|stored| &stored.keys).map(|key| key.id.clone()).collect();
        let remains = match files.policy() {
            Ok(policy) => policy.and_then(|policy| {
                let all = AllKeys::of(&Store::default(), Some(&policy)).ok()?;
                let own = all.keys.iter().filter(|known| *known.consumer == *name).count();
                let place = policy.place_of_consumer(name).filter(|_| own > 0)?;
                Some(format!("{name} also has {} in the policy, at {place}: change them there", count(own, "key")))
            }),
            Err(error) => Some(format!("keys that {name} has in the policy are not changed: {error:#}")),
        };
        if ids.is_empty() {
            let store = files.path();
            let store = store.display();
            let hint = did_you_mean(name, locked.store.consumers.keys().map(String::as_str));
            let place = remains.map(|remains| format!("; {remains}")).unwrap_or_default();
            bail!("{name} has no key in {store}{hint}{place}");
        }
        Ok(Self { locked, ids, remains })
    }

    /// The selected keys, with their consumers.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&String, &StoredKey)> {
        let all = self
            .locked
            .store
            .consumers
            .iter()
            .flat_map(|(name, stored)| stored.keys.iter().map(move |key| (name, key)));
        all.filter(|(_, key)| self.ids.contains(&key.id))
    }

    /// Changes each of them.
    ///
    /// # Errors
    /// The first error of `change`.
    pub(crate) fn change(&mut self, mut change: impl FnMut(&str, &mut StoredKey) -> Result<()>) -> Result<()> {
        for (name, stored) in &mut self.locked.store.consumers {
            for key in stored.keys.iter_mut().filter(|key| self.ids.contains(&key.id)) {
                change(name, key)?;
            }
        }
        Ok(())
    }

    /// Removes each of them, and a consumer that is then empty.
    pub(crate) fn remove(&mut self) {
        self.locked.store.consumers.retain(|_, stored| {
            let before = stored.keys.len();
            stored.keys.retain(|key| !self.ids.contains(&key.id));
            stored.keys.len() == before || !stored.is_empty()
        });
    }

    /// Writes the store, and prints what was done to all of them. Returns whether nothing remains of the consumer, if one
    /// was selected.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self, done: &str) -> Result<bool> {
        let all: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        self.save_some(&all, done)
    }

    /// As [`save`](Self::save), for some of them.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save_some(&self, ids: &[&str], done: &str) -> Result<bool> {
        self.locked.save()?;
        match ids {
            [] => {}
            [id] => note(format_args!("key {id} {done}")),
            ids => note(format_args!("{} {done}", count(ids.len(), "key"))),
        }
        self.remains.iter().for_each(note);
        Ok(self.remains.is_none())
    }
}

/// The id of the key in a line of the input.
fn find_key(stored: &AllKeys, line: &Line, files: &StoreFile) -> Result<String> {
    let Line { number, key } = line;
    let digest = Digest::of(key);
    if let Some(known) = stored.by_digest(&digest) {
        return Ok(known.id.clone());
    }
    if let Some(place) = in_policy(files, |all| all.by_digest(&digest).and_then(|known| known.place.clone()))? {
        bail!("line {number}: this key is in the policy, at {place}: change it there");
    }
    let hint = if is_typo(key) { " (invalid checksum: probably mistyped)" } else { "" };
    Err(anyhow!("line {number}: this key is not in {}{hint}", files.path().display()))
}

/// Checks that an argument is the id of a key in the store. Anything else may be a key, and is not shown.
fn find_id(stored: &AllKeys, id: &str, number: usize, files: &StoreFile) -> Result<String> {
    if stored.by_id(id).is_some() {
        return Ok(id.to_owned());
    }
    if stored.by_digest(&Digest::of(id.as_bytes())).is_some() || is_typo(id.as_bytes()) {
        bail!(
            "argument {number} is a key, not an id: it is now in the shell's history, so rotate it. Give keys on \
             standard input, with `-` as the ID"
        );
    }
    if let Some(place) = in_policy(files, |all| all.by_id(id).and_then(|known| known.place.clone()))? {
        bail!("{id} is in the policy, at {place}: change it there");
    }
    let mut like = stored.keys.iter().filter(|known| known.id.starts_with(id) && !id.is_empty());
    match (like.next(), like.next()) {
        (Some(one), None) => bail!("key id {id} not found: did you mean {}?", one.id),
        _ if stored.roles(id).is_some() => bail!("{id} is a consumer: {}", keys_of(stored, id)),
        _ => {
            let store = files.path();
            let store = store.display();
            let like = similar(id, stored.keys.iter().map(|known| known.id.as_str()));
            let hint = like.map_or("see `portcullis keys list`".to_owned(), |like| format!("did you mean {like}?"));
            bail!("argument {number}: key id not found in {store}: {hint}")
        }
    }
}

/// What to write instead of the name of a consumer.
fn keys_of(stored: &AllKeys, consumer: &str) -> String {
    let own = stored.keys.iter().filter(|known| *known.consumer == *consumer);
    let ids: Vec<&str> = own.map(|known| known.id.as_str()).take(MAX_IDS).collect();
    match ids.as_slice() {
        [] => "it has no key in the store".to_owned(),
        [id] => format!("name its key, {id}"),
        ids => format!(
            "name a key of it, such as {} (`keys disable`, `remove` and `expire` take --consumer)",
            ids.join(", ")
        ),
    }
}

fn in_policy(files: &StoreFile, find: impl Fn(&AllKeys) -> Option<String>) -> Result<Option<String>> {
    let Some(policy) = files.policy()? else { return Ok(None) };
    Ok(find(&AllKeys::of(&Store::default(), Some(&policy))?))
}
