//! Tests of `portcullis diff` as a user runs it.

mod common;

/// Exit status and output of a comparison.
fn diff(old: &str, new: &str, arguments: &[&str]) -> (i32, String) {
    let files = [("old.yaml", old), ("new.yaml", new)];
    let arguments = [&["diff", "old.yaml", "new.yaml", "--now", "2026-12-01T00:00:00Z"], arguments].concat();
    let (code, output, error) = common::run(&files, &arguments, "");
    (code, format!("{output}{error}"))
}

#[test]
fn each_change_is_told_by_what_it_opens_and_closes() {
    let one = "consumers: [{name: ci, roles: [predict], keys: [{id: one, sha256: \
               2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b}]}]";
    let rule = "rules: [{path: /models/**, methods: [POST], roles: [predict]}]";
    for (old, new, said) in [
        ("{}", "{}", "no change in access\n"),
        ("description: a", "{version: 1}", "no change in access\n"),
        ("{}", "name: edge", "NEITHER\n  name: changed\n"),
        (
            "mode: enforce",
            "mode: report",
            "OPENS\n  mode: enforce -> report: EVERY REQUEST passes, whatever the rest of the policy says (new.yaml:1:7)\n\
             The new policy does not enforce: the other changes take effect once it does.\n",
        ),
        (
            "mode: disabled",
            "{}",
            "CLOSES\n  mode: disabled -> enforce: requests that the rest of the policy denies are now denied\n",
        ),
        (
            "public_paths: [/docs/**]",
            "public_paths: [/docs/*]",
            "CLOSES\n  paths: every method /docs, /docs/, /docs/*/, /docs/*/*/**: no key -> any key (old.yaml:1:16)\n",
        ),
        (
            "public_paths: [{path: /docs, methods: [GET]}]",
            "public_paths: [/docs]",
            "OPENS\n  paths: other methods /docs: any key -> no key (new.yaml:1:16)\n",
        ),
        (
            "public_paths: [/a/*, /a/b]",
            "public_paths: [/a/*]",
            "NEITHER\n  paths: changed, with the same effect on every kind of path\n",
        ),
        (
            "protected_paths: [/v2/**]",
            "{}",
            "CLOSES\n  paths: every method any other path, /: no key -> any key (old.yaml:1:18)\n",
        ),
        (rule, "{}", "OPENS\n  paths: POST /models/**: role predict -> any key (old.yaml:1:9)\n"),
        ("{}", rule, "CLOSES\n  paths: POST /models/**: any key -> role predict (new.yaml:1:9)\n"),
        (
            rule,
            "rules: [{path: /models/**, methods: [POST], roles: [predict, guest]}]",
            "OPENS\n  paths: POST /models/**: role predict -> role guest or predict (new.yaml:1:9)\n",
        ),
        (
            "trusted_networks: {ranges: [10.0.0.0/8]}",
            "trusted_networks: {ranges: [10.0.0.0/9, '::1']}",
            "OPENS\n  trusted_networks: ::1: no key is needed from there (new.yaml:1:28)\n\
             CLOSES\n  trusted_networks: 10.128.0.0/9: a key is needed from there (old.yaml:1:28)\n",
        ),
        (
            "trusted_networks: {ranges: [10.0.0.0/8]}",
            "trusted_networks: {ranges: [10.0.0.0/9, 10.128.0.0/9], client_address: remote_ip}",
            "OPENS\n  trusted_networks: client_address direct -> remote_ip: addresses that Envoy takes from headers are now trusted\n",
        ),
        (
            "trusted_networks: {ranges: [10.0.0.0/8]}",
            "trusted_networks: {ranges: [10.0.0.0/8], client_address: {filter_state: a}}",
            "MAY OPEN\n  trusted_networks: client_address direct -> filter_state a: other callers may be trusted\n\
             CLOSES\n  trusted_networks: client_address direct -> filter_state a: callers that were trusted may need a key\n",
        ),
        (
            "trusted_identities: [spiffe://a/ns/shop/sa/cart]",
            "trusted_identities: [spiffe://a/ns/shop/sa/*]",
            "OPENS\n  trusted_identities: spiffe://a/ns/shop/sa/* needs no key (new.yaml:1:22)\n",
        ),
        ("{}", "cors_preflight: allow", "OPENS\n  cors_preflight: preflights need no key\n"),
        (
            "{}",
            "key_sources: [bearer]",
            "MAY OPEN\n  key_sources: a second credential in header x-api-key was rejected, and is now ignored\n\
             CLOSES\n  key_sources: keys are no longer accepted in header x-api-key\n",
        ),
        (
            "{}",
            "upstream: {roles_header: x-roles}",
            "OPENS\n  upstream: x-portcullis-roles from callers is no longer removed: services must not trust it\n\
             CLOSES\n  upstream: x-roles from callers is removed\n\
             NEITHER\n  upstream: consumer, roles and key id are sent in x-portcullis-consumer, x-roles, x-portcullis-key-id (before: \
             x-portcullis-consumer, x-portcullis-roles, x-portcullis-key-id)\n",
        ),
        (
            "{}",
            one,
            "OPENS\n  keys: one of ci is added, with predict (new.yaml:1:49)\nNEITHER\n  consumers: ci is new\n",
        ),
        (
            one,
            &one.replace("id: one", "id: one, disabled: true"),
            "CLOSES\n  keys: one of ci is disabled (before: valid without expiry) (new.yaml:1:49)\n",
        ),
        (
            &one.replace("id: one", "id: one, expires: '2026-12-09T00:00:00Z'"),
            &one.replace("id: one", "id: one, expires: '2026-12-10T00:00:00Z'"),
            "OPENS\n  keys: one of ci is valid until 2026-12-10T00:00:00Z (before: valid until 2026-12-09T00:00:00Z) (new.yaml:1:49)\n",
        ),
        (
            &one.replace("id: one", "id: one, expires: '2026-01-09T00:00:00Z'"),
            "{}",
            "NEITHER\n  keys: one of ci is removed (old.yaml:1:49)\n  consumers: ci is gone\n",
        ),
        (
            one,
            &one.replace("2bb8", "2bb9"),
            "OPENS\n  keys: one of ci is a different key with the same id (new.yaml:1:49)\n\
             CLOSES\n  keys: one of ci is replaced by a different key with the same id (old.yaml:1:49)\n",
        ),
        (one, &one.replace("[predict]", "[predict, admin]"), "OPENS\n  roles: ci has the role admin\n"),
        (one, &one.replace("[predict]", "[]"), "CLOSES\n  roles: ci no longer has the role predict\n"),
    ] {
        let (code, output) = diff(old, new, &[]);
        assert_eq!((code, output.as_str()), (0, said), "{old} -> {new}");
        let opens = said.contains("OPEN");
        assert_eq!(diff(old, new, &["--fail-on-open"]).0, i32::from(opens), "{old} -> {new}");
    }
}

