//! A real Envoy as a child process, [leashed](crate::leash).
//!
//! When an Envoy ends, all its output and statistics are searched for [`secrets`]: a hit fails the suite.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use procfs::process::Process;
use serde_json::Value;
use tempfile::TempDir;

use crate::admin::Admin;
use crate::bootstrap::socket_file;
use crate::bytes::said;
use crate::leash::Leashed;
use crate::{paths, poll, secrets};

/// Options for starting an Envoy.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The number of workers.
    pub workers: u32,
    /// The log level of Envoy's wasm filter: `debug`, or `trace` for every call into and out of the VM.
    pub wasm_log: &'static str,
    /// Environment variables, in addition to those of the suite.
    pub environment: &'static [(&'static str, &'static str)],
    /// How long connections of a removed listener may go on, in seconds.
    pub drain: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: 1, wasm_log: "debug", environment: &[], drain: 600 }
    }
}

/// A running Envoy; dropping it ends the process, and panics if it has printed a secret.
#[derive(Debug)]
pub struct Envoy {
    // Declared before its directory, so that it ends before that is deleted.
    process: Leashed,
    directory: TempDir,
    admin: Admin,
}

impl Envoy {
    /// Starts Envoy with `document` as its configuration and waits until it serves.
    ///
    /// # Panics
    /// If Envoy does not start, with the end of its log.
    pub fn start(document: &Value) -> Self {
        Self::start_with(document, Options::default())
    }

    /// As [`Envoy::start`], with options.
    ///
    /// # Panics
    /// If Envoy does not start, with the end of its log.
    pub fn start_with(document: &Value, options: Options) -> Self {
        Self::launch(document, options).unwrap_or_else(|failure| panic!("Envoy did not start: {failure}"))
    }

    /// As [`Envoy::start`], for configurations that Envoy may reject.
    ///
    /// # Errors
    /// If the process ends before it serves: the log, last lines last.
    ///
    /// # Panics
    /// If nothing happens before the timeout.
    pub fn try_start(document: &Value) -> Result<Self, String> {
        Self::launch(document, Options::default())
    }

    fn launch(document: &Value, options: Options) -> Result<Self, String> {
        secrets::in_document(document);
        options.environment.iter().for_each(|(_, value)| secrets::in_value(value));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let configuration = directory.path().join("envoy.json");
        fs::write(&configuration, document.to_string()).expect("the directory takes a file");
        let log = File::create(directory.path().join(LOG)).expect("the directory takes a file");
        let mut command = Command::new(paths::envoy());
        command
            // Unix sockets have relative names: they are deleted with the directory, and do not differ between runs.
            .current_dir(directory.path())
            .envs(options.environment.iter().copied())
            .arg("--config-path")
            .arg(&configuration)
            .arg("--admin-address-path")
            .arg(directory.path().join(ADMIN))
            .args(["--disable-hot-restart", "--concurrency", &options.workers.to_string()])
            .args(["--drain-time-s", &options.drain.to_string()])
            .args(["--service-node", "node", "--service-cluster", "cluster", "--file-flush-interval-msec", "100"])
            .args(["--log-level", "warning", "--component-log-level", &format!("wasm:{}", options.wasm_log)]);
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

    /// The address of a listener for a client at `from`, of the same family.
    ///
    /// # Panics
    /// If there is no such listener.
    pub fn address(&self, listener: &str, from: IpAddr) -> SocketAddr {
        let listeners = self.admin.listeners().expect("the admin interface answers");
        let addresses = listeners.get(listener).unwrap_or_else(|| panic!("no listener {listener}"));
        let same_family = addresses.iter().find(|address| address.is_ipv4() == from.is_ipv4());
        *same_family.unwrap_or_else(|| panic!("the listener {listener} has no address for {from}"))
    }

    /// The path of a listener's Unix socket.
    pub fn socket(&self, listener: &str) -> PathBuf {
        self.directory.path().join(socket_file(listener))
    }

    /// What Envoy has written to its log, standard output and standard error so far.
    ///
    /// # Panics
    /// If the file has been deleted.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join(LOG)).expect("the log is there as long as Envoy is");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The log as bytes, for searches that must not be lossy.
    ///
    /// # Panics
    /// If the file has been deleted.
    pub fn log_bytes(&self) -> Vec<u8> {
        fs::read(self.directory.path().join(LOG)).expect("the log is there as long as Envoy is")
    }

    /// The process id.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn process(&self) -> Process {
        self.process.child("envoy")
    }

    /// Resident memory of the process, in KiB (proc(5), `VmRSS`).
    ///
    /// # Panics
    /// If the process has ended.
    pub fn resident(&self) -> u64 {
        self.process().status().expect("Envoy runs").vmrss.expect("a process has memory")
    }

    /// Ends the process. Returns the place and line of the first [secret](`secrets`) in its output, if there is any.
    #[must_use]
    pub fn end(mut self) -> Option<String> {
        self.finish()
    }

    fn finish(&mut self) -> Option<String> {
        if !self.process.is_held() {
            return None;
        }
        let statistics = self.statistics();
        // After this line the log is complete.
        self.process.end();
        let found = |place: &str, text: &[u8]| Some(format!("{place} holds {}", secrets::found_in(text)?));
        found("Envoy's log", &self.log_bytes()).or_else(|| found("Envoy's statistics", &statistics))
    }

    /// The statistics in both formats; none if Envoy has already ended.
    fn statistics(&self) -> Vec<u8> {
        let pages = ["/stats", "/stats/prometheus"].map(|page| self.admin.get(page).map(|reply| reply.body));
        pages.into_iter().flat_map(Result::unwrap_or_default).collect()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if let Some(leak) = self.finish()
            && !std::thread::panicking()
        {
            panic!("{leak}");
        }
    }
}

const LOG: &str = "envoy.log";
const ADMIN: &str = "admin-address";

/// The result of `envoy --mode validate`.
#[derive(Debug)]
pub struct Verdict {
    /// Success if Envoy accepts the configuration.
    pub status: ExitStatus,
    /// Standard output and error.
    pub output: String,
}

/// Runs `envoy --mode validate` on a file, in the directory `current` and with `environment` added.
///
/// # Panics
/// If Envoy cannot be started, or prints a secret.
pub fn validate(file: &Path, current: &Path, environment: &[(&str, &str)]) -> Verdict {
    let text = fs::read_to_string(file).expect("a file to validate");
    // Joined in the same way as Envoy does it.
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    let document = serde_saphyr::from_str_with_options(&text, options);
    secrets::in_document(&document.expect("a file to validate is YAML"));
    environment.iter().for_each(|(_, value)| secrets::in_value(value));
    let output = Command::new(paths::envoy())
        .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "warning"])
        .args(["--service-node", "node", "--service-cluster", "cluster"])
        .arg("--config-path")
        .arg(file)
        .current_dir(current)
        .envs(environment.iter().copied())
        .output()
        .expect("Envoy can be started");
    let text = said(&output);
    if let Some(leak) = secrets::found_in(text.as_bytes()) {
        panic!("envoy --mode validate prints {leak}");
    }
    Verdict { status: output.status, output: text }
}

/// The IPv4 loopback address.
pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The IPv6 loopback address.
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
