//! `--limit`: how many requests a consumer may make in a time, as it is written.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use portcullis::value::RoleName;

/// What a limit may be.
const LIMITS: &str =
    "NUMBER/UNIT with s, min, h or day, such as 60/min, or ROLE=NUMBER/UNIT for the consumers with a role";

/// The units: how they are written, their name in a message, and their seconds.
const UNITS: [(&str, &str, u32); 4] =
    [("s", "second", 1), ("min", "minute", 60), ("h", "hour", 3_600), ("day", "day", 86_400)];

/// A limit for the consumers with a role, or for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The role.
    pub role: Option<RoleName>,
    /// How many requests each of them may make.
    pub rate: Rate,
}

/// A number of requests in a unit of time. The number is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The number.
    pub requests: u32,
    unit: (&'static str, &'static str, u32),
}

impl Rate {
    /// The seconds in which that many requests are allowed.
    pub(crate) fn seconds(self) -> u32 {
        self.unit.2
    }

    /// The seconds after which one more request is allowed, if none was left.
    pub(crate) fn pause(self) -> u32 {
        self.seconds().div_ceil(self.requests)
    }

    /// Compares how many requests are allowed in a long time, then how many at once.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        let in_the_time_of_both = |one: Self, other: Self| u64::from(one.requests) * u64::from(other.seconds());
        let long = in_the_time_of_both(self, other).cmp(&in_the_time_of_both(other, self));
        long.then(self.requests.cmp(&other.requests))
    }

    /// The rate in words, such as `60 requests per minute`.
    pub(crate) fn in_words(self) -> String {
        let plural = if self.requests == 1 { "" } else { "s" };
        format!("{} request{plural} per {}", self.requests, self.unit.1)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected {LIMITS}");
        let (number, unit) = text.split_once('/').ok_or_else(expected)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(expected());
        }
        let requests = number.parse().ok().filter(|requests| *requests > 0);
        let requests = requests.ok_or_else(|| format!("expected 1 to {} requests", u32::MAX))?;
        if unit == "m" {
            return Err(format!("m may be minutes or months: write {number}/min"));
        }
        let unit = UNITS.into_iter().find(|(name, ..)| *name == unit).ok_or_else(expected)?;
        Ok(Self { requests, unit })
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A role may contain the sign, a rate does not.
        let Some((role, rate)) = text.rsplit_once('=') else { return Ok(Self { role: None, rate: text.parse()? }) };
        let role = role
            .parse()
            .map_err(|problem: portcullis::value::Invalid| format!("{}: {}", problem.what, problem.help))?;
        Ok(Self { role: Some(role), rate: rate.parse()? })
    }
}

/// As it is written.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.unit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        for (text, role, requests, seconds, pause) in [
            ("60/min", None, 60, 60, 1),
            ("1/day", None, 1, 86_400, 86_400),
            ("50/s", None, 50, 1, 1),
            ("7/min", None, 7, 60, 9),
            ("gold=600/h", Some("gold"), 600, 3_600, 6),
            ("tier=gold=4294967295/s", Some("tier=gold"), u32::MAX, 1, 1),
        ] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!(limit.role.as_ref().map(RoleName::as_str), role, "{text}");
            let Rate { requests: number, .. } = limit.rate;
            assert_eq!((number, limit.rate.seconds(), limit.rate.pause()), (requests, seconds, pause), "{text}");
            assert!(text.ends_with(&limit.rate.to_string()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_limit_is_refused_with_the_fix() {
        for text in [
            "",
            "60",
            "60/",
            "/min",
            "60/minute",
            "60/d",
            "60 /min",
            "-1/s",
            "1.5/s",
            "60/min/h",
            "gold=",
            "gold=60",
            "60/MIN",
        ] {
            assert_eq!(text.parse::<Limit>().unwrap_err(), format!("expected {LIMITS}"), "{text}");
        }
        for text in ["60/m", "gold=60/m"] {
            let message = "m may be minutes or months: write 60/min";
            assert_eq!(text.parse::<Limit>().unwrap_err(), message, "{text}");
        }
        for text in ["0/s", "4294967296/s"] {
            assert_eq!(text.parse::<Limit>().unwrap_err(), "expected 1 to 4294967295 requests", "{text}");
        }
        for text in ["=60/min", "a,b=60/min", "a b=60/min"] {
            assert!(text.parse::<Limit>().unwrap_err().starts_with("invalid role name: expected 1 to 64"), "{text}");
        }
    }

    #[test]
    fn the_larger_rate_is_the_one_that_allows_more_in_a_long_time() {
        for (smaller, larger) in
            [("60/min", "2/s"), ("60/min", "3601/h"), ("1/s", "60/min"), ("60/min", "3600/h"), ("1000/day", "1/min")]
        {
            let [one, other] = [smaller, larger].map(|text| text.parse::<Rate>().unwrap());
            assert_eq!(one.compare(other), Ordering::Less, "{smaller} {larger}");
        }
    }
}
