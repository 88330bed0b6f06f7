//! `portcullis lint`: every code by an example that fails and one that does not, and how findings are told.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

/// The value of PORTCULLIS_TOKEN, which no output may hold.
const TOKEN: &str = "pk_LintTestsOnly0123456789abcdefgh";

/// A part of a file replaced, so that lint finds something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    code: String,
    #[serde(rename = "in")]
    file: String,
    #[serde(default)]
    replace: String,
    #[serde(default)]
    with: String,
    /// A second replacement.
    also: Option<(String, String)>,
    /// Whether each occurrence is replaced, and not the first alone.
    #[serde(default)]
    everywhere: bool,
    #[serde(default)]
    arguments: Vec<String>,
    /// The permissions of the store.
    mode: Option<u32>,
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn examples() -> Vec<Example> {
    let text = fs::read_to_string(here().join("examples.yaml")).expect("the examples are there");
    serde_saphyr::from_str(&text).expect("they are examples")
}

/// A directory with the files that pass.
fn directory() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for name in ["policy.yaml", "keys.json", "envoy.yaml", "gate.yaml", "istio.yaml", "envoy-gateway.yaml"] {
        fs::copy(here().join(name), directory.path().join(name)).expect("a file in it");
    }
    permit(directory.path(), 0o600);
    directory
}

fn permit(directory: &Path, mode: u32) {
    fs::set_permissions(directory.join("keys.json"), fs::Permissions::from_mode(mode)).expect("its permissions");
}

/// Exit status, standard output and standard error of `portcullis lint`.
fn lint(directory: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let output = Command::cargo_bin("portcullis")
        .expect("the command is built")
        .arg("lint")
        .args(arguments)
        .current_dir(directory)
        .env("PORTCULLIS_TOKEN", TOKEN)
        .env("SHORT_TOKEN", "x7Gq")
        .env_remove("UNSET")
        .write_stdin(input)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

/// Which files lint looks at, for one of them.
fn arguments(file: &str) -> &'static [&'static str] {
    match file {
        "policy.yaml" | "keys.json" => &["policy.yaml"],
        "envoy.yaml" | "gate.yaml" => &["--envoy", "envoy.yaml", "--envoy", "gate.yaml"],
        "istio.yaml" => &["--envoy", "istio.yaml"],
        _ => &["--envoy", "envoy-gateway.yaml"],
    }
}

#[test]
fn every_code_has_an_example_that_passes_and_one_that_does_not() {
    let directory = directory();
    for file in ["policy.yaml", "envoy.yaml", "istio.yaml", "envoy-gateway.yaml"] {
        let (code, output, error) = lint(directory.path(), &[arguments(file), &["--strict"]].concat(), "");
        assert_eq!((code, error.as_str()), (0, ""), "{file}: {output}");
        assert!(output.lines().all(|line| line.contains(": 0 errors, 0 warnings")), "{file}: {output}");
    }
    for example in examples() {
        let directory = self::directory();
        let path = directory.path().join(&example.file);
        let mut text = fs::read_to_string(&path).expect("the file is there");
        let times = if example.everywhere { usize::MAX } else { 1 };
        for (from, to) in example.also.iter().map(|(from, to)| (from, to)).chain([(&example.replace, &example.with)]) {
            assert!(text.contains(from), "{example:?}: the part is there");
            text = text.replacen(from, to, times);
        }
        fs::write(&path, text).expect("the file is written");
        permit(directory.path(), example.mode.unwrap_or(0o600));
        let more: Vec<&str> = example.arguments.iter().map(String::as_str).chain(["--output", "json"]).collect();
        let (code, output, error) = lint(directory.path(), &[arguments(&example.file), &more].concat(), "");
        assert_eq!(error, "", "{example:?}");
        assert!(!output.contains(TOKEN), "{output}");
        let json: Value =
            serde_json::from_str(&output).unwrap_or_else(|error| panic!("{example:?}: {error}: {output}"));
        let found = json["findings"].as_array().expect("a list of findings");
        let found = found.iter().find(|finding| finding["code"] == example.code.as_str());
        let found = found.unwrap_or_else(|| panic!("{example:?}: {output}"));
        let is_error = found["severity"] == "error";
        assert_eq!(code, i32::from(is_error || json["errors"] != 0), "{example:?}: {output}");
        assert_eq!(found["page"], format!("docs/command/lint.md#{}", example.code));
        assert!(found["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{output}");
        let whole = ["broken-store", "store-readable", "no-gate"].contains(&example.code.as_str());
        assert!(whole || found["line"].as_u64().is_some_and(|line| line > 0), "{example:?}: {output}");
    }
}

#[test]
fn the_page_has_a_section_for_each_code_and_no_other() {
    let examples: BTreeSet<String> = examples().into_iter().map(|example| example.code).collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/command/lint.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let sections: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(sections, examples);
}
