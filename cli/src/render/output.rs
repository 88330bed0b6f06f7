//! Writes rendered documents, once or whenever something changes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use portcullis::document::Mode;
use portcullis::value::VariableName;

use super::document::KeylessPolicy;
use crate::files::{Followed, PolicyFile};
use crate::mode;
use crate::output::{note, print};
use crate::store::write_atomically;
use crate::watch;
use crate::yaml::Node;

/// The options for input and output.
#[derive(Debug, Args)]
pub(crate) struct Source {
    #[command(flatten)]
    policy: PolicyFile,
    /// Override the mode of the policy and the store
    #[arg(long, value_parser = mode::parser())]
    mode: Option<Mode>,
    /// Write to this file, atomically and only if something changes; a new file is readable only by its owner
    #[arg(long, short, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Keep running, and write again whenever the policy or the store changes; nothing that the gate would refuse is
    /// written
    #[arg(long, requires = "output_file")]
    watch: bool,
    /// What was read before.
    #[arg(skip)]
    followed: Followed,
}

/// The oldest filter that reads every field of a document: an older one would refuse it. A field that is added later
/// raises it for the policies that have that field.
const OLDEST_FILTER: &str = "0.1.0";

/// The format of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// YAML, with every text in quotes
    Yaml,
    /// JSON, on one line
    Json,
}

/// What `--watch` waits for.
#[derive(Debug, Clone, Copy)]
enum Event {
    Changed,
    End,
}

/// A rendered text, with notes for the user.
struct Rendered {
    text: String,
    digest: String,
    notes: Vec<String>,
}

impl Source {
    /// Renders once, and with `--watch` after every change.
    ///
    /// # Errors
    /// If something cannot be read, rendered, or written.
    pub(crate) fn run(&self, format: Format, documents: impl Fn(&KeylessPolicy) -> Result<Vec<Node>>) -> Result<bool> {
        self.policy.note_if_part();
        if !self.watch {
            return self.write(format, &documents);
        }
        let (sender, events) = mpsc::channel();
        watch::on_signal(sender.clone(), Event::End)?;
        // Before the files are read for the first time, so that no change is missed.
        let policy = self.policy.clone();
        let _watcher = watch::on_change(move || policy.files(), sender, Event::Changed)?;
        if !self.write(format, &documents)? {
            return Ok(false);
        }
        note(format_args!("watching {}", self.names()));
        let mut patience = Duration::MAX;
        loop {
            match events.recv_timeout(patience) {
                Ok(Event::Changed) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Event::End) => return Ok(true),
                Err(RecvTimeoutError::Disconnected) => bail!("the files can no longer be watched"),
            }
            let written = self.write(format, &documents);
            if let Err(error) = &written {
                note(format_args!("{error:#}"));
            }
            let is_written = written.unwrap_or(false);
            if !is_written {
                note(
                    "nothing is written: the last rendered file is kept, and keys that were revoked since are valid there",
                );
            }
            patience = if is_written { Duration::MAX } else { watch::REMINDER };
        }
    }

    /// Renders once. Returns false, without writing, if the gate would refuse a key entry.
    fn write(&self, format: Format, documents: &impl Fn(&KeylessPolicy) -> Result<Vec<Node>>) -> Result<bool> {
        let Some(Rendered { text, digest, notes }) = self.render(format, documents)? else { return Ok(false) };
        let Some(given) = &self.output_file else {
            notes.iter().for_each(note);
            print(&text)?;
            return Ok(true);
        };
        // If the file is a link, its target is replaced.
        let file = &fs::canonicalize(given).unwrap_or_else(|_| given.clone());
        self.check_target(file)?;
        if fs::read(file).is_ok_and(|old| old == text.as_bytes()) {
            note(format_args!("{} already has policy {digest}", given.display()));
            return Ok(true);
        }
        notes.iter().for_each(note);
        let mode = fs::metadata(file).map_or(0o600, |old| old.permissions().mode() & 0o777);
        write_atomically(file, text.as_bytes(), mode)?;
        note(format_args!("{} is written: policy {digest}", given.display()));
        Ok(true)
    }

    fn render(
        &self,
        format: Format,
        documents: &impl Fn(&KeylessPolicy) -> Result<Vec<Node>>,
    ) -> Result<Option<Rendered>> {
        let merged = self.policy.read_again(&self.followed)?;
        let overridden = merged.overridden_mode.clone();
        let keyless = KeylessPolicy::new(merged, self.mode)?;
        if !keyless.refused.is_empty() {
            keyless.refused.iter().for_each(|entry| note(format_args!("{entry}")));
            return Ok(None);
        }
        let mode = keyless.node.get("mode").and_then(Node::text).unwrap_or("enforce");
        let mut notes = Vec::new();
        match (self.mode, overridden) {
            (Some(_), _) => notes.push(format!("mode {mode} (from --mode)")),
            (None, Some(own)) => notes.push(format!("mode {mode} (set in the store; the policy has {own})")),
            (None, None) => {}
        }
        if !keyless.variables.is_empty() {
            // A name may be a key by mistake.
            let shown =
                |name: &String| name.parse().map_or_else(|_| String::new(), |name: VariableName| name.to_string());
            let names = keyless.variables.iter().map(shown).collect::<Vec<_>>().join(", ");
            notes.push(format!(
                "the gate reads {names} from Envoy's environment: a key whose variable is not set does not work"
            ));
        }
        notes.extend(keyless.plaintext.iter().map(|place| {
            format!("{place}: plaintext key: only its SHA-256 is rendered; use `sha256` in the policy instead")
        }));
        let documents = documents(&keyless)?;
        let text = match format {
            Format::Yaml => {
                let version = env!("CARGO_PKG_VERSION");
                let (names, digest) = (self.names(), &keyless.digest);
                let head = format!(
                    "# Rendered by portcullis {version} from {names}, for filter {OLDEST_FILTER} or newer; digest {digest}; \
                     do not edit"
                );
                let documents = documents.iter().map(Node::to_yaml).collect::<Result<Vec<_>>>()?;
                format!("{head}\n{}", documents.join("---\n"))
            }
            Format::Json => {
                let documents = documents.iter().map(|one| Ok(String::from_utf8(one.to_json()?)?));
                documents.map(|one: Result<String>| Ok(format!("{}\n", one?))).collect::<Result<String>>()?
            }
        };
        Ok(Some(Rendered { text, digest: keyless.digest, notes }))
    }

    /// The names of the existing files, without directories, since these differ between machines.
    fn names(&self) -> String {
        let members = self.policy.members().unwrap_or_default();
        let there = members.iter().flat_map(|member| [Some(member.file.as_path()), member.store_path()]);
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().escape_debug().to_string();
        there.flatten().map(name).collect::<Vec<_>>().join(" and ")
    }

    /// Checks that the output is neither an input file nor a device.
    fn check_target(&self, output: &Path) -> Result<()> {
        if fs::metadata(output).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            bail!("--output-file {}: not a regular file: omit the option to print", output.display());
        }
        for source in self.policy.files() {
            if fs::canonicalize(&source).is_ok_and(|source| source == output) {
                bail!("--output-file {}: this is an input file: use another file", source.display());
            }
        }
        Ok(())
    }
}
