//! What an access log tells of a decision: the reason in any format, and the decisions of two gates apart.

use portcullis_tests::envoy::Envoy;
use portcullis_tests::fleet::policy;
use portcullis_tests::listener::Kind;
use portcullis_tests::poll;
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use serde_json::{Value, json};

/// Istio's default format, from "Envoy Access Logs" in its documentation, without the fields behind the user agent.
const OF_ISTIO: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
    %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
    %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
    \"%REQ(USER-AGENT)%\"\n";

/// An access log in this format, on the standard output.
fn access_log(format: &str) -> Value {
    json!([{
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": format}}
        }
    }])
}

fn manager(document: &mut Value, listener: usize) -> &mut Value {
    let path = format!("/static_resources/listeners/{listener}/filter_chains/0/filters/0/typed_config");
    document.pointer_mut(&path).expect("a connection manager")
}

/// Without `access_log: true` in the policy.
#[test]
fn istios_default_line_says_why_a_request_was_denied() {
    let upstream = Upstream::start();
    let mut policy = policy("main", "access-log-key");
    policy["rules"] = json!([{"path": "/admin", "roles": ["admin"]}]);
    let mut document = bootstrap(vec![listener("main", Kind::Edge, &policy)], &upstream).document();
    manager(&mut document, 0)["access_log"] = access_log(OF_ISTIO);
    let stage = Stage { envoy: Envoy::start(&document), upstream };
    let key = ("x-api-key", "access-log-key");
    for (path, headers, logged) in [
        ("/one", &[][..], "\"GET /one HTTP/1.1\" 401 - portcullis_no_credential - \"-\""),
        ("/two", &[("x-api-key", "access-log-stranger")], "\"GET /two HTTP/1.1\" 401 - portcullis_unknown_key - \"-\""),
        ("/admin", &[key], "\"GET /admin HTTP/1.1\" 403 - portcullis_missing_role - \"-\""),
        ("/a/..;/b", &[key], "\"GET /a/..;/b HTTP/1.1\" 400 - portcullis_bad_request_target - \"-\""),
        ("/three", &[key], "\"GET /three HTTP/1.1\" 200 - via_upstream - \"-\""),
    ] {
        stage.get("main", path, headers).expect("a reply");
        poll::until(logged, || stage.envoy.log().contains(logged).then_some(()));
    }
}

/// A canary that reports, before the gate that denies: their decisions have different names in one access log.
#[test]
fn the_filter_state_of_two_gates_in_one_chain_can_be_told_apart() {
    let mut canary = policy("canary", "access-log-canary-key");
    canary["mode"] = json!("report");
    canary["access_log"] = json!(true);
    canary["upstream"] = json!({"forward_credential": true});
    let mut serving = policy("serving", "access-log-serving-key");
    serving["access_log"] = json!(true);
    let upstream = Upstream::start();
    let gates = [listener("main", Kind::Edge, &canary), listener("spare", Kind::Edge, &serving)];
    let mut document = bootstrap(gates.to_vec(), &upstream).document();
    let gate = |filter: &&Value| filter["name"] == "portcullis";
    let filters = manager(&mut document, 1)["http_filters"].as_array().expect("a list of filters");
    let mut second = filters.iter().find(gate).expect("a gate").clone();
    second["name"] = json!("portcullis.serving");
    let manager = manager(&mut document, 0);
    let chain = manager["http_filters"].as_array_mut().expect("a list of filters");
    let first = chain.iter().position(|filter| gate(&filter)).expect("a gate");
    chain.insert(first + 1, second);
    manager["access_log"] = access_log(
        "canary %FILTER_STATE(wasm.portcullis.canary.decision:PLAIN)% \
                 %FILTER_STATE(wasm.portcullis.canary.reason:PLAIN)%, \
                 serving %FILTER_STATE(wasm.portcullis.serving.decision:PLAIN)% \
                 %FILTER_STATE(wasm.portcullis.serving.reason:PLAIN)% \
                 %FILTER_STATE(wasm.portcullis.serving.consumer:PLAIN)%, %RESPONSE_CODE_DETAILS%\n",
    );
    let stage = Stage { envoy: Envoy::start(&document), upstream };
    for (key, status, logged) in [
        ("access-log-serving-key", 200, "canary report unknown_key, serving allow key ci, via_upstream"),
        ("access-log-canary-key", 401, "canary allow key, serving deny unknown_key , portcullis_unknown_key"),
    ] {
        assert_eq!(stage.ask("main", "/x", &[("x-api-key", key)]).0, status, "{key}");
        poll::until(logged, || stage.envoy.log().contains(logged).then_some(()));
    }
}
