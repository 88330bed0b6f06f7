//! The imports and exports of the module. The list is short and pinned: anything that a dependency adds (a clock, a
//! file, a socket) fails here first.

use std::process::Command;

use portcullis_tests::bytes::contains;
use portcullis_tests::packed::apart;
use portcullis_tests::paths::{copy_of_the_source, module, trap_module, workspace};
use wasmi::{Engine, Module};

#[test]
fn the_module_imports_and_exports_just_what_is_written_down() {
    let bytes = std::fs::read(module()).expect("the module can be read");
    let module = Module::new(&Engine::default(), &bytes).expect("the module is wasm");
    let imports = module.imports().map(|import| format!("{}.{}", import.module(), import.name()));
    let mut imports: Vec<String> = imports.collect();
    let mut exports: Vec<String> = module.exports().map(|export| export.name().to_owned()).collect();
    imports.sort();
    exports.sort();
    let written = include_str!("../module.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let found: Vec<String> = imports
        .into_iter()
        .map(|name| format!("import {name}"))
        .chain(exports.into_iter().map(|name| format!("export {name}")))
        .collect();
    assert_eq!(
        found,
        written.collect::<Vec<_>>(),
        "should the change be meant, change tests/module.txt:\n{}",
        found.join("\n")
    );
}

/// Every VM of every worker compiles and holds it. Most of the necessary code reads the policy (docs/performance.md).
#[test]
fn the_module_stays_small() {
    const MAX_SIZE: u64 = 560 * 1024;
    let size = std::fs::metadata(module()).expect("the module is there").len();
    assert!(size <= MAX_SIZE, "{size} bytes, of {MAX_SIZE} at most");
    // What the pages say of it.
    let kib = size.div_ceil(1024);
    let kib = if kib * 1024 - size > 512 { kib - 1 } else { kib };
    for (page, words) in [
        ("docs/performance.md", format!("The release module has {kib} KiB ({} bytes)", grouped(size))),
        ("docs/adr/0002-serde.md", format!("| {kib} KiB, with the SDK |")),
        ("README.md", format!("The filter itself has {kib} KiB.")),
    ] {
        let text = std::fs::read_to_string(workspace().join(page)).expect("the page is there");
        assert!(text.contains(&words), "{page} does not say: {words}");
    }
}

/// A number of six digits with a comma.
fn grouped(number: u64) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}

/// The same source gives the same module on every machine, without information about the build machine.
#[test]
fn the_module_holds_no_path_of_the_machine_that_built_it() {
    let bytes = std::fs::read(module()).expect("the module can be read");
    let home = std::env::var("HOME").unwrap_or_default();
    let workspace = workspace().display().to_string();
    for path in [home.as_str(), workspace.as_str(), "/.cargo/registry"] {
        assert!(
            path.len() < 2 || !contains(&bytes, path.as_bytes()),
            "the module holds {path}: build it with `make build`"
        );
    }
    assert!(contains(&bytes, b"/library/core/src/"), "a control: panic messages name source files");
}

/// Everyone with the source can verify a module: a build in another folder gives the same bytes.
#[test]
#[ignore = "a second build: make nightly"]
fn two_builds_in_two_folders_give_the_same_module() {
    let folder = copy_of_the_source();
    let mut make = Command::new("make");
    make.args(["--silent", "module"]).current_dir(folder.path()).env_remove("CARGO_TARGET_DIR");
    let output = apart(&mut make).output().expect("make starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [here, there] = [module(), folder.path().join("target/portcullis.wasm")]
        .map(|path| std::fs::read(path).expect("the module can be read"));
    assert!(
        here == there,
        "{} and {} bytes that differ: is the module older than the source?",
        here.len(),
        there.len()
    );
}

/// The switch of `src/filter/trap.rs` is only in the test build.
#[test]
fn the_module_has_no_trap_switch() {
    let has_switch = |path: std::path::PathBuf| {
        let bytes = std::fs::read(path).expect("the module can be read");
        contains(&bytes, THROWN)
    };
    assert!(!has_switch(module()), "built with the feature `trap-switch`: build it with `make build`");
    assert!(has_switch(trap_module()), "a control: build it with `make trap-module`");
}

/// Its message. The header's name is not a string in the module: it is compared word by word.
const THROWN: &[u8] = b"the trap switch was thrown";
