//! `portcullis keys rotate`: creates a new key, and lets the old one expire after an overlap.

use anyhow::{Result, bail};
use clap::Args;
use portcullis::Timestamp;

use super::entry::{NewEntry, add_unique, check, check_no_key};
use super::generate::hand_over;
use super::key_format::NewKey;
use super::known::AllKeys;
use super::selection::Selection;
use crate::output::{Output, Progress, count, note};
use crate::store::StoredKey;
use crate::store::journal::user;
use crate::store_file::StoreFile;
use crate::when::{Span, When, now, rfc3339};

const EXAMPLES: &str = "Examples:
  portcullis keys rotate 209c6ca829ca9a60
  KEY=$(portcullis keys rotate ci-2026-11 --id ci-2027-02 --overlap 14d)
  portcullis keys rotate - --overlap 0 < leaked-key.txt

Both keys are valid during the overlap. The old key never lives longer than before. The new key lives as long as the \
old one was made for. If that is over or not known, --expires is required.

Exit status: 0 done, 2 usage or input error.";

/// Replace keys: print a new one, and let the old one expire
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rotate {
    /// The id of a key; `-` reads keys from standard input, one on each line
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// How long the old key stays valid
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    overlap: Span,
    /// When the new key expires: 90d, 2027-02-01, or a date-time
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
    /// The id of the new key [default: the first 16 hex digits of the key's SHA-256]
    #[arg(long)]
    id: Option<String>,
    /// A note for the store and its log, such as the number of a ticket
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Rotate {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let mut selected = Selection::of(self.ids.clone(), self.note.clone()).open(files)?;
        let policy = files.policy()?;
        let now = now();
        let old: Vec<_> = selected.keys().map(|(consumer, key)| (consumer.clone(), key.clone())).collect();
        if self.id.is_some() && old.len() != 1 {
            bail!("--id: expected a single key: the ids of several keys come from their digests");
        }
        let names = [("--id", &self.id), ("--note", &self.note)];
        let names = names.into_iter().filter_map(|(option, text)| Some((option, text.as_deref()?)));
        let all = AllKeys::of(&selected.locked.store, policy.as_ref())?;
        check_no_key(names, &all)?;
        let progress = Progress::new(old.len(), "making keys");
        let mut secrets = Vec::with_capacity(old.len());
        let mut new = Vec::with_capacity(old.len());
        for (consumer, key) in &old {
            let secret = progress.step(NewKey::generate)?;
            new.push(self.successor(consumer, key, &secret, now)?);
            secrets.push(secret);
        }
        drop(progress);
        let end = self.overlap.after(now);
        selected.change(|consumer, key| {
            let own = key.ends_at();
            key.expire_at(own.map_or(end, |own| own.min(end)));
            check(consumer, &[], key)
        })?;
        add_unique(&mut selected.locked.store, &all, &new)?;
        files.check_with_others(&selected.locked)?;
        hand_over(&selected.locked, &new, &secrets, self.output)?;
        let ends: Vec<_> = selected.keys().filter_map(|(_, key)| Some((&key.id, key.ends_at()?))).collect();
        match ends.as_slice() {
            [(id, end)] if *end <= now => note(format_args!("key {id} expired at {}", rfc3339(*end))),
            [(id, end)] => note(format_args!("key {id} is valid until {}", rfc3339(*end))),
            all => {
                let last = all.iter().map(|(_, end)| *end).max().unwrap_or(now);
                note(format_args!(
                    "the old {} are valid until {} at the latest",
                    count(all.len(), "key"),
                    rfc3339(last)
                ));
            }
        }
        Ok(true)
    }

    /// The key that replaces `old`.
    fn successor(&self, consumer: &str, old: &StoredKey, secret: &NewKey, now: Timestamp) -> Result<NewEntry> {
        if old.disabled {
            bail!("{} is disabled: `enable` it first, or `generate` a key for {consumer}", old.id);
        }
        if old.begins_at().is_some_and(|from| now < from) {
            bail!("{} is not valid yet: `remove` it, and `generate` a new one", old.id);
        }
        let expires = match (self.expires, old.ends_at(), old.created.as_deref().and_then(Timestamp::from_rfc3339)) {
            (Some(when), ..) => Some(when.from(now)),
            (None, None, _) => None,
            (None, Some(end), _) if end <= now => {
                bail!("{} has expired: give --expires for the new key, such as 90d", old.id)
            }
            (None, Some(end), Some(start)) if !old.expiry_changed => Some(Span::between(start, end).after(now)),
            (None, Some(_), _) => {
                bail!("it is not known how long {} was made for: give --expires for the new key, such as 90d", old.id)
            }
        };
        let blueprint = StoredKey {
            description: old.description.clone(),
            note: self.note.clone(),
            created: Some(rfc3339(now)),
            created_by: Some(user()),
            expires: expires.map(rfc3339),
            ..StoredKey::default()
        };
        let mut new =
            NewEntry::new(consumer, String::from("the new key"), secret.digest(), self.id.as_deref(), &blueprint);
        if expires.is_some_and(|expires| expires <= now) {
            bail!("--expires is in the past: the key would never be valid");
        }
        check(consumer, &[], &new.key)?;
        new.replaces = Some(old.id.clone());
        Ok(new)
    }
}
