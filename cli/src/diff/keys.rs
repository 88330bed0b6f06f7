//! Compares consumers and their keys: by digest, reported by id.

use std::collections::BTreeMap;

use portcullis::Timestamp;
use portcullis::keys::Digest;
use portcullis::keys::{ConsumerEntry, Secret};

use super::Effect::{Closes, Neither, Opens};
use super::{Change, Side, stand_in};
use crate::when::rfc3339;

/// A key entry that is not refused.
struct EffectiveKey<'a> {
    id: String,
    consumer: &'a ConsumerEntry,
    disabled: bool,
    not_before: Option<Timestamp>,
    expires: Option<Timestamp>,
    path: String,
}

/// The time in which a key is valid: from the first second, and before the second one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Window(i64, i64);

pub(super) fn compare(old: &Side, new: &Side, now: Timestamp) -> Vec<Change> {
    let (before, after) = (effective_keys(old), effective_keys(new));
    let mut changes = Vec::new();
    let ids = |keys: &BTreeMap<Digest, EffectiveKey<'_>>| -> BTreeMap<String, Digest> {
        keys.iter().map(|(digest, key)| (key.id.clone(), *digest)).collect()
    };
    let (old_ids, new_ids) = (ids(&before), ids(&after));
    let add = |changes: &mut Vec<Change>, effect, side: &Side, key: &EffectiveKey<'_>, what: String| {
        let what = format!("{} of {} {what}", key.id, key.consumer.name.as_str());
        changes.push(Change { place: Some(side.merged.place_of_key(&key.path)), ..Change::new(effect, "keys", what) });
    };
    for (digest, key) in &after {
        let was = before.get(digest);
        let replaced = was.is_none() && old_ids.contains_key(&key.id);
        let window = key.window(now);
        match was {
            None if window.is_none() => add(&mut changes, Neither, new, key, format!("is added, {}", key.state(now))),
            None if replaced => add(&mut changes, Opens, new, key, "is a different key with the same id".to_owned()),
            None => add(&mut changes, Opens, new, key, format!("is added{}{}", key.roles(), key.until())),
            Some(was) => {
                let change = format!("is {} (before: {})", key.state(now), was.state(now));
                if more(window, was.window(now)) {
                    add(&mut changes, Opens, new, key, change.clone());
                }
                if more(was.window(now), window) {
                    add(&mut changes, Closes, new, key, change.clone());
                }
                if was.consumer.name != key.consumer.name && window.is_some() {
                    let what = format!("was a key of {}", was.consumer.name.as_str());
                    add(&mut changes, Opens, new, key, what.clone());
                    add(&mut changes, Closes, new, key, what);
                } else if was.id != key.id {
                    add(&mut changes, Neither, new, key, format!("had the id {}", was.id));
                } else if was.window(now) == window && was.state(now) != key.state(now) {
                    add(&mut changes, Neither, new, key, change);
                }
            }
        }
    }
    for (digest, key) in before.iter().filter(|(digest, _)| !after.contains_key(digest)) {
        let replaced = new_ids.get(&key.id).is_some_and(|other| other != digest);
        let what = if replaced { "is replaced by a different key with the same id" } else { "is removed" };
        let effect = if key.window(now).is_some() { Closes } else { Neither };
        add(&mut changes, effect, old, key, what.to_owned());
    }
    changes.extend(roles(old, new));
    changes
}

/// Compares the roles of consumers.
fn roles(old: &Side, new: &Side) -> Vec<Change> {
    let by_name = |side: &'_ Side| -> BTreeMap<String, ConsumerEntry> {
        side.document.consumers.iter().map(|one| (one.name.as_str().to_owned(), one.clone())).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    for (name, consumer) in &after {
        let Some(was) = before.get(name) else {
            changes.push(Change::new(Neither, "consumers", format!("{name} is new")));
            continue;
        };
        for role in consumer.roles.iter().filter(|role| !was.roles.contains(role)) {
            changes.push(Change::new(Opens, "roles", format!("{name} has the role {}", role.as_str())));
        }
        for role in was.roles.iter().filter(|role| !consumer.roles.contains(role)) {
            changes.push(Change::new(Closes, "roles", format!("{name} no longer has the role {}", role.as_str())));
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        changes.push(Change::new(Neither, "consumers", format!("{name} is gone")));
    }
    changes
}

fn effective_keys(side: &Side) -> BTreeMap<Digest, EffectiveKey<'_>> {
    let mut keys = BTreeMap::new();
    let refused: std::collections::BTreeSet<_> = side.refused.iter().collect();
    for (index, consumer) in side.document.consumers.iter().enumerate() {
        for (number, key) in consumer.keys.iter().enumerate() {
            let path = format!("consumers[{index}].keys[{number}]");
            if refused.contains(&path) {
                continue;
            }
            let (digest, handle) = match &key.secret {
                Secret::Sha256(Some(digest)) => (*digest, digest.handle()),
                Secret::Sha256(None) => continue,
                Secret::Plaintext(key) => {
                    let digest = Digest::of(key.expose().as_bytes());
                    (digest, digest.handle())
                }
                Secret::Env(variable) => {
                    (Digest::of(stand_in(variable.as_str()).as_bytes()), format!("env {variable}"))
                }
            };
            let id = key.id.as_ref().map_or(handle, |id| id.as_str().to_owned());
            let (not_before, expires, disabled) = (key.not_before, key.expires, key.disabled);
            keys.insert(digest, EffectiveKey { id, consumer, disabled, not_before, expires, path });
        }
    }
    keys
}

impl EffectiveKey<'_> {
    /// When it is valid, from now on; `None` if it is not.
    fn window(&self, now: Timestamp) -> Option<Window> {
        let from = self.not_before.map_or(now.0, |from| from.0.max(now.0));
        let until = self.expires.map_or(i64::MAX, |until| until.0);
        (!self.disabled && from < until).then_some(Window(from, until))
    }

    fn state(&self, now: Timestamp) -> String {
        let from = self.not_before.filter(|from| now < *from).map(|from| format!("valid from {}", rfc3339(from)));
        let until = match self.expires {
            Some(until) if until <= now => Some("expired".to_owned()),
            Some(until) => Some(format!("valid until {}", rfc3339(until))),
            None => None,
        };
        let off = self.disabled.then(|| "disabled".to_owned());
        let all: Vec<_> = [off, from, until].into_iter().flatten().collect();
        if all.is_empty() { "valid without expiry".to_owned() } else { all.join(", ") }
    }

    fn roles(&self) -> String {
        let roles: Vec<_> = self.consumer.roles.iter().map(|role| role.as_str()).collect();
        if roles.is_empty() { String::new() } else { format!(", with {}", roles.join(", ")) }
    }

    fn until(&self) -> String {
        self.expires.map(|until| format!(", valid until {}", rfc3339(until))).unwrap_or_default()
    }
}

/// Whether a part of the first window is outside of the second.
fn more(one: Option<Window>, other: Option<Window>) -> bool {
    match (one, other) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(one), Some(other)) => one.0 < other.0 || one.1 > other.1,
    }
}
