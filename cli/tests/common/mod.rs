//! Runs the command as a user does.

use std::fs;

use assert_cmd::Command;
use tempfile::TempDir;

/// Runs `portcullis` in a directory that holds these files, with this on standard input; gives exit status, standard
/// output
/// and standard error.
pub(crate) fn run(files: &[(&str, &str)], arguments: &[&str], input: &str) -> (i32, String, String) {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("a file in it");
    }
    let output = Command::cargo_bin("portcullis")
        .expect("the command is built")
        .args(arguments)
        .current_dir(directory.path())
        .env_remove("UNSET")
        .env("TOKEN_SECRET", "a secret of the tests that has 32 bytes")
        .write_stdin(input)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}
