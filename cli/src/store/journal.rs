//! The log beside a key store: one line of JSON for each change, with who made it and when. It has ids and names, and no key.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::replace::keep_owner;
use super::{Store, StoredKey, ends_earlier};
use crate::log::warn;
use crate::when::{now, rfc3339};

/// One change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// When it was made.
    pub(crate) time: String,
    /// Who made it: the name of the user.
    pub(crate) user: String,
    /// What was done: `added`, `removed`, `disabled`, `enabled`, `expires`, `changed`, `roles` or `mode`.
    pub(crate) action: String,
    /// The consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) consumer: Option<String>,
    /// The id of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The new value: the end of a key, the roles of a consumer, or the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// Why, in the words of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Whether it only takes access away.
    #[serde(skip)]
    takes_away: bool,
}

/// The path of the log of a store.
pub(crate) fn path(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".log");
    store.with_file_name(name)
}

/// The user who runs the command, also under sudo.
pub(crate) fn user() -> String {
    let under_sudo = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    under_sudo.or_else(|| whoami::username().ok()).unwrap_or_else(|| "unknown".to_owned())
}

/// The log, open for the changes from one store to another.
#[derive(Debug)]
pub(super) struct Journal {
    /// `None` if nothing is to be written, or if it cannot be.
    file: Option<File>,
    path: PathBuf,
    lines: String,
    takes_away: bool,
}

impl Journal {
    /// Opens the log of the store at `store`.
    ///
    /// # Errors
    /// If it cannot be opened, unless the changes only take access away: those are never refused.
    pub(super) fn open(store: &Path, before: &Store, after: &Store, why: Option<&str>) -> Result<Self> {
        let path = path(store);
        let entries = changes(before, after, why);
        let lines = entries.iter().map(|entry| Ok(format!("{}\n", serde_json::to_string(entry)?)));
        let lines = lines.collect::<Result<String>>()?;
        let takes_away = entries.iter().all(|entry| entry.takes_away);
        let file = if entries.is_empty() { None } else { or_warn(append(&path, store).map(Some), takes_away)? };
        Ok(Self { file, path, lines, takes_away })
    }

    /// Writes the changes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn write(self) -> Result<()> {
        let Some(mut file) = self.file else { return Ok(()) };
        let written = file.write_all(self.lines.as_bytes()).and_then(|()| file.sync_all());
        let written = written.with_context(|| format!("cannot write the log {}", self.path.display()));
        or_warn(written, self.takes_away)
    }
}

/// Warns of an error instead, if access is only taken away.
fn or_warn<T: Default>(result: Result<T>, takes_away: bool) -> Result<T> {
    result.or_else(|error| {
        if !takes_away {
            return Err(error.context("nothing is changed, because it cannot be logged"));
        }
        warn(format_args!("this change is not in the log: {error:#}"));
        Ok(T::default())
    })
}

/// Opens the log to append to it. A new one is readable only by its owner, who is that of the store.
fn append(path: &Path, store: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600);
    let open = match options.create_new(true).open(path) {
        Ok(file) => keep_owner(store, &file).map(|()| file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // Anyone who may write to the directory could put a link to another user's file there.
            if !fs::symlink_metadata(path)?.is_file() {
                bail!("{} is not a regular file: remove it", path.display());
            }
            options.create_new(false).open(path).map_err(Into::into)
        }
        Err(error) => Err(error.into()),
    };
    open.with_context(|| format!("cannot write the log {}", path.display()))
}

/// The changes from one store to another.
fn changes(before: &Store, after: &Store, why: Option<&str>) -> Vec<Entry> {
    let (time, user) = (rfc3339(now()), user());
    let entry = |action: &str, takes_away| Entry {
        time: time.clone(),
        user: user.clone(),
        action: action.to_owned(),
        note: why.map(str::to_owned),
        takes_away,
        ..Entry::default()
    };
    let mut entries = Vec::new();
    if before.mode_override != after.mode_override {
        let mode = after.mode_override.map_or("policy", |mode| mode.as_str());
        entries.push(Entry { to: Some(mode.to_owned()), ..entry("mode", mode == "enforce") });
    }
    let names: BTreeSet<&String> = before.consumers.keys().chain(after.consumers.keys()).collect();
    for name in names {
        let roles = |store: &Store| store.consumers.get(name).map(|stored| stored.roles.clone()).unwrap_or_default();
        let (old, new) = (roles(before), roles(after));
        if old != new {
            let takes_away = new.iter().all(|role| old.contains(role));
            entries.push(Entry { consumer: Some(name.clone()), to: Some(new.join(",")), ..entry("roles", takes_away) });
        }
    }
    let (old, new) = (keys(before), keys(after));
    for (at @ (consumer, id), key) in &new {
        let entry = |action, takes_away| Entry {
            consumer: Some((*consumer).to_owned()),
            key: Some((*id).to_owned()),
            ..entry(action, takes_away)
        };
        let end = || Some(key.expires.clone().unwrap_or_else(|| "never".to_owned()));
        match old.get(at) {
            None => entries.push(Entry { to: end(), ..entry("added", false) }),
            Some(old) if old == key => {}
            Some(old) => {
                let before = entries.len();
                if old.disabled != key.disabled {
                    entries.push(entry(if key.disabled { "disabled" } else { "enabled" }, key.disabled));
                }
                if old.expires != key.expires {
                    entries.push(Entry { to: end(), ..entry("expires", ends_earlier(key, old)) });
                }
                if entries.len() == before {
                    entries.push(entry("changed", false));
                }
            }
        }
    }
    for ((consumer, id), _) in old.iter().filter(|(at, _)| !new.contains_key(*at)) {
        let (consumer, key) = (Some((*consumer).to_owned()), Some((*id).to_owned()));
        entries.push(Entry { consumer, key, ..entry("removed", true) });
    }
    entries
}

/// The keys of a store by consumer and id.
fn keys(store: &Store) -> BTreeMap<(&str, &str), &StoredKey> {
    store
        .consumers
        .iter()
        .flat_map(|(name, stored)| stored.keys.iter().map(move |key| ((name.as_str(), key.id.as_str()), key)))
        .collect()
}
