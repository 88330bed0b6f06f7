//! Behaviour of Envoy that the documents rely on and that no other suite shows, so that differences of another version
//! are found. The table "What differs" of docs/compatibility.md lists the tests that fail on some version.

#[path = "facts/headers.rs"]
mod headers;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use portcullis_tests::bootstrap::{Bootstrap, Gate, Listener, publish, replace, watched};
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::fleet::policy;
use portcullis_tests::listener::Kind;
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::wire_engine::Form;
use portcullis_tests::{http1, paths, poll};
use serde_json::{Value, json};

const FILE: &str = "gate.json";

/// An Envoy whose gate, configured by filesystem ECDS, takes its key from the VM's environment.
struct Rotation {
    stage: Stage,
    bootstrap: Bootstrap,
    directory: tempfile::TempDir,
}

impl Rotation {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let upstream = Upstream::start();
        let gate = Gate::Discovered { directory: directory.path().to_owned(), file: FILE.to_owned() };
        let listeners = vec![Listener { name: "main".to_owned(), kind: Kind::Edge, gate, tls: None }];
        let mut bootstrap = bootstrap(listeners, &upstream);
        bootstrap.environment = variable("facts-first-key");
        write(directory.path(), &bootstrap, "portcullis", "before");
        let envoy = Envoy::start(&bootstrap.document());
        let rotation = Self { stage: Stage { envoy, upstream }, bootstrap, directory };
        assert_eq!(rotation.statuses(), [200, 401], "a control: the gate has the first key");
        rotation
    }

    /// Gives the gate the second key, in a VM with that id, and a policy with that realm. Returns the replies to the
    /// first and the second key after the update.
    fn rotate(mut self, vm_id: &str, realm: &str) -> [u16; 2] {
        self.bootstrap.environment = variable("facts-second-key");
        write(self.directory.path(), &self.bootstrap, vm_id, realm);
        let name = "extension_config_discovery.http_filter.main.update_success";
        poll::until("the update is taken", || (self.stage.envoy.admin().count(name) == Some(2)).then_some(()));
        // A worker applies a pending update before it answers, so the second answer is from the new policy.
        self.statuses();
        self.statuses()
    }

    fn statuses(&self) -> [u16; 2] {
        ["facts-first-key", "facts-second-key"].map(|key| self.stage.ask("main", "/x", &[("x-api-key", key)]).0)
    }
}

fn variable(key: &str) -> Vec<(String, String)> {
    vec![("FACTS_KEY".to_owned(), key.to_owned())]
}

fn write(directory: &Path, bootstrap: &Bootstrap, vm_id: &str, realm: &str) {
    let policy = json!({
        "version": 1,
        "consumers": [{"name": "ci", "keys": [{"env": "FACTS_KEY"}]}],
        "reply": {"realm": realm},
    });
    let mut document = bootstrap.discovery("main", realm, &Form::Text.gate(&policy));
    document["resources"][0]["typed_config"]["config"]["vm_config"]["vm_id"] = json!(vm_id);
    replace(directory, FILE, &document.to_string());
}

/// Fixed in Envoy 1.39: before, the environment was not part of a VM's identity.
#[test]
fn a_change_of_the_environment_alone_takes_effect() {
    assert_eq!(Rotation::start().rotate("portcullis", "before"), [401, 200]);
}

#[test]
fn a_change_of_the_environment_and_the_policy_takes_effect() {
    assert_eq!(Rotation::start().rotate("portcullis", "after"), [401, 200]);
}

/// The remedy that works on every version.
#[test]
fn a_change_of_the_environment_and_the_id_of_the_vm_takes_effect() {
    assert_eq!(Rotation::start().rotate("portcullis-2", "before"), [401, 200]);
}

/// An Envoy with one gate, whose document `change` has modified.
fn changed(policy: &Value, module: PathBuf, change: impl FnOnce(&mut Value)) -> Stage {
    let upstream = Upstream::start();
    let mut parts = bootstrap(vec![listener("main", Kind::Edge, policy)], &upstream);
    parts.module = module;
    let mut document = parts.document();
    change(&mut document);
    Stage { envoy: Envoy::start(&document), upstream }
}

