//! `portcullis render`.

pub(crate) mod envoy;

use anyhow::{Result, bail};
use clap::Args;

/// render
#[derive(Debug, Args)]
pub(crate) struct Render {}

impl Render {
    pub(crate) fn run(self) -> Result<bool> {
        bail!("not built yet")
    }
}
