//! How the filter is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A linker leaves five bytes for each reference to a function or an address; most need two: 13 KB. Debug information
    // knows where code was before.
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_ARCH", "wasm32") && is("DEBUG", "false") {
        println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
    }
}
