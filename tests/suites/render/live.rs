//! Fresh renders on a real Envoy.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use portcullis::keys::Digest;
use portcullis_tests::bootstrap::replace;
use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::http1::{Client, request};
use portcullis_tests::message::{Reply, pairs};
use portcullis_tests::net::connect;
use portcullis_tests::tls::Authority;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, poll, secrets};
use serde_json::Value;
use tempfile::TempDir;

use super::{ENVIRONMENT, one, rendered};

const KEY: &str = "render-suite-key";
const SECOND: &str = "render-suite-second-key";

fn policy(key: &str, more: &str) -> String {
    let digest = Digest::of(key.as_bytes()).to_hex();
    format!(
        "name: rendered\nconsumers:\n- {{name: ci, keys: [{{sha256: \"{digest}\"}}]}}\npublic_paths: [/healthz]\n{more}"
    )
}

fn folder(policy: &str) -> TempDir {
    secrets::in_value(KEY);
    secrets::in_value(SECOND);
    let folder = tempfile::tempdir().expect("a temporary directory");
    fs::write(folder.path().join("policy.yaml"), policy).expect("a file in it");
    folder
}

/// The rendered bootstrap, in front of an upstream, on a port that the kernel chooses.
fn bootstrap(folder: &Path, upstream: &Upstream, more: &[&str]) -> Value {
    let upstream = upstream.address().to_string();
    let arguments = ["envoy", "--upstream", &upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    one(&rendered(folder, &[&arguments, more].concat()))
}

/// The same with the policy inline.
fn inline(folder: &Path, upstream: &Upstream, more: &[&str]) -> Value {
    let module = paths::module().display().to_string();
    bootstrap(folder, upstream, &[&["--module", &module], more].concat())
}

fn address(envoy: &Envoy) -> SocketAddr {
    envoy.address("main", V4)
}

fn send(envoy: &Envoy, path: &str, headers: &[(&str, &str)]) -> Reply {
    let bytes = request(b"GET", path.as_bytes(), b"gate.test", &pairs(headers), None);
    Client::new(connect(V4, address(envoy)).expect("Envoy listens")).send(&bytes).expect("Envoy replies")
}

fn status(envoy: &Envoy, path: &str, headers: &[(&str, &str)]) -> u16 {
    send(envoy, path, headers).status
}

#[test]
fn the_bootstrap_runs_and_asks_for_a_key() {
    let trusts = "trusted_networks: {ranges: [localhost]}\n";
    for (more, without_a_key) in [("", 401), (trusts, 200)] {
        let folder = folder(&policy(KEY, more));
        let upstream = Upstream::start();
        let envoy = Envoy::start(&inline(folder.path(), &upstream, &[]));
        for (path, headers, expected) in [
            ("/healthz", &[][..], 200),
            ("/v2/models", &[("x-api-key", KEY)], 200),
            ("/v2/models", &[("authorization", "Bearer render-suite-key")], 200),
            ("/v2/models", &[("x-api-key", SECOND)], if more.is_empty() { 401 } else { 200 }),
            ("/v2/models", &[], without_a_key),
            // A stated address does not make a caller local.
            ("/v2/models", &[("x-forwarded-for", "10.1.2.3")], 401),
            // The attacks that the listener is hardened against.
            ("/healthz/..%2fv2", &[], 400),
            ("/healthz", &[("x_api_key", "anything")], 400),
        ] {
            assert_eq!(status(&envoy, path, headers), expected, "{path} {headers:?} {more}");
        }
        let seen = upstream.since(0).expect("requests have passed");
        assert!(!seen.headers.iter().any(|(name, _)| name == b"x-api-key"), "the key ends at the gate");
        let reply = send(&envoy, "/healthz//../v2", &[]);
        assert_eq!(reply.status, without_a_key, "a path is settled before it is judged");
    }
}

#[test]
fn the_bootstrap_takes_keys_from_the_environment_and_reports_where_it_is_told_to() {
    let folder = folder("name: rendered\nconsumers: [{name: ops, keys: [{env: PORTCULLIS_TOKEN}]}]\n");
    let upstream = Upstream::start();
    let options = Options { environment: ENVIRONMENT, ..Options::default() };
    let envoy = Envoy::start_with(&inline(folder.path(), &upstream, &[]), options);
    let token = [("x-api-key", ENVIRONMENT[0].1)];
    assert_eq!((status(&envoy, "/v2", &token), status(&envoy, "/v2", &[])), (200, 401));
    drop(envoy);
    let envoy = Envoy::start_with(&inline(folder.path(), &upstream, &["--mode", "report"]), options);
    assert_eq!((status(&envoy, "/v2", &token), status(&envoy, "/v2", &[])), (200, 200));
    assert_eq!(envoy.admin().count("wasmcustom.portcullis.rendered.reported.no_credential"), Some(1));
}

#[test]
fn the_bootstrap_listens_with_tls() {
    let folder = folder(&policy(KEY, ""));
    let authority = Authority::new();
    for (name, pem) in ["chain.pem", "key.pem"].iter().zip(authority.server().pem()) {
        fs::write(folder.path().join(name), pem).expect("a file in it");
    }
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name).display().to_string());
    let upstream = Upstream::start();
    let envoy = Envoy::start(&inline(folder.path(), &upstream, &["--tls-cert", &chain, "--tls-key", &key]));
    for (headers, expected) in [(&[][..], 401), (&[("x-api-key", KEY)], 200)] {
        let stream = connect(V4, address(&envoy)).expect("Envoy listens");
        let session = authority.session(stream, None).expect("a session");
        let bytes = request(b"GET", b"/v2", b"gate.test", &pairs(headers), None);
        assert_eq!(Client::new(session).send(&bytes).expect("Envoy replies").status, expected);
    }
}

