//! A directory for imports. After each run it checks that no key is in any output or file.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// Every key of every fixture, and of the sources in this file.
const KEYS: [&str; 40] = [
    "orch-front-5f1c9a7be2",
    "orch-notebook-77e0",
    "orch with a blank",
    "12345678",
    "deep-token-8812aa+/=",
    "3b0e7c1e-58ad-4d3b-9a50-5b1b2d6a1f01",
    "3b0e7c1e-58ad-4d3b-9a50-5b1b2d6a1f02",
    "envoy-mobile-31ab77",
    "envoy-batch-90cd12",
    "envoy-odd-44ef",
    "envoy-admin-55aa",
    "eg-client1-ab12cd34",
    "eg-client2-line",
    "eg-not-base64",
    "eg-client4-77aa88bb",
    "eg-client1-second",
    "eg-client5-12ef",
    "eg-client6-99cc",
    "kong-alice-11aa22bb",
    "kong-alice-33cc44dd",
    "kong-alice-expired",
    "kong-bob-55ee66ff",
    "kong-bob-password",
    "carol-key",
    "kong-bob-second-99",
    "kong-nobody-77",
    "kong-reader-1f2e3d",
    "kong-admin-4c5b6a",
    "kong-both-778899",
    "list-one-7a7a7a",
    "list-two-8b8b8b",
    "list three",
    "csv-alice-1111aaaa",
    "csv-carol-2222bbbb",
    "csv-dave-3333cccc",
    "csv-erin-4444dddd",
    "csv-both-6666ffff",
    "csv-heidi-7777abab",
    "csv-ivan-8888cdcd",
    "Stray-Secret-9",
];

/// A directory with `keys.json` and `policy.yaml`, where the command runs.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file is written");
    }

    /// Runs the command; gives exit status, standard output and standard error. No key is in any of these, nor in a
    /// file.
    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = Command::cargo_bin("portcullis").expect("the command is built");
        for variable in ["API_KEYS_FILE", "DEEPAAS_AUTH_BEARER_TOKEN", "RXINFER_SERVER_ENABLE_DEV_TOKEN"] {
            command.env_remove(variable);
        }
        let command = command.args(arguments).envs(environment.iter().copied()).current_dir(self.0.path());
        let output = command.output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        for key in KEYS {
            for shown in [&stdout, &stderr, &self.read("keys.json"), &self.read("policy.yaml")] {
                assert!(!shown.contains(key), "{arguments:?} shows {key}: {shown}");
            }
        }
        (output.status.code().expect("it ends by itself"), stdout, stderr)
    }

    /// Imports a fixture.
    pub(crate) fn import(&self, kind: &[&str], fixture: &str) -> (i32, String, String) {
        let file = fixture_path(fixture);
        self.run(&[&["import"], kind, &[file.to_str().expect("a path")]].concat(), &[])
    }

    /// Decides about requests: method, target, header, peer, and the decision.
    pub(crate) fn decides(&self, table: &[(&str, &str, &str, &str, &str)]) {
        for (method, path, header, peer, decision) in table {
            let mut arguments = vec!["check", "--method", method, "--path", path, "--peer", peer];
            if !header.is_empty() {
                arguments.extend(["--header", header]);
            }
            // `check` shows the path that it is asked for, which may hold a key in its query.
            let output = Command::cargo_bin("portcullis")
                .expect("the command is built")
                .args(&arguments)
                .current_dir(self.0.path())
                .output()
                .expect("it runs");
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.lines().next(), Some(*decision), "{arguments:?}: {output}");
        }
    }
}

fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

/// The line that has this part.
pub(crate) fn line_with<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part} is not in {text}"))
}

/// The address of an untrusted caller.
pub(crate) const OUTSIDE: &str = "203.0.113.9:40000";
