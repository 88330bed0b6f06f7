//! Where the parts under test are: the Envoy binary, the built module, the files of the workspace.

use std::env;
use std::path::{Path, PathBuf};

/// The directory of the workspace, absolute.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the workspace is the parent of tests/")
}

/// The Envoy binary: `PORTCULLIS_ENVOY`, or the one that the build has fetched.
///
/// # Panics
/// If the file is not there.
pub fn envoy() -> PathBuf {
    present("PORTCULLIS_ENVOY", ".cache/envoy/1.40.0/envoy", "run `make envoy`, or name a binary in PORTCULLIS_ENVOY")
}

/// The filter under test: `PORTCULLIS_WASM`, or what `make build` leaves.
///
/// # Panics
/// If the file is not there.
pub fn module() -> PathBuf {
    present("PORTCULLIS_WASM", "target/portcullis.wasm", "run `make build`, or name a module in PORTCULLIS_WASM")
}

fn present(variable: &str, default: &str, advice: &str) -> PathBuf {
    let path = env::var_os(variable).map_or_else(|| workspace().join(default), PathBuf::from);
    assert!(path.is_file(), "{} is missing: {advice}", path.display());
    path.canonicalize().expect("an existing file has a canonical path")
}
