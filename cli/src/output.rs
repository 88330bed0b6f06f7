//! How results are printed: for people, in colour on a terminal alone (`NO_COLOR` and `CLICOLOR_FORCE` are obeyed), or for
//! programs.

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
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

/// Tells whoever runs the command, on standard error: what was done goes there, what was asked for goes to standard output.
pub(crate) fn note(message: impl std::fmt::Display) {
    anstream::eprintln!("portcullis: {message}");
}
