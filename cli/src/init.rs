//! `portcullis init`: writes a starter policy and an empty key store.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::files::{POLICY, is_there};
use crate::output::note;
use crate::store::{Locked, Store, write_atomically};

const EXAMPLES: &str = "Examples:
  portcullis init
  portcullis init --directory /etc/portcullis

Exit status: 0 done, 2 usage or input error.";

/// The starter policy, which allows nothing without a key.
const STARTER: &str = include_str!("starter.yaml");

/// Write a starter policy and an empty key store
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Init {
    /// The directory; created if it does not exist [default: the working directory]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Init {
    pub(crate) fn run(self) -> Result<bool> {
        let directory = self.directory.unwrap_or_default();
        let (policy, store) = (directory.join(POLICY), directory.join(Store::NAME));
        if is_there(&policy) {
            bail!(
                "{} already exists and is not overwritten: move it away, or use another --directory",
                policy.display()
            );
        }
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        // `portcullis keys` may have created it before.
        let kept = is_there(&store).then(|| Store::read(&store)).transpose()?;
        if kept.is_none() {
            Locked::open(&store)?.save()?;
        }
        write_atomically(&policy, STARTER.as_bytes(), 0o644)?;
        let (and, about_store) = match &kept {
            Some(_) => (";", "was there already, and is kept"),
            None => (" and", "(`portcullis keys` writes it)"),
        };
        note(format_args!("created {} (edit it){and} {} {about_store}", policy.display(), store.display()));
        if let Some(mode) = kept.and_then(|kept| kept.mode_override) {
            note(format_args!("{} overrides the mode of the policy: {}", store.display(), mode.as_str()));
        }
        note("next:");
        note("  portcullis keys generate --consumer ci --expires 90d");
        note("  portcullis lint");
        note("  portcullis run --upstream 127.0.0.1:5000");
        Ok(true)
    }
}
