//! Where the policy comes from: files and tokens, live, and never opened by an accident.

use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis::keys::Digest;
use portcullis_tests::bytes::{contains, said};
use portcullis_tests::envoy::V4;
use portcullis_tests::http1::{Client, get};
use portcullis_tests::net::connect;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, poll, secrets};

use super::gate::{Gate, folder};
use super::{ELSEWHERE, KEY, SECOND, TOKEN, policy, store, www_authenticate};

#[test]
fn a_change_of_a_file_is_live_and_a_refused_one_is_told_and_changes_nothing() {
    let upstream = Upstream::start();
    let gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &["policy.yaml"], &[]);
    let statuses = || [KEY, SECOND].map(|key| gate.status("/v2", &[("x-api-key", key)]));
    assert_eq!(statuses(), [200, 401]);
    // The store is created after the policy.
    gate.write("keys.json", &store(SECOND));
    gate.waits_for("2 keys");
    poll::until("the key of the store works", || (statuses() == [200, 200]).then_some(()));
    for (text, told) in [
        (format!("{}colour: red\n", policy(KEY)), "unknown field `colour`"),
        (policy(KEY).replace("name: run", "name: 7"), "policy.yaml:1:7: "),
        ("consumers: [".to_owned(), "policy.yaml is not valid YAML"),
    ] {
        gate.write("policy.yaml", &text);
        gate.waits_for(told);
        gate.waits_for("The previous policy stays active");
        assert_eq!(statuses(), [200, 200], "{told}");
    }
    gate.write("policy.yaml", "name: run\nmode: report\n");
    gate.waits_for("warning: mode report");
    gate.write("keys.json", r#"{"version": 1, "mode_override": "disabled", "consumers": {}}"#);
    gate.waits_for("THE GATE IS OPEN");
    gate.waits_for("the store overrides the mode of the policy, which is report");
    gate.write("policy.yaml", &policy(SECOND));
    gate.write("keys.json", r#"{"version": 1, "consumers": {}}"#);
    poll::until("the first key is revoked", || (statuses() == [401, 200]).then_some(()));
}

/// Somebody edits the policy, while somebody else revokes a key.
#[test]
fn a_key_is_revoked_while_the_policy_is_invalid() {
    let upstream = Upstream::start();
    let (valid, invalid) = (policy(KEY), format!("{}colour: red\n", policy(KEY)));
    let files = [("policy.yaml", valid.as_str()), ("keys.json", &store(SECOND))];
    let gate = Gate::start(folder(&files), upstream.address(), &[], &[]);
    let status = |key| gate.status("/v2", &[("x-api-key", key)]);
    assert_eq!((status(KEY), status(SECOND)), (200, 200));
    gate.write("policy.yaml", &invalid);
    gate.waits_for("The previous policy stays active, without the keys that the store revokes");
    assert_eq!((status(KEY), status(SECOND)), (200, 200));
    // What it adds waits for a valid policy: another key, and a mode that denies less.
    let other = store(TOKEN).replace(r#""version""#, r#""mode_override": "report", "version""#);
    gate.write("keys.json", &other);
    poll::until("the key is revoked", || (status(SECOND) == 401).then_some(()));
    assert_eq!((status(KEY), status(TOKEN)), (200, 401));
    gate.waits_for("from the last valid policy.yaml with the keys of keys.json");
    gate.write("keys.json", &store(TOKEN));
    gate.write("policy.yaml", &valid);
    poll::until("the new key is live", || (status(TOKEN) == 200).then_some(()));
    assert_eq!((status(KEY), status(SECOND)), (200, 401));
    let told = || gate.said().matches("refused").count();
    let before = told();
    gate.write("policy.yaml", &invalid);
    poll::until("it is refused", || (told() > before).then_some(()));
    gate.write("policy.yaml", &valid);
    gate.waits_for("the files are valid again: the live policy has them already");
}

/// `run` sets `access_log`, which changes the digest.
#[test]
fn status_compares_with_the_policy_of_run() {
    let upstream = Upstream::start();
    let folder = folder(&[("policy.yaml", &policy(KEY))]);
    let file = folder.path().join("policy.yaml");
    let gate = Gate::start(folder, upstream.address(), &["--admin", "127.0.0.1:0"], &[]);
    let admin = gate.address("admin interface is at http://").to_string();
    let status = || {
        let command = [Path::new("status"), &file, Path::new("--admin"), Path::new(&admin)];
        Command::new(paths::command()).args(command).output().expect("the command starts")
    };
    let output = status();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // Another policy in the same file is another one for it, too: this one is refused, and never live.
    gate.write("policy.yaml", &format!("{}public_paths: [/x]\n", policy(KEY)));
    gate.waits_for("refused");
    gate.write("policy.yaml", &policy(SECOND));
    poll::until("the other policy is live", || (gate.status("/v2", &[("x-api-key", SECOND)]) == 200).then_some(()));
    assert_eq!(status().status.code(), Some(0));
}

#[test]
fn an_emptied_policy_and_a_vanished_store_are_told_and_change_nothing() {
    let upstream = Upstream::start();
    let files = [("policy.yaml", policy(KEY)), ("keys.json", store(SECOND))];
    let gate =
        Gate::start(folder(&files.each_ref().map(|(name, text)| (*name, &**text))), upstream.address(), &[], &[]);
    let statuses = || [KEY, SECOND].map(|key| gate.status("/v2", &[("x-api-key", key)]));
    let told = |words: &str| gate.said().matches(words).count();
    let is_told_again = |words: &str, change: &dyn Fn()| {
        let before = told(words);
        change();
        poll::until(words, || (told(words) > before).then_some(()));
    };
    for text in ["", "# a policy\n", "---\n"] {
        is_told_again("refused: policy.yaml is empty", &|| gate.write("policy.yaml", text));
        assert_eq!(statuses(), [200, 200], "{text}");
        gate.write("policy.yaml", &policy(KEY));
    }
    let here = gate.temporary().parent().expect("the folder").to_owned();
    fs::remove_file(here.join("keys.json")).expect("it is there");
    gate.waits_for("refused: the key store keys.json has vanished: restore it.");
    gate.waits_for("`portcullis keys remove --all --store keys.json`. The previous policy stays active");
    assert_eq!(statuses(), [200, 200]);
    // A change of the policy waits for the store too.
    is_told_again("has vanished", &|| gate.write("policy.yaml", &policy(KEY).replace("/healthz", "/v2")));
    assert_eq!(gate.status("/v2", &[]), 401);
    // It is repeated without a change, too.
    is_told_again("has vanished", &|| ());
    gate.write("policy.yaml", &policy(KEY));
    let removed = Command::new(paths::command()).args(["keys", "remove", "--all", "--yes"]).current_dir(&here).output();
    assert!(removed.is_ok_and(|output| output.status.success()));
    poll::until("the key of the store is revoked", || (statuses() == [200, 401]).then_some(()));
    gate.write("policy.yaml", "{}");
    gate.waits_for("mode enforce, 0 keys");
}

#[test]
fn a_placeholder_admits_nobody() {
    let upstream = Upstream::start();
    let placeholder = "${RUN_SUITE_KEY}";
    let keys = format!("keys: [{{plaintext: '{placeholder}'}}, {{env: RUN_SUITE_UNFILLED}}, {{plaintext: {KEY}}}]");
    let policy = policy(KEY).replace(&format!("keys: [{{plaintext: {KEY}}}]"), &keys);
    let gate = Gate::start(
        folder(&[("policy.yaml", &policy)]),
        upstream.address(),
        &[],
        &[("RUN_SUITE_UNFILLED", "changeme")],
    );
    gate.waits_for("invalid key entry skipped: consumers[0].keys[0]: invalid plaintext: a placeholder");
    gate.waits_for("consumers[0].keys[1]: invalid value of environment variable RUN_SUITE_UNFILLED: a placeholder");
    let statuses = [placeholder, "changeme", KEY].map(|key| gate.status("/v2", &[("x-api-key", key)]));
    assert_eq!(statuses, [401, 401, 200]);
}

#[test]
fn one_token_protects_a_deepaas_as_its_own_flag_would() {
    for (arguments, environment) in [
        (&["--auth-bearer-token", TOKEN][..], &[][..]),
        (&[], &[("DEEPAAS_AUTH_BEARER_TOKEN", TOKEN)]),
        (&["deepaas.conf"], &[]),
    ] {
        secrets::in_value(TOKEN);
        let upstream = Upstream::start();
        let more = [&["--admin", "127.0.0.1:0", "--public", "/v2/models/demo/health"], arguments].concat();
        let ini = format!("[DEFAULT]\nauth_bearer_token = {TOKEN}\n");
        let gate = Gate::start(folder(&[("deepaas.conf", &ini)]), upstream.address(), &more, environment);
        gate.waits_for("needs a key: /v2/models/**");
        gate.waits_for("public: every other path");
        gate.waits_for("local, without a key: nobody");
        for path in ["/", "/v2/", "/docs", "/v2/models/demo/health"] {
            assert_eq!(gate.status(path, &[]), 200, "{path}");
        }
        for path in ["/v2/models/", "/v2/models", "/v2/models/demo/predict", "/V2//models;x/demo"] {
            let reply = gate.send(V4, path, &[]);
            assert_eq!(
                (reply.status, www_authenticate(&reply).as_deref()),
                (401, Some("Bearer realm=\"portcullis\"")),
                "{path}"
            );
        }
        let wrong = gate.send(V4, "/v2/models/", &[("authorization", "Bearer run-suite-guess")]);
        assert_eq!(www_authenticate(&wrong).as_deref(), Some("Bearer realm=\"portcullis\", error=\"invalid_token\""));
        let right = format!("Bearer {TOKEN}");
        assert_eq!(gate.status("/v2/models/", &[("authorization", &right)]), 200);
        // Envoy only gets its digest: in its files, its command line, its environment and its admin interface.
        let digest = Digest::of(TOKEN.as_bytes()).to_hex();
        let files: Vec<Vec<u8>> = gate.files().into_iter().filter_map(|file| fs::read(file).ok()).collect();
        assert!(String::from_utf8_lossy(&files.concat()).contains(&digest), "a control: the policy is there");
        let helpers = gate.helpers();
        assert!(helpers.iter().any(|(_, command)| command.contains("--config-path")), "{helpers:?}");
        let environments = helpers.iter().filter_map(|(process, _)| process.environ().ok());
        let environments = environments.map(|environment| format!("{environment:?}").into_bytes());
        let commands = helpers.iter().map(|(_, command)| command.clone().into_bytes());
        let admin = connect(V4, gate.address("admin interface is at http://")).expect("the admin interface listens");
        let dump = Client::new(admin).send(&get("/config_dump?include_eds", &[])).expect("it replies").body;
        assert!(String::from_utf8_lossy(&dump).contains(&digest), "a control: the policy is in the dump");
        for bytes in files.into_iter().chain(environments).chain(commands).chain([dump]) {
            assert!(!contains(&bytes, TOKEN.as_bytes()), "the token is with Envoy");
        }
    }
}

#[test]
fn one_token_protects_every_path_but_those_that_are_named() {
    secrets::in_value(TOKEN);
    let upstream = Upstream::start();
    let gate = Gate::start(folder(&[]), upstream.address(), &["--bearer-token", TOKEN, "--public", "/health"], &[]);
    gate.waits_for("needs a key: every other path");
    gate.waits_for("public: /health");
    let right = format!("Bearer {TOKEN}");
    assert_eq!(gate.status("/health", &[]), 200);
    for path in ["/", "/v1/chat/completions", "/docs", "/v2/", "/v2/models/", "/health/more"] {
        assert_eq!(gate.status(path, &[]), 401, "{path}");
        assert_eq!(gate.status(path, &[("authorization", &right)]), 200, "{path}");
    }
}

#[test]
fn the_file_of_a_deepaas_is_live_and_never_opens_by_a_change() {
    let ini = |text: &str| format!("[DEFAULT]\n{text}\n");
    secrets::in_value(KEY);
    let upstream = Upstream::start();
    let first = ini(&format!("auth_bearer_token = {KEY}"));
    let gate = Gate::start(folder(&[("deepaas.conf", &first)]), upstream.address(), &["deepaas.conf"], &[]);
    let statuses =
        || [KEY, SECOND].map(|key| gate.status("/v2/models/", &[("authorization", &format!("Bearer {key}"))]));
    assert_eq!(statuses(), [200, 401]);
    gate.write("deepaas.conf", &ini("# auth_bearer_token ="));
    gate.waits_for("no auth_bearer_token in [DEFAULT]");
    assert_eq!(statuses(), [200, 401]);
    gate.write("deepaas.conf", &ini(&format!("auth_bearer_token = {SECOND}")));
    poll::until("the new token works", || (statuses() == [401, 200]).then_some(()));
}

#[test]
fn orchestras_file_is_served_as_it_is_and_live() {
    let file = |required: bool, key: &str| {
        format!(
            r#"{{"valid_keys": ["{key}"], "require_auth_for_external": {required}, "local_networks": ["127.0.0.1", "10.0.0.0/8"]}}"#
        )
    };
    for (arguments, environment) in [
        (&["--api-keys", "keys-of-orchestra.json"][..], &[][..]),
        (&[], &[("API_KEYS_FILE", "keys-of-orchestra.json")]),
    ] {
        let upstream = Upstream::start();
        let files = folder(&[("keys-of-orchestra.json", &file(true, KEY))]);
        secrets::in_value(KEY);
        let gate = Gate::start(files, upstream.address(), arguments, environment);
        let outside = |key: &str| gate.send(ELSEWHERE, "/infer", &[("x-api-key", key)]).status;
        assert_eq!(gate.status("/infer", &[]), 200, "local callers pass");
        let reply = gate.send(ELSEWHERE, "/infer", &[]);
        assert_eq!((reply.status, www_authenticate(&reply).as_deref()), (401, Some("ApiKey realm=\"portcullis\"")));
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(body.contains("Invalid or missing API key. Please provide a valid X-API-Key header."), "{body}");
        assert_eq!([KEY, SECOND].map(outside), [200, 401]);
        gate.write("keys-of-orchestra.json", &file(true, SECOND));
        poll::until("the new key works", || ([KEY, SECOND].map(outside) == [401, 200]).then_some(()));
        gate.write("keys-of-orchestra.json", &file(true, KEY).replace("valid_keys", "keys").replace('}', ""));
        gate.waits_for("The previous policy stays active");
        assert_eq!([KEY, SECOND].map(outside), [401, 200]);
        gate.write("keys-of-orchestra.json", &file(false, SECOND));
        gate.waits_for("THE GATE IS OPEN");
        poll::until("everybody passes", || (outside(KEY) == 200).then_some(()));
    }
}
