//! Messages on standard error: text, or with `run --log json` one JSON object on each line.

use std::fmt::Display;
use std::sync::OnceLock;

use anstream::adapter::strip_str;
use clap::ValueEnum;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

use crate::mask::masked;
use crate::output::{YELLOW, note_line};

/// The format of messages, and of the line for each request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

/// A message as JSON.
#[derive(Debug, Serialize)]
struct Message<'a> {
    time: &'a str,
    level: Level,
    message: &'a str,
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// RFC 3339 with milliseconds, as in the line for a request.
const MILLISECONDS: EncodedConfig =
    Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: std::num::NonZeroU8::new(3) }).encode();

/// Sets the format for the rest of this process.
pub(crate) fn set_format(format: Format) {
    // It is set once, before anything is printed.
    let _ = FORMAT.set(format);
}

/// The format that was set, or text.
pub(crate) fn format() -> Format {
    FORMAT.get().copied().unwrap_or_default()
}

/// Prints a warning, which begins with that word in text.
pub(crate) fn warn(message: impl Display) {
    match format() {
        Format::Text => tell(Level::Warning, format_args!("{YELLOW}warning:{YELLOW:#} {message}")),
        Format::Json => tell(Level::Warning, message),
    }
}

/// Prints a message of this level, which only JSON shows.
pub(crate) fn tell(level: Level, message: impl Display) {
    let message = message.to_string();
    let message = masked(&message);
    match format() {
        Format::Text => note_line(format_args!("portcullis: {message}")),
        Format::Json => note_line(object(level, &message)),
    }
}

/// The message without colours. Characters that JSON does not allow are escaped.
fn object(level: Level, message: &str) -> String {
    let time = OffsetDateTime::now_utc().format(&Iso8601::<MILLISECONDS>).unwrap_or_default();
    let message = strip_str(message).to_string();
    serde_json::to_string(&Message { time: &time, level, message: &message }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;
    use crate::output::RED;

    #[test]
    fn a_message_is_one_object_without_colours() {
        let line = object(Level::Error, &format!("{RED}refused{RED:#}: \"a\"\nb"));
        let (begin, rest) = line.split_at(r#"{"time":""#.len());
        let (time, rest) = rest.split_at("2026-11-30T12:00:00.000Z".len());
        assert_eq!((begin, rest), (r#"{"time":""#, r#"","level":"error","message":"refused: \"a\"\nb"}"#));
        assert!(OffsetDateTime::parse(time, &Rfc3339).is_ok(), "{time}");
    }
}
