//! Envoy as a child process. It ends with this process, however this process ends, and its directory is deleted.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Event, access, keeper};
use crate::log::{Level, tell};
use crate::output::{RED, YELLOW, printable};

/// How to start Envoy.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Its configuration.
    pub(super) configuration: &'a Path,
    /// The id and cluster of its node, if the configuration has none.
    pub(super) node: Option<&'a str>,
    /// How requests are printed.
    pub(super) requests: Requests,
    /// An environment variable that Envoy does not get.
    pub(super) hidden: Option<&'a str>,
    /// Parts of log messages that are not shown.
    pub(super) expected: &'static [&'static str],
}

/// How requests are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requests {
    /// One line for each request, from [`access::FORMAT`].
    Lines,
    /// Nothing.
    Quiet,
    /// Whatever the configuration writes to standard output.
    AsConfigured,
}

/// A running Envoy.
#[derive(Debug)]
pub(super) struct Process {
    leash: Option<ChildStdin>,
    printers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts Envoy with a private directory. Sends [`Event::Ended`] when it has ended.
    ///
    /// # Errors
    /// If this program cannot be started again.
    pub(super) fn start(envoy: &Path, directory: &Path, plan: &Plan<'_>, events: Sender<Event>) -> Result<Self> {
        let is_printed = plan.requests != Requests::AsConfigured;
        let mut command = keeper::command(envoy, directory)?;
        command
            .arg("--config-path")
            .arg(plan.configuration)
            .arg("--admin-address-path")
            .arg(directory.join(super::ADMIN_ADDRESS))
            .arg("--disable-hot-restart")
            .args(["--file-flush-interval-msec", "100", "--log-level", "warning", "--log-format", "%l\t%v"])
            .stdout(if is_printed { Stdio::piped() } else { Stdio::inherit() })
            .stderr(Stdio::piped());
        // Ctrl-C reaches only this process, which then stops Envoy properly.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(node) = plan.node {
            command.args(["--service-node", node, "--service-cluster", node]);
        }
        if let Some(name) = plan.hidden {
            command.env_remove(name);
        }
        let mut keeper = command.spawn().context("cannot start this program again, to keep Envoy")?;
        let leash = keeper.stdin.take();
        let mut printers = Vec::new();
        if let Some(requests) = keeper.stdout.take() {
            let quiet = plan.requests == Requests::Quiet;
            printers.push(thread::spawn(move || access::print(requests, quiet)));
        }
        if let Some(log) = keeper.stderr.take() {
            let expected = plan.expected;
            printers.push(thread::spawn(move || print_log(log, expected)));
        }
        let directory = directory.to_owned();
        thread::spawn(move || report_end(keeper, &directory, &events));
        Ok(Self { leash, printers })
    }

    /// Ends it, if it has not ended, and prints the rest of its output.
    pub(super) fn end(mut self) {
        drop(self.leash.take());
        for printer in self.printers.drain(..) {
            let _ = printer.join();
        }
    }
}

fn report_end(mut keeper: Child, directory: &Path, events: &Sender<Event>) {
    let status = keeper.wait().ok().and_then(|status| status.code());
    if status.is_none() {
        clean_up_after(&keeper, directory);
    }
    let _ = events.send(Event::Ended(status));
}

/// Does what a keeper would have done that was killed itself: kills Envoy, which is in its process group, and deletes the directory.
fn clean_up_after(keeper: &Child, directory: &Path) {
    if let Some(group) = i32::try_from(keeper.id()).ok().and_then(Pid::from_raw) {
        // Without an Envoy, there is no such group.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = fs::remove_dir_all(directory);
}

/// Prints Envoy's warnings and errors.
fn print_log(log: impl Read, expected: &[&str]) {
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let (level, message) = line.split_once('\t').unwrap_or(("", &line));
        if expected.iter().any(|expected| message.contains(expected)) || message.trim().is_empty() {
            continue;
        }
        let is_error = matches!(level, "error" | "critical");
        let (level, style) = if is_error { (Level::Error, RED) } else { (Level::Warning, YELLOW) };
        tell(level, format_args!("{style}envoy{style:#}: {}", printable(message)));
    }
}
