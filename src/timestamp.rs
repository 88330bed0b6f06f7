//! Points in time: whole seconds, read from RFC 3339.

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads an RFC 3339 date-time such as `2027-02-01T00:00:00Z` or `2027-02-01T02:00:00.5+02:00`. A fraction is
    /// dropped. `None` for anything else: a date alone, a missing offset, a 31st of April.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "every number is bounded by its digits before it is used")]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let year = number(&mut rest, 4)?;
        let month = after(&mut rest, b"-").and_then(|()| number(&mut rest, 2))?;
        let day = after(&mut rest, b"-").and_then(|()| number(&mut rest, 2))?;
        let hour = after(&mut rest, b"Tt ").and_then(|()| number(&mut rest, 2))?;
        let minute = after(&mut rest, b":").and_then(|()| number(&mut rest, 2))?;
        let second = after(&mut rest, b":").and_then(|()| number(&mut rest, 2))?;
        if after(&mut rest, b".").is_some() {
            number(&mut rest, 1)?;
            while number(&mut rest, 1).is_some() {}
        }
        let offset = match rest {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), offset @ ..] => {
                rest = offset;
                let hours = number(&mut rest, 2)?;
                let minutes = after(&mut rest, b":").and_then(|()| number(&mut rest, 2))?;
                if !rest.is_empty() || hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 }
            }
            _ => return None,
        };
        let in_range = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if !in_range || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        Some(Self(((days_from_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset))
    }
}

/// Takes `digits` digits off the front.
#[expect(clippy::arithmetic_side_effects, reason = "at most four digits")]
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (front, back) = rest.split_at_checked(digits)?;
    let mut value = 0;
    for byte in front {
        value = value * 10 + i64::from(char::from(*byte).to_digit(10)?);
    }
    *rest = back;
    Some(value)
}

/// Takes one byte off the front, if it is one of `any`.
fn after(rest: &mut &[u8], any: &[u8]) -> Option<()> {
    let (first, back) = rest.split_first()?;
    any.contains(first).then(|| *rest = back)
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin in March, so that the leap
/// day comes last.
#[expect(clippy::arithmetic_side_effects, reason = "years have four digits")]
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    before_year + (month * 153 + 2) / 5 + day - 1 - 719_468
}

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
            // A leap second is the first one of the next minute.
            ("2026-11-21T23:59:60Z", 1_795_305_600),
            ("2026-11-22T23:59:00+23:59", 1_795_305_600),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), Some(Timestamp(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "2027-02-01",
            "2027-02-01T00:00:00",
            "2027-02-30T00:00:00Z",
            "2027-04-31T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-00-01T00:00:00Z",
            "2027-02-01T24:00:00Z",
            "2027-02-01T00:60:00Z",
            "2027-02-01T00:00:61Z",
            "2027-02-01T00:00:00.Z",
            "2027-02-01T00:00:00+24:00",
            "2027-02-01T00:00:00+01:60",
            "2027-02-01T00:00:00+01:99",
            "2027-02-01T00:00:00Z ",
            "27-02-01T00:00:00Z",
            "+027-02-01T00:00:00Z",
            "2027-02-01T00:00:00+0100",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }
}
