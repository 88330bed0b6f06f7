//! Envoy's output contains no secret. Every suite on a real Envoy checks that when its Envoys end. This suite covers
//! the most detailed log level, a control, and the names of the metrics.

use std::collections::BTreeSet;

use portcullis::Reason;
use portcullis_tests::bootstrap::Gate;
use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::fleet::Fleet;
use portcullis_tests::listener::Kind;
use portcullis_tests::message::Pair;
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{http1, http2, paths, poll, secrets};
use serde_json::{Value, json};

fn policy(name: &str, mode: &str) -> Value {
    json!({
        "version": 1, "name": name, "mode": mode, "access_log": true,
        "key_sources": ["bearer", {"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "api_key"}],
        "consumers": [{"name": "ci", "roles": ["predict"], "keys": [
            {"plaintext": "secrets-good-key"},
            {"plaintext": "secrets expired key", "expires": "2020-01-01T00:00:00Z"},
            {"plaintext": "secrets-disabled-key", "disabled": true},
            {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
            {"sha256": "secrets-no-digest"},
            {"plaintext": "secrets-twice"},
            {"plaintext": "secrets-twice"},
            {"env": "SECRETS_UNSET"},
        ]}],
        "public_paths": ["/open"],
        "rules": [{"path": "/admin/**", "roles": ["admin"]}],
    })
}

/// Requests with all kinds of credentials, in every place, over both protocols.
fn ask_everything(envoy: &Envoy, gate: &str) {
    let credentials = [
        "secrets-good-key",
        "secrets-disabled-key",
        "secrets-unknown-key",
        "secrets spaced key",
        "secrets-one,secrets-two",
        "secret-\u{fc}nicode-key",
        "secret-\u{1f}control-key",
    ];
    for credential in credentials {
        for path in ["/x", "/open", "/admin/x", "/x/../secrets"] {
            let query = format!("{path}?api_key={}", credential.replace(' ', "+"));
            let (bearer, cookie) = (format!("Bearer {credential}"), format!("api_key={credential}"));
            for (path, name, value) in [
                (path, "authorization", bearer.as_str()),
                (path, "x-api-key", credential),
                (path, "cookie", cookie.as_str()),
                (query.as_str(), "accept", "*/*"),
                (query.as_str(), "x-api-key", credential),
            ] {
                let stream = || connect(V4, envoy.address(gate, V4)).expect("Envoy listens");
                // Envoy rejects some of them itself: only its output matters here.
                let _ = http1::Client::new(stream()).send(&http1::get(path, &[(name, value)]));
                let pair = |name: &str, value: &str| -> Pair { (name.into(), value.into()) };
                let fields = [
                    pair(":method", "GET"),
                    pair(":path", path),
                    pair(":authority", "gate.test"),
                    pair(":scheme", "http"),
                    pair(name, value),
                ];
                let _ = http2::Client::new(stream()).and_then(|mut client| client.send(&fields, None, &[]));
            }
        }
    }
}

#[test]
fn the_loudest_log_of_the_filter_holds_no_secret() {
    let trace = Options { wasm_log: "trace", ..Options::default() };
    let forms = [Gate::Text(policy("text", "enforce").to_string()), Gate::Struct(policy("struct", "report"))];
    let mut fleet = Fleet::start_with(&[("text", &forms[0]), ("struct", &forms[1])], trace, paths::module());
    for gate in ["text", "struct"] {
        ask_everything(&fleet.stage.envoy, gate);
        let mut wrong = policy(gate, "enforce");
        wrong["consumers"][0]["keys"][0] = json!({"plaintxt": "secrets-misspelt"});
        for (count, wrong) in [Gate::Text(wrong.to_string()), Gate::Struct(wrong)].iter().enumerate() {
            fleet.update(gate, wrong);
            poll::until("the refusal is counted", || {
                (fleet.counters(gate)["config_fail"] == count as u64 + 1).then_some(())
            });
        }
    }
    let log = fleet.stage.envoy.log();
    for words in
        ["[trace][wasm]", "proxy_on_request_headers", "invalid key entry skipped", "policy refused", "(name not shown)"]
    {
        assert!(log.contains(words), "a control: the log lacks `{words}`");
    }
    assert!(!log.contains("secrets-misspelt"), "what no client sent and no field held");
    assert_eq!(fleet.stage.envoy.end(), None);
}

/// Control of all suites: an Envoy that prints a credential is caught.
#[test]
fn a_secret_in_envoys_log_is_found() {
    let upstream = Upstream::start();
    let mut document = bootstrap(vec![listener("main", Kind::Edge, &policy("main", "enforce"))], &upstream).document();
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    document.pointer_mut(manager).expect("a connection manager")["access_log"] = json!([{
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": "%REQ(X-API-KEY)% came in\n"}}
        }
    }]);
    let stage = Stage { envoy: Envoy::start(&document), upstream };
    assert_eq!(stage.ask("main", "/x", &[("x-api-key", "secrets-that-is-logged")]).0, 401);
    let Stage { envoy, .. } = stage;
    // A request is logged when its stream ends, after its reply.
    poll::until("the request is logged", || envoy.log().contains("came in").then_some(()));
    let leak = envoy.end().expect("the access log holds the key");
    assert!(leak.contains("Envoy's log holds `secrets-that-is-logged` in: secrets-that-is-logged came in"), "{leak}");
    assert_eq!(secrets::found_in(b"nothing of the sort"), None);
}

/// Callers cannot choose the name of a metric, so they cannot create more metrics.
#[test]
fn the_metrics_are_a_fixed_set_whatever_callers_send() {
    let modes = ["enforce", "report", "disabled"];
    let stage = Stage::start(modes.map(|mode| listener(mode, Kind::Edge, &policy(mode, mode))).to_vec());
    let names = || -> BTreeSet<String> {
        stage.envoy.admin().stats("wasmcustom.").expect("the admin interface answers").into_keys().collect()
    };
    let expected: BTreeSet<String> = modes
        .iter()
        .flat_map(|mode| {
            let denied = if *mode == "report" { "reported" } else { "denied" };
            let counters = Reason::ALL.iter().map(move |reason| {
                let group = if reason.is_allowed() { "allowed" } else { denied };
                format!("{group}.{}", reason.name())
            });
            let gauges = ["policy_digest", "refused_entries", "mode", "loaded_at_seconds", "instances"];
            let states = ["usable", "disabled", "expired", "not_yet_valid"].map(|state| format!("policy_keys.{state}"));
            let gauges = gauges.into_iter().chain(["next_key_expiry_seconds", "enforcing", "keys"]).map(str::to_owned);
            let gauges = gauges.chain(states);
            counters.chain(gauges).map(move |name| format!("wasmcustom.portcullis.{mode}.{name}"))
        })
        .collect();
    assert_eq!(names(), expected);
    for mode in modes {
        ask_everything(&stage.envoy, mode);
    }
    assert_eq!(names(), expected);
}
