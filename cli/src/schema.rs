//! `portcullis schema`.

use anyhow::{Result, bail};
use clap::Args;

/// schema
#[derive(Debug, Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
