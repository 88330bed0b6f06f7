//! Folders for packing images and releases: copies of the source, with the build results of this folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use walkdir::WalkDir;

use crate::bytes::said;
use crate::paths::{copy_of_the_source, cyclonedx, module, workspace};

/// A copy of the source, outside of git, as it is after `make build`.
///
/// # Panics
/// If `make build` was not run.
pub fn built_copy() -> TempDir {
    let copy = copy_of_the_source();
    add_build(copy.path());
    copy
}

/// Copies the build results of this folder into another folder with the same source.
///
/// # Panics
/// If `make build` was not run.
pub fn add_build(folder: &Path) {
    fs::create_dir_all(folder.join("target/release")).expect("the folder takes a folder");
    fs::copy(module(), folder.join("target/portcullis.wasm")).expect("the module can be copied");
    let command = "target/release/portcullis";
    fs::copy(workspace().join(command), folder.join(command)).expect("the command is there: run `make build`");
}

/// Removes the environment of the suite from a command: variables of a parent make, which nested ones read, and those
/// of a git hook, which would redirect git commands to that repository.
pub fn apart(command: &mut Command) -> &mut Command {
    let names = std::env::vars_os().map(|(name, _)| name);
    let inherited = names.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("GIT_")
            || name.starts_with("CLIPPY_")
            || ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "RUSTC_WORKSPACE_WRAPPER", "SOURCE_DATE_EPOCH"].contains(&&*name)
    });
    for name in inherited.collect::<Vec<_>>() {
        command.env_remove(name);
    }
    command
}

/// Makes make skip the build: the existing build results are used.
pub const BUILT: [&str; 2] = ["--old-file=build", "--old-file=module"];

/// Makes make skip fetching tools: the ones fetched here are used.
pub fn tools() -> String {
    format!("TOOLS={}", cyclonedx().parent().expect("a directory of tools").display())
}

/// Runs a make command of a document in a folder, without building again.
///
/// # Panics
/// If make does not start.
pub fn make(arguments: &str, folder: &Path, environment: &[(&str, &str)]) -> Output {
    let mut make = Command::new("make");
    make.args(BUILT).arg(tools()).args(arguments.split(' ')).current_dir(folder);
    apart(&mut make).envs(environment.iter().copied()).output().expect("make starts")
}

/// The output of a command that must succeed.
///
/// # Panics
/// If it has failed.
pub fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every file in a folder, by its relative path.
///
/// # Panics
/// If the folder cannot be read.
pub fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = WalkDir::new(folder).follow_links(true).into_iter().map(|entry| entry.expect("it can be read"));
    let files = entries.filter(|entry| entry.file_type().is_file()).map(|entry| {
        let name = entry.path().strip_prefix(folder).expect("it is below the folder");
        (name.to_str().expect("a name is text").to_owned(), fs::read(entry.path()).expect("the file can be read"))
    });
    files.collect()
}

/// SHA-256 in hexadecimal digits, from sha256sum.
///
/// # Panics
/// If there is no sha256sum.
pub fn sha256(file: &Path) -> String {
    let output = done(Command::new("sha256sum").arg(file).output().expect("sha256sum starts"));
    output.split(' ').next().expect("the sum comes first").to_owned()
}
