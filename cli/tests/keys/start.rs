//! `init` and `mode`.

use super::Place;

#[test]
fn a_start_opens_nothing_and_is_clean_once_there_is_a_key() {
    let place = Place::new();
    let done = place.run(&["init"], "");
    assert!(done.status == 0 && done.output.is_empty(), "{done:?}");
    for next in ["keys generate --consumer ci --expires 90d", "lint", "run --upstream 127.0.0.1:5000"] {
        assert!(done.error.contains(&format!("  portcullis {next}\n")), "{done:?}");
    }
    let done = place.run(&["check", "--path", "/"], "");
    assert_eq!((done.status, done.output.lines().next()), (1, Some("deny no_credential")));
    let key = place.generate(&["--consumer", "ci", "--expires", "90d"]);
    let lint = place.must(&["lint"]);
    assert!(lint.starts_with("policy.yaml: 0 errors, 0 warnings, "), "{lint}");
    let header = format!("X-API-Key: {key}");
    assert!(place.must(&["check", "--path", "/", "-H", &header]).starts_with("allow key\n"));
}

/// Each comment that is an example becomes one.
#[test]
fn what_the_start_shows_in_comments_is_right() {
    let place = Place::new();
    place.must(&["init"]);
    let is_example = |line: &str| line.starts_with("# ") && (line.ends_with(':') || line.starts_with("#   "));
    let text: Vec<_> = place
        .read("policy.yaml")
        .lines()
        .map(|line| if is_example(line) { line[2..].to_owned() } else { line.to_owned() })
        .collect();
    place.write("policy.yaml", &text.join("\n"));
    place.generate(&["--consumer", "ci"]);
    place.generate(&["--consumer", "ops", "--role", "admin"]);
    let lint = place.must(&["lint"]);
    assert!(lint.contains("policy.yaml: 0 errors, 0 warnings, "), "{lint}");
    assert!(place.must(&["check", "--path", "/healthz"]).starts_with("allow public_path\n"));
}

#[test]
fn a_start_overwrites_nothing_and_makes_its_directory() {
    let place = Place::new();
    place.must(&["init", "--directory", "a/b"]);
    assert!(place.read("a/b/keys.json").contains("\"consumers\": {"));
    let place = Place::new();
    place.write("policy.yaml", "mine");
    place.run(&["init"], "").says(0, "policy.yaml was there already, and is kept");
    assert_eq!(place.read("policy.yaml"), "mine");
    assert!(place.read("keys.json").contains("\"consumers\": {"));
    place.run(&["init"], "").says(2, "policy.yaml and keys.json already exist and are not overwritten: move them away");
    let done = place.run(&["init", "--directory", "conf"], "");
    done.says(0, "  portcullis keys --store conf/keys.json generate --consumer ci --expires 90d");
    done.says(0, "  portcullis lint conf/policy.yaml");
    // The store may have been created by `keys` before.
    let place = Place::new();
    let store = r#"{"version": 1, "mode_override": "disabled"}"#;
    place.write("keys.json", store);
    let done = place.run(&["init"], "");
    done.says(0, "keys.json was there already, and is kept");
    done.says(0, "created policy.yaml (edit it)");
    done.says(0, "keys.json overrides the mode of the policy: disabled");
    assert_eq!(place.read("keys.json"), store);
    assert!(place.path("policy.yaml").exists());
    // One that cannot be read is not a beginning.
    let place = Place::new();
    place.write("keys.json", "mine");
    place.run(&["init"], "").says(2, "keys.json");
    assert!(!place.path("policy.yaml").exists());
}

#[test]
fn the_mode_is_overridden_toggled_and_left_to_the_policy_again() {
    let place = Place::with_policy("mode: report\n");
    let mode = |action: &str| place.run(&["mode", action], "").error;
    place.must(&["mode", "policy"]);
    assert_eq!(place.must(&["mode", "status"]), "mode: report (from the policy)\n");
    assert_eq!(mode("enforce"), "portcullis: mode: enforce (set in the store; the policy has report)\n");
    assert!(
        mode("toggle")
            .starts_with("portcullis: mode: disabled: THE GATE IS OPEN, every request passes without a key (")
    );
    assert!(place.must(&["check", "--path", "/"]).starts_with("allow disabled\n"));
    assert!(mode("toggle").starts_with("portcullis: mode: enforce ("));
    assert_eq!(place.run(&["check", "--path", "/"], "").status, 1);
    assert!(mode("report").starts_with("portcullis: mode: report ("));
    assert!(mode("toggle").starts_with("portcullis: mode: disabled: "));
    let json: serde_json::Value =
        serde_json::from_str(&place.must(&["mode", "status", "--output", "json"])).expect("it is JSON");
    assert_eq!(
        (&json["mode"], &json["policy"], &json["override"]),
        (&"disabled".into(), &"report".into(), &"disabled".into())
    );
    assert_eq!(mode("policy"), "portcullis: mode: report (from the policy)\n");
    assert!(place.read("keys.json").contains("\"mode_override\": null"));
}

#[test]
fn a_gate_is_switched_also_where_its_policy_is_broken() {
    let place = Place::with_policy("mode: [");
    let done = place.run(&["mode", "disabled"], "");
    assert!(
        done.status == 0 && done.error.contains("cannot read the mode of the policy: policy.yaml is not valid YAML"),
        "{done:?}"
    );
    assert!(place.read("keys.json").contains("\"mode_override\": \"disabled\""));
    let place = Place::new();
    place.generate(&["--consumer", "ci"]);
    assert_eq!(place.run(&["mode", "policy"], "").error, "portcullis: mode: enforce (the default)\n");
    assert_eq!(place.run(&["mode", "report"], "").error, "portcullis: mode: report (set in the store)\n");
}

#[test]
fn bash_completes_the_commands() {
    let place = Place::new();
    place.write("completions", &place.must(&["completions", "bash"]));
    let complete = "source ./completions
        COMP_WORDS=(portcullis keys ro); COMP_CWORD=2
        $(complete -p portcullis | sed 's/.*-F \\([^ ]*\\) .*/\\1/') portcullis ro keys
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let bash = std::process::Command::new("bash").args(["--norc", "-c", complete]).current_dir(place.path("")).output();
    let output = bash.expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "rotate\n", "{output:?}");
}

/// Without a gate, there is no mode to change, and the command says so.
#[test]
fn without_a_policy_and_a_store_there_is_no_mode_to_change() {
    let place = Place::new();
    for action in ["enforce", "report", "disabled", "toggle", "policy", "status"] {
        place.run(&["mode", action], "").says(2, "key store keys.json not found");
    }
    assert!(place.names().is_empty(), "{:?}", place.names());
}
