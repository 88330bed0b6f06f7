//! The machine of the figures, without which they mean nothing.

use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use portcullis_tests::paths;
use procfs::{CpuInfo, Current as _, Meminfo};
use serde::Serialize;
use time::OffsetDateTime;

/// The machine, and the versions of the software.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// The available cores.
    pub cores: usize,
    /// Megabytes of memory.
    pub memory_mb: u64,
    /// Whether it is virtual.
    pub is_virtual: bool,
    /// The kernel's version.
    pub kernel: String,
    /// Envoy's version.
    pub envoy: String,
    /// The compiler's version.
    pub rustc: String,
    /// The day, UTC.
    pub date: String,
}

impl Machine {
    /// This machine, today.
    pub fn here() -> Self {
        let processors = CpuInfo::current().ok();
        let memory = Meminfo::current().map_or(0, |memory| memory.mem_total);
        let flags = processors.as_ref().and_then(|processors| processors.flags(0));
        let now = OffsetDateTime::now_utc().date();
        Self {
            processor: processors.as_ref().and_then(|one| one.model_name(0)).unwrap_or("unknown").to_owned(),
            cores: available_parallelism().map_or(1, usize::from),
            memory_mb: memory / (1024 * 1024),
            is_virtual: flags.is_some_and(|flags| flags.contains(&"hypervisor")),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            envoy: version(&paths::envoy(), "version: ")
                .and_then(|line| line.split('/').nth(1).map(str::to_owned))
                .unwrap_or_default(),
            rustc: version(Path::new("rustc"), "").unwrap_or_default(),
            date: now.to_string(),
        }
    }

    /// All of it in one line.
    pub fn line(&self) -> String {
        let Self { processor, cores, memory_mb, kernel, envoy, rustc, date, .. } = self;
        let kind = if self.is_virtual { "virtual machine" } else { "machine" };
        let rustc = rustc.split(" (").next().unwrap_or_default();
        format!("{kind}, {cores} cores of {processor}, {memory_mb} MB, Linux {kernel}, Envoy {envoy}, {rustc}, {date}")
    }
}

/// The version in a program's output, after `mark`.
fn version(program: &Path, mark: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty())?.trim();
    Some(line.split_once(mark).map_or(line, |(_, after)| after).trim().to_owned())
}
