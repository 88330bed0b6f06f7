//! `portcullis lint` for other programs: SARIF, and annotations of GitHub.

mod common;

use serde_json::{Value, json};

/// The second key of `ops` is invalid: its column counts characters, not bytes.
const POLICY: &str = r#"consumers:
- name: ci
  keys: [{plaintext: hunter2-of-the-tests}]
- {name: ops, keys: [{env: UNSET, description: "😀"}, {sha256: ab}]}
"#;

/// A store that others can read: the finding has no line.
const STORE: &str = r#"{"version": 1, "consumers": {}}"#;

/// Exit status, standard output and standard error of lint on two files.
fn lint(arguments: &[&str]) -> (i32, String, String) {
    let files =
        [("policy.yaml", POLICY), ("keys.json", STORE), ("valid.yaml", "mode: enforce\n"), ("a b:ü.yaml", POLICY)];
    common::run(&files, &[&["lint"], arguments].concat(), "")
}

/// The log, which is valid by the schema that is beside the examples.
fn sarif(arguments: &[&str]) -> (i32, Value) {
    let (code, output, error) = lint(&[arguments, &["--output", "sarif"]].concat());
    assert_eq!(error, "");
    assert!(!output.contains("hunter2"), "{output}");
    let log: Value = serde_json::from_str(&output).expect("it is JSON");
    let schema: Value = serde_json::from_str(include_str!("lint/sarif.schema.json")).expect("it is JSON");
    let schema = jsonschema::validator_for(&schema).expect("it is a schema");
    let errors: Vec<String> =
        schema.iter_errors(&log).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}: {output}");
    (code, log)
}

#[test]
fn sarif_has_a_rule_and_a_place_for_each_finding() {
    let (code, log) = sarif(&["policy.yaml"]);
    let driver = &log["runs"][0]["tool"]["driver"];
    assert_eq!((code, &driver["version"]), (1, &json!(env!("CARGO_PKG_VERSION"))));
    let results = log["runs"][0]["results"].as_array().expect("a list");
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("a small one");
        assert_eq!(driver["rules"][index]["id"], result["ruleId"]);
        assert_eq!(driver["rules"][index]["defaultConfiguration"]["level"], result["level"]);
    }
    let find = |id: &str| results.iter().find(|result| result["ruleId"] == id).unwrap_or_else(|| panic!("{id}: {log}"));
    let refused = find("refused-entry");
    assert_eq!(
        (&refused["level"], refused["locations"][0]["physicalLocation"].to_string()),
        (
            &json!("error"),
            r#"{"artifactLocation":{"uri":"policy.yaml"},"region":{"startColumn":54,"startLine":4}}"#.to_owned()
        )
    );
    assert!(refused["message"]["text"].as_str().is_some_and(|text| text.contains("\nfix: ")), "{refused}");
    let readable = &find("store-readable")["locations"][0]["physicalLocation"];
    assert_eq!(readable, &json!({"artifactLocation": {"uri": "keys.json"}}));
    let rule = driver["rules"].as_array().expect("a list").iter().find(|rule| rule["id"] == "plaintext-key");
    let help = rule.expect("its rule")["help"]["text"].as_str().expect("text");
    assert!(help.starts_with("The key itself is in the policy"), "{help}");
}

#[test]
fn sarif_of_nothing_is_valid_and_a_file_is_a_uri() {
    let (code, log) = sarif(&["valid.yaml", "--store", "keys.json", "--allow", "no-keys", "--allow", "store-readable"]);
    assert_eq!(
        (code, &log["runs"][0]["results"], &log["runs"][0]["tool"]["driver"]["rules"]),
        (0, &json!([]), &json!([]))
    );
    let (_, log) = sarif(&["a b:ü.yaml"]);
    assert_eq!(log["runs"][0]["automationDetails"]["id"], "portcullis-lint/a%20b%3A%C3%BC.yaml/");
    assert!(log.to_string().contains(r#""artifactLocation":{"uri":"a%20b%3A%C3%BC.yaml"}"#), "{log}");
}

#[test]
fn an_annotation_of_github_is_a_line() {
    let (code, output, _) = lint(&["a b:ü.yaml", "--output", "github"]);
    let lines: Vec<&str> = output.lines().collect();
    let (last, annotations) = lines.split_last().expect("lines");
    assert!(code == 1 && last.starts_with("a b:ü.yaml: 1 error, "), "{output}");
    assert!(
        annotations.iter().all(|line| line.starts_with("::error file=") || line.starts_with("::warning file=")),
        "{output}"
    );
    let start = "::error file=a b%3Aü.yaml,line=4,col=54,title=refused-entry::consumers[1].keys[1]: ";
    assert!(annotations.iter().any(|line| line.starts_with(start) && line.contains("%0Afix: ")), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
    let valid = ["valid.yaml", "--allow", "no-keys", "--allow", "store-readable", "--output", "github"];
    let (code, output, _) = lint(&valid);
    assert!(code == 0 && output.starts_with("valid.yaml: 0 errors, 0 warnings, digest "), "{output}");
}

#[test]
fn the_exit_status_is_that_of_the_text() {
    for format in ["text", "json", "sarif", "github"] {
        for (arguments, expected) in
            [(&["policy.yaml"][..], 1), (&["valid.yaml"], 0), (&["valid.yaml", "--strict"], 1), (&["gone"], 2)]
        {
            let (code, output, _) = lint(&[arguments, &["--output", format]].concat());
            assert_eq!(code, expected, "{format} {arguments:?}: {output}");
        }
    }
}
