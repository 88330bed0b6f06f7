//! The gates of `envoy/envoy-gateway/`, in the form that Envoy Gateway generates, on a real Envoy.

use portcullis_tests::gateway::{
    Gateway, Module, TOKEN, client_settings, filter, gated, listener, manifest, manifest_with, of_kind, route,
};
use portcullis_tests::message::values;
use portcullis_tests::wire_engine::Form;
use portcullis_tests::{paths, poll};
use serde_json::{Value, json};

/// The key of `httproute.yaml`.
const DEMO: &str = "pk_demo_ci_not_a_secret";

/// A request, and the expected result: the status, and the consumer that the upstream gets; `-` for none, nothing if
/// the upstream is not reached.
type Promise = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16, &'static str);

const PROMISES: [Promise; 17] = [
    ("GET", "/v2/models", &[], 401, ""),
    ("GET", "/v2/models", &[("x-api-key", "gateway-suite-unknown")], 401, ""),
    ("GET", "/v2/models", &[("x-api-key", TOKEN)], 200, "ci"),
    ("GET", "/v2/models", &[("authorization", "Bearer gateway-suite-token")], 200, "ci"),
    ("GET", "/v2/models", &[("authorization", "Bearer gateway-suite-token"), ("x-api-key", TOKEN)], 200, "ci"),
    ("GET", "/v2/models", &[("authorization", "Bearer gateway-suite-token"), ("x-api-key", DEMO)], 400, ""),
    ("POST", "/v2/models/iris/predict", &[("x-api-key", TOKEN)], 200, "ci"),
    ("GET", "/healthz", &[], 200, "-"),
    ("GET", "/healthz", &[("x-portcullis-consumer", "forged")], 200, "-"),
    // Envoy merges slashes before the gate.
    ("GET", "//healthz", &[], 200, "-"),
    ("GET", "/healthz/../v2/models", &[], 401, ""),
    // With Envoy Gateway's settings, Envoy itself rejects these, and redirects that one.
    ("GET", "/v2/models", &[("x_api_key", TOKEN)], 400, ""),
    ("GET", "/healthz%2f..%2fv2/models", &[], 307, ""),
    // The route with its own gate: the keys of one gate are not valid for the other.
    ("GET", "/orders", &[("x-api-key", TOKEN)], 401, ""),
    ("GET", "/orders", &[("x-api-key", DEMO)], 200, "shop"),
    ("GET", "/v2/models", &[("x-api-key", DEMO)], 401, ""),
    // The danger: a route whose nearest policy has no gate.
    ("GET", "/ungated", &[], 200, "-"),
];

#[test]
fn envoy_gateways_filters_answer_as_promised_in_both_forms_of_the_policy() {
    let (gateway, orders) = (manifest("gateway.yaml"), manifest("httproute.yaml"));
    let module = Module::at(&paths::module());
    for form in Form::ALL {
        let filters = [filter(&gateway, form, &module), filter(&orders, form, &module)];
        let routes = [route("/orders", Some(&orders)), route("/ungated", None), route("/", Some(&gateway))];
        let proxy = Gateway::start(&listener(&filters, &routes, &json!({})));
        for (method, path, headers, status, consumer) in PROMISES {
            let reply = proxy.send(method, path, headers);
            let told = proxy.stage.upstream.seen(&reply).map_or_else(String::new, |seen| {
                let values = values(&seen.headers, "x-portcullis-consumer");
                let named = values.first().map(|value| String::from_utf8_lossy(value).into_owned());
                named.unwrap_or_else(|| "-".to_owned())
            });
            assert_eq!((reply.status, told.as_str()), (status, consumer), "{method} {path} {headers:?}");
        }
    }
}

/// Requests that are rejected before the gate: with Envoy Gateway's defaults, with `proxy.yaml`, and with everything
/// allowed.
#[test]
fn escaped_slashes_and_underscores_are_refused_before_the_gate() {
    let gate = manifest("gateway.yaml");
    let filters = [filter(&gate, Form::Text, &Module::at(&paths::module()))];
    let allowed = json!({"spec": {
        "path": {"escapedSlashesAction": "KeepUnchanged", "disableMergeSlashes": true}, "headers": {"withUnderscoresAction": "Allow"}
    }});
    // The statuses for: merged slashes, an escaped slash, a header with an underscore.
    for (policy, expected) in [
        (json!({}), [200, 307, 400]),
        (of_kind("proxy.yaml", "ClientTrafficPolicy"), [200, 400, 400]),
        (allowed, [401, 200, 200]),
    ] {
        let proxy = Gateway::start(&listener(&filters, &[route("/", Some(&gate))], &client_settings(&policy)));
        let send = |path: &str, headers: &[(&str, &str)]| proxy.send("GET", path, headers).status;
        let key = ("x-api-key", TOKEN);
        let found = [send("//healthz", &[]), send("/a%2fb", &[key]), send("/x", &[key, ("some_header", "value")])];
        assert_eq!(found, expected, "{policy}");
    }
}

