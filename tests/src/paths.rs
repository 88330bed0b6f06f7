//! The paths of the parts under test: the Envoy binary, the built module, the files of the workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::{env, fs};

use tempfile::TempDir;
use walkdir::{DirEntry, WalkDir};

/// The directory of the workspace, absolute.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the workspace is the parent of tests/")
}

/// The Envoy binary: `PORTCULLIS_ENVOY`, or the one that `scripts/get-envoy` fetches.
///
/// # Panics
/// If it does not exist, and cannot be fetched.
pub fn envoy() -> PathBuf {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| fetched("PORTCULLIS_ENVOY", "get-envoy"));
    PATH.clone()
}

/// The filter under test: `PORTCULLIS_WASM`, or the result of `make build`.
///
/// # Panics
/// If the file does not exist.
pub fn module() -> PathBuf {
    present("PORTCULLIS_WASM", "target/portcullis.wasm", "run `make build`, or name a module in PORTCULLIS_WASM")
}

/// The command under test: `PORTCULLIS_COMMAND`, or the result of `make build`.
///
/// # Panics
/// If the file does not exist.
pub fn command() -> PathBuf {
    present(
        "PORTCULLIS_COMMAND",
        "target/release/portcullis",
        "run `make build`, or name a command in PORTCULLIS_COMMAND",
    )
}

/// The directory with the backend programs: `PORTCULLIS_BACKENDS`, or the one that `scripts/get-backends` makes.
///
/// # Panics
/// If it does not exist, and cannot be made.
pub fn backends() -> PathBuf {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| fetched("PORTCULLIS_BACKENDS", "get-backends"));
    PATH.clone()
}

/// The Python library with the schema of CycloneDX: `PORTCULLIS_CYCLONEDX`, or the result of `make cyclonedx`.
///
/// # Panics
/// If it does not exist.
pub fn cyclonedx() -> PathBuf {
    let advice = "run `make cyclonedx`, or name a directory in PORTCULLIS_CYCLONEDX";
    present("PORTCULLIS_CYCLONEDX", ".cache/tools/cyclonedx", advice)
}

/// The Python package of pre-commit: `PORTCULLIS_PRE_COMMIT`, or the result of `make pre-commit`.
///
/// # Panics
/// If it does not exist.
pub fn pre_commit() -> PathBuf {
    let advice = "run `make pre-commit`, or name a directory in PORTCULLIS_PRE_COMMIT";
    present("PORTCULLIS_PRE_COMMIT", ".cache/tools/pre-commit", advice)
}

/// The Python package with Helm's engine: `PORTCULLIS_HELM`, or the result of `make helm`.
///
/// # Panics
/// If it does not exist.
pub fn helm() -> PathBuf {
    present("PORTCULLIS_HELM", ".cache/tools/helm", "run `make helm`, or name a directory in PORTCULLIS_HELM")
}

/// The kubectl that builds kustomizations: `PORTCULLIS_KUBECTL`, or the result of `make kubectl`.
///
/// # Panics
/// If the file does not exist.
pub fn kubectl() -> PathBuf {
    let advice = "run `make kubectl`, or name a program in PORTCULLIS_KUBECTL";
    present("PORTCULLIS_KUBECTL", ".cache/tools/kubectl/bin/kubectl", advice)
}

/// The filter with the switch that stops its VM: `PORTCULLIS_TRAP_WASM`, or the result of `make trap-module`.
///
/// # Panics
/// If the file does not exist.
pub fn trap_module() -> PathBuf {
    let default = "target/portcullis-trap.wasm";
    present("PORTCULLIS_TRAP_WASM", default, "run `make trap-module`, or name a module in PORTCULLIS_TRAP_WASM")
}

/// The value of a variable, otherwise the output of a script; the script reports its progress on standard error.
fn fetched(variable: &str, script: &str) -> PathBuf {
    let path = env::var_os(variable).unwrap_or_else(|| {
        let mut command = Command::new(workspace().join("scripts").join(script));
        let output = command.stderr(Stdio::inherit()).output().expect("python3 is there");
        assert!(output.status.success(), "{script} has failed: mend what it says, or set {variable}");
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    });
    PathBuf::from(&path).canonicalize().unwrap_or_else(|error| panic!("{variable}={}: {error}", path.display()))
}

fn present(variable: &str, default: &str, advice: &str) -> PathBuf {
    let path = env::var_os(variable).map_or_else(|| workspace().join(default), PathBuf::from);
    assert!(path.exists(), "{} is missing: {advice}", path.display());
    path.canonicalize().expect("what exists has a canonical path")
}

/// Copies the workspace into another folder, without build results and fetched files.
///
/// # Panics
/// If a file cannot be copied.
pub fn copy_of_the_source() -> TempDir {
    let (copy, source) = (tempfile::tempdir().expect("a folder for the copy"), workspace());
    let is_source =
        |entry: &DirEntry| !["target", ".cache", ".git"].iter().any(|left_out| entry.file_name() == *left_out);
    for entry in WalkDir::new(&source).min_depth(1).into_iter().filter_entry(is_source) {
        let entry = entry.expect("the source can be read");
        let to = copy.path().join(entry.path().strip_prefix(&source).expect("it is below the source"));
        if entry.file_type().is_dir() {
            fs::create_dir(to).expect("a folder of the copy");
        } else {
            fs::copy(entry.path(), to).expect("a file of the copy");
        }
    }
    copy
}
