//! Envoy accepts the configurations under `envoy/` unchanged, including their policies.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_tests::envoy::{Verdict, validate};
use portcullis_tests::paths;
use serde_json::Value;

/// The environment that the files need.
const ENVIRONMENT: [(&str, &str); 1] = [("PORTCULLIS_TOKEN", "shipped-suite-token")];

fn shipped() -> Vec<PathBuf> {
    let directory = paths::workspace().join("envoy");
    let entries = fs::read_dir(&directory).expect("envoy/ is there").map_while(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no YAML in {}", directory.display());
    files
}

/// The files refer to the module relative to the workspace, so Envoy runs there.
fn ask(file: &Path) -> Verdict {
    let module = paths::workspace().join("target/portcullis.wasm");
    assert!(module.is_file(), "{} is missing: run `make build`", module.display());
    validate(file, &paths::workspace(), &ENVIRONMENT)
}

#[test]
fn envoy_accepts_every_file() {
    for file in shipped() {
        let verdict = ask(&file);
        assert!(verdict.status.success(), "{}:\n{}", file.display(), verdict.output);
        assert!(!verdict.output.contains("deprecated"), "{}:\n{}", file.display(), verdict.output);
    }
}

/// Control: validation runs the filter, so a policy with an unknown member is refused.
#[test]
fn envoy_refuses_every_file_once_its_policy_is_broken() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for file in shipped() {
        let text = fs::read_to_string(&file).expect("a file that was listed");
        let copy = directory.path().join(file.file_name().expect("a file has a name"));
        fs::write(&copy, break_policy(&text)).expect("the directory takes a file");
        let verdict = ask(&copy);
        assert!(!verdict.status.success(), "{} is accepted with a broken policy", file.display());
        assert!(verdict.output.contains("unknown field `no_such_member`"), "{}:\n{}", file.display(), verdict.output);
    }
}

/// After a failure the gate restarts, and lets no request through until then. `FAIL_OPEN` would let every request
/// through, and `FAIL_CLOSED` would never recover (the suite `traps` shows both).
#[test]
fn every_gate_is_made_anew_after_a_failure() {
    for file in shipped() {
        let text = fs::read_to_string(&file).expect("a file that was listed");
        let document: Value = serde_saphyr::from_str(&text).expect("it is YAML");
        let mut gates = Vec::new();
        find_gates(&document, &mut gates);
        assert!(!gates.is_empty(), "{} has no gate", file.display());
        for gate in gates {
            assert_eq!(gate["failure_policy"], "FAIL_RELOAD", "{}", file.display());
            assert!(gate.get("fail_open").is_none(), "{}", file.display());
        }
    }
}

/// The plugin configurations: every object with a VM.
fn find_gates<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.extend(value.get("vm_config").map(|_| value));
    match value {
        Value::Object(members) => members.values().for_each(|member| find_gates(member, found)),
        Value::Array(items) => items.iter().for_each(|item| find_gates(item, found)),
        _ => {}
    }
}

/// The file with an unknown member after the `version` of its first policy.
fn break_policy(text: &str) -> String {
    let version = text.lines().find(|line| line.trim_start().starts_with("version: 1"));
    let version = version.expect("a policy in a Struct has a line `version: 1`");
    let indent = &version[..version.len() - version.trim_start().len()];
    text.replacen(version, &format!("{version}\n{indent}no_such_member: true"), 1)
}
