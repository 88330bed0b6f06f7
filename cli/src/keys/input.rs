//! Reads keys from standard input or a file, one on each line. Keys are never an argument.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::output::note;

/// Reads keys, one on each line, from a file or from standard input. Blanks around a key are removed: no request can
/// present them.
///
/// # Errors
/// If they cannot be read, or if there are none.
pub(crate) fn read_keys(file: Option<&Path>) -> Result<Vec<Line>> {
    let mut text = Vec::new();
    match file {
        Some(file) => text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => {
            let mut input = std::io::stdin().lock();
            if input.is_terminal() {
                note("type or paste the keys, one on each line, then press Ctrl-D");
            }
            input.read_to_end(&mut text).context("cannot read standard input")?;
        }
    }
    let lines = text.split(|byte| *byte == b'\n').zip(1..).map(|(line, number)| (line.trim_ascii(), number));
    let keys: Vec<_> =
        lines.filter(|(key, _)| !key.is_empty()).map(|(key, number)| Line { number, key: key.to_vec() }).collect();
    if keys.is_empty() {
        match file {
            Some(file) => bail!("{}: no key: expected one on each line", file.display()),
            None => bail!("missing key: give it on standard input, as in `printf %s \"$KEY\" | portcullis keys ...`"),
        }
    }
    Ok(keys)
}

/// A line of the input with a key. It has no `Debug`, so that nothing prints it.
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: usize,
    /// The key.
    pub(crate) key: Vec<u8>,
}
