//! `portcullis keys verify`: finds the consumer of a key.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use portcullis::keys::Digest;
use serde_json::json;

use super::input::read_key;
use super::key_format::is_typo;
use super::known::AllKeys;
use crate::output::{GREEN, Output, RED, print};
use crate::store_file::StoreFile;
use crate::when::{Span, now};

const EXAMPLES: &str = "Examples:
  portcullis keys verify < key.txt
  printf %s \"$KEY\" | portcullis keys verify
  portcullis keys verify --file key.txt --output json

Exit status: 0 the key is valid now, 1 it is not valid, or not found, 2 usage or input error.";

/// Show the consumer of a key, and whether the key is valid now
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// Read the key from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Verify {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let line = read_key(self.file.as_deref())?;
        let store = files.store()?;
        let all = AllKeys::of(&store, files.policy()?.as_ref())?;
        let known = all.by_digest(&Digest::of(&line.key));
        let state = known.map(|known| known.state(now(), Span::seconds(0)));
        let is_valid = state.is_some_and(|state| state.is_valid());
        if self.output == Output::Json {
            let row = json!({
                "valid": is_valid,
                "state": state.map_or("unknown", |state| state.name()),
                "id": known.map(|known| &known.id),
                "consumer": known.map(|known| &*known.consumer),
                "typo": known.is_none() && is_typo(&line.key),
            });
            print(&format!("{row:#}\n"))?;
            return Ok(is_valid);
        }
        let style = if is_valid { GREEN } else { RED };
        print(&match (known, state) {
            (Some(known), Some(state)) => format!("{style}{state}{style:#} {} of {}\n", known.id, known.consumer),
            _ if is_typo(&line.key) => {
                format!("{style}typo{style:#} invalid checksum: a character is wrong, missing or added\n")
            }
            _ => format!("{style}unknown{style:#} key not found\n"),
        })?;
        Ok(is_valid)
    }
}
