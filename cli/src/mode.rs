//! `portcullis mode`.

use anyhow::{Result, bail};
use clap::Args;

/// mode
#[derive(Debug, Args)]
pub(crate) struct ModeCommand {}

impl ModeCommand {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
