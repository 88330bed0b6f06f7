//! Reads keys from standard input or a file, one on each line. Keys are never an argument.

use std::io::{BufRead as _, IsTerminal as _, Read as _, StdinLock};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::output::note;

/// Reads keys, one on each line, from a file or from standard input. Blanks around a key are removed: no request can
/// present them.
///
/// # Errors
/// If they cannot be read, or if there are none.
pub(crate) fn read_keys(file: Option<&Path>) -> Result<Vec<Line>> {
    let text =
        read(file, "paste the keys, one on each line, then press Ctrl-D (they are not shown)", |input, text| {
            input.read_to_end(text)
        })?;
    lines(file, &text)
}

/// Reads a single key likewise.
///
/// # Errors
/// If it cannot be read, or if there is not exactly one.
pub(crate) fn read_key(file: Option<&Path>) -> Result<Line> {
    let text = read(file, "paste the key, then press Enter (it is not shown)", |input, text| {
        let is_terminal = input.is_terminal();
        if is_terminal { input.read_until(b'\n', text) } else { input.read_to_end(text) }
    })?;
    let mut keys = lines(file, &text)?;
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        _ => bail!("found several keys: give one"),
    }
}

/// The bytes of a file, or of standard input. What is typed at a terminal is not shown.
fn read(
    file: Option<&Path>,
    prompt: &str,
    from_input: impl Fn(&mut StdinLock<'_>, &mut Vec<u8>) -> std::io::Result<usize>,
) -> Result<Vec<u8>> {
    if let Some(file) = file {
        return std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let mut input = std::io::stdin().lock();
    let hidden = if input.is_terminal() { Hidden::new() } else { None };
    if input.is_terminal() {
        note(prompt);
    }
    let mut text = Vec::new();
    from_input(&mut input, &mut text).context("cannot read standard input")?;
    drop(hidden);
    Ok(text)
}

fn lines(file: Option<&Path>, text: &[u8]) -> Result<Vec<Line>> {
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

/// Does not show what is typed, until it is dropped.
struct Hidden(Termios);

impl Hidden {
    /// `None` if the terminal cannot do that.
    fn new() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// A line of the input with a key. It has no `Debug`, so that nothing prints it.
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: usize,
    /// The key.
    pub(crate) key: Vec<u8>,
}
