//! Output as text, in colour only on a terminal (`NO_COLOR` and `CLICOLOR_FORCE` are obeyed), or as JSON.

use std::io::{ErrorKind, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};

use crate::log::{self, Level};

/// The output format.
// The values need no description: with one, every help text would be twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

/// For success.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
/// For warnings.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
/// For errors.
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();

/// The number of messages of one kind that are shown. Further ones are only counted.
const NOTED: usize = 10;

/// `1 key`, `2 keys`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Replaces control characters: the text comes from others, and a terminal would interpret them.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Prints a message on standard error. Results go to standard output.
pub(crate) fn note(message: impl std::fmt::Display) {
    log::tell(Level::Info, message);
}

/// Prints a line on standard error without the name of the command.
pub(crate) fn note_line(line: impl std::fmt::Display) {
    // If standard error is closed, there is nowhere to report that.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Prints a result on standard output. A reader that closes the pipe early, such as `head`, is not an error.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<()> {
    write(anstream::stdout().lock(), text.as_bytes())
}

/// Prints a table on standard output, without the blank before its first column and those at the ends of its lines.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print_table(table: &Table) -> Result<()> {
    print(
        &table
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(&line).trim_end()))
            .collect::<String>(),
    )
}

/// Prints some messages on standard error, and the number of the others, which are of this kind.
pub(crate) fn note_some(messages: &[String], kind: &str) {
    messages.iter().take(NOTED).for_each(note);
    if let Some(more) = messages.len().checked_sub(NOTED).filter(|more| *more > 0) {
        note(format_args!("and {} like these", count(more, kind)));
    }
}

/// Prints bytes on standard output.
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

/// A progress bar, shown only on a terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Creates a bar for so many steps. It is hidden for few steps, which take too little time to see.
    pub(crate) fn new(steps: usize, what: &'static str) -> Self {
        if steps < 10_000 {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX)).with_message(what);
        // A template that does not parse leaves the style of the library.
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Runs one step.
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
