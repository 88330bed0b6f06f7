//! `portcullis init`.

use anyhow::{Result, bail};
use clap::Args;

/// init
#[derive(Debug, Args)]
pub(crate) struct Init {}

impl Init {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
