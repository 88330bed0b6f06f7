//! A real Envoy as a child process, [leashed](crate::leash).

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::Value;
use tempfile::TempDir;

use crate::admin::Admin;
use crate::bootstrap::socket_file;
use crate::leash::Leashed;
use crate::{paths, poll};

/// A running Envoy; dropping it ends the process.
#[derive(Debug)]
pub struct Envoy {
    // Before its directory: it ends before that goes.
    process: Leashed,
    directory: TempDir,
    admin: Admin,
}

impl Envoy {
    /// Starts Envoy with `document` as its configuration and waits until it serves.
    ///
    /// # Panics
    /// If Envoy does not come up, with the end of its log.
    pub fn start(document: &Value) -> Self {
        Self::try_start(document).unwrap_or_else(|failure| panic!("Envoy did not start: {failure}"))
    }

    /// As [`Envoy::start`], for configurations that Envoy may refuse.
    ///
    /// # Errors
    /// If the process ends before it serves: the log, last lines last.
    ///
    /// # Panics
    /// If nothing happens for too long.
    pub fn try_start(document: &Value) -> Result<Self, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let configuration = directory.path().join("envoy.json");
        fs::write(&configuration, document.to_string()).expect("the directory takes a file");
        let log = File::create(directory.path().join(LOG)).expect("the directory takes a file");
        let mut command = Command::new(paths::envoy());
        command
            // Unix sockets have relative names: they go with the directory, and tell nothing that differs between runs.
            .current_dir(directory.path())
            .arg("--config-path")
            .arg(&configuration)
            .arg("--admin-address-path")
            .arg(directory.path().join(ADMIN))
            .args(["--disable-hot-restart", "--concurrency", "1"])
            .args(["--service-node", "node", "--service-cluster", "cluster"])
            .args(["--log-level", "warning", "--component-log-level", "wasm:debug"]);
        let process = Leashed::start(&command, log);
        let mut envoy = Self { process, directory, admin: Admin::new((Ipv4Addr::LOCALHOST, 0).into()) };
        poll::until("Envoy answers at its admin address, or ends", || envoy.progress()).map(|()| envoy)
    }

    fn progress(&mut self) -> Option<Result<(), String>> {
        if let Some(status) = self.process.ended() {
            return Some(Err(format!("{status}\n{}", self.log_tail())));
        }
        let address = fs::read_to_string(self.directory.path().join(ADMIN)).ok()?;
        self.admin = Admin::new(address.trim().parse().ok()?);
        self.admin.ready().then_some(Ok(()))
    }

    /// The admin interface.
    pub fn admin(&self) -> Admin {
        self.admin
    }

    /// Where to reach a listener from `from`: its address of the same family.
    ///
    /// # Panics
    /// If there is no such listener.
    pub fn address(&self, listener: &str, from: IpAddr) -> SocketAddr {
        let listeners = self.admin.listeners().expect("the admin interface answers");
        let addresses = listeners.get(listener).unwrap_or_else(|| panic!("no listener {listener}"));
        let same_family = addresses.iter().find(|address| address.is_ipv4() == from.is_ipv4());
        *same_family.unwrap_or_else(|| panic!("the listener {listener} has no address for {from}"))
    }

    /// Where to reach a listener on a Unix socket.
    pub fn socket(&self, listener: &str) -> PathBuf {
        self.directory.path().join(socket_file(listener))
    }

    /// What Envoy has written to its log, and to its standard output and error, so far.
    ///
    /// # Panics
    /// If the file is gone.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join(LOG)).expect("the log is there as long as Envoy is");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The log as bytes, for searches that must not be lossy.
    ///
    /// # Panics
    /// If the file is gone.
    pub fn log_bytes(&self) -> Vec<u8> {
        fs::read(self.directory.path().join(LOG)).expect("the log is there as long as Envoy is")
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

const LOG: &str = "envoy.log";
const ADMIN: &str = "admin-address";

/// What `envoy --mode validate` says of a file.
#[derive(Debug)]
pub struct Verdict {
    /// Success if the configuration is accepted.
    pub status: ExitStatus,
    /// Standard output and error.
    pub output: String,
}

/// Runs `envoy --mode validate` on a file, in the directory `current` and with `environment` added.
///
/// # Panics
/// If Envoy cannot be started.
pub fn validate(file: &Path, current: &Path, environment: &[(&str, &str)]) -> Verdict {
    let output = Command::new(paths::envoy())
        .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "warning"])
        .args(["--service-node", "node", "--service-cluster", "cluster"])
        .arg("--config-path")
        .arg(file)
        .current_dir(current)
        .envs(environment.iter().copied())
        .output()
        .expect("Envoy can be started");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Verdict { status: output.status, output: text }
}

/// The loopback address of IPv4.
pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The loopback address of IPv6.
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
