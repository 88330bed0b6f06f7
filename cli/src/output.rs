//! How results are printed: for people, in colour on a terminal alone (`NO_COLOR` and `CLICOLOR_FORCE` are obeyed), or for
//! programs.

use std::io::{ErrorKind, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

/// How results are printed: for people, or for programs.
// The values say it themselves: with a remark on each, every help would be twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

/// Good.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
/// Wants attention.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
/// Bad.
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();

/// `1 key`, `2 keys`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Replaces control characters, which a terminal would obey: others chose the text.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Tells whoever runs the command, on standard error: what was done goes there, what was asked for goes to standard
/// output.
pub(crate) fn note(message: impl std::fmt::Display) {
    note_line(format_args!("portcullis: {message}"));
}

/// A line on standard error that does not begin with the name of the command.
pub(crate) fn note_line(line: impl std::fmt::Display) {
    // Nobody is left to be told that standard error is gone.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Prints what was asked for. A reader who has seen enough, such as `head`, is no error.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<()> {
    write(anstream::stdout().lock(), text.as_bytes())
}

/// The same for bytes that are not for people.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    write(std::io::stdout().lock(), bytes)
}

fn write(mut output: impl std::io::Write, bytes: &[u8]) -> Result<()> {
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// How far a long piece of work is, on a terminal alone.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// So many steps. A few are done before anybody could read it: they show nothing.
    pub(crate) fn new(steps: usize, what: &'static str) -> Self {
        if steps < 10_000 {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX)).with_message(what);
        // A template that does not parse leaves the style of the library.
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// One step.
    pub(crate) fn step<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = work();
        self.0.inc(1);
        done
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
