//! `portcullis keys remove`, `disable`, `enable` and `expire`.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Result, bail};
use clap::Args;

use super::entry::check;
use super::known::AllKeys;
use super::selection::{Selected, Selection};
use crate::output::{count, note, note_some, print};
use crate::store::{Locked, Store, StoredKey};
use crate::store_file::StoreFile;
use crate::when::{When, now, rfc3339};

const REMOVE: &str = "Examples:
  portcullis keys remove 209c6ca829ca9a60
  portcullis keys remove - < leaked-keys.txt
  portcullis keys remove --consumer alice
  portcullis keys remove --all

Exit status: 0 done, 1 keys of the consumer remain in the policy, 2 usage or input error.";

/// Remove keys from the store
#[derive(Debug, Args)]
#[command(after_help = REMOVE)]
pub(crate) struct Remove {
    /// The id of a key; `-` reads keys from standard input, one on each line
    #[arg(required_unless_present_any = ["all", "consumer"], value_name = "ID")]
    ids: Vec<String>,
    /// All keys of this consumer
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    pub(super) consumer: Option<String>,
    /// A note for the log of the store, such as the number of a ticket
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Remove all keys of the store, after asking on the terminal; a store that is missing is created, without keys
    #[arg(long, conflicts_with_all = ["ids", "consumer"])]
    all: bool,
    /// Do not ask
    #[arg(long, conflicts_with_all = ["ids", "consumer"])]
    yes: bool,
}

impl Remove {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        if self.all {
            return remove_all(files, self.yes, self.note);
        }
        let mut selected = Selection { ids: self.ids, consumer: self.consumer, note: self.note }.open(files)?;
        selected.remove();
        selected.save("removed")
    }
}

/// Removes all keys of the store. A gate that keeps the keys of a store that has vanished then drops them.
fn remove_all(files: &StoreFile, is_sure: bool, why: Option<String>) -> Result<bool> {
    let store = files.path();
    let store = store.display();
    if !is_sure {
        let mut input = std::io::stdin().lock();
        if !input.is_terminal() {
            bail!("--all: use --yes to remove all keys of {store} without being asked");
        }
        note(format_args!("remove all keys of {store}? Type yes to continue"));
        let mut answer = String::new();
        input.read_line(&mut answer)?;
        if answer.trim() != "yes" {
            bail!("no key was removed");
        }
    }
    let mut locked = Locked::open(&files.path())?;
    locked.why = why;
    let consumers = &mut locked.store.consumers;
    let removed: usize = consumers.values_mut().map(|stored| stored.keys.drain(..).count()).sum();
    consumers.retain(|_, stored| !stored.is_empty());
    locked.save()?;
    note(format_args!("{} removed: {store} has no key", count(removed, "key")));
    let has_others = files.policy().map_or(true, |policy| {
        policy.is_some_and(|policy| AllKeys::of(&Store::default(), Some(&policy)).is_ok_and(|all| !all.keys.is_empty()))
    });
    if let Some(policy) = files.policy_path().filter(|_| has_others) {
        note(format_args!("keys in {} are not removed: change them there", policy.display()));
    }
    Ok(true)
}

const DISABLE: &str = "Examples:
  portcullis keys disable ci-2026-11
  portcullis keys disable - < key.txt
  portcullis keys disable --consumer alice

Exit status: 0 done, 1 keys of the consumer remain in the policy, 2 usage or input error.";

/// Disable keys, but keep them in the store
#[derive(Debug, Args)]
#[command(after_help = DISABLE)]
pub(crate) struct Disable {
    #[command(flatten)]
    pub(super) selection: Selection,
}

const ENABLE: &str = "Examples:
  portcullis keys enable ci-2026-11
  portcullis keys enable --consumer alice

Exit status: 0 done, 2 usage or input error.";

/// Enable disabled keys
#[derive(Debug, Args)]
#[command(after_help = ENABLE)]
pub(crate) struct Enable {
    #[command(flatten)]
    pub(super) selection: Selection,
}

impl Disable {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        set_disabled(&self.selection, files, true)
    }
}

impl Enable {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        set_disabled(&self.selection, files, false)
    }
}

