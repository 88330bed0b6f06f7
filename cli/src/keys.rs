//! `portcullis keys`.

use anyhow::{Result, bail};
use clap::Args;

/// keys
#[derive(Debug, Args)]
pub(crate) struct Keys {}

impl Keys {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
