//! `portcullis run --log json`: each request and each message is an object on a line.

use portcullis_tests::bytes::said;
use portcullis_tests::poll;
use portcullis_tests::upstream::Upstream;
use serde_json::{Value, json};

use super::gate::{Gate, command, folder};
use super::{KEY, SECOND, policy, store};

/// The lines so far; fails if one is not an object.
fn lines(gate: &Gate) -> Vec<Value> {
    let said = gate.said();
    // The last line may be incomplete.
    let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let object = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.is_object() && value["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        value
    };
    whole.lines().map(object).collect()
}

/// Waits for a line with these members, and returns it.
fn waits_for(gate: &Gate, members: &Value) -> Value {
    let members = members.as_object().expect("an object");
    poll::until(&format!("{members:?}"), || {
        let has_all = |line: &Value| members.iter().all(|(name, value)| line.get(name) == Some(value));
        lines(gate).into_iter().find(has_all)
    })
}

/// The level of the message that begins with these words.
fn level(gate: &Gate, words: &str) -> String {
    poll::until(words, || {
        let begins = |line: &Value| line["message"].as_str().is_some_and(|message| message.starts_with(words));
        lines(gate).iter().find(|line| begins(line)).map(|line| line["level"].as_str().expect("text").to_owned())
    })
}

#[test]
fn each_request_is_an_object_without_its_credential() {
    let upstream = Upstream::start();
    let files = [("policy.yaml", policy(KEY)), ("keys.json", store(SECOND))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let gate = Gate::start(folder(&files), upstream.address(), &["--log", "json"], &[]);
    for (path, key, members) in [
        (
            "/healthz?api_key=run-suite-query",
            None,
            json!({"status": 200, "decision": "allow", "reason": "public_path", "path": "/healthz", "consumer": null}),
        ),
        ("/v2", None, json!({"status": 401, "decision": "deny", "reason": "no_credential", "key_id": null})),
        ("/v3", Some("run-suite-no-key"), json!({"status": 401, "decision": "deny", "reason": "unknown_key"})),
        (
            "/v2/a%2Fb",
            Some(KEY),
            json!({"status": 400, "decision": null, "reason": null, "details": "path_normalization_failed"}),
        ),
        (
            "/v4",
            Some(SECOND),
            json!({
                "status": 200, "decision": "allow", "reason": "key", "consumer": "ci", "key_id": "stored", "method": "GET",
                "details": "via_upstream",
            }),
        ),
    ] {
        let headers: Vec<_> = key.map(|key| ("x-api-key", key)).into_iter().collect();
        assert_eq!(gate.status(path, &headers), members["status"].as_u64().expect("a number") as u16);
        let line = waits_for(&gate, &members);
        assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
        assert!(line["duration_ms"].is_u64() && line.get("message").is_none(), "{line}");
    }
    assert!(!gate.said().contains("run-suite-query"), "{}", gate.said());
}

#[test]
fn each_message_is_an_object_with_a_level() {
    let upstream = Upstream::start();
    let mut gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &["--log", "json"], &[]);
    assert_eq!((level(&gate, "listening on http://"), level(&gate, "policy ")), ("info".into(), "info".into()));
    gate.write("policy.yaml", "colour: red\n");
    assert_eq!(level(&gate, "refused: policy.yaml:1:1: "), "error");
    gate.write("policy.yaml", "mode: report\n");
    assert_eq!(level(&gate, "mode report: "), "warning");
    gate.write("policy.yaml", "mode: disabled\n");
    assert_eq!(level(&gate, "WARNING: THE GATE IS OPEN."), "warning");
    gate.signal("TERM");
    assert_eq!(gate.ended(), Some(0), "{}", gate.said());
    assert_eq!(level(&gate, "stopped"), "info");

    let mut gate =
        Gate::run(folder(&[("envoy.yaml", "colour: red\n")]), &["--config", "envoy.yaml", "--log", "json"], &[]);
    assert_eq!(gate.ended(), Some(1));
    assert_eq!((level(&gate, "envoy: "), level(&gate, "Envoy ended by itself")), ("error".into(), "error".into()));

    let files = folder(&[]);
    let arguments = ["--upstream", "127.0.0.1:1", "gone.yaml", "--log", "json"];
    let output = command(files.path(), &arguments, &[]).output().expect("it starts");
    let text = said(&output);
    let line: Value = serde_json::from_str(text.trim_end()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((output.status.code(), &line["level"]), (Some(2), &json!("error")), "{line}");
}
