//! `portcullis keys log`: shows who changed the store, when and why.

use std::fs;

use anyhow::{Context as _, Result};
use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use crate::output::{Output, note, print, print_table, printable};
use crate::store::journal::{self, Entry};
use crate::store_file::StoreFile;

const EXAMPLES: &str = "Examples:
  portcullis keys log
  portcullis keys log --consumer alice
  portcullis keys log --output json

Exit status: 0 done, 2 usage or input error.";

/// Show the log of the store: who changed what, when and why
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Log {
    /// Only changes of this consumer and its keys
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Only changes of the key with this id
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Log {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let file = journal::path(&files.path());
        let text = fs::read_to_string(&file).with_context(|| {
            format!("cannot read the log {}, which every change of the store extends", file.display())
        })?;
        let mut entries = Vec::new();
        for (line, number) in text.lines().zip(1_usize..) {
            match serde_json::from_str::<Entry>(line) {
                Ok(entry) => entries.push(entry),
                Err(_) => note(format_args!("{}:{number}: not an entry of the log: skipped", file.display())),
            }
        }
        let is_meant = |wanted: &Option<String>, own: &Option<String>| wanted.is_none() || wanted == own;
        entries.retain(|entry| is_meant(&self.consumer, &entry.consumer) && is_meant(&self.key, &entry.key));
        if self.output == Output::Json {
            print(&format!("{:#}\n", json!({"entries": entries})))?;
            return Ok(true);
        }
        if entries.is_empty() {
            note("no such change");
            return Ok(true);
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(["TIME", "USER", "CHANGE", "CONSUMER", "KEY", "TO", "NOTE"]);
        for entry in entries {
            let cell = |text: Option<String>| printable(&text.unwrap_or_default());
            table.add_row([
                entry.time,
                printable(&entry.user),
                printable(&entry.action),
                cell(entry.consumer),
                cell(entry.key),
                cell(entry.to),
                cell(entry.note),
            ]);
        }
        print_table(&table)?;
        Ok(true)
    }
}
