//! `portcullis keys remove`, `disable`, `enable` and `expire`.

use anyhow::{Context as _, Result};
use clap::Args;

use super::entry::check;
use super::selection::Selection;
use crate::files::StoreFile;
use crate::when::{When, now, rfc3339};

const REMOVE: &str = "Examples:
  portcullis keys remove 209c6ca829ca9a60
  portcullis keys remove - < leaked-keys.txt

Exit status: 0 done, 2 usage or input error.";

/// Remove keys from the store
#[derive(Debug, Args)]
#[command(after_help = REMOVE)]
pub(crate) struct Remove {
    #[command(flatten)]
    selection: Selection,
}

impl Remove {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let mut selected = self.selection.open(files)?;
        selected.remove();
        selected.save("removed")?;
        Ok(true)
    }
}

const DISABLE: &str = "Examples:
  portcullis keys disable ci-2026-11
  portcullis keys disable - < key.txt

Exit status: 0 done, 2 usage or input error.";

/// Disable keys, but keep them in the store
#[derive(Debug, Args)]
#[command(after_help = DISABLE)]
pub(crate) struct Disable {
    #[command(flatten)]
    selection: Selection,
}

const ENABLE: &str = "Examples:
  portcullis keys enable ci-2026-11

Exit status: 0 done, 2 usage or input error.";

/// Enable disabled keys
#[derive(Debug, Args)]
#[command(after_help = ENABLE)]
pub(crate) struct Enable {
    #[command(flatten)]
    selection: Selection,
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
    selected.change(|_, key| {
        key.disabled = disabled;
        Ok(())
    })?;
    selected.save(if disabled { "disabled" } else { "enabled" })?;
    Ok(true)
}

const EXPIRE: &str = "Examples:
  portcullis keys expire ci-2026-11
  portcullis keys expire ci-2026-11 --at 7d
  portcullis keys expire ci-2026-11 --at 2027-02-01

Exit status: 0 done, 2 usage or input error.";

/// Let keys expire, now or at a given time
#[derive(Debug, Args)]
#[command(after_help = EXPIRE)]
pub(crate) struct Expire {
    #[command(flatten)]
    selection: Selection,
    /// When: 7d, 2027-02-01, or a date-time [default: now]
    #[arg(long, value_name = "WHEN")]
    at: Option<When>,
}

impl Expire {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let mut selected = self.selection.open(files)?;
        let now = now();
        let at = rfc3339(self.at.map_or(now, |when| when.from(now)));
        selected.change(|consumer, key| {
            key.expires = Some(at.clone());
            check(consumer, &[], key).context("`disable` or `remove` it instead")
        })?;
        selected.save(&format!("set to expire at {at}"))?;
        Ok(true)
    }
}
