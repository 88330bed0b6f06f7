//! Waiting for a condition with a deadline: the only kind of waiting that the suites do.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a suite gives up: generous, a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `look` until it has an answer.
///
/// # Panics
/// After [`PATIENCE`], with `what` in the message.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up after {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
