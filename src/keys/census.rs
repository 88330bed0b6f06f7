//! The keys of a policy by state, for metrics.

use super::keyring::{Keyring, Row};
use crate::value::timestamp::Timestamp;

/// The number of keys in each state at one time. A key counts once: a disabled key is disabled, whatever its dates are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Keys that callers can use.
    pub usable: u64,
    /// Disabled keys.
    pub disabled: u64,
    /// Keys at or after their `expires`.
    pub expired: u64,
    /// Keys before their `not_before`.
    pub not_yet_valid: u64,
    /// The earliest `expires` that is still to come, of keys that are not disabled.
    pub next_expiry: Option<Timestamp>,
    /// The time from which this is no longer true: the next `not_before` or `expires`. The end of time if no key has a
    /// date to come.
    pub valid_until: Timestamp,
}

impl Keyring {
    /// Counts the keys by their state at a time. Visits every key.
    pub fn census(&self, now: Timestamp) -> Census {
        let start = Census {
            usable: 0,
            disabled: 0,
            expired: 0,
            not_yet_valid: 0,
            next_expiry: None,
            valid_until: Timestamp::MAX,
        };
        self.keys.iter().fold(start, |census, row| census.with(row, now))
    }
}

impl Census {
    fn with(mut self, row: &Row, now: Timestamp) -> Self {
        let is_early = now < row.not_before;
        let state = match row {
            Row { disabled: true, .. } => &mut self.disabled,
            Row { expires, .. } if now >= *expires => &mut self.expired,
            _ if is_early => &mut self.not_yet_valid,
            _ => &mut self.usable,
        };
        *state = state.saturating_add(1);
        if row.disabled || now >= row.expires {
            return self;
        }
        if row.expires != Timestamp::MAX {
            self.next_expiry = Some(self.next_expiry.map_or(row.expires, |earliest| earliest.min(row.expires)));
        }
        self.valid_until = self.valid_until.min(if is_early { row.not_before } else { row.expires });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Policy;

    #[test]
    fn each_key_is_in_one_state_and_the_next_change_is_known() {
        let key = |number: u32, dates: &str| format!(r#"{{"sha256": "{number:064x}"{dates}}}"#);
        let keys = [
            key(1, ""),
            key(2, r#", "disabled": true, "expires": "1970-01-01T00:01:10Z""#),
            key(3, r#", "expires": "1970-01-01T00:01:40Z""#),
            key(4, r#", "expires": "1970-01-01T00:05:00Z""#),
            key(5, r#", "not_before": "1970-01-01T00:03:20Z", "expires": "1970-01-01T00:06:40Z""#),
        ];
        let document = format!(r#"{{"consumers": [{{"name": "ci", "keys": [{}]}}]}}"#, keys.join(","));
        let policy = Policy::load(document.as_bytes(), &|_| None).expect("the policy is valid").policy;
        let at = |seconds| {
            let census = policy.keyring().census(Timestamp(seconds));
            let Census { usable, disabled, expired, not_yet_valid, next_expiry, valid_until } = census;
            ([usable, disabled, expired, not_yet_valid], next_expiry.map(|time| time.0), valid_until.0)
        };
        assert_eq!(at(60), ([3, 1, 0, 1], Some(100), 100));
        assert_eq!(at(99), ([3, 1, 0, 1], Some(100), 100));
        assert_eq!(at(100), ([2, 1, 1, 1], Some(300), 200));
        assert_eq!(at(200), ([3, 1, 1, 0], Some(300), 300));
        assert_eq!(at(300), ([2, 1, 2, 0], Some(400), 400));
        assert_eq!(at(400), ([1, 1, 3, 0], None, i64::MAX));
    }
}
