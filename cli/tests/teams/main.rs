//! Several policy files: those of a platform and its teams.

mod files;
mod policy;

use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

const TEAM_B: &str = r#"consumers:
- {name: b-shop, roles: [b-user]}
rules:
- {path: "/team-b/**", roles: [b-user]}
"#;

const STORE_B: &str = r#"{"version": 1, "mode_override": null, "consumers": {
  "b-shop": {"keys": [
    {"id":"b-1","sha256":"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"}]}}}
"#;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file in it");
    }
    directory
}

/// Exit status, standard output and standard error.
fn run_in(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("portcullis")
        .expect("the command is built")
        .args(arguments)
        .current_dir(directory)
        .timeout(Duration::from_secs(30))
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}
