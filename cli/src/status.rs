//! `portcullis status`.

use anyhow::{Result, bail};
use clap::Args;

/// status
#[derive(Debug, Args)]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