#[test]
fn an_update_is_taken_or_refused_as_a_whole() {
    let policy =
        |key: &str| json!({"version": 1, "name": "edge", "consumers": [{"name": "ci", "keys": [{"plaintext": key}]}]});
    let module = Module::at(&paths::module());
    let listener = |policy: &Value, module: &Module| gated(&manifest_with(policy), Form::Text, module);
    let mut proxy = Gateway::start(&listener(&policy("gateway-first-key"), &module));
    let keys = |proxy: &Gateway| ["gateway-first-key", "gateway-second-key"].map(|key| proxy.status("/x", key));
    assert_eq!(keys(&proxy), [200, 401]);

    proxy.apply(&listener(&policy("gateway-second-key"), &module), "listener_manager.lds.update_success");
    poll::until("the new key works", || (keys(&proxy) == [401, 200]).then_some(()));

    let mut wrong = policy("gateway-first-key");
    wrong["colour"] = json!("red");
    proxy.apply(&listener(&wrong, &module), "listener_manager.lds.update_rejected");
    assert_eq!(keys(&proxy), [401, 200], "the old policy serves on");

    // A module that does not arrive: the new listener waits for it, and the old one stays active.
    proxy.apply(&listener(&policy("gateway-first-key"), &Module::missing()), "listener_manager.lds.update_success");
    assert_eq!((keys(&proxy), proxy.count("listener_manager.total_listeners_warming")), ([401, 200], 1));
}

/// Envoy activates a listener before it has the module, so the update can no longer be refused: the gate lets no
/// request through.
#[test]
fn a_refused_policy_beside_a_new_module_lets_nobody_in() {
    let [first, second] = [paths::module(), paths::trap_module()].map(|path| Module::at(&path));
    let right = manifest("gateway.yaml");
    let wrong = manifest_with(&json!({"version": 1, "colour": "red"}));
    let mut proxy = Gateway::start(&gated(&right, Form::Text, &first));
    let ask = |proxy: &Gateway| ["/x", "/healthz"].map(|path| proxy.status(path, TOKEN));
    assert_eq!(ask(&proxy), [200, 200]);
    proxy.apply(&gated(&wrong, Form::Text, &second), "listener_manager.lds.update_success");
    poll::until("the update is in place", || (ask(&proxy) == [503, 503]).then_some(()));
    proxy.apply(&gated(&right, Form::Text, &second), "listener_manager.lds.update_success");
    poll::until("a good policy serves", || (ask(&proxy) == [200, 200]).then_some(()));

    let proxy = Gateway::start(&gated(&wrong, Form::Text, &first));
    assert_eq!((ask(&proxy), proxy.stage.upstream.count()), ([503, 503], 0), "at the start");
}

/// Trust by address. A peer on the loopback cannot show `direct`, because Envoy then writes one of its own addresses.
#[test]
fn a_caller_chooses_its_address_where_hops_are_trusted() {
    let policy = |address: &str| {
        manifest_with(
            &json!({"version": 1, "name": "edge", "trusted_networks": {"ranges": ["10.1.0.0/16"], "client_address": address}}),
        )
    };
    let module = Module::at(&paths::module());
    // `clientIPDetection: {xForwardedFor: {numTrustedHops: 1}}`.
    let one_hop = json!({"use_remote_address": false, "original_ip_detection_extensions": [{
        "name": "envoy.extensions.http.original_ip_detection.xff",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
            "xff_num_trusted_hops": 0, "skip_xff_append": false
        }
    }]});
    for (settings, address, status) in [
        (json!({}), "remote_ip", 401),
        (json!({}), "direct", 401),
        (one_hop.clone(), "direct", 401),
        (one_hop, "remote_ip", 200),
    ] {
        let manifest = policy(address);
        let proxy = Gateway::start(&listener(
            &[filter(&manifest, Form::Text, &module)],
            &[route("/", Some(&manifest))],
            &settings,
        ));
        let ask = |headers: &[(&str, &str)]| proxy.send("GET", "/x", headers).status;
        assert_eq!(ask(&[]), 401, "{settings} {address}");
        assert_eq!(ask(&[("x-forwarded-for", "10.1.2.3")]), status, "{settings} {address}");
    }
}
