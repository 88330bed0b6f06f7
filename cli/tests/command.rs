//! Tests of the command as a user runs it: output, exit status, and what it never shows.

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
fn a_key_as_an_argument_is_refused_and_not_shown() {
    for arguments in [
        &["keys", "verify", "hunter2"][..],
        &["keys", "add", "--consumer", "ci", "hunter2"],
        &["keys", "remove", "hunter2"],
        &["keys", "list", "hunter2"],
        &["check", "policy.yaml", "hunter2", "--path", "/"],
        &["lint", "policy.yaml", "hunter2"],
        &["status", "policy.yaml", "hunter2"],
    ] {
        let files = [("policy.yaml", POLICY), ("keys.json", "{\"version\": 1, \"consumers\": {}}")];
        let (code, output, error) = common::run(&files, arguments, "");
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(!error.contains("hunter2"), "{arguments:?}: {error}");
    }
    let (_, _, error) = run(POLICY, &["lint", "--strickt"]);
    assert!(error.contains("unexpected argument '--strickt'"), "{error}");
}

#[test]
fn without_a_policy_every_command_says_how_to_come_by_one() {
    for arguments in [&["lint"][..], &["check", "--path", "/"], &["render", "filter"]] {
        let (code, _, error) = common::run(&[], arguments, "");
        let message = "portcullis: cannot read the policy policy.yaml (`portcullis init` writes one): No such file";
        assert!(code == 2 && error.starts_with(message), "{arguments:?}: {error}");
    }
}

/// As a failed `sops -d policy.enc > policy.yaml` leaves it.
#[test]
fn an_empty_policy_is_an_error_and_says_what_to_do() {
    for policy in ["", "\n", "# a policy\n", "---\n# a policy\n", "\u{feff}", "null\n"] {
        let files = [("policy.yaml", policy), ("other.yaml", POLICY)];
        for arguments in [
            &["check", "--path", "/"][..],
            &["diff", "policy.yaml", "other.yaml"],
            &["diff", "other.yaml", "policy.yaml"],
            &["render", "filter"],
            &["render", "policy"],
            &["keys", "generate", "--consumer", "ci"],
        ] {
            let (code, output, error) = common::run(&files, arguments, "");
            let message = "portcullis: policy.yaml is empty, perhaps because a command that should write it has failed: \
                           restore it, or write {} for a policy without any settings";
            assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
            assert!(error.starts_with(message), "{policy:?} {arguments:?}: {error}");
        }
        let (code, output, _) = common::run(&files, &["lint"], "");
        let finding = "policy.yaml:1:1: error[refused]: the policy is empty, perhaps because a command that should write \
                       it has failed\n  fix: restore it, or write {} for a policy without any settings\n";
        assert!(code == 1 && output.starts_with(finding), "{policy:?}: {output}");
    }
    for arguments in [&["lint"][..], &["render", "policy"]] {
        let (code, output, error) = common::run(&[("policy.yaml", "{}")], arguments, "");
        assert_eq!(code, 0, "an empty policy that is meant: {output}{error}");
    }
}

/// A broken link is not a policy without a store.
#[test]
fn a_store_that_cannot_be_reached_is_an_error() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("policy.yaml"), POLICY).unwrap();
    std::os::unix::fs::symlink("nowhere.json", directory.path().join("keys.json")).unwrap();
    for arguments in [&["lint"][..], &["check", "--path", "/"], &["render", "filter"]] {
        let mut command = assert_cmd::Command::cargo_bin("portcullis").unwrap();
        let output = command.args(arguments).current_dir(directory.path()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains("key store keys.json"), "{error}");
    }
}

#[test]
fn run_is_not_open_by_accident() {
    let run = ["run", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--envoy", "./nowhere"];
    let (code, _, error) = common::run(&[("api_keys.json", "{}")], &run, "");
    let told = "portcullis: found api_keys.json, but no policy.yaml: use --api-keys api_keys.json, or name a policy";
    assert!(code == 2 && error.starts_with(told), "{error}");
    for (variable, arguments, message) in [
        ("DEEPAAS_AUTH_BEARER_TOKEN", &[][..], "portcullis: DEEPAAS_AUTH_BEARER_TOKEN is set but empty: "),
        ("API_KEYS_FILE", &[], "portcullis: API_KEYS_FILE is set but empty: "),
        ("UNSET", &["/dev/null"], "portcullis: /dev/null: expected a regular file"),
        ("UNSET", &["."], "portcullis: cannot read the policy ./policy.yaml (`portcullis init` writes one): "),
    ] {
        let directory = tempfile::TempDir::new().unwrap();
        let mut command = assert_cmd::Command::cargo_bin("portcullis").unwrap();
        let command = command.args(run).args(arguments).env(variable, "").current_dir(directory.path());
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.starts_with(message), "{error}");
    }
}

/// Where a name is expected, a key may be given by mistake.
#[test]
fn no_message_shows_a_generated_key() {
    let key = format!("pk_{}_{}", "a1".repeat(16), "0Zz9Aa");
    let files = [("policy.yaml", POLICY), ("keys.json", r#"{"version": 1}"#)];
    for arguments in [
        &["check", "--path", "/x", "--key", &key][..],
        &["keys", "list", "--consumer", &key],
        &["keys", "verify", "--file", &key],
        &["consumers", "remove", &key],
        &["mode", &key],
        &["status", &key],
        &["keys", &key],
        &[&key],
        &["lint", &key, &key],
        &["run", &key, "--upstream", "127.0.0.1:1"],
    ] {
        let (code, output, error) = common::run(&files, arguments, "");
        assert!(code == 2 && output.is_empty() && !error.contains(&key), "{arguments:?}: {error}");
    }
}

#[test]
fn options_of_other_commands_are_explained() {
    for (arguments, tip) in [
        (&["run", "--policy", "p.yaml", "--upstream", "127.0.0.1:1"][..], "the policy is an argument here"),
        (&["lint", "--policy", "p.yaml"], "the policy is an argument here"),
        (&["keys", "disable", "--id", "x"], "the id of a key is an argument here"),
        (&["keys", "list", "--json"], "tip: --output json"),
    ] {
        let (code, _, error) = common::run(&[], arguments, "");
        assert!(code == 2 && error.contains(tip) && !error.contains("similar argument"), "{error}");
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
            "portcullis: --header number 1: invalid header (not shown, it may be a key): expected 'Name: value'",
        ),
        (
            POLICY,
            &["check", "--path", "/", "--now", "today"],
            "error: invalid value 'today' for '--now <WHEN>': expected a span such as 90d",
        ),
        (
            "mode: off",
            &["check", "--path", "/"],
            "portcullis: policy.yaml:1:7: the gate would refuse this policy: mode: found a boolean",
        ),
        ("a: [hunter2", &["check", "--path", "/"], "portcullis: policy.yaml is not valid YAML"),
        (
            "mode: report\nmode: enforce",
            &["check", "--path", "/"],
            "portcullis: policy.yaml is not valid YAML: line 2 column 1: duplicate",
        ),
        ("static_resources: {}", &["lint"], "portcullis: policy.yaml is a whole configuration: give only the policy"),
        (
            POLICY,
            &["check", "--path", "/", "--peer", "10.0.0.7"],
            "portcullis: --peer: invalid peer address \"10.0.0.7\": expected ADDRESS:PORT",
        ),
        (
            POLICY,
            &["check", "--path", "v2"],
            "portcullis: --path: invalid path \"v2\": expected a path that begins with /",
        ),
    ] {
        let (code, output, error) = run(policy, arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(error.starts_with(message), "{arguments:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