/// `render ecds --watch`, which ends with its owner.
struct Watching {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Watching {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(paths::command());
        command.arg("render").args(arguments).arg("--watch").current_dir(folder).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { child, said }
    }

    /// Waits for a line with these words.
    fn says(&mut self, words: &str) {
        let said = self.said.by_ref().map_while(Result::ok).any(|line| line.contains(words));
        assert!(said, "it ended without saying: {words}");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_change_of_the_files_reaches_a_running_envoy_and_a_refused_one_does_not() {
    let folder = folder(&policy(KEY, ""));
    let file = |name: &str| folder.path().join(name);
    fs::create_dir(file("gate")).expect("a directory in it");
    let [module, gate] = [paths::module(), file("gate/gate.yaml")].map(|path| path.display().to_string());
    let mut watching = Watching::start(folder.path(), &["ecds", "--module", &module, "-o", "gate/gate.yaml"]);
    watching.says("watching policy.yaml");

    let upstream = Upstream::start();
    let envoy = Envoy::start(&bootstrap(folder.path(), &upstream, &["--ecds", &gate]));
    let asks = |key| status(&envoy, "/v2", &[("x-api-key", key)]);
    assert_eq!((asks(KEY), asks(SECOND)), (200, 401));

    replace(folder.path(), "policy.yaml", &policy(SECOND, ""));
    poll::until("the new key works", || (asks(SECOND) == 200).then_some(()));
    assert_eq!(asks(KEY), 401, "and the old one no longer");

    replace(folder.path(), "policy.yaml", "public_path: []");
    watching.says("nothing is written");
    replace(folder.path(), "policy.yaml", "# nothing\n");
    watching.says("policy.yaml is empty");
    watching.says("nothing is written");
    replace(folder.path(), "policy.yaml", &policy(KEY, ""));
    poll::until("the first key works again", || (asks(KEY) == 200).then_some(()));
    let counters = envoy.admin().stats("extension_config_discovery.http_filter.portcullis.").expect("it answers");
    let count = |name: &str| counters[&format!("extension_config_discovery.http_filter.portcullis.{name}")];
    assert_eq!((count("config_fail"), count("update_success")), (0, 3), "Envoy never saw what the gate would refuse");

    // A key is added to the store, then revoked.
    let digest = Digest::of(SECOND.as_bytes()).to_hex();
    let store =
        format!(r#"{{"version": 1, "consumers": {{"ci": {{"keys": [{{"id": "second", "sha256": "{digest}"}}]}}}}}}"#);
    for (text, expected) in [(store.as_str(), 200), (r#"{"version": 1}"#, 401)] {
        replace(folder.path(), "keys.json", text);
        poll::until("the store takes effect", || (asks(SECOND) == expected).then_some(()));
        assert_eq!(asks(KEY), 200);
        // A store that has vanished revokes nothing.
        fs::remove_file(file("keys.json")).expect("it is there");
        watching.says("the key store keys.json has vanished: restore it");
        watching.says("nothing is written");
        assert_eq!((asks(KEY), asks(SECOND)), (200, expected));
    }
}
