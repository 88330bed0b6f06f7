//! A running Envoy, and how to stop it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::Event;
use super::admin::Admin;
use super::process::Process;
use crate::log::{Level, tell};
use crate::output::{RED, count, note};

/// How long Envoy may take to start, which includes compiling the module, or to load a change.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The polling interval.
pub(super) const PULSE: Duration = Duration::from_millis(50);
/// How long active requests may take to finish.
const DRAIN: Duration = Duration::from_secs(10);

/// An Envoy, and its admin interface.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) admin: Admin,
}

/// Creates a directory that only this user can read.
///
/// # Errors
/// If it cannot be created.
pub(super) fn private_directory() -> Result<TempDir> {
    let private = Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().prefix("portcullis-").permissions(private).tempdir();
    directory.context("cannot create a temporary directory (set TMPDIR to choose another place)")
}

impl Running {
    /// Prints that Envoy has ended by itself.
    pub(super) fn ended(self, status: Option<i32>) {
        self.process.end();
        tell(Level::Error, format_args!("{RED}Envoy ended by itself{RED:#} ({})", how(status)));
    }

    /// Accepts no more requests, lets active ones finish, and stops Envoy.
    pub(super) fn stop(self, events: &Receiver<Event>) {
        let has_ended = |patience: Duration| {
            let deadline = Instant::now() + patience;
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                match events.recv_timeout(left) {
                    Ok(Event::Changed) => {}
                    Ok(Event::Ended(_)) => return true,
                    // A second signal stops at once.
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

/// Describes how a process ended, by the status of its shell.
fn how(status: Option<i32>) -> String {
    match status {
        Some(status) if status > 128 => format!("by signal {}", status.saturating_sub(128)),
        Some(status) => format!("with status {status}"),
        None => "without a status".to_owned(),
    }
}
