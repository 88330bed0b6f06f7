//! The rendered manifests in a mesh: their places and their effects, in the form that Istio generates.

use portcullis_tests::envoy::Options;
use portcullis_tests::http1::request;
use portcullis_tests::istio::{Place, Plugin, added, merged};
use portcullis_tests::mesh::{Proxy, Setup};
use portcullis_tests::message::pairs;
use portcullis_tests::tls::Authority;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::wire_engine::Form;
use serde_json::{Value, json};

use super::{ENVIRONMENT, golden, one};

/// The plugins among the golden files.
fn plugins() -> Vec<(String, Plugin)> {
    let all = golden("istio").into_iter().map(|(name, text)| (name, one(&text)));
    all.filter(|(_, document)| document["kind"] != "EnvoyFilter").map(|(name, one)| (name, Plugin::new(one))).collect()
}

#[test]
fn every_plugin_stands_where_it_was_asked_to_and_never_opens() {
    for (name, plugin) in plugins() {
        let places = [Place::SidecarInbound, Place::SidecarOutbound, Place::Gateway, Place::Waypoint];
        let stands: Vec<Place> = places.into_iter().filter(|place| plugin.stands_at(*place)).collect();
        let expected: &[Place] = match name.as_str() {
            "istio-gateway-api.yaml" => &[Place::Gateway],
            "istio-waypoint.yaml" => &[Place::Gateway, Place::Waypoint],
            // Its selector excludes sidecars.
            "istio-ingress.yaml" => &[Place::SidecarOutbound, Place::Gateway],
            _ => &[Place::SidecarInbound],
        };
        assert_eq!(stands, expected, "{name}");
        let wasm = plugin.wasm();
        assert_eq!(
            (&wasm["failStrategy"], &plugin.spec()["phase"]),
            (&json!("FAIL_RELOAD"), &json!("AUTHN")),
            "{name}"
        );
        let is_local = wasm["url"].as_str().is_some_and(|url| url.starts_with("file://"));
        assert_eq!(wasm["sha256"].is_string(), !is_local, "{name} is pinned");
    }
}

/// The statuses of four callers at a sidecar: without a key, with the key of the demonstration, with the one of the
/// environment, and with the demonstration key and a header whose name has an underscore.
fn statuses(resource: Value, settings: Value) -> [u16; 4] {
    let (authority, upstream) = (Authority::new(), Upstream::start());
    let proxy = Proxy::start(Setup {
        place: Place::SidecarInbound,
        filters: vec![resource],
        upstream: upstream.address(),
        authority: &authority,
        identity: None,
        settings,
        options: Options { environment: ENVIRONMENT, ..Options::default() },
        log_format: None,
        tcp: None,
    });
    let demo = ("x-api-key", "pk_demo_ci_not_a_secret");
    [&[][..], &[demo], &[("x-api-key", ENVIRONMENT[0].1)], &[demo, ("some_header", "value")]].map(|headers| {
        let bytes = request(b"GET", b"/v2/models", b"models.shop", &pairs(headers), None);
        proxy.send(&authority, None, &bytes).expect("Envoy replies").status
    })
}

#[test]
fn plugins_and_filters_ask_for_a_key_as_istio_hands_them_over() {
    for (name, expected) in [
        ("istio-mesh-wide.yaml", [401, 200, 401, 200]),
        ("istio-namespace.yaml", [200, 200, 200, 200]),
        ("istio-token.yaml", [401, 401, 200, 401]),
        ("istio-traffic-extension.yaml", [401, 200, 401, 200]),
        ("istio-traffic-extension-token.yaml", [401, 401, 200, 401]),
    ] {
        let (_, text) = golden(name).remove(0);
        assert_eq!(statuses(Plugin::new(one(&text)).extension(Form::Text), Value::Null), expected, "{name}");
    }
    for (name, expected) in
        [("istio-envoy-filter.yaml", [401, 200, 401, 400]), ("istio-envoy-filter-token.yaml", [401, 401, 200, 400])]
    {
        let (_, text) = golden(name).remove(0);
        let document = one(&text);
        let settings = merged(&document, Place::SidecarInbound);
        assert_eq!(statuses(added(&document).remove(0), settings), expected, "{name}");
    }
}
