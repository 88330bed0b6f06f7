//! `portcullis keys add`: adds existing keys.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use portcullis::document::Document;
use portcullis::keys::{Digest, NotAKey};
use portcullis::request::KeySource;
use portcullis::request::{MAX_KEY_LENGTH, Presented, find};
use portcullis::{HeaderBlock, Request};

use super::entry::Entry;
use super::input::{Line, read_keys};
use super::key_format::{is_typo, weakness};
use crate::files::EffectivePolicy;
use crate::output::{Progress, count, note, note_some};
use crate::store::Locked;
use crate::store_file::StoreFile;
use crate::when::now;

const EXAMPLES: &str = "Examples:
  printf %s \"$KEY\" | portcullis keys add --consumer ci
  portcullis keys add --consumer ci < key.txt
  portcullis keys add --consumer ci --file keys.txt --expires 2027-02-01
  portcullis keys add --consumer ci --sha256 \\
      209c6ca829ca9a6046ee97478da9a5a5ad2dc5c502730d3d8209341f1380b853

Keys are read from standard input or a file, one on each line. Either all of them are added, or none.

Exit status: 0 done, 2 usage or input error.";

/// Add existing keys from standard input or a file: only their digests are stored
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(super) entry: Entry,
    /// Read the keys from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The SHA-256 of the key instead of the key, as 64 hex digits; may be repeated
    #[arg(long, value_name = "HEX", conflicts_with = "file")]
    sha256: Vec<String>,
}

impl Add {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        // Read before the lock is taken: reading from a terminal may take long.
        let keys = if self.sha256.is_empty() { read_keys(self.file.as_deref())? } else { Vec::new() };
        let mut locked = Locked::open(&files.path())?;
        locked.why.clone_from(&self.entry.note);
        let policy = files.policy()?;
        let examiner = Examiner::new(policy.as_ref())?;
        let progress = Progress::new(keys.len(), "adding keys");
        let mut warnings = Vec::new();
        let given = keys.iter().map(|line| progress.step(|| examiner.digest(line, &mut warnings)));
        let digests = given.chain(self.sha256.iter().zip(1..).map(read_digest)).collect::<Result<Vec<_>>>()?;
        drop(progress);
        note_some(&warnings, "warning");
        let added = self.entry.put(&mut locked.store, policy.as_ref(), digests, now())?;
        files.check_with_others(&locked)?;
        locked.save()?;
        added.notes.iter().cloned().chain(files.unused()).for_each(note);
        match added.keys.as_slice() {
            [one] => note(format_args!("key {} of {} added", one.key.id, one.consumer)),
            all => note(format_args!("{} of {} added", count(all.len(), "key"), self.entry.consumer)),
        }
        Ok(true)
    }
}

/// Parses a digest. The message does not show it, since it may be the key itself.
fn read_digest((text, number): (&String, usize)) -> Result<(String, Digest)> {
    let place = format!("--sha256 number {number}");
    let digest = Digest::from_hex(text)
        .ok_or_else(|| anyhow!("{place}: invalid sha256: expected 64 hex digits (printf %s \"$KEY\" | sha256sum)"))?;
    if digest == Digest::of(b"") {
        bail!("{place}: SHA-256 of an empty text: the variable was probably empty");
    }
    Ok((place, digest))
}

/// Checks keys with the code of the gate.
struct Examiner {
    /// The default: `Authorization: Bearer`, and `X-API-Key`.
    sources: Vec<KeySource>,
    takes_bearer: bool,
}

impl Examiner {
    fn new(policy: Option<&EffectivePolicy>) -> Result<Self> {
        let sources = Document::read(b"{}").map_err(|refusal| anyhow!("{refusal}"))?.key_sources;
        let taken =
            policy.map(EffectivePolicy::document).transpose()?.map_or_else(|| sources.clone(), |own| own.key_sources);
        Ok(Self { sources, takes_bearer: taken.contains(&KeySource::Bearer) })
    }

    /// The digest of a key, which must be one that a request can present. Adds a warning for a risky key.
    fn digest(&self, line: &Line, warnings: &mut Vec<String>) -> Result<(String, Digest)> {
        let Line { number, key } = line;
        let place = format!("line {number}");
        if let Some(why) = NotAKey::of(key) {
            bail!("{place}: invalid key (not shown): {why}: expected the key itself");
        }
        if !self.finds("x-api-key", key.clone()) {
            bail!("{place}: invalid key (not shown): expected 1 to 1024 visible ASCII characters (0x21 to 0x7E)");
        }
        if self.takes_bearer && !self.finds("authorization", [b"Bearer ", key.as_slice()].concat()) {
            warnings.push(format!(
                "{place}: this key cannot be sent as `Authorization: Bearer`, only in another key source"
            ));
        }
        if is_typo(key) {
            warnings.push(format!("{place}: invalid checksum: probably a mistyped key of `portcullis keys generate`"));
        } else if let Some(why) = weakness(key) {
            warnings.push(format!(
                "{place}: this key {why}, so it can be guessed: `portcullis keys generate` creates better ones"
            ));
        }
        Ok((place, Digest::of(key)))
    }

    /// Whether the gate finds a key in a request with only this header.
    fn finds(&self, header: &str, value: Vec<u8>) -> bool {
        let block = HeaderBlock::new(&[(header, value)]);
        matches!(find(&Request::new(block.headers()), None, &self.sources, MAX_KEY_LENGTH), Presented::Key { .. })
    }
}
