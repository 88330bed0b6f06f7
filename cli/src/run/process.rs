//! Envoy as a process that ends with this one, whatever ends this one, and takes its directory with it.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};

use super::{Event, access};
use crate::output::{RED, YELLOW, note, printable};

/// Runs a command, and kills it when the pipe on standard input ends, which the kernel closes for a process that is
/// killed.
/// The directory goes when the command has ended. Ends with the command's own status. It says nothing itself: nobody
/// may be
/// there to read, and to write would then end it.
const KEEPER: &str = r#"directory=$1; shift; exec 3<&0
"$@" </dev/null 3<&- & child=$!
{ cat <&3; kill -KILL "$child"; } >/dev/null 2>&1 & leash=$!
exec 3<&- >/dev/null 2>&1; wait "$child"; status=$?
kill "$leash"; rm -rf -- "$directory"; exit "$status""#;

/// How to start Envoy.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Its configuration.
    pub(super) configuration: &'a Path,
    /// The id and cluster of its node, where the configuration has none.
    pub(super) node: Option<&'a str>,
    /// What is printed of requests.
    pub(super) requests: Requests,
    /// A variable of the environment that Envoy is not to have.
    pub(super) hidden: Option<&'a str>,
    /// Parts of the messages that are not shown.
    pub(super) expected: &'static [&'static str],
}

/// What is printed of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requests {
    /// A line for each, of what comes in [`access::FORMAT`].
    Lines,
    /// Nothing.
    Quiet,
    /// What the configuration writes to standard output.
    AsConfigured,
}

/// A running Envoy.
#[derive(Debug)]
pub(super) struct Process {
    leash: Option<ChildStdin>,
    printers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts Envoy with a private directory; [`Event::Ended`] says when it has ended.
    ///
    /// # Errors
    /// If there is no shell.
    pub(super) fn start(envoy: &Path, directory: &Path, plan: &Plan<'_>, events: Sender<Event>) -> Result<Self> {
        let is_printed = plan.requests != Requests::AsConfigured;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", KEEPER, "portcullis-keeper"])
            .args([directory, envoy])
            .arg("--config-path")
            .arg(plan.configuration)
            .arg("--admin-address-path")
            .arg(directory.join(super::ADMIN_ADDRESS))
            .arg("--disable-hot-restart")
            .args(["--file-flush-interval-msec", "100", "--log-level", "warning", "--log-format", "%l\t%v"])
            .stdin(Stdio::piped())
            .stdout(if is_printed { Stdio::piped() } else { Stdio::inherit() })
            .stderr(Stdio::piped());
        // Ctrl-C is for this process alone, which then ends Envoy in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(node) = plan.node {
            command.args(["--service-node", node, "--service-cluster", node]);
        }
        if let Some(name) = plan.hidden {
            command.env_remove(name);
        }
        let mut keeper = command.spawn().context("cannot start /bin/sh, which keeps Envoy")?;
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
        thread::spawn(move || report_end(keeper, &events));
        Ok(Self { leash, printers })
    }

    /// Ends it, if it has not ended, and prints what there is of it to print.
    pub(super) fn end(mut self) {
        drop(self.leash.take());
        for printer in self.printers.drain(..) {
            let _ = printer.join();
        }
    }
}

fn report_end(mut keeper: Child, events: &Sender<Event>) {
    let status = keeper.wait().ok().and_then(|status| status.code());
    let _ = events.send(Event::Ended(status));
}

/// Envoy's warnings and errors, each with its mark.
fn print_log(log: impl Read, expected: &[&str]) {
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let (level, message) = line.split_once('\t').unwrap_or(("", &line));
        if expected.iter().any(|expected| message.contains(expected)) || message.trim().is_empty() {
            continue;
        }
        let style = if matches!(level, "error" | "critical") { RED } else { YELLOW };
        note(format_args!("{style}envoy{style:#}: {}", printable(message)));
    }
}
