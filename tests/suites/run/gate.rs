//! `portcullis run` in its own folder: its output, the files that it leaves, and the visibility of keys.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::envoy::V4;
use portcullis_tests::http1::{Client, request};
use portcullis_tests::leash::Leashed;
use portcullis_tests::message::{Reply, pairs};
use portcullis_tests::net::connect;
use portcullis_tests::{paths, poll, secrets};
use procfs::process::Process;
use tempfile::TempDir;

/// The command, running or ended. Its output is searched for secrets when it is dropped.
pub(crate) struct Gate {
    // Declared before its folder, so that it ends before that is deleted.
    process: Leashed,
    folder: TempDir,
}

/// A folder with these files in it, and one for temporary files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(folder.path().join("tmp")).expect("a directory in it");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file in it");
    }
    folder
}

/// `portcullis run` in the folder, with the Envoy of the suites unless the arguments or the environment name another.
pub(crate) fn command(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(paths::command());
    command.arg("run").args(arguments).current_dir(folder);
    command.env("TMPDIR", folder.join("tmp")).env_remove("DEEPAAS_AUTH_BEARER_TOKEN").env_remove("API_KEYS_FILE");
    let path =
        format!("{}:{}", paths::envoy().parent().expect("a folder").display(), std::env::var("PATH").expect("PATH"));
    command.env("PATH", path).envs(environment.iter().copied());
    command
}

impl Gate {
    /// Starts it in front of `upstream`, on a free port, and waits until its policy is live.
    pub(crate) fn start(folder: TempDir, upstream: SocketAddr, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let gate = Self::launch(folder, upstream, more, environment);
        gate.waits_for("is live");
        gate
    }

    /// As [`Gate::start`], without waiting.
    pub(crate) fn launch(folder: TempDir, upstream: SocketAddr, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let upstream = upstream.to_string();
        let arguments = ["--upstream", &upstream, "--listen", "127.0.0.1:0"];
        // A repeated option overrides the earlier one.
        let arguments = if more.contains(&"--listen") { &arguments[..2] } else { &arguments[..] };
        Self::run(folder, &[arguments, more].concat(), environment)
    }

    /// Starts it with these arguments alone.
    pub(crate) fn run(folder: TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let command = command(folder.path(), arguments, environment);
        let log = File::create(folder.path().join("log")).expect("the folder takes a file");
        Self { process: Leashed::start(&command, log), folder }
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).expect("a log")).into_owned()
    }

    /// Waits for this output.
    pub(crate) fn waits_for(&self, words: &str) {
        poll::until(words, || self.said().contains(words).then_some(()));
    }

    /// The text after these words, up to a blank or comma.
    pub(crate) fn address(&self, words: &str) -> SocketAddr {
        let said = self.said();
        let (_, rest) = said.split_once(words).unwrap_or_else(|| panic!("it says `{words}`: {said}"));
        let end = rest.find([' ', ',', '\n']).unwrap_or(rest.len());
        rest[..end].trim_end_matches(':').parse().expect("an address")
    }

    pub(crate) fn send(&self, from: IpAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send_to("listening on http://", from, path, headers)
    }

    /// As [`Gate::send`], to the address that stands behind these words.
    pub(crate) fn send_to(&self, words: &str, from: IpAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
        let bytes = request(b"GET", path.as_bytes(), b"gate.test", &pairs(headers), None);
        Client::new(connect(from, self.address(words)).expect("it listens")).send(&bytes).expect("it replies")
    }

    pub(crate) fn status(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        self.send(V4, path, headers).status
    }

    /// Replaces a file of its folder.
    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).expect("the folder takes a file");
    }

    /// The processes that work in its temporary directory: Envoy, and its supervisor.
    pub(crate) fn helpers(&self) -> Vec<(Process, String)> {
        processes_of(&self.temporary())
    }

    /// Everything in its temporary directory.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let inside = fs::read_dir(self.temporary()).expect("it is there").map(|entry| entry.expect("an entry").path());
        inside
            .flat_map(|directory| {
                fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file").path())
            })
            .collect()
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        kill(name, self.process.child("portcullis").pid());
    }

    /// Waits until it has ended; returns its exit status.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        poll::until("the command ends", || self.process.ended()).code()
    }

    /// Waits until nothing is left: no process, and no file.
    pub(crate) fn leaves_nothing(&self) {
        poll::until("nothing is left", || {
            let is_empty = fs::read_dir(self.temporary()).expect("it is there").next().is_none();
            (is_empty && self.helpers().is_empty()).then_some(())
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.process.end();
        let leak = secrets::found_in(self.said().as_bytes());
        if !std::thread::panicking() {
            assert_eq!(leak, None, "it says a secret");
            self.leaves_nothing();
        }
    }
}

pub(crate) fn kill(signal: &str, process: i32) {
    let status = Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
    assert!(status.expect("there is kill").success(), "the process {process} was there");
}

fn processes_of(directory: &Path) -> Vec<(Process, String)> {
    let directory = directory.display().to_string();
    let processes = procfs::process::all_processes().expect("a Linux").flatten();
    let with_command = processes.filter_map(|process| {
        let command = process.cmdline().ok()?.join(" ");
        Some((process, command))
    });
    with_command.filter(|(_, command)| command.contains(&directory)).collect()
}
