//! `portcullis init`: writes a starter policy and an empty key store.

use std::path::{Path, PathBuf};

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
        let directory = self.directory.clone().unwrap_or_default();
        let (policy, store) = (directory.join(POLICY), directory.join(Store::NAME));
        let is_new = |file: &Path| !is_there(file);
        if !is_new(&policy) && !is_new(&store) {
            bail!(
                "{} and {} already exist and are not overwritten: move them away, or use another --directory",
                policy.display(),
                store.display()
            );
        }
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        // One of them may have been written before.
        if is_new(&store) {
            Locked::open(&store)?.save()?;
            note(format_args!("created {} (`portcullis keys` writes it)", store.display()));
        } else {
            note(format_args!("{} was there already, and is kept", store.display()));
            if let Some(mode) = Store::read(&store)?.mode_override {
                note(format_args!("{} overrides the mode of the policy: {}", store.display(), mode.as_str()));
            }
        }
        if is_new(&policy) {
            write_atomically(&policy, STARTER.as_bytes(), 0o644)?;
            note(format_args!("created {} (edit it)", policy.display()));
        } else {
            note(format_args!("{} was there already, and is kept", policy.display()));
        }
        let (option, argument) = match self.directory {
            Some(_) => (format!(" --store {}", store.display()), format!(" {}", policy.display())),
            None => (String::new(), String::new()),
        };
        note("next:");
        note(format_args!("  portcullis keys{option} generate --consumer ci --expires 90d"));
        note(format_args!("  portcullis lint{argument}"));
        note(format_args!("  portcullis run{argument} --upstream 127.0.0.1:5000"));
        Ok(true)
    }
}
