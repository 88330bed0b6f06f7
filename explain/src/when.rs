//! Parses and prints points in time and durations.

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};
use portcullis::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The first and the last second that RFC 3339 can write: of the years 0 and 9999.
const RANGE: (i64, i64) = (-62_167_219_200, 253_402_300_799);

/// A number of seconds, such as `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(i64);

/// A span from now, a date, or a date-time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This long from now.
    In(Span),
    /// At this time.
    At(Timestamp),
}

/// Seconds of each unit, the longest first. A year has 365 days, and a month 30.
const UNITS: [(&str, i64); 7] =
    [("y", 365 * 86_400), ("mo", 30 * 86_400), ("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// The units in which a span is shown: a month and a year would hide days.
const SHOWN: [&str; 4] = ["d", "h", "min", "s"];

/// What a span may be.
const SPANS: &str = "a number with s, min, h, d, w, mo (30 days) or y (365 days), such as 7d";

impl FromStr for Span {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = || {
            let (number, unit) = match text {
                "0" => ("0", 1),
                _ => UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?,
            };
            is_number(number).then(|| number.parse().ok()).flatten().and_then(|number: i64| number.checked_mul(unit))
        };
        match text.strip_suffix('m').filter(|number| is_number(number)) {
            Some(number) => bail!("m may be minutes or months: write {number}min or {number}mo"),
            None => seconds().map(Self).ok_or_else(|| anyhow!("expected {SPANS}")),
        }
    }
}

impl FromStr for When {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match (point(text), text.parse()) {
            (Some(at), _) => Ok(Self::At(at)),
            (None, Ok(span)) => Ok(Self::In(span)),
            (None, Err(error)) if text.ends_with('m') => Err(error),
            (None, Err(_)) => bail!(
                "expected a span such as 90d, 3mo or 1y, a date such as 2027-02-01 (its first second in UTC), or a \
                 date-time such as 2027-02-01T12:00:00Z"
            ),
        }
    }
}

impl Span {
    /// A number of seconds.
    pub fn seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The number of seconds.
    pub fn as_seconds(self) -> i64 {
        self.0
    }

    /// The time from one point to a later one.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self(to.0.saturating_sub(from.0))
    }

    /// The time this long after `now`, at most the end of the year 9999.
    pub fn after(self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.0).min(RANGE.1))
    }
}

/// Prints the span in the longest unit that fits.
impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = UNITS.iter().filter(|(name, _)| SHOWN.contains(name));
        let (name, unit) = shown.find(|(_, unit)| self.0 >= *unit).unwrap_or(&("s", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl When {
    /// The given point in time, or now.
    pub fn or_now(given: Option<Self>) -> Timestamp {
        let now = now();
        given.map_or(now, |when| when.from(now))
    }

    /// The point in time, relative to `now`.
    pub fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(span) => span.after(now),
            Self::At(at) => at,
        }
    }
}

/// The time now.
pub fn now() -> Timestamp {
    Timestamp(OffsetDateTime::now_utc().unix_timestamp())
}

/// Reads a date-time of RFC 3339, or a date, which is its first second in UTC.
pub fn point(text: &str) -> Option<Timestamp> {
    Timestamp::from_rfc3339(text).or_else(|| Timestamp::from_rfc3339(&format!("{text}T00:00:00Z")))
}

/// Writes a point in time as RFC 3339, in UTC. A time out of range becomes the first or the last second in
/// it.
pub fn rfc3339(at: Timestamp) -> String {
    let written = OffsetDateTime::from_unix_timestamp(at.0.clamp(RANGE.0, RANGE.1)).map(|at| at.format(&Rfc3339));
    // Every second of the range can be written.
    written.ok().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90d", 1_000 + 90 * 86_400),
            ("2w", 1_000 + 14 * 86_400),
            ("12h", 1_000 + 43_200),
            ("5min", 1_300),
            ("3mo", 1_000 + 90 * 86_400),
            ("1y", 1_000 + 365 * 86_400),
            ("1s", 1_001),
            ("0", 1_000),
            ("99999999999999d", RANGE.1),
            ("2027-02-01", 1_801_440_000),
            ("2027-02-01T00:00:00Z", 1_801_440_000),
            ("2027-02-01T02:00:00+02:00", 1_801_440_000),
        ] {
            let read: Result<When> = text.parse();
            assert_eq!(read.unwrap().from(Timestamp(1_000)), Timestamp(seconds), "{text}");
        }
        for text in [
            "",
            "d",
            "90",
            "-1d",
            "+1d",
            "1.5d",
            "90 d",
            "90D",
            "tomorrow",
            "2027-02-30",
            "01/02/2027",
            "9999999999999999999d",
        ] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
        for text in ["3m", "0m"] {
            let number = text.trim_end_matches('m');
            let message = format!("m may be minutes or months: write {number}min or {number}mo");
            assert_eq!(text.parse::<When>().unwrap_err().to_string(), message);
            assert_eq!(text.parse::<Span>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn times_are_written_as_the_policy_has_them() {
        for (seconds, text) in [
            (1_801_440_000, "2027-02-01T00:00:00Z"),
            (RANGE.1, "9999-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(seconds)), text);
        }
        for (seconds, text) in [(0, "0s"), (59, "59s"), (3_599, "59min"), (86_399, "23h"), (400 * 86_400, "400d")] {
            assert_eq!(Span::seconds(seconds).to_string(), text);
        }
    }
}
