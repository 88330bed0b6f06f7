//! `portcullis diff`.

use anyhow::{Result, bail};
use clap::Args;

/// diff
#[derive(Debug, Args)]
pub(crate) struct Diff {}

impl Diff {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
