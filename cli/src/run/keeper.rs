//! The keeper: a process between this command and Envoy, which ends Envoy when the command ends, however that happens. It is
//! the same program under another name, since a container may have no shell.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::{env, fs, io, thread};

use anyhow::{Context as _, Result};
use shared_child::SharedChild;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::output::note_line;

/// The first argument of a keeper, where other programs have their name.
const NAME: &str = "portcullis-keeper";
/// The status of a shell for a program that cannot be started.
const NOT_STARTED: u8 = 127;

/// The command of a keeper: its further arguments are Envoy's. Whoever starts it keeps the other end of its standard input,
/// and closes it to kill Envoy; the kernel does so if that process is killed. When Envoy has ended, the keeper deletes the
/// directory and exits with the status that a shell would.
///
/// # Errors
/// If the path of this program is unknown.
pub(super) fn command(envoy: &Path, directory: &Path) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("the path of this program is unknown")?);
    command.arg0(NAME).args([directory, envoy]).stdin(Stdio::piped());
    Ok(command)
}

/// Keeps an Envoy, if this process was started as a keeper. Returns the exit status.
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = env::args_os();
    if arguments.next()? != NAME {
        return None;
    }
    let (directory, envoy) = (PathBuf::from(arguments.next()?), arguments.next()?);
    // They are for the command, which then closes the other end. Envoy gets the default handlers again.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let _ = flag::register(signal, Arc::default());
    }
    let status = keep(&envoy, arguments);
    // If it stays, there is nowhere to report that.
    let _ = fs::remove_dir_all(directory);
    Some(status.map_or(NOT_STARTED, as_shell).into())
}

/// Prints nothing while Envoy runs: the output is Envoy's.
fn keep(envoy: &OsString, arguments: env::ArgsOs) -> io::Result<ExitStatus> {
    let started = SharedChild::spawn(Command::new(envoy).args(arguments).stdin(Stdio::null()));
    let child = Arc::new(started.inspect_err(|error| note_line(format_args!("{}: {error}", envoy.display())))?);
    let leashed = Arc::clone(&child);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = leashed.kill();
    });
    child.wait()
}

fn as_shell(status: ExitStatus) -> u8 {
    let signal = || status.signal().map(|signal| signal.saturating_add(128));
    status.code().or_else(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(NOT_STARTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_that_of_a_shell() {
        assert_eq!(as_shell(ExitStatus::from_raw(0)), 0);
        assert_eq!(as_shell(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(as_shell(ExitStatus::from_raw(9)), 137);
    }
}
