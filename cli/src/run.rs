//! `portcullis run`.

use anyhow::{Result, bail};
use clap::Args;

/// run
#[derive(Debug, Args)]
pub(crate) struct Run {}

impl Run {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
