//! The file to import. It comes from somebody else, so it may contain anything, and no message shows a part of it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::yaml::{Node, Place, Position};

/// The maximum size, in bytes: more than 100,000 keys need in any format.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A source, as text. It contains keys, so it has no `Debug`.
pub(super) struct Source {
    /// Its name in messages.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

impl Source {
    /// The name of standard input in messages.
    pub(super) const STDIN: &str = "standard input";

    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// If it cannot be read, is very large, or is not UTF-8.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let (name, mut reader): (String, Box<dyn std::io::Read>) = if file == Path::new("-") {
            (Self::STDIN.to_owned(), Box::new(std::io::stdin().lock()))
        } else {
            let name = file.display().to_string();
            let file = File::open(file).with_context(|| format!("cannot read {name}"))?;
            (name, Box::new(file))
        };
        let mut bytes = Vec::new();
        let limit = LARGEST.saturating_add(1);
        reader.by_ref().take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
        if u64::try_from(bytes.len())? > LARGEST {
            bail!("{name} is larger than {} MiB: split it", LARGEST / (1024 * 1024));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => text,
            Ok(_) => bail!("{name} is not text: it has a NUL byte (is it binary, or UTF-16? save it as UTF-8)"),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                bail!("{name} is not UTF-8 (at byte {at}): save it as UTF-8")
            }
        };
        // Readers of lines, tables and YAML count lines of Windows in different ways.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
        Ok(Self { name, text })
    }

    /// Parses the text as one document of YAML or JSON, without the members that are `null`: exports write them for what
    /// is not set.
    ///
    /// # Errors
    /// If it is invalid.
    pub(super) fn node(&self) -> Result<Node> {
        Node::parse(&self.text).map(Node::without_nulls).map_err(|error| match self.nodes() {
            Ok(documents) if documents.len() > 1 => {
                anyhow!("{} has {} YAML documents, separated by ---: expected one", self.name, documents.len())
            }
            _ => self.invalid(&error),
        })
    }

    /// Parses the text as documents of YAML or JSON, each as [`node`](Self::node) reads it.
    ///
    /// # Errors
    /// If one of them is invalid.
    pub(super) fn nodes(&self) -> Result<Vec<Node>> {
        Ok(self.nodes_with_nulls()?.into_iter().map(Node::without_nulls).collect())
    }

    /// Parses the text as documents of YAML or JSON, with the members that are `null`.
    ///
    /// # Errors
    /// If one of them is invalid.
    pub(super) fn nodes_with_nulls(&self) -> Result<Vec<Node>> {
        Node::parse_all(&self.text).map_err(|error| self.invalid(&error))
    }

    fn invalid(&self, error: &str) -> anyhow::Error {
        anyhow!("{} is not valid YAML or JSON: {error}", self.name)
    }

    /// The error that the file is not of the kind that is imported.
    pub(super) fn not_a(&self, expected: &str) -> anyhow::Error {
        anyhow!("{} is not {expected}", self.name)
    }

    /// `FILE:LINE:COLUMN`.
    pub(super) fn place(&self, at: Option<Position>) -> String {
        Place { file: self.name.clone(), at }.to_string()
    }
}

/// The place of the start of a line, counted from 0.
pub(super) fn line(index: usize) -> Option<Position> {
    Some(Position { line: u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1), column: 1 })
}
