//! `portcullis schema`: prints the JSON Schema of the policy, generated from the types that the gate uses.

use anyhow::Result;
use clap::Args;
use portcullis::Document;

use crate::output::print;

const EXAMPLES: &str = "Examples:
  portcullis schema > policy.schema.json

Editors use it to check and complete policy.yaml, if its first line is:
  # yaml-language-server: $schema=./policy.schema.json

It accepts every policy that the gate accepts. Run `portcullis lint` to find errors that a schema cannot, such as a \
duplicate id.

Exit status: 0 done, 2 usage error.";

/// Print the JSON Schema of the policy
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> Result<bool> {
        print(&format!("{:#}\n", Document::json_schema()))?;
        Ok(true)
    }
}
