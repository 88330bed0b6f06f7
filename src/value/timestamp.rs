//! Points in time: whole seconds, parsed from RFC 3339.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::text::{Invalid, Text, read_text};

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub(crate) const MIN: Self = Self(i64::MIN);
    pub(crate) const MAX: Self = Self(i64::MAX);

    /// Parses an RFC 3339 date-time such as `2027-02-01T00:00:00Z` or `2027-02-01T02:00:00.5+02:00`.
    ///
    /// * A fraction of a second is dropped.
    /// * A leap second is converted to the first second of the next minute.
    /// * `None` for anything else: a date alone, a missing offset, a 31st of April.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        // RFC 3339 permits other separators than T and space, and `time` accepts any. The gate accepts only these two.
        if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
            return None;
        }
        let (before, leap) = match text.split_at_checked(17) {
            // `time` accepts a leap second only at the end of a month.
            Some((minute, second)) if second.starts_with("60") => (format!("{minute}59{}", second.get(2..)?), 1),
            _ => (text.to_owned(), 0),
        };
        let date = OffsetDateTime::parse(&before, &Rfc3339).ok()?;
        date.unix_timestamp().checked_add(leap).map(Self)
    }
}

impl Timestamp {
    /// Returns the RFC 3339 form, such as `2027-02-01T00:00:00Z`; `None` after the year 9999, which it cannot write.
    pub(crate) fn to_rfc3339(self) -> Option<String> {
        let date = OffsetDateTime::from_unix_timestamp(self.0).ok()?;
        let (year, month, day) = date.to_calendar_date();
        let (hour, minute, second) = date.to_hms();
        Some(format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month)))
    }
}

impl Text for Timestamp {
    const EXPECTED: &'static str = "a date-time such as 2027-02-01T00:00:00Z";
    /// A `format` would reject the space instead of `T`, which RFC 3339 allows.
    const PATTERN: &'static str =
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        Self::from_rfc3339(text)
            .ok_or(Invalid::new("invalid date-time", "expected RFC 3339, such as 2027-02-01T00:00:00Z"))
    }
}

read_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_times_of_rfc_3339_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2026-11-22T00:00:00Z", 1_795_305_600),
            ("2026-11-22T02:00:00.999+02:00", 1_795_305_600),
            ("2026-11-21t22:30:00-01:30", 1_795_305_600),
            // A leap second is converted to the first second of the next minute.
            ("2026-11-21T23:59:60Z", 1_795_305_600),
            ("2026-11-22T23:59:00+23:59", 1_795_305_600),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), Some(Timestamp(seconds)), "{text}");
        }
        assert_eq!(Timestamp(1_795_305_601).to_rfc3339().as_deref(), Some("2026-11-22T00:00:01Z"));
        assert_eq!(Timestamp::MAX.to_rfc3339(), None);
    }

    #[test]
    fn anything_else_is_none() {
        let texts = "2027-02-01 2027-02-01T00:00:00 2027-02-30T00:00:00Z 2027-04-31T00:00:00Z 1900-02-29T00:00:00Z \
                     2027-13-01T00:00:00Z 2027-00-01T00:00:00Z 2027-02-01T24:00:00Z 2027-02-01T00:60:00Z \
                     2027-02-01T00:00:61Z 2027-02-01T00:00:00.Z 2027-02-01T00:00:00+24:00 2027-02-01T00:00:00+01:60 \
                     2027-02-01T00:00:00+01:99 27-02-01T00:00:00Z +027-02-01T00:00:00Z 2027-02-01T00:00:00+0100";
        for text in texts.split(' ').chain(["", "2027-02-01T00:00:00Z "]) {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }
}