/// The connection manager of the only listener.
fn manager(document: &mut Value) -> &mut Value {
    &mut document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The plugin configuration of the gate in it.
fn plugin(document: &mut Value) -> &mut Value {
    let filters = manager(document)["http_filters"].as_array_mut().expect("filters");
    let gate = filters.iter_mut().find(|filter| filter["name"] == "portcullis").expect("a gate");
    &mut gate["typed_config"]["config"]
}

/// SECURITY.md warns about it.
#[test]
fn a_route_can_leave_the_gate_out() {
    let stage = changed(&policy("main", "facts-key"), paths::module(), |document| {
        let routes = &mut manager(document)["route_config"]["virtual_hosts"][0]["routes"];
        let open = json!({
            "match": {"prefix": "/open"},
            "route": {"cluster": "upstream"},
            "typed_per_filter_config": {"portcullis": {
                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
                "disabled": true
            }}
        });
        routes.as_array_mut().expect("routes").insert(0, open);
    });
    assert_eq!(stage.ask("main", "/open", &[]), (200, "-".to_owned()), "not the gate's decision");
    assert_eq!(stage.ask("main", "/x", &[]).0, 401, "a control");
}

/// Envoy does so after header edits of a module with this ABI version: routes can match the consumer.
#[test]
fn the_route_is_selected_again_with_the_identity_headers() {
    let stage = changed(&policy("main", "facts-key"), paths::module(), |document| {
        let routes = &mut manager(document)["route_config"]["virtual_hosts"][0]["routes"];
        let by_consumer = json!({
            "match": {
                "prefix": "/",
                "headers": [{"name": "x-portcullis-consumer", "string_match": {"exact": "ci"}}]
            },
            "direct_response": {"status": 203}
        });
        routes.as_array_mut().expect("routes").insert(0, by_consumer);
    });
    assert_eq!(stage.ask("main", "/x", &[("x-api-key", "facts-key")]).0, 203);
    let forged = [("x-portcullis-consumer", "ci")];
    assert_eq!(stage.ask("main", "/x", &forged).0, 401, "a control: the gate stands before every route");
}

/// A request sent after one that asks for an upgrade: Envoy and the gate do not treat it as a request, so if it reaches
/// the upstream as one, no gate has decided about it. The upstream declines upgrades. Returns the reply to the first
/// request, and the number of requests that the upstream received.
fn behind_an_upgrade(allowed: &[&str], protocol: &str) -> (u16, usize) {
    let policy = json!({"version": 1, "public_paths": ["/open"]});
    let stage = changed(&policy, paths::module(), |document| {
        let allowed = allowed.iter().map(|protocol| json!({"upgrade_type": protocol}));
        manager(document)["upgrade_configs"] = allowed.collect();
    });
    let upgrade = http1::get("/open", &[("connection", "upgrade"), ("upgrade", protocol)]);
    let inside = http1::get("/inside", &[]);
    let stream = connect(V4, stage.envoy.address("main", V4)).expect("Envoy listens");
    let mut client = http1::Client::new(stream);
    let reply = client.send(&[upgrade, inside].concat()).expect("a reply");
    let end = client.send(b"").expect_err("no second reply, but the end of the connection").kind();
    assert!(matches!(end, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{end}");
    assert_eq!(stage.ask("main", "/inside", &[]).0, 401, "a control: the gate lets nobody there");
    assert_eq!(stage.ask("main", "/open", &[]).0, 200, "whoever reached the upstream before this one has been let in");
    let Stage { envoy, upstream } = stage;
    drop(envoy);
    poll::until("the upstream has read all that Envoy sent", || upstream.is_alone().then_some(()));
    (reply.status, upstream.count() - 1)
}

#[test]
fn an_upgrade_that_the_listener_does_not_have_does_not_reach_the_upstream() {
    assert_eq!(behind_an_upgrade(&[], "other"), (403, 0));
}

#[test]
fn nothing_behind_a_declined_websocket_reaches_the_upstream() {
    assert_eq!(behind_an_upgrade(&["websocket"], "websocket"), (200, 1));
}

/// CVE-2026-73548.
#[test]
fn nothing_behind_another_declined_upgrade_reaches_the_upstream() {
    assert_eq!(behind_an_upgrade(&["other"], "other"), (200, 1));
}

/// The documents warn about this: a gate without a failure policy does not recover.
#[test]
fn without_a_failure_policy_a_stopped_gate_lets_nobody_in_ever_again() {
    let stage = changed(&policy("main", "facts-key"), paths::trap_module(), |document| {
        plugin(document).as_object_mut().expect("a plugin").remove("failure_policy").expect("the harness sets one");
    });
    let ask = |headers: &[(&str, &str)]| stage.ask("main", "/x", headers).0;
    assert_eq!(ask(&[("x-api-key", "facts-key")]), 200);
    assert_eq!(ask(&[("x-portcullis-trap", "undecided")]), 503);
    for _ in 0..3 {
        assert_eq!((ask(&[("x-api-key", "facts-key")]), ask(&[])), (503, 503));
    }
}

/// `FAIL_RELOAD` on an Envoy that is too old for it: Envoy rejects the configuration, and does not run a different
/// gate.
#[test]
fn envoy_does_not_start_with_a_failure_policy_that_it_does_not_know() {
    let upstream = Upstream::start();
    let parts = bootstrap(vec![listener("main", Kind::Edge, &policy("main", "facts-key"))], &upstream);
    let mut document = parts.document();
    plugin(&mut document)["failure_policy"] = json!("FAIL_SOME_NEW_WAY");
    let failure = Envoy::try_start(&document).expect_err("it is refused");
    assert!(failure.contains("FAIL_SOME_NEW_WAY"), "{failure}");
}

/// With the gate's policy in a listener from LDS: a refused update opens no port, and closes none.
#[test]
fn a_listener_with_a_refused_policy_stays_closed_and_as_an_update_changes_nothing() {
    let upstream = Upstream::start();
    let mut document = bootstrap(Vec::new(), &upstream).document();
    let gate = |policy: &Value| {
        let parts = bootstrap(vec![listener("main", Kind::Edge, policy)], &upstream);
        let mut gate = parts.document()["static_resources"]["listeners"][0].take();
        gate["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        gate
    };
    let mut wrong = policy("main", "facts-other-key");
    wrong["consumers"][0]["colour"] = json!("red");
    let (good, wrong) = (gate(&policy("main", "facts-key")), gate(&wrong));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let publish = |version: &str, gate: &Value| publish(directory.path(), FILE, version, gate);
    publish("1", &wrong);
    document["dynamic_resources"] = json!({"lds_config": watched(directory.path(), FILE)});
    let stage = Stage { envoy: Envoy::start(&document), upstream };
    let rejected = || stage.envoy.admin().count("listener_manager.lds.update_rejected");
    let listeners = || stage.envoy.admin().listeners().expect("the admin interface answers").len();
    assert_eq!((rejected(), listeners()), (Some(1), 0));
    publish("2", &good);
    poll::until("the listener opens", || (listeners() == 1).then_some(()));
    let statuses = || [&[("x-api-key", "facts-key")] as &[_], &[]].map(|headers| stage.ask("main", "/x", headers).0);
    assert_eq!(statuses(), [200, 401]);
    publish("3", &wrong);
    poll::until("the update is rejected", || (rejected() == Some(2)).then_some(()));
    assert_eq!(statuses(), [200, 401]);
}

/// The names and labels in docs/policy/metrics.md, with the `stats_tags` of docs/policy/envoy.md.
#[test]
fn prometheus_gets_the_documented_names_and_labels() {
    let shown =
        std::fs::read_to_string(paths::workspace().join("docs/policy/envoy.md")).expect("the reference is there");
    let tags = shown.lines().filter_map(|line| line.trim_start().strip_prefix("- {tag_name: "));
    let tags: Vec<Value> =
        tags.map(|tag| serde_saphyr::from_str(&format!("{{tag_name: {tag}")).expect("a tag is YAML")).collect();
    assert_eq!(tags.len(), 4, "the reference shows a tag for the gate, the reason, the state and the key");
    let page = |tags: &[Value]| {
        let mut policy = policy("edge", "facts-key");
        policy["key_metrics"] = json!(true);
        // A state and a reason as ids.
        for id in ["a-b", "a_b", "policy_keys.usable", "denied.no_credential"] {
            policy["consumers"][0]["keys"]
                .as_array_mut()
                .expect("a list")
                .push(json!({"id": id, "plaintext": format!("facts-{id}")}));
        }
        let stage = changed(&policy, paths::module(), |document| {
            document["stats_config"] = json!({"stats_tags": tags});
        });
        assert_eq!(stage.ask("main", "/x", &[]).0, 401);
        for key in ["facts-a-b", "facts-a_b", "facts-policy_keys.usable", "facts-denied.no_credential"] {
            assert_eq!(stage.ask("main", "/x", &[("x-api-key", key)]).0, 200, "{key}");
        }
        let reply = stage.envoy.admin().get("/stats/prometheus").expect("the admin interface answers");
        String::from_utf8_lossy(&reply.body).into_owned()
    };
    let (plain, labelled) = (page(&[]), page(&tags));
    assert!(plain.contains("\nportcullis_edge_denied_no_credential{} 1\n"), "{plain}");
    for line in [
        r#"portcullis_denied{gate="edge",reason="no_credential"} 1"#,
        r#"portcullis_mode{gate="edge"} 2"#,
        r#"portcullis_policy_keys{gate="edge",state="usable"} 5"#,
        r#"portcullis_key{gate="edge",key="a-b"} 1"#,
        r#"portcullis_key{gate="edge",key="a_b"} 1"#,
        r#"portcullis_key{gate="edge",key="policy_keys.usable"} 1"#,
        r#"portcullis_key{gate="edge",key="denied.no_credential"} 1"#,
    ] {
        assert!(labelled.lines().any(|other| other == line), "{line}: {labelled}");
    }
}
