//! No command crashes because of its output: a closed pipe, a full disk, a terminal without colour.

use std::fs;
use std::fs::File;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

/// What each command prints, and with which status.
const COMMANDS: [(&str, i32); 25] = [
    ("--help", 0),
    ("keys list", 0),
    ("keys list --output json", 0),
    ("mode status", 0),
    ("lint", 0),
    ("lint --output json", 0),
    ("lint --output sarif", 0),
    ("lint --output github", 0),
    ("lint --explain", 0),
    ("lint --explain fail-open", 0),
    ("check --path /", 1),
    ("check --path / --output json", 1),
    ("check --cases cases.yaml", 1),
    ("check --cases cases.yaml --output json", 1),
    ("diff policy.yaml open.yaml", 0),
    ("diff policy.yaml open.yaml --output json", 0),
    ("render filter", 0),
    ("render envoy --upstream 127.0.0.1:5000", 0),
    ("render policy --format json", 0),
    ("render module", 0),
    ("import list keys.txt --consumer ci --dry-run", 0),
    ("import list keys.txt --consumer ci --dry-run --output json", 0),
    ("status --admin /nowhere.sock", 2),
    ("schema", 0),
    ("completions bash", 0),
];

fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, text) in [
        ("policy.yaml", "version: 1\n"),
        ("open.yaml", "public_paths: [\"/\"]\n"),
        (
            "keys.json",
            r#"{"version": 1, "consumers": {"ci": {"keys": [{"id": "one",
            "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}]}}}"#,
        ),
        ("cases.yaml", "cases:\n  - {name: open, path: /, expect: allow}\n"),
        ("keys.txt", "a-key-of-the-tests\n"),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn run(directory: &TempDir, words: &str, output: Stdio, errors: Stdio) -> Output {
    let mut command = Command::new(cargo_bin("portcullis"));
    command.args(words.split(' ')).current_dir(directory.path());
    command.stdin(Stdio::null()).stdout(output).stderr(errors).output().unwrap()
}

/// Clap prints its help itself; what is imported as keys alone leaves no settings to print.
fn is_silent(words: &str) -> bool {
    words == "--help" || words.ends_with("--dry-run")
}

/// A pipe whose reader is closed.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_who_has_seen_enough_changes_nothing() {
    let directory = directory();
    for (words, status) in COMMANDS {
        let came = run(&directory, words, broken(), Stdio::piped());
        let errors = String::from_utf8_lossy(&came.stderr);
        assert_eq!(came.status.code(), Some(status), "{words}: {errors}");
        assert!(!errors.contains("pipe"), "{words}: {errors}");
        let came = run(&directory, words, Stdio::null(), broken());
        assert_eq!(came.status.code(), Some(status), "{words}, without standard error");
    }
}

#[test]
fn what_cannot_be_printed_is_an_error_that_says_so() {
    let directory = directory();
    for (words, _) in COMMANDS.into_iter().filter(|(words, _)| !is_silent(words)) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let came = run(&directory, words, full.into(), Stdio::piped());
        let errors = String::from_utf8_lossy(&came.stderr);
        assert_eq!(came.status.code(), Some(2), "{words}: {errors}");
        assert!(errors.contains("portcullis: cannot write to standard output: "), "{words}: {errors}");
    }
}
