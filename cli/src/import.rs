//! `portcullis import`.

use anyhow::{Result, bail};
use clap::Args;

/// import
#[derive(Debug, Args)]
pub(crate) struct Import {}

impl Import {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
