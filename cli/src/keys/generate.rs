//! `portcullis keys generate`: creates new keys, and prints them once.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use super::entry::{Entry, NewEntry};
use super::key_format::NewKey;
use crate::output::{Output, Progress, count, note};
use crate::store::Locked;
use crate::store_file::StoreFile;
use crate::when::now;

const EXAMPLES: &str = "Examples:
  portcullis keys generate --consumer ci --expires 90d
  KEY=$(portcullis keys generate --consumer ci --role predict --id ci-2026-11)
  portcullis keys generate --consumer edge --count 100 > edge-keys.txt

Only the key goes to standard output. It is printed once: the store has its SHA-256.

Exit status: 0 done, 2 usage or input error.";

/// Create a new key, print it once, and store its digest
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Generate {
    #[command(flatten)]
    pub(super) entry: Entry,
    /// The number of keys
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Generate {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let mut locked = Locked::open(&files.path())?;
        locked.why.clone_from(&self.entry.note);
        let policy = files.policy()?;
        let count = usize::try_from(self.count)?;
        let progress = Progress::new(count, "making keys");
        let secrets: Vec<_> = (0..count).map(|_| progress.step(NewKey::generate)).collect::<Result<_>>()?;
        let digests = secrets.iter().map(|secret| (String::from("a new key"), secret.digest())).collect();
        let added = self.entry.put(&mut locked.store, policy.as_ref(), digests, now())?;
        drop(progress);
        files.check_with_others(&locked)?;
        hand_over(&locked, &added.keys, &secrets, self.output)?;
        added.notes.into_iter().chain(files.unused()).for_each(note);
        Ok(true)
    }
}

/// Prints new keys, and replaces the store. Everything that is likely to fail is done before the keys are printed, and
/// the store is replaced afterwards: it never contains a key that was not printed.
///
/// # Errors
/// If printing or replacing fails. The message says what that means for the keys.
pub(super) fn hand_over(locked: &Locked, keys: &[NewEntry], secrets: &[NewKey], output: Output) -> Result<()> {
    let text = match output {
        Output::Text => secrets.iter().flat_map(|secret| [secret.expose(), "\n"]).collect(),
        Output::Json => {
            let row = |(NewEntry { consumer, key, replaces, .. }, secret): (&NewEntry, &NewKey)| {
                json!({"id": key.id, "replaces": replaces, "consumer": consumer, "key": secret.expose(), "description": key.description,
                    "not_before": key.not_before, "expires": key.expires})
            };
            format!("{:#}\n", json!({"keys": keys.iter().zip(secrets).map(row).collect::<Vec<_>>()}))
        }
    };
    let staged = locked.stage()?;
    let mut stdout = std::io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.context("the key could not be printed, so it was not stored")?;
    staged.commit().context("the printed key may not be in the store: check it with `portcullis keys verify`")?;
    match keys {
        [NewEntry { consumer, key, .. }] => {
            let until = key.expires.as_ref().map_or_else(|| "never expires".to_owned(), |at| format!("expires {at}"));
            note(format_args!("key {} of {consumer} ({until}) is shown only once", key.id));
        }
        keys => note(format_args!("{} are shown only once", count(keys.len(), "key"))),
    }
    Ok(())
}
