//! The rate limit service in `tests/backends/rate_limits.py`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use portcullis_tests::leash::Leashed;
use portcullis_tests::{paths, poll};
use tempfile::TempDir;

/// The running service; dropping it ends the process.
pub(crate) struct Service {
    // Declared before its directory, so that it ends before that is deleted.
    _process: Leashed,
    _folder: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Service {
    /// Starts the service with these limits, such as `consumer=3`.
    pub(crate) fn start(limits: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (program, log) = (folder.path().join("rate_limits.py"), folder.path().join("log"));
        fs::write(&program, include_str!("../../backends/rate_limits.py")).expect("a file in it");
        let mut command = Command::new(paths::backends().join("python"));
        command.arg(program).args(limits).current_dir(folder.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = Leashed::start(&command, File::create(&log).expect("a file in it"));
        let address = poll::until("the service prints its port", || {
            let said = fs::read_to_string(&log).expect("it is there");
            assert_eq!(process.ended(), None, "{said}");
            let port = said.lines().find_map(|line| line.strip_prefix("port "))?.parse().ok()?;
            Some((Ipv4Addr::LOCALHOST, port).into())
        });
        Self { _process: process, _folder: folder, address }
    }
}
