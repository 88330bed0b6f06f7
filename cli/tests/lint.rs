//! `portcullis lint`: tests every code with an example that passes and one that fails, and the format of findings.

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

fn once() -> usize {
    1
}

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
    /// How often `with` is put in, each time with another number of 64 digits for `NUMBER`.
    #[serde(default = "once")]
    times: usize,
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
    fs::create_dir(directory.path().join("platform")).expect("a folder in it");
    for name in ["platform/policy.yaml", "platform/team-a.yaml"] {
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
        "platform/policy.yaml" | "platform/team-a.yaml" => &["platform"],
        "istio.yaml" => &["--envoy", "istio.yaml"],
        _ => &["--envoy", "envoy-gateway.yaml"],
    }
}

#[test]
fn every_code_has_an_example_that_passes_and_one_that_does_not() {
    let directory = directory();
    for file in ["policy.yaml", "platform/policy.yaml", "envoy.yaml", "istio.yaml", "envoy-gateway.yaml"] {
        let (code, output, error) = lint(directory.path(), &[arguments(file), &["--strict"]].concat(), "");
        assert_eq!((code, error.as_str()), (0, ""), "{file}: {output}");
        assert!(output.lines().all(|line| line.contains(": 0 errors, 0 warnings")), "{file}: {output}");
    }
    for example in examples() {
        let directory = self::directory();
        let path = directory.path().join(&example.file);
        let mut text = fs::read_to_string(&path).expect("the file is there");
        let times = if example.everywhere { usize::MAX } else { 1 };
        let with: String =
            (0..example.times).map(|number| example.with.replace("NUMBER", &format!("{number:064}"))).collect();
        for (from, to) in example.also.iter().map(|(from, to)| (from, to)).chain([(&example.replace, &with)]) {
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

/// The shipped configurations, and the warnings that they have: placeholders and keys of a demonstration, a variable
/// that is set where Envoy runs, and what a file is about.
#[test]
fn no_shipped_configuration_has_an_error_and_each_warning_is_known() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy");
    let known = [
        ("compose.yaml", &["demo-key", "unset-variable"][..]),
        ("deepaas.yaml", &[]),
        ("envoy.yaml", &["demo-key"]),
        ("minimal.yaml", &["demo-key"]),
        ("orchestra.yaml", &["plaintext-key", "whole-private-network"]),
        ("sidecar-peer.yaml", &["demo-key", "whole-private-network"]),
        ("systemd/envoy.yaml systemd/gate.yaml", &["demo-key"]),
        ("envoy-gateway/gateway.yaml envoy-gateway/proxy.yaml", &["placeholder-digest"]),
        ("envoy-gateway/httproute.yaml", &["demo-key", "placeholder-digest"]),
        ("istio/forward-credential.yaml", &["demo-key", "forward-credential", "placeholder-digest"]),
        ("istio/gateway-api.yaml", &["demo-key", "placeholder-digest"]),
        ("istio/gateway.yaml", &["demo-key", "placeholder-digest"]),
        ("istio/mesh-wide.yaml istio/http-only.yaml", &["demo-key", "placeholder-digest"]),
        (
            "istio/namespace.yaml istio/mesh-config.yaml istio/strict-http.yaml",
            &["demo-key", "not-enforcing", "placeholder-digest"],
        ),
        ("istio/record-peer.yaml", &["demo-key", "placeholder-digest"]),
        ("istio/secret.yaml istio/strict-mtls.yaml", &["placeholder-digest"]),
        ("istio/traffic-extension.yaml", &["demo-key", "placeholder-digest"]),
        ("istio/trust-gateway.yaml", &["demo-key", "gateway-identity", "placeholder-digest"]),
        ("istio/waypoint.yaml", &["demo-key", "placeholder-digest"]),
        ("istio/workload.yaml", &["demo-key", "placeholder-digest", "unknown-role"]),
    ];
    let mut files = BTreeSet::new();
    for (together, warnings) in known {
        let arguments: Vec<&str> = together.split(' ').flat_map(|file| ["--envoy", file]).collect();
        let (code, output, error) = lint(&shipped, &[&arguments[..], &["--output", "json"]].concat(), "");
        assert_eq!((code, error.as_str()), (0, ""), "{together}: {output}");
        let json: Value = serde_json::from_str(&output).expect("it is JSON");
        let found = json["findings"].as_array().expect("a list of findings");
        let found: BTreeSet<&str> = found.iter().filter_map(|finding| finding["code"].as_str()).collect();
        assert_eq!(found, warnings.iter().copied().collect(), "{together}");
        files.extend(together.split(' ').map(|file| shipped.join(file)));
    }
    let folders = ["", "systemd", "envoy-gateway", "istio"].map(|folder| shipped.join(folder));
    let there = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
        .map(|entry| entry.expect("a file").path());
    let there: BTreeSet<PathBuf> =
        there.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    assert_eq!(
        files.iter().map(|file| file.components().collect::<PathBuf>()).collect::<BTreeSet<_>>(),
        there.iter().map(|file| file.components().collect()).collect()
    );
}

#[test]
fn a_finding_is_told_where_the_key_stands() {
    let directory = directory();
    let edit = |file: &str, from: &str, to: &str| {
        let path = directory.path().join(file);
        let text = fs::read_to_string(&path).expect("the file is there");
        assert!(text.contains(from), "{from} is in {file}");
        fs::write(path, text.replacen(from, to, 1)).expect("the file is written");
    };
    edit("policy.yaml", "env: PORTCULLIS_TOKEN", "plaintext: hunter2");
    edit("keys.json", "\"id\":\"ci-2\"", "\"id\":\"ci-2\",\"expires\":\"2020-01-01T00:00:00Z\"");
    let (code, output, _) = lint(directory.path(), &["policy.yaml", "--allow", "weak-key"], "");
    let start =
        "keys.json:6:7: warning[expired-key]: consumers[0].keys[1]: the key has expired (id ci-2)\n  fix: remove it";
    assert!(code == 0 && output.starts_with(start), "{output}");
    assert!(
        output.contains("\npolicy.yaml:13:5: warning[plaintext-key]: consumers[1].keys[0]: the key itself"),
        "{output}"
    );
    assert!(output.contains("\npolicy.yaml: 0 errors, 2 warnings, digest "), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
    assert_eq!(lint(directory.path(), &["--strict"], "").0, 1, "a warning fails where the command is strict");

    // What the gate refuses may stand in the store.
    fs::write(directory.path().join("odd.json"), "{\"version\": 1,\n \"consumers\": {\n  \"a,b\": {\"keys\": []}}}\n")
        .expect("the file is written");
    let (code, output, _) = lint(directory.path(), &["policy.yaml", "--store", "odd.json"], "");
    assert!(code == 1 && output.contains("odd.json:3:10: error[refused]: consumers["), "{output}");

    // In the text of a StringValue: line and column of the file around it.
    edit("gate.yaml", "\"consumers\":", "\"mode\": \"of\",\n            \"consumers\":");
    let (code, output, _) = lint(directory.path(), arguments("gate.yaml"), "");
    let told =
        "gate.yaml:17:21: error[refused]: mode: invalid mode \"of\"\n  fix: expected enforce, report or disabled\n";
    assert!(code == 1 && output.contains(told), "{output}");
}

#[test]
fn a_file_cannot_draw_over_what_is_found_in_it() {
    let directory = directory();
    let path = directory.path().join("envoy.yaml");
    let text = fs::read_to_string(&path).expect("the file is there");
    let name = "- {name: \"cache\\e[2K\", typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}\n";
    let gate = "          - name: portcullis\n";
    assert!(text.contains(gate));
    fs::write(&path, text.replacen(gate, &format!("          {name}{gate}"), 1)).expect("the file is written");
    let output = Command::cargo_bin("portcullis")
        .expect("the command is built")
        .args(["lint", "--envoy", "envoy.yaml"])
        .current_dir(directory.path())
        .env("CLICOLOR_FORCE", "1")
        .output()
        .expect("it runs");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("cache?[2K is before the gate"), "{output}");
}

#[test]
fn all_that_is_refused_is_told_at_once() {
    let policy = "mode: on\nname: a b\nconsumers:\n- {name: x, keys: [{sha256: ab}], colour: red}\nreply: {realm: 1}\nreplies: {}\n";
    let (code, output, _) = lint(TempDir::new().expect("a directory").path(), &["-"], policy);
    let places: Vec<&str> =
        output.lines().filter_map(|line| line.split_once(": error[refused]").map(|(place, _)| place)).collect();
    assert_eq!(
        (code, places.as_slice()),
        (1, &["/dev/stdin:1:7", "/dev/stdin:2:7", "/dev/stdin:4:35", "/dev/stdin:5:16", "/dev/stdin:6:1"][..]),
        "{output}"
    );
    let (code, output, _) = lint(TempDir::new().expect("a directory").path(), &["-"], "hunter2");
    assert!(code == 1 && output.contains("error[refused]") && !output.contains("hunter2"), "{output}");
    let (code, output, _) =
        lint(TempDir::new().expect("a directory").path(), &["--envoy", "-", "--output", "json"], "a: 1\na: hunter2\n");
    assert!(code == 1 && output.contains("\"syntax\"") && !output.contains("hunter2"), "{output}");
}

#[test]
fn what_cannot_be_read_or_allowed_is_an_input_error() {
    let directory = directory();
    for (arguments, message) in [
        (&["nowhere.yaml"][..], "portcullis: cannot read the policy nowhere.yaml: No such file"),
        (&["--store", "nowhere.json"], "portcullis: cannot read the key store nowhere.json: No such"),
        (&["--envoy", "nowhere.yaml"], "portcullis: cannot read the configuration nowhere.yaml: No such file"),
        (&["envoy.yaml"], "portcullis: envoy.yaml is a whole configuration: give only the policy"),
        (&["--allow", "fail-open"], "portcullis: --allow fail-open: errors cannot be hidden: fix it"),
        (&["--allow", "no-such-code"], "error: invalid value 'no-such-code' for '--allow <CODE>'"),
        (
            &["--soon", "14"],
            "error: invalid value '14' for '--soon <SPAN>': expected a number with s, min, h, d, w, mo (30 days) or y (365 days), such as 7d",
        ),
    ] {
        let (code, output, error) = lint(directory.path(), arguments, "");
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.starts_with(message), "{arguments:?}: {error}");
    }
}
