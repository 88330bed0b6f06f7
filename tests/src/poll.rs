//! Waiting for a condition with a deadline: the only way in which the suites wait.

use std::thread;
use std::time::{Duration, Instant};

/// The deadline of a suite: generous, so that a loaded machine is not a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The documented time until a change of the policy is live in an Envoy that is notified of it.
pub const LIVE: Duration = Duration::from_secs(2);

/// Calls `look` until it returns a value.
///
/// # Panics
/// After [`PATIENCE`], with `what` in the message.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// As [`until`], if the deadline is a promise of the documentation.
///
/// # Panics
/// After that deadline, with `what` in the message.
pub fn within<T>(time: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    attempt(time, look).unwrap_or_else(|| panic!("gave up after {time:?}: {what}"))
}

/// As [`within`], without a value after that deadline: for a caller that can say more about it.
pub fn attempt<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        // Compared before the call: an attempt that begins in time counts.
        let is_last = Instant::now() >= deadline;
        let found = look();
        if found.is_some() || is_last {
            return found;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
