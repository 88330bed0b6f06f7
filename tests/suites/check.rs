//! `portcullis check` shows the same reply that a caller of a real Envoy gets, and the same request that the service
//! gets.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use portcullis_tests::listener::Kind;
use portcullis_tests::message::Pair;
use portcullis_tests::paths::workspace;
use portcullis_tests::stage::{Stage, listener, verdict};
use serde_json::{Value, json};

/// The output of the command for a request.
fn checked(policy: &Value, method: &str, path: &str, headers: &[(&str, &str)]) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("policy.yaml"), policy.to_string()).expect("a file in it");
    let mut command = Command::new(workspace().join("target/release/portcullis"));
    command.current_dir(directory.path()).args(["check", "--output", "json", "--peer", "127.0.0.1:1234"]);
    command.args(["--method", method, "--path", path, "--authority", "gate.test"]);
    for (name, value) in headers {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    let output = command.output().expect("the command is built");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn the_command_shows_what_envoy_does() {
    let policy = json!({
        "name": "check",
        "consumers": [{"name": "ci", "roles": ["predict"], "keys": [{"id": "one", "plaintext": "check-suite-key"}]}],
        "public_paths": ["/open"],
        "rules": [{"path": "/admin/**", "roles": ["admin"]}],
        "reply": {"realm": "models", "detail": "Der Schlüssel \"fehlt\", zu 100%."},
    });
    let stage = Stage::start(vec![listener("gate", Kind::Edge, &policy)]);
    let (key, grpc) = (("x-api-key", "check-suite-key"), ("content-type", "application/grpc"));
    for (method, path, headers) in [
        ("GET", "/open", &[][..]),
        ("GET", "/open", &[("x_portcullis_roles", "admin")]),
        ("GET", "/x", &[]),
        ("HEAD", "/x", &[]),
        ("POST", "/x", &[("authorization", "Bearer nobody")]),
        ("GET", "/x", &[key, ("authorization", "Bearer nobody")]),
        ("GET", "/x", &[key]),
        ("GET", "/%61dmin//x", &[key]),
        ("GET", "/a/%2e%2e/x", &[key]),
        ("POST", "/x", &[grpc]),
        ("POST", "/admin", &[grpc, key]),
        ("POST", "/a/../x", &[grpc]),
    ] {
        let said = checked(&policy, method, path, headers);
        let reply = stage.send("gate", method, path, headers).expect("Envoy replies");
        assert_eq!(verdict(&reply).1, text(&said["reason"]), "{method} {path}");
        let Some(expected) = said["outcome"]["reply"].as_object() else {
            let seen = stage.upstream.seen(&reply).expect("the upstream replies");
            let value =
                |name: &str| seen.headers.iter().find(|(header, _)| header == name.as_bytes()).map(|(_, value)| value);
            for edit in said["outcome"]["forward"].as_array().expect("edits") {
                match edit.get("set") {
                    Some(name) => {
                        assert_eq!(
                            value(text(name)).map(Vec::as_slice),
                            Some(text(&edit["value"]).as_bytes()),
                            "{edit}"
                        );
                    }
                    None => assert_eq!(value(text(&edit["remove"])), None, "{edit}"),
                }
            }
            continue;
        };
        assert_eq!(json!(reply.status), expected["status"], "{method} {path}");
        assert_eq!(String::from_utf8_lossy(&reply.body), text(&expected["body"]), "{method} {path}");
        let line = |(name, value): &Pair| json!([String::from_utf8_lossy(name), String::from_utf8_lossy(value)]);
        let sorted = |lines: Vec<Value>| lines.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        let mut got: Vec<_> = reply.headers.iter().map(line).collect();
        // Headers of Envoy, of the harness, and those that HTTP/1 adds to a gRPC reply, which the command shows as
        // HTTP/2.
        let own: &[&str] = if headers.contains(&grpc) {
            &["date", "server", "connection", "content-length"]
        } else {
            &["date", "server"]
        };
        got.retain(|line| !own.contains(&text(&line[0])) && !text(&line[0]).starts_with("x-test-"));
        assert_eq!(sorted(got), sorted(expected["headers"].as_array().expect("headers").clone()), "{method} {path}");
    }
}
