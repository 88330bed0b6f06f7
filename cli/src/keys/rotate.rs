//! `portcullis keys rotate`: creates a new key, and lets the old one expire after an overlap.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use portcullis::Timestamp;

use super::entry::{NewEntry, add_unique, check};
use super::generate::hand_over;
use super::key_format::NewKey;
use super::selection::Selection;
use crate::files::StoreFile;
use crate::output::{Output, Progress, note};
use crate::store::StoredKey;
use crate::when::{Span, When, now, rfc3339};

const EXAMPLES: &str = "Examples:
  portcullis keys rotate 209c6ca829ca9a60
  KEY=$(portcullis keys rotate ci-2026-11 --id ci-2027-02 --overlap 14d)
  portcullis keys rotate - --overlap 0 < leaked-key.txt

Both keys are valid during the overlap. The old key never lives longer than before. The new key gets the lifetime of \
the old one, unless --expires is given. If the old key has expired, --expires is required.

Exit status: 0 done, 2 usage or input error.";

/// Replace keys: print a new one, and let the old one expire
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rotate {
    #[command(flatten)]
    selection: Selection,
    /// How long the old key stays valid
    #[arg(long, value_name = "SPAN", default_value = "7d")]
    overlap: Span,
    /// When the new key expires: 90d, 2027-02-01, or a date-time
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
    /// The id of the new key [default: the first 16 hex digits of the key's SHA-256]
    #[arg(long)]
    id: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Rotate {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let mut selected = self.selection.open(files)?;
        let policy = files.policy()?;
        let now = now();
        let old: Vec<_> = selected.keys().map(|(consumer, key)| (consumer.clone(), key.clone())).collect();
        if self.id.is_some() && old.len() != 1 {
            bail!("--id: expected a single key: the ids of several keys come from their digests");
        }
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
            let own = key.expires.as_deref().and_then(Timestamp::from_rfc3339);
            key.expires = Some(rfc3339(own.map_or(end, |own| own.min(end))));
            check(consumer, &[], key).context("the old key is not valid yet: `remove` it, and `generate` a new one")
        })?;
        add_unique(&mut selected.locked.store, policy.as_ref(), &new)?;
        hand_over(&selected.locked, &new, &secrets, self.output)?;
        for (_, key) in old.iter().filter(|_| old.len() == 1) {
            note(format_args!("key {} is valid until {} at the latest", key.id, rfc3339(end)));
        }
        Ok(true)
    }

    /// The key that replaces `old`.
    fn successor(&self, consumer: &str, old: &StoredKey, secret: &NewKey, now: Timestamp) -> Result<NewEntry> {
        if old.disabled {
            bail!("{} is disabled: `enable` it first, or `generate` a key for {consumer}", old.id);
        }
        let time = |text: &Option<String>| text.as_deref().and_then(Timestamp::from_rfc3339);
        let lifetime = time(&old.expires).zip(time(&old.created)).map(|(end, start)| end.0.saturating_sub(start.0));
        let expires = match (self.expires, lifetime) {
            (Some(when), _) => Some(when.from(now)),
            _ if time(&old.expires).is_some_and(|end| end <= now) => {
                bail!("{} has expired: give --expires for the new key, such as 90d", old.id)
            }
            (None, Some(seconds)) => Some(Span::seconds(seconds).after(now)),
            (None, None) => None,
        };
        let blueprint = StoredKey {
            description: old.description.clone(),
            created: Some(rfc3339(now)),
            expires: expires.map(rfc3339),
            ..StoredKey::default()
        };
        let new = NewEntry::new(consumer, String::from("the new key"), secret.digest(), self.id.as_deref(), &blueprint);
        if expires.is_some_and(|expires| expires <= now) {
            bail!("--expires is in the past: the key would never be valid");
        }
        check(consumer, &[], &new.key)?;
        Ok(new)
    }
}
