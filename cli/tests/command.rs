//! The command as a user meets it: output, exit status, and what it never shows.

use std::fs;

use assert_cmd::Command;
use tempfile::TempDir;

const POLICY: &str = r#"
name: test
consumers:
  - name: ci
    roles: [predict]
    keys: [{id: one, sha256: "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}]   # of: secret
  - {name: ops, roles: [admin]}
public_paths: ["/"]
trusted_networks: {ranges: ["10.0.0.0/8"]}
rules: [{path: "/**", methods: [DELETE], roles: [admin]}]
"#;

/// Runs `portcullis` in a directory that holds `policy.yaml`; gives exit status, standard output and standard error.
fn run(policy: &str, arguments: &[&str]) -> (i32, String, String) {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("policy.yaml"), policy).expect("a file in it");
    let output = Command::cargo_bin("portcullis")
        .expect("the command is built")
        .args(arguments)
        .current_dir(directory.path())
        .env_remove("UNSET")
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

#[test]
fn check_says_what_the_gate_would_do() {
    for (arguments, status, first) in [
        (&["--path", "/"][..], 0, "allow public_path"),
        (&["--path", "/v2"], 1, "deny no_credential"),
        (&["--path", "/v2", "--header", "X-API-Key: secret"], 0, "allow key"),
        (&["--path", "/v2", "-H", "Authorization: Bearer secret"], 0, "allow key"),
        (&["--path", "/v2", "-H", "X-API-Key: other"], 1, "deny unknown_key"),
        (&["--path", "/v2", "-H", "X-API-Key: secret", "-H", "X-API-Key: secret"], 1, "deny multiple_credentials"),
        (&["--path", "/v2", "--method", "DELETE", "-H", "X-API-Key: secret"], 1, "deny missing_role"),
        (&["--path", "/v2", "--peer", "10.0.0.7:1234"], 0, "allow trusted_network"),
        (&["--path", "/v2", "--peer", "10.0.0.7:0"], 1, "deny no_credential"),
        (&["--path", "/v2", "--peer", "10.0.0.7:1234", "-H", "X-Forwarded-For: 127.0.0.1"], 1, "deny no_credential"),
        (&["--path", "/a/../b"], 1, "deny bad_request_target"),
    ] {
        let (code, output, _) = run(POLICY, &[&["check"], arguments].concat());
        assert_eq!(code, status, "{arguments:?}: {output}");
        assert_eq!(output.lines().next(), Some(first), "{arguments:?}");
        assert!(!output.contains("secret"), "{output}");
    }
}

#[test]
fn check_shows_the_reply_and_the_edits() {
    let (_, output, _) = run(POLICY, &["check", "--path", "/v2"]);
    assert!(output.contains("  status    401\n"), "{output}");
    assert!(output.contains("  header    www-authenticate: Bearer realm=\"portcullis\"\n"), "{output}");
    let (_, output, _) =
        run(POLICY, &["check", "--path", "/v2", "-H", "X-API-Key: secret", "-H", "X_Portcullis_Roles: admin"]);
    let edits = "  consumer  ci\n  key id    one\n  remove    x_portcullis_roles\n  remove    x-api-key\n  \
                 set       x-portcullis-consumer: ci\n  set       x-portcullis-roles: predict\n  set       x-portcullis-key-id: one\n";
    assert!(output.ends_with(edits), "{output}");
}

#[test]
fn check_prints_json() {
    let (code, output, _) = run(POLICY, &["check", "--path", "/v2", "-H", "X-API-Key: secret", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&output).expect("it is JSON");
    assert_eq!(
        (code, &json["decision"], &json["reason"], &json["consumer"]),
        (0, &"allow".into(), &"key".into(), &"ci".into())
    );
}

#[test]
fn in_report_mode_a_denied_request_goes_on() {
    let (code, output, _) = run(&format!("mode: report\n{POLICY}"), &["check", "--path", "/v2"]);
    assert_eq!((code, output.as_str()), (0, "report no_credential\n"));
}

#[test]
fn input_errors_say_what_to_do_and_show_no_key() {
    for (policy, arguments, message) in [
        (
            POLICY,
            &["check", "nowhere.yaml", "--path", "/"][..],
            "portcullis: cannot read the policy nowhere.yaml: No such file",
        ),
        (
            POLICY,
            &["check", "--path", "/", "-H", "hunter2"],
            "portcullis: --header number 1 has no colon: write it as 'Name: value'",
        ),
        (POLICY, &["check", "--path", "/", "--now", "today"], "portcullis: --now today: is no date-time"),
        (
            "mode: off",
            &["check", "--path", "/"],
            "portcullis: policy.yaml:1:7: the gate would refuse this policy: mode: false is a",
        ),
        ("a: [hunter2", &["check", "--path", "/"], "portcullis: policy.yaml is not valid YAML"),
        (
            "mode: report\nmode: enforce",
            &["check", "--path", "/"],
            "portcullis: policy.yaml is not valid YAML: line 2 column 1: duplicate",
        ),
        ("static_resources: {}", &["lint"], "portcullis: policy.yaml is a whole configuration: give the policy alone"),
        (
            POLICY,
            &["check", "--path", "/", "--peer", "10.0.0.7"],
            "portcullis: --peer 10.0.0.7: write it as ADDRESS:PORT",
        ),
        (POLICY, &["check", "--path", "v2"], "portcullis: --path v2: begin it with /"),
    ] {
        let (code, output, error) = run(policy, arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(error.starts_with(message), "{arguments:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn every_help_has_examples() {
    for command in ["check", "lint"] {
        let (code, output, _) = run("", &[command, "--help"]);
        assert!(code == 0 && output.contains("Examples:\n") && output.contains("Exit status:"), "{output}");
    }
}
