//! A gRPC server of `tests/backends/`, as a child process.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tempfile::TempDir;

use crate::leash::Leashed;
use crate::{paths, poll};

/// The running server; dropping it ends the process.
#[derive(Debug)]
pub struct GrpcProgram {
    // Declared before its directory, so that it ends before that is deleted.
    _process: Leashed,
    _directory: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl GrpcProgram {
    /// Starts a program with these arguments. It prints its port.
    ///
    /// # Panics
    /// If it does not start, with its log.
    pub fn start(source: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [program, log] = ["server.py", "log"].map(|name| directory.path().join(name));
        fs::write(&program, source).expect("a file in it");
        fs::write(directory.path().join("serving.py"), include_str!("../backends/serving.py")).expect("a file in it");
        let mut command = Command::new(paths::backends().join("python"));
        command.arg(program).args(arguments).current_dir(directory.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = Leashed::start(&command, File::create(&log).expect("a file in it"));
        let address = poll::until("the server prints its port", || {
            let said = fs::read_to_string(&log).expect("it is there");
            assert_eq!(process.ended(), None, "{said}");
            let port = said.lines().find_map(|line| line.strip_prefix("port "))?.parse().ok()?;
            Some((Ipv4Addr::LOCALHOST, port).into())
        });
        Self { _process: process, _directory: directory, address }
    }
}
