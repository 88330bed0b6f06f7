//! Puts the filter beside the command, which embeds it (`src/module.rs`): the file that `PORTCULLIS_MODULE` names, or else one
//! that is built here, the same bytes as `make module` gives.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip1";
const MODULE: &str = "portcullis.wasm";

fn main() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), Box<dyn Error>> {
    let workspace = variable("CARGO_MANIFEST_DIR")?.parent().ok_or("the command has no workspace")?.to_owned();
    let destination = variable("OUT_DIR")?.join(MODULE);
    println!("cargo::rerun-if-env-changed=PORTCULLIS_MODULE");
    let Some(given) = env::var_os("PORTCULLIS_MODULE") else {
        std::fs::copy(build(&workspace)?, destination)?;
        return Ok(());
    };
    let given = Path::new(&given);
    println!("cargo::rerun-if-changed={}", given.display());
    std::fs::copy(given, destination).map_err(|error| {
        let place = given.display();
        format!("cannot embed the filter {place}: {error}. Build it with `make module`, or unset PORTCULLIS_MODULE")
    })?;
    Ok(())
}

/// Builds the filter in a directory of its own: the other one is locked by the cargo that runs this.
fn build(workspace: &Path) -> Result<PathBuf, Box<dyn Error>> {
    for source in ["src", "scripts/link-filter", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    has_target()?;
    let directory = variable("OUT_DIR")?.join("filter");
    let cargo_home = variable("CARGO_HOME").or_else(|_| variable("HOME").map(|home| home.join(".cargo")))?;
    // As in the Makefile: without the paths of this machine the same source gives the same bytes.
    let remap = |path: &Path, name| format!("--remap-path-prefix={}={name}", path.display());
    let flags = [remap(workspace, "portcullis"), remap(&cargo_home, "cargo")].join("\x1f");
    let output = Command::new(variable("CARGO")?)
        .args(["rustc", "--profile", "filter", "--locked", "--target", TARGET, "-p", "portcullis", "--lib"])
        .args(["--crate-type", "staticlib"])
        .arg("--target-dir")
        .arg(&directory)
        .current_dir(workspace)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        // Clippy's own compiler, where it is clippy that runs this.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()?;
    if !output.status.success() {
        return Err(format!("the filter cannot be built: {}", one_line(&output.stderr)).into());
    }
    let (archive, module) = (directory.join(TARGET).join("filter").join("libportcullis.a"), directory.join(MODULE));
    let output = Command::new(workspace.join("scripts/link-filter")).args([&archive, &module]).output()?;
    if !output.status.success() {
        return Err(format!("the filter cannot be linked: {}", one_line(&output.stderr)).into());
    }
    Ok(module)
}

fn has_target() -> Result<(), Box<dyn Error>> {
    let output = Command::new(variable("RUSTC")?).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let library = String::from_utf8(output.stdout)?;
    if output.status.success() && Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    Err(format!("the Rust target {TARGET} is missing, for which the filter is built: rustup target add {TARGET}")
        .into())
}

/// What cargo shows of an error is one line.
fn one_line(output: &[u8]) -> String {
    String::from_utf8_lossy(output).lines().map(str::trim).collect::<Vec<_>>().join(" | ")
}

fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"))
}
