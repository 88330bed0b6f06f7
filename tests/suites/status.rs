//! `portcullis status` asks real Envoys: which policy each serves, what it refused, and which do not answer.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use portcullis_tests::bootstrap::Gate;
use portcullis_tests::fleet::{Fleet, policy, text};
use portcullis_tests::leash::Leashed;
use portcullis_tests::listener::Kind;
use portcullis_tests::paths::{self, workspace};
use portcullis_tests::poll;
use portcullis_tests::stage::{bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use serde_json::{Value, json};

/// The policy with the first key is `policy.yaml` in the working directory of the command.
fn status(arguments: &[&str], admins: &[SocketAddr]) -> (i32, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("policy.yaml"), first().to_string()).expect("a file in it");
    let output = Command::new(workspace().join("target/release/portcullis"))
        .arg("status")
        .args(arguments)
        .args(admins.iter().flat_map(|admin| ["--admin".to_owned(), admin.to_string()]))
        // Through a proxy, it would be another interface.
        .env("http_proxy", "http://127.0.0.1:1")
        .current_dir(directory.path())
        .output()
        .expect("the command is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

fn json_status(arguments: &[&str], admins: &[SocketAddr]) -> (i32, Value) {
    let (code, output, _) = status(&[arguments, &["--output", "json"]].concat(), admins);
    (code, serde_json::from_str(&output).expect("it is JSON"))
}

fn first() -> Value {
    policy("status", "status-first-key")
}

fn second() -> Value {
    policy("status", "status-second-key")
}

#[test]
fn an_admin_interface_at_a_socket_is_asked_as_any_other() {
    let upstream = Upstream::start();
    let mut document = bootstrap(vec![listener("main", Kind::Edge, &first())], &upstream).document();
    // Relative to Envoy's working directory, beside the sockets of its listeners.
    document["admin"] = json!({"address": {"pipe": {"path": "admin.sock"}}});
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("envoy.json"), document.to_string()).expect("a file in it");
    let mut command = Command::new(paths::envoy());
    command.current_dir(directory.path()).args(["--config-path", "envoy.json", "--disable-hot-restart"]);
    let log = std::fs::File::create(directory.path().join("log")).expect("a file in it");
    let _envoy = Leashed::start(&command, log);
    let socket = directory.path().join("admin.sock");
    let socket = socket.to_str().expect("its name is text");
    poll::until("Envoy answers", || {
        let (code, output, _) = status(&["--admin", socket], &[]);
        (code == 0 && output.contains("enforce")).then_some(())
    });
}

#[test]
fn many_envoys_are_grouped_and_compared_with_each_other() {
    let (one, other) = (serving(&first()), serving(&second()));
    let file = tempfile::NamedTempFile::new().expect("a file");
    let list = |count: usize, more: &str| {
        let lines = format!("# of the tests\n\n{}", format!("{}\n", admin(&one)).repeat(count));
        std::fs::write(file.path(), format!("{lines}{more}\n")).expect("it is written");
    };
    let file = file.path().to_str().expect("its name is text");
    list(12, "");
    let (code, output, _) = status(&["policy.yaml", "--admin-file", file], &[]);
    let row = output.lines().nth(1).unwrap_or_default();
    assert!(
        code == 0 && output.starts_with("ENVOYS ") && row.starts_with("12 ") && row.contains(" status "),
        "{output}"
    );
    assert!(output.contains("ok all serve policy.yaml"), "{output}");
    list(12, &admin(&other).to_string());
    let (code, output, _) = status(&["--admin-file", file], &[]);
    let told = "error gate status: the Envoys serve different policies: ";
    assert!(code == 1 && output.contains(told) && output.contains(" and 11 more, "), "{output}");
    let (code, json) = json_status(&["--admin-file", file], &[]);
    assert_eq!((code, json["envoys"].as_array().map(Vec::len)), (1, Some(13)), "{json}");
    assert!(json["differences"][0].as_str().is_some_and(|text| text.starts_with("gate status: ")), "{json}");
    list(0, "");
    let (code, _, error) = status(&["--admin-file", file], &[]);
    assert!(code == 2 && error.contains("has no address: expected one on each line"), "{error}");
    list(1, "tcp://a");
    let (code, _, error) = status(&["--admin-file", file], &[]);
    assert!(code == 2 && error.contains(":4: "), "{error}");
}

fn admin(fleet: &Fleet) -> SocketAddr {
    fleet.stage.envoy.admin().address()
}

fn serving(policy: &Value) -> Fleet {
    Fleet::start(&[("main", &text(policy))])
}

fn update(fleet: &mut Fleet, policy: &Gate, counter: &str) {
    let before = fleet.counters("main")[counter];
    fleet.update("main", policy);
    poll::until("the update is counted", || (fleet.counters("main")[counter] > before).then_some(()));
}

#[test]
fn envoys_that_serve_the_policy_of_the_files_are_well() {
    let (one, other) = (serving(&first()), serving(&first()));
    assert_eq!((one.status("main", "status-first-key"), one.status("main", "status-stranger")), (200, 401));
    let digest = format!("{:012x}", one.metric("status", "policy_digest").expect("a gauge"));
    let (code, output, error) = status(&["policy.yaml"], &[admin(&one), admin(&other)]);
    assert_eq!((code, error.as_str()), (0, ""), "{output}");
    for words in [
        format!("http://{}", admin(&one)),
        format!("http://{}", admin(&other)),
        "enforce".to_owned(),
        "allowed key 1".to_owned(),
        "denied unknown_key 1".to_owned(),
        format!("ok all serve policy.yaml, policy {digest}"),
    ] {
        assert!(output.contains(&words), "no `{words}` in:\n{output}");
    }
    // One worker, and the main thread.
    poll::until("all instances are counted", || (one.metric("status", "instances") == Some(2)).then_some(()));
    let loaded = one.metric("status", "loaded_at_seconds").expect("a gauge");
    let (code, answer) = json_status(&[], &[admin(&one)]);
    let envoy = &answer["envoys"][0];
    assert_eq!(
        (code, &envoy["gates"]),
        (
            0,
            &json!([{
                "name": "status", "digest": digest, "mode": "enforce", "keys": 1, "refused_entries": 0,
                "keys_by_state": {"usable": 1, "disabled": 0, "expired": 0, "not_yet_valid": 0},
                "instances": 2, "loaded_at": loaded, "next_key_expiry": 0,
                "decisions": {"allowed": {"key": 1}, "denied": {"unknown_key": 1}}, "key_uses": {},
            }])
        )
    );
    assert_eq!(envoy["updates"], json!([{"filter": "main", "version": "1", "refused": 0, "last_refused": null}]));
    assert!(envoy["version"].as_str().is_some_and(|version| version.starts_with("1.")), "{envoy}");
    assert!(envoy["uptime_seconds"].is_u64() && envoy["findings"] == json!([]), "{envoy}");
}

#[test]
fn the_uses_of_each_key_are_told_where_the_policy_asks_for_it() {
    let mut policy = first();
    policy["key_metrics"] = json!(true);
    policy["consumers"][0]["keys"] = json!([
        {"id": "used.twice", "plaintext": "status-first-key"},
        {"id": "never-used", "plaintext": "status-second-key"},
        {"id": "switched-off", "plaintext": "status-third-key", "disabled": true},
    ]);
    let fleet = serving(&policy);
    for (key, code) in [("status-first-key", 200), ("status-first-key", 200), ("status-third-key", 401)] {
        assert_eq!(fleet.status("main", key), code);
    }
    let (_, answer) = json_status(&[], &[admin(&fleet)]);
    assert_eq!(answer["envoys"][0]["gates"][0]["key_uses"], json!({"used.twice": 2}));
    let (_, output, _) = status(&[], &[admin(&fleet)]);
    assert!(output.lines().any(|line| line.ends_with("used.twice 2")), "{output}");
}

#[test]
fn an_envoy_that_serves_another_policy_is_told_apart() {
    let (right, wrong) = (serving(&first()), serving(&second()));
    let (code, output, _) = status(&["policy.yaml"], &[admin(&right), admin(&wrong)]);
    let digest = |fleet: &Fleet| format!("{:012x}", fleet.metric("status", "policy_digest").expect("a gauge"));
    let finding = format!(
        "error http://{}: gate status serves policy {}, but policy.yaml has policy {}: ",
        admin(&wrong),
        digest(&wrong),
        digest(&right)
    );
    assert_eq!(code, 1, "{output}");
    assert!(output.contains(&finding), "{output}");
    assert!(!output.contains(&format!("error http://{}", admin(&right))), "{output}");
    // Without a policy, they are compared with each other.
    let (code, output, _) = status(&[], &[admin(&right), admin(&wrong)]);
    assert!(code == 1 && output.contains("the Envoys serve different policies"), "{output}");
    assert_eq!(status(&[], &[admin(&wrong), admin(&wrong)]).0, 0);
}

/// The keys of a store that has vanished are served until somebody delivers the policy without them.
#[test]
fn a_store_that_may_have_vanished_is_told() {
    let mut more = first();
    let keys = more["consumers"][0]["keys"].as_array_mut().expect("a list");
    keys.push(json!({"id": "stored", "plaintext": "status-stored-key"}));
    let more = serving(&more);
    let (code, output, _) = status(&["policy.yaml"], &[admin(&more)]);
    let hint = "render and deliver it again; there is no key store beside it: if it has vanished, restore it first";
    assert!(code == 1 && output.contains(hint), "{output}");
    let (_, output, _) = status(&["policy.yaml"], &[admin(&serving(&second()))]);
    assert!(!output.contains("vanished"), "{output}");
}

#[test]
fn a_gate_of_another_name_is_not_the_one() {
    let fleet = serving(&policy("other", "status-first-key"));
    let (code, output, _) = status(&["policy.yaml"], &[admin(&fleet)]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("gate status of policy.yaml not found (gates: other)"), "{output}");
}

#[test]
fn a_refused_update_is_told_until_a_good_one_comes() {
    let mut fleet = serving(&first());
    let mut wrong = second();
    wrong["colour"] = json!("red");
    update(&mut fleet, &text(&wrong), "update_rejected");
    let (code, output, _) = status(&[], &[admin(&fleet)]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("filter main refused its last update, version 2: version 1 stays active;"), "{output}");
    let (_, answer) = json_status(&[], &[admin(&fleet)]);
    let updates = |refused: u64, last: Value, version: &str| json!([{"filter": "main", "version": version, "refused": refused, "last_refused": last}]);
    assert_eq!(answer["envoys"][0]["updates"], updates(1, json!("2"), "1"));

    update(&mut fleet, &text(&second()), "update_success");
    let (code, answer) = json_status(&[], &[admin(&fleet)]);
    assert_eq!((code, &answer["envoys"][0]["updates"]), (0, &updates(1, Value::Null, "3")), "{answer}");
}

#[test]
fn a_gate_without_a_policy_and_refused_keys_are_told() {
    let mut fleet = Fleet::start(&[("main", &Gate::Text("{".to_owned()))]);
    let (code, output, _) = status(&[], &[admin(&fleet)]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("no gate found: "), "{output}");
    assert!(output.contains("version 1: no policy is served, and every request is denied"), "{output}");

    let mut policy = first();
    policy["consumers"][0]["keys"] = json!([{"plaintext": "status-first-key"}, {"sha256": "9f86d0"}]);
    policy["mode"] = json!("report");
    update(&mut fleet, &text(&policy), "update_success");
    let (code, output, _) = status(&[], &[admin(&fleet)]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("gate status: 1 key entry is refused: Envoy's log says why"), "{output}");
    assert!(output.contains(" report ") && output.contains(" 1, 1 refused "), "{output}");
}

#[test]
fn who_does_not_answer_is_named_and_the_others_are_shown() {
    let fleet = serving(&first());
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port of the kernel");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port of the kernel");
    let silent_address = silent.local_addr().expect("it has an address");
    let stranger = Upstream::start();
    let admins = [closed, silent_address, stranger.address(), admin(&fleet)];
    let (code, output, error) = status(&["policy.yaml", "--timeout", "1"], &admins);
    assert_eq!((code, error.as_str()), (2, "portcullis: 3 of 4 Envoys did not answer\n"), "{output}");
    for (address, words) in [
        (closed, "it cannot be reached: Connection refused"),
        (silent_address, "it does not answer within 1 s"),
        (stranger.address(), "is this Envoy's admin interface?"),
    ] {
        let line = output.lines().find(|line| line.starts_with(&format!("error http://{address}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "no `{words}` in:\n{output}");
    }
    assert!(output.contains("enforce") && !output.contains("ok all serve"), "{output}");
    let (code, answer) = json_status(&["--timeout", "1"], &[closed, admin(&fleet)]);
    assert_eq!(
        (code, answer["envoys"][0]["gates"].is_null(), answer["envoys"][1]["gates"].is_array()),
        (2, true, true)
    );
}
