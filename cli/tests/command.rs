//! The command as a user meets it: output, exit status, and what it never shows.

mod common;

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
    common::run(&[("policy.yaml", policy)], arguments, "")
}

#[test]
fn lint_passes_a_good_policy_and_fails_a_bad_one() {
    let (code, output, _) = run(POLICY, &["lint"]);
    assert!(code == 0 && output.starts_with("policy.yaml: 0 errors, 0 warnings, digest "), "{output}");
    for (policy, status, finding) in [
        ("public_path: [/]", 1, "error[refused] the document: unknown field `public_path`"),
        (
            "consumers: [{name: a, keys: [{sha256: abc}]}]",
            1,
            "error[refused-entry] consumers[0].keys[0]: sha256 is no SHA-256",
        ),
        (
            "consumers: [{name: a, keys: [{env: UNSET}]}]",
            0,
            "warning[unset-variable] consumers[0].keys[0]: environment variable",
        ),
        (
            "consumers: [{name: a, keys: [{plaintext: hunter2}]}]",
            0,
            "warning[plaintext-key] consumers[0].keys[0]: the key itself",
        ),
        (
            "consumers: [{name: a, keys: [{sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}]}]",
            0,
            "warning[empty-key]",
        ),
        (
            "consumers: [{name: a, keys: [{sha256: 209c6ca829ca9a6046ee97478da9a5a5ad2dc5c502730d3d8209341f1380b853}]}]",
            0,
            "warning[demo-key]",
        ),
        (
            &POLICY.replace("id: one", "id: one, expires: '2020-01-01T00:00:00Z'"),
            0,
            "warning[expired-key] consumers[0].keys[0]",
        ),
        (
            &POLICY.replace("[DELETE], roles: [admin]", "[DELETE], roles: [admim]"),
            0,
            "warning[unknown-role] rules[0].roles: no consumer has the role admim",
        ),
        ("name: empty", 0, "warning[no-keys] consumers: nobody has a key"),
        (
            "trusted_networks: {ranges: [localhost], client_address: remote_ip}\nmode: report",
            0,
            "warning[remote-ip] trusted",
        ),
    ] {
        let (code, output, _) = run(policy, &["lint"]);
        assert_eq!(code, status, "{policy}: {output}");
        assert!(output.starts_with(finding), "{policy}: {output}");
        assert!(!output.contains("hunter2"), "{output}");
    }
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
        (POLICY, &["check", "--path", "/", "--now", "today"], "portcullis: --now: today: is no date-time"),
        (
            "mode: off",
            &["check", "--path", "/"],
            "portcullis: policy.yaml:1:7: the gate would refuse this policy: mode: false is a",
        ),
        ("a: [hunter2", &["lint"], "portcullis: policy.yaml is not valid YAML"),
        (
            "mode: report\nmode: enforce",
            &["lint"],
            "portcullis: policy.yaml is not valid YAML: line 2 column 1: duplicate",
        ),
        ("static_resources: {}", &["lint"], "portcullis: policy.yaml is a whole configuration: give the policy alone"),
        (
            POLICY,
            &["check", "--path", "/", "--peer", "10.0.0.7"],
            "portcullis: --peer: 10.0.0.7: write it as ADDRESS:PORT",
        ),
        (POLICY, &["check", "--path", "v2"], "portcullis: --path: v2: begin it with /"),
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