fn set_disabled(selection: &Selection, files: &StoreFile, disabled: bool) -> Result<bool> {
    let mut selected = selection.open(files)?;
    let (now, word) = (now(), if disabled { "disabled" } else { "enabled" });
    let (mut changed, mut notes) = (Vec::new(), Vec::new());
    selected.change(|_, key| {
        if key.disabled == disabled {
            notes.push(format!("key {} was {word} already", key.id));
        } else {
            changed.push(key.id.clone());
        }
        key.disabled = disabled;
        if let Some(end) = key.ends_at().filter(|end| !disabled && *end <= now) {
            notes.push(format!("key {} expired at {}", key.id, rfc3339(end)));
        }
        Ok(())
    })?;
    let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
    let is_whole = selected.save_some(&changed, word)?;
    note_some(&notes, "note");
    // A key of the policy may stay as it is when others are enabled.
    Ok(is_whole || !disabled)
}

const EXPIRE: &str = "Examples:
  portcullis keys expire ci-2026-11
  portcullis keys expire ci-2026-11 --at 7d
  portcullis keys expire --consumer alice --at 2027-02-01

No key gets a later end than it has, unless --extend is given. A key that is not valid before that time is disabled.

Exit status: 0 done, 1 keys of the consumer remain in the policy, 2 usage or input error.";

/// Let keys expire, now or at a given time
#[derive(Debug, Args)]
#[command(after_help = EXPIRE)]
pub(crate) struct Expire {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// When: 7d, 2027-02-01, or a date-time [default: now]
    #[arg(long, value_name = "WHEN")]
    at: Option<When>,
    /// Also prolong keys that would expire before
    #[arg(long, requires = "at")]
    extend: bool,
}

impl Expire {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let mut selected = self.selection.open(files)?;
        let now = now();
        let at = self.at.map_or(now, |when| when.from(now));
        let (mut changed, mut notes) = (Vec::new(), Vec::new());
        selected.change(|consumer, key| {
            let id = &key.id;
            match (key.ends_at(), key.begins_at()) {
                (Some(end), _) if end < at && !self.extend => {
                    let verb = if end <= now { "expired" } else { "expires" };
                    notes.push(format!("key {id} {verb} before, at {}: --extend would prolong it", rfc3339(end)));
                }
                (_, Some(from)) if at <= from => {
                    notes.push(format!("key {id} is disabled instead: it would be valid only from {}", rfc3339(from)));
                    key.disabled = true;
                }
                (end, _) => {
                    if end.is_some_and(|end| end <= now) && now < at {
                        notes.push(format!("key {id} had expired: it is valid again"));
                    }
                    changed.push(id.clone());
                    key.expire_at(at);
                }
            }
            check(consumer, &[], key)
        })?;
        let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        let is_whole = selected.save_some(&changed, &format!("set to expire at {}", rfc3339(at)))?;
        note_some(&notes, "note");
        Ok(is_whole)
    }
}

const PRUNE: &str = "Examples:
  portcullis keys prune --expired
  portcullis keys prune --expired --dry-run

Exit status: 0 done, 2 usage or input error.";

/// Remove expired keys from the store
#[derive(Debug, Args)]
#[command(after_help = PRUNE)]
pub(crate) struct Prune {
    /// Remove the keys that have expired
    // So that it is written, and other kinds can follow.
    #[arg(long, required = true)]
    #[allow(dead_code, reason = "it is always true")]
    expired: bool,
    /// Remove nothing, only show which keys would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let mut selected = Selected::expired(files, now())?;
        let row = |(consumer, key): (&String, &StoredKey)| {
            format!("{} of {consumer}, expired at {}\n", key.id, key.expires.as_deref().unwrap_or_default())
        };
        let rows: Vec<String> = selected.keys().map(row).collect();
        print(&rows.concat())?;
        match rows.len() {
            0 => note(format_args!("no key in {} has expired", files.path().display())),
            number if self.dry_run => note(format_args!("{} would be removed", count(number, "key"))),
            _ => {
                selected.remove();
                selected.save("removed")?;
            }
        }
        Ok(true)
    }
}
