//! Limits of how many requests a consumer may make: those that `portcullis render envoy --limit` writes, and every
//! filter and trap in `docs/guides/limits.md`, on a real Envoy.
//!
//! Limits are per day, so that no test depends on how long it takes.

#[path = "limits/guesses.rs"]
mod guesses;
#[path = "limits/guide.rs"]
mod guide;
#[path = "limits/many.rs"]
mod many;
#[path = "limits/rendered.rs"]
mod rendered;

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use portcullis::keys::Digest;
use portcullis_tests::bytes::said;
use portcullis_tests::crd::documents;
use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::grpc_program::GrpcProgram;
use portcullis_tests::http1::{Client, get};
use portcullis_tests::message::Reply;
use portcullis_tests::net::connect;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, secrets};
use serde_json::Value;

/// Consumers and their roles, each with [a key](key).
const CONSUMERS: [(&str, &str); 5] =
    [("alice", ""), ("bob", ""), ("gold", "gold"), ("silver", "silver"), ("both", "silver, x.gold, gold")];

/// The rate limit service, with these limits, such as `consumer=3`.
fn rate_limits(limits: &[&str]) -> GrpcProgram {
    GrpcProgram::start(include_str!("../backends/rate_limits.py"), limits)
}

/// The key of a consumer.
fn key(consumer: &str) -> String {
    format!("limits-suite-key-of-{consumer}")
}

fn policy() -> String {
    let consumer = |(name, roles): (&str, &str)| {
        let digest = Digest::of(key(name).as_bytes()).to_hex();
        format!("- {{name: {name}, roles: [{roles}], keys: [{{sha256: \"{digest}\"}}]}}\n")
    };
    let consumers: String = CONSUMERS.into_iter().map(consumer).collect();
    format!("name: limits\npublic_paths: [/healthz]\nconsumers:\n{consumers}")
}

/// The output of `portcullis render` in a directory.
fn render(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(paths::command());
    let output = command.arg("render").args(arguments).current_dir(directory).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("it is text")
}

/// A bootstrap with these limits for [the consumers](CONSUMERS), in front of an upstream.
fn bootstrap(policy: &str, upstream: &Upstream, limits: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a temporary directory");
    fs::write(folder.path().join("policy.yaml"), policy).expect("a file in it");
    let (upstream, module) = (upstream.address().to_string(), paths::module().display().to_string());
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let arguments = [&["envoy", "--upstream", &upstream, "--module", &module], &listen[..]].concat();
    let limits: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    documents(&render(folder.path(), &[arguments, limits].concat())).remove(0)
}

/// The filters of the only listener.
fn filters(document: &mut Value) -> &mut Vec<Value> {
    let manager = &mut document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["http_filters"].as_array_mut().expect("a list")
}

/// A limiting Envoy in front of an upstream.
struct Limited {
    envoy: Envoy,
    _upstream: Upstream,
}

impl Limited {
    /// With these limits in a rendered bootstrap.
    fn rendered(limits: &[&str]) -> Self {
        Self::rendered_for(1, limits)
    }

    /// As [`Limited::rendered`], with that number of workers.
    fn rendered_for(workers: u32, limits: &[&str]) -> Self {
        Self::start(&policy(), limits, workers, |_| ())
    }

    /// As [`Limited::rendered`], with more members in the policy.
    fn with_policy(more: &str, limits: &[&str]) -> Self {
        Self::start(&format!("{}{more}", policy()), limits, 1, |_| ())
    }

    /// As [`Limited::rendered`], with a change of the bootstrap.
    fn changed(limits: &[&str], change: impl FnOnce(&mut Value)) -> Self {
        Self::start(&policy(), limits, 1, change)
    }

    fn start(policy: &str, limits: &[&str], workers: u32, change: impl FnOnce(&mut Value)) -> Self {
        let upstream = Upstream::start();
        let mut document = bootstrap(policy, &upstream, limits);
        change(&mut document);
        CONSUMERS.iter().for_each(|(name, _)| secrets::in_value(&key(name)));
        let options = Options { workers, ..Options::default() };
        Self { envoy: Envoy::start_with(&document, options), _upstream: upstream }
    }

    fn send(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send_from(V4, path, headers)
    }

    /// Sends a request over a new connection from that address.
    fn send_from(&self, address: IpAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut client: Client<TcpStream> =
            Client::new(connect(address, self.envoy.address("main", V4)).expect("Envoy listens"));
        client.send(&get(path, headers)).expect("Envoy replies")
    }

    /// The statuses of that many requests of a consumer.
    fn ask(&self, consumer: &str, times: usize) -> Vec<u16> {
        self.ask_with(consumer, times, &[])
    }

    /// As [`Limited::ask`], with more headers.
    fn ask_with(&self, consumer: &str, times: usize, more: &[(&str, &str)]) -> Vec<u16> {
        let key = key(consumer);
        let headers = [&[("x-api-key", key.as_str())], more].concat();
        (0..times).map(|_| self.send("/v2", &headers).status).collect()
    }
}
