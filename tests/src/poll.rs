//! Waiting for a condition with a deadline: the only kind of waiting that the suites do.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a suite gives up: generous, a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `look` until it has an answer.
///
/// # Panics
/// After [`PATIENCE`], with `what` in the message.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// As [`until`], where the time that it may take is a promise.
///
/// # Panics
/// After that time, with `what` in the message.
pub fn within<T>(time: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        // Decided before the look: one that begins in time counts.
        let is_last = Instant::now() >= deadline;
        if let Some(found) = look() {
            return found;
        }
        assert!(!is_last, "gave up after {time:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
