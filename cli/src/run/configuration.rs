//! Runs an existing Envoy configuration unchanged.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::admin::Admin;
use super::process::{Plan, Process, Requests};
use super::running::{PATIENCE, PULSE, Running, private_directory};
use super::{ADMIN_ADDRESS, Event};
use crate::log::warn;
use crate::output::{GREEN, note};

/// Runs it until it is stopped (true), or Envoy ends by itself (false).
///
/// # Errors
/// If the configuration cannot be read, or Envoy cannot be started.
pub(super) fn run(envoy: &Path, configuration: &Path, sender: Sender<Event>, events: &Receiver<Event>) -> Result<bool> {
    File::open(configuration).with_context(|| format!("cannot read the configuration {}", configuration.display()))?;
    let directory = private_directory()?;
    let admin = Admin { socket: None, address_file: std::path::absolute(directory.path().join(ADMIN_ADDRESS))? };
    let plan = Plan { configuration, node: None, requests: Requests::AsConfigured, hidden: None, expected: &[] };
    let running = Running { process: Process::start(envoy, directory.path(), &plan, sender)?, admin };
    // From here on it is deleted when Envoy ends.
    let _ = directory.keep();
    let (begin, mut is_up) = (Instant::now(), false);
    loop {
        match events.recv_timeout(if is_up { Duration::MAX } else { PULSE }) {
            Ok(Event::Changed) => {}
            Ok(Event::Stop) => {
                running.stop(events);
                return Ok(true);
            }
            Ok(Event::Ended(status)) => {
                running.ended(status);
                return Ok(false);
            }
            Err(RecvTimeoutError::Timeout) if is_up => {}
            Err(RecvTimeoutError::Timeout) => {
                is_up = welcome(&running.admin);
                if !is_up && begin.elapsed() > PATIENCE {
                    is_up = true;
                    warn(format_args!(
                        "Envoy has not reported to be ready within a minute; without an \
                         admin interface at an address it cannot"
                    ));
                }
            }
            Err(RecvTimeoutError::Disconnected) => bail!("internal error: the channel of events is closed"),
        }
    }
}

/// Prints where Envoy listens, if it does. Returns whether it does.
fn welcome(admin: &Admin) -> bool {
    if !admin.is_ready() {
        return false;
    }
    let (Ok(listeners), Ok(address)) = (admin.listeners(), admin.listens()) else { return false };
    if listeners.iter().any(|(_, address)| address.port() == 0) {
        return false;
    }
    for (name, address) in listeners {
        note(format_args!("listener {name} is at {GREEN}{address}{GREEN:#}"));
    }
    note(format_args!("Envoy's admin interface is at http://{address}. Ctrl-C stops Envoy"));
    true
}
