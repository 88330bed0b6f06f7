//! An Envoy that runs, and how it is stopped.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::Event;
use super::admin::Admin;
use super::process::Process;
use crate::output::{RED, count, note};

/// How long Envoy may take to start, which compiles the module, and to take a change.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look.
pub(super) const PULSE: Duration = Duration::from_millis(50);
/// How long requests that are under way may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// An Envoy, and its admin interface.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) admin: Admin,
}

/// Makes a directory that only this user can read.
///
/// # Errors
/// If there is no place for one.
pub(super) fn private_directory() -> Result<TempDir> {
    let private = Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().prefix("portcullis-").permissions(private).tempdir();
    directory.context("cannot create a temporary directory (set TMPDIR to choose another place)")
}

impl Running {
    /// Says that Envoy has ended by itself.
    pub(super) fn ended(self, status: Option<i32>) {
        self.process.end();
        note(format_args!("{RED}Envoy ended by itself{RED:#} ({})", how(status)));
    }

    /// Takes no more requests, lets those that are under way end, and ends Envoy.
    pub(super) fn stop(self, events: &Receiver<Event>) {
        let has_ended = |patience: Duration| {
            let deadline = Instant::now() + patience;
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                match events.recv_timeout(left) {
                    Ok(Event::Changed) => {}
                    Ok(Event::Ended(_)) => return true,
                    // Whoever asks twice is in a hurry.
                    Ok(Event::Stop) | Err(_) => return false,
                }
            }
            false
        };
        let active = || self.admin.active_requests().unwrap_or_default();
        let _ = self.admin.post("/drain_listeners");
        let waiting = usize::try_from(active()).unwrap_or(usize::MAX);
        if waiting > 0 {
            note(format_args!("waiting for {} to finish (Ctrl-C: stop at once)", count(waiting, "request")));
        }
        let deadline = Instant::now() + DRAIN;
        while active() > 0 && Instant::now() < deadline {
            if !matches!(events.recv_timeout(PULSE), Err(RecvTimeoutError::Timeout) | Ok(Event::Changed)) {
                break;
            }
        }
        if self.admin.post("/quitquitquit").is_ok() {
            has_ended(DRAIN);
        }
        self.process.end();
        note("stopped");
    }
}

/// How a process ended, by the status that its shell has for it.
fn how(status: Option<i32>) -> String {
    match status {
        Some(status) if status > 128 => format!("by signal {}", status.saturating_sub(128)),
        Some(status) => format!("with status {status}"),
        None => "without a status".to_owned(),
    }
}
