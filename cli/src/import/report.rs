//! The report of an import.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::discovered::{Discovered, Remark};
use super::keys::Imported;
use super::policy::{Target, fragment};
use super::source::Source;
use crate::output::{GREEN, Output, YELLOW, count, note, note_line, print};

/// The number of keys that the text output lists. JSON lists all.
const LISTED: usize = 20;

/// The report of an import.
pub(super) struct Report<'a> {
    pub(super) source: &'a Source,
    pub(super) store: &'a Path,
    pub(super) dry_run: bool,
    pub(super) taken: &'a Imported,
    pub(super) discovered: &'a Discovered,
    pub(super) target: &'a Target,
}

impl Report<'_> {
    /// Prints it.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(super) fn print(&self, output: Output) -> Result<()> {
        match output {
            Output::Text => self.text(),
            Output::Json => print(&format!("{:#}\n", self.json())),
        }
    }

    /// The settings that go to the policy, or that the user has to add.
    fn settings(&self) -> String {
        let settings = if self.target.text.is_some() { &self.discovered.settings } else { &self.target.to_do };
        fragment(settings).unwrap_or_default()
    }

    fn text(&self) -> Result<()> {
        let keys = &self.taken.keys;
        let store = self.store.display();
        let policy = self.target.path.display();
        let will = if self.dry_run { "would import" } else { "imported" };
        for key in keys.iter().take(LISTED) {
            let place = self.source.place(key.at);
            note_line(format_args!("  {GREEN}key{GREEN:#}       {} {}  {place}", key.consumer, key.id));
        }
        if let Some(more) = keys.len().checked_sub(LISTED).filter(|more| *more > 0) {
            note_line(format_args!("  … and {more} more: --output json lists them all"));
        }
        for remark in &self.discovered.notes {
            note_line(format_args!("  note      {}: {}", self.source.place(remark.at), remark.message));
        }
        for remark in &self.discovered.left_out {
            note_line(format_args!(
                "  {YELLOW}left out{YELLOW:#}  {}: {}",
                self.source.place(remark.at),
                remark.message
            ));
        }
        let already = match self.taken.already {
            0 => String::new(),
            number => format!(", {number} already there"),
        };
        let left = match self.discovered.left_out.len() {
            0 => String::new(),
            number => format!(", left out {}", count(number, "thing")),
        };
        note(format_args!("{}: {will} {} into {store}{already}{left}", self.source.name, count(keys.len(), "key")));
        if self.target.text.is_some() {
            let will = if self.dry_run { "would write" } else { "wrote" };
            note(format_args!("{will} {policy} with {}", count(self.discovered.settings.len(), "setting")));
        } else if !self.target.to_do.is_empty() {
            note(format_args!("{policy} exists and was not changed: add this to it"));
        }
        if self.dry_run || self.target.text.is_none() { print(&self.settings()) } else { Ok(()) }
    }

    fn json(&self) -> Value {
        let remarks = |remarks: &[Remark]| -> Vec<Value> {
            let row = |one: &Remark| json!({"place": self.source.place(one.at), "message": one.message});
            remarks.iter().map(row).collect()
        };
        let key = |key: &super::keys::ImportedKey| json!({"place": self.source.place(key.at), "consumer": key.consumer, "id": key.id});
        json!({
            "source": self.source.name,
            "dry_run": self.dry_run,
            "store": self.store.display().to_string(),
            "policy": {
                "file": self.target.path.display().to_string(),
                "written": self.target.text.is_some() && !self.dry_run,
                "settings": self.settings(),
            },
            "taken": self.taken.keys.iter().map(key).collect::<Vec<_>>(),
            "already": self.taken.already,
            "notes": remarks(&self.discovered.notes),
            "left_out": remarks(&self.discovered.left_out),
        })
    }
}