#[test]
fn the_stores_count_too() {
    let store = |mode: &str| {
        format!(
            r#"{{"version": 1, "mode_override": {mode}, "consumers": {{"ci": {{"keys": [
            {{"id": "one", "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}}]}}}}}}"#
        )
    };
    let files = [("p.yaml", "{}"), ("old.json", r#"{"version": 1}"#), ("new.json", &store("\"disabled\""))];
    let arguments = ["diff", "p.yaml", "p.yaml", "--old-store", "old.json", "--new-store", "new.json"];
    let (code, output, _) = common::run(&files, &arguments, "");
    assert!(code == 0 && output.contains("mode: enforce -> disabled (set in the store): EVERY REQUEST"), "{output}");
    assert!(output.contains("  keys: one of ci is added"), "{output}");
    assert!(output.contains(" (in the key store)\n"), "{output}");
    // The same one on both sides shows no change of keys.
    let files = [("a.yaml", "{}"), ("b.yaml", "{}"), ("keys.json", r#"{"version": 1}"#)];
    let (code, _, error) = common::run(&files, &["diff", "a.yaml", "b.yaml"], "");
    assert!(code == 0 && error.contains("a change of keys does not show without --old-store"), "{error}");
    let (_, _, error) = common::run(&files, &["diff", "a.yaml", "b.yaml", "--old-store", "a.json"], "");
    assert!(!error.contains("does not show"), "{error}");
}

#[test]
fn what_is_the_same_is_so_however_many_paths_it_has() {
    let paths: String = (0..900).map(|number| format!("  - /place{number}/x\n")).collect();
    let policy = format!("public_paths:\n{paths}");
    assert_eq!(
        diff(&policy, &format!("{policy}# the same\n"), &["--fail-on-open"]),
        (0, "no change in access\n".to_owned())
    );
}

#[test]
fn json_has_every_change() {
    let (code, output) = diff("{}", "public_paths: [/]", &["--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&output).expect("it is JSON");
    let change = &json["changes"][0];
    assert_eq!((code, &change["effect"], &change["about"]), (0, &"opens".into(), &"paths".into()));
    assert_eq!(
        (&change["what"], &change["place"]),
        (&"every method /: any key -> no key".into(), &"new.yaml:1:16".into())
    );
}

/// With the option, only what opens or may open fails; without it, nothing does. An input error is one with both.
#[test]
fn the_exit_status_is_the_same_in_both_outputs() {
    let networks = |address: &str| format!("trusted_networks: {{ranges: [10.0.0.0/8]{address}}}");
    let (direct, state) = (networks(""), networks(", client_address: {filter_state: a}"));
    for (old, new, effects, expected) in [
        ("{}", "public_paths: [/]", &["opens"][..], 1),
        ("{}", "mode: report", &["opens"], 1),
        ("public_paths: [/a]", "public_paths: [/b]", &["opens", "closes"], 1),
        (&direct, &state, &["may_open", "closes"], 1),
        ("public_paths: [/]", "{}", &["closes"], 0),
        ("{}", "name: edge", &["neither"], 0),
        ("{}", "{}", &[], 0),
    ] {
        for format in ["text", "json"] {
            let (code, _) = diff(old, new, &["--output", format]);
            assert_eq!(code, 0, "{old} -> {new}, {format}");
            let (code, output) = diff(old, new, &["--fail-on-open", "--output", format]);
            assert_eq!(code, expected, "{old} -> {new}: {output}");
            let (code, output) = diff(old, "mode: off", &["--fail-on-open", "--output", format]);
            assert!(code == 2 && output.starts_with("portcullis: new.yaml:1:7: "), "{output}");
        }
        let (_, output) = diff(old, new, &["--fail-on-open", "--output", "json"]);
        let json: serde_json::Value = serde_json::from_str(&output).expect("it is JSON");
        let changes = json["changes"].as_array().expect("a list");
        let mut found: Vec<&str> = changes.iter().filter_map(|change| change["effect"].as_str()).collect();
        found.dedup();
        assert_eq!(found, effects, "{old} -> {new}: those that open are first");
    }
}

#[test]
fn what_cannot_be_compared_is_told_with_its_place() {
    let (code, output) = diff("{}", "mode: off", &[]);
    assert!(code == 2 && output.starts_with("portcullis: new.yaml:1:7: "), "{output}");
    let (code, output, error) = common::run(&[], &["diff", "a.yaml", "b.yaml"], "");
    assert!(code == 2 && output.is_empty() && error.contains("cannot read the policy a.yaml"), "{error}");
}
