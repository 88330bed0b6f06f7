//! Istio's behaviour around a gate: addresses, waypoints, modules that cannot be fetched, refused policies, statistics,
//! access logs, and ports with protocol detection.

use std::io;

use portcullis_tests::envoy::V4;
use portcullis_tests::http1::Client;
use portcullis_tests::istio::{Place, Traffic, authorization, authorizations, documents, merged, normalization};
use portcullis_tests::listener::SOURCE;
use portcullis_tests::mesh::{HTTP_ALPN, Proxy, Setup};
use portcullis_tests::net::connect;
use portcullis_tests::stage::verdict;
use portcullis_tests::wire_engine::Form;
use portcullis_tests::{poll, waypoint};
use serde_json::{Value, json};

use super::mesh::{GATEWAY, MODELS, Mesh, NOBODY, WITH_KEY, get, says};
use super::only;

/// Why a sidecar must not trust a range by the address that Envoy detects.
#[test]
fn in_a_sidecar_anybody_is_at_any_address_by_saying_so() {
    let trusting = |client_address: &str| {
        let networks = json!({"ranges": ["10.0.0.0/8"], "client_address": client_address});
        only("mesh-wide.yaml").with("/trusted_networks", networks).extension(Form::Text)
    };
    let mesh = Mesh::new();
    let forged: &[(&str, &str)] = &[("x-forwarded-for", "10.1.2.3")];
    let taken = mesh.sidecar(vec![trusting("remote_ip")]);
    assert_eq!(mesh.send(&taken, NOBODY, &get(MODELS, forged)).verdict(), says(200, "trusted_network"));
    let direct = mesh.sidecar(vec![trusting("direct")]);
    let outcome = mesh.send(&direct, NOBODY, &get(MODELS, forged));
    assert_eq!(outcome.verdict(), says(401, "no_credential"));
    assert_eq!(outcome.reply.header(SOURCE), Some("10.1.2.3:0".into()));
}

/// The client's address that a service behind a gateway sees: Envoy's `X-Forwarded-For`, which makes no caller local.
#[test]
fn behind_a_gateway_the_sidecars_source_address_is_the_clients_and_has_no_port() {
    let mesh = Mesh::new();
    let sidecar = mesh.sidecar(vec![only("namespace.yaml").extension(Form::Text)]);
    let gateway = mesh.gateway(Vec::new(), &sidecar);
    let outcome = mesh.send(&gateway, NOBODY, &get(MODELS, &[("x-forwarded-for", "203.0.113.9")]));
    let source = outcome.reply.header(SOURCE).expect("the sidecar shows it");
    assert!(source.ends_with(":0"), "{source}");
    let forwarded = outcome.header("x-forwarded-for").expect("the gateway appends to it");
    assert!(forwarded.starts_with("203.0.113.9,") && forwarded.ends_with(source.trim_end_matches(":0")), "{forwarded}");
}

/// Normalization of paths and header names before the gate: by Istio's defaults, with `mesh-config.yaml`, and with
/// `strict-http.yaml`.
#[test]
fn paths_and_underscores_are_settled_before_the_gate() {
    let mesh = Mesh::new();
    let mesh_config = documents("mesh-config.yaml").remove(0)["spec"]["meshConfig"].take();
    let filters = documents("strict-http.yaml");
    let merged = |place| filters.iter().map(|one| merged(one, place)).find(|settings| *settings != json!({}));
    for outbound in [Place::SidecarOutbound, Place::Waypoint] {
        assert_eq!(merged(outbound), None, "what a service sends is its own");
    }
    let by_itself = normalization(&json!({}));
    let normalized = normalization(&mesh_config);
    let [inbound, gateway] = [Place::SidecarInbound, Place::Gateway].map(|place| merged(place).expect("it is patched"));
    // The settings, the place, and the statuses for: merged slashes, an escaped slash, a header with an underscore.
    for (settings, place, expected) in [
        (
            by_itself,
            Place::SidecarInbound,
            [says(401, "no_credential"), says(400, "bad_request_target"), says(200, "key")],
        ),
        (normalized, Place::SidecarInbound, [says(200, "public_path"), says(200, "public_path"), says(200, "key")]),
        (inbound, Place::SidecarInbound, [says(200, "public_path"), says(400, "-"), says(400, "-")]),
        (gateway, Place::Gateway, [says(200, "-"), says(400, "-"), says(400, "-")]),
    ] {
        let gate = vec![only("mesh-wide.yaml").extension(Form::Text)];
        let proxy = Proxy::start(Setup { settings: settings.clone(), place, ..mesh.setup(gate) });
        let underscore = [WITH_KEY, &[("some_header", "value")]].concat();
        let found = [get("//healthz", &[]), get("/x%2f..%2fhealthz", &[]), get(MODELS, &underscore)]
            .map(|request| mesh.send(&proxy, NOBODY, &request).verdict());
        assert_eq!(found, expected, "{settings} {place:?}");
    }
}

/// At a waypoint, the connection that the gate sees begins inside the proxy, where the tunnel ends, and has no
/// certificate.
#[test]
fn a_gate_of_a_waypoint_asks_everybody_for_a_key() {
    let plugin = only("waypoint.yaml");
    let trusting = plugin.clone().with("/trusted_identities", json!(["spiffe://cluster.local/ns/shop/sa/*"]));
    let mesh = Mesh::new();
    for plugin in [plugin, trusting] {
        let filters = vec![plugin.extension(Form::Text)];
        let proxy = Proxy::start(Setup { place: Place::Waypoint, ..mesh.setup(filters) });
        let send = |path, headers| {
            let request = get(path, headers).bytes();
            waypoint::send(proxy.mutual(), &mesh.authority, mesh.account("shop/frontend"), &request).expect("a reply")
        };
        assert_eq!(verdict(&send(MODELS, &[])), says(401, "no_credential"));
        assert_eq!(verdict(&send(MODELS, WITH_KEY)), says(200, "key"));
        assert_eq!(verdict(&send("/healthz", &[])), says(200, "public_path"));
        // The address is that of the tunnel, or the one in a header.
        let source = |headers| send("/healthz", headers).header(SOURCE).expect("it is shown");
        assert!(source(&[]).starts_with("127.0.0.1:") && !source(&[]).ends_with(":0"), "{}", source(&[]));
        assert_eq!(source(&[("x-forwarded-for", "10.1.2.3")]), "10.1.2.3:0");
    }
    // Control: in a sidecar the same caller passes.
    let sidecar = mesh.sidecar(vec![only("mesh-wide.yaml").extension(Form::Text)]);
    assert_eq!(mesh.send(&sidecar, "shop/frontend", &get(MODELS, &[])).verdict(), says(200, "trusted_identity"));
}

/// Until a module has been fetched, the agent sends a filter that denies all requests.
#[test]
fn while_the_module_cannot_be_fetched_everybody_gets_403() {
    let mesh = Mesh::new();
    let plugin = only("mesh-wide.yaml");
    let proxy = mesh.sidecar(vec![plugin.stand_in()]);
    let status = |path, headers| mesh.send(&proxy, "shop/frontend", &get(path, headers)).reply.status;
    assert_eq!([status(MODELS, &[]), status(MODELS, WITH_KEY), status("/healthz", &[])], [403; 3]);
    assert_eq!(mesh.upstream.count(), 0);
    proxy.update(&plugin.extension(Form::Text));
    poll::until("the gate stands", || (status(MODELS, &[]) == 200).then_some(()));
    // Another listener, which may get the update a moment later.
    let verdict = || mesh.send(&proxy, NOBODY, &get(MODELS, &[])).verdict();
    poll::until("the gate asks for a key", || (verdict() == says(401, "no_credential")).then_some(()));
    // An update whose module cannot be fetched replaces a working gate.
    proxy.update(&plugin.stand_in());
    poll::until("nobody passes", || (status(MODELS, WITH_KEY) == 403).then_some(()));
}

#[test]
fn a_refused_policy_leaves_running_proxies_as_they_are_and_stops_new_ones() {
    let mesh = Mesh::new();
    let plugin = only("mesh-wide.yaml");
    let wrong = plugin.clone().with("/public_path", json!(["/"])).extension(Form::Text);
    let running = mesh.sidecar(vec![plugin.extension(Form::Text)]);
    running.update(&wrong);
    let refused = |proxy: &Proxy| {
        let stats = proxy.envoy.admin().stats(".config_fail").expect("the admin interface answers");
        stats.iter().any(|(name, count)| name.starts_with("extension_config_discovery.") && *count == 1).then_some(())
    };
    poll::until("the refusal is counted", || refused(&running));
    assert_eq!(mesh.send(&running, NOBODY, &get(MODELS, WITH_KEY)).verdict(), says(200, "key"));
    let new = mesh.sidecar(vec![wrong]);
    poll::until("the refusal is counted", || refused(&new));
    assert_eq!(mesh.send(&new, NOBODY, &get("/healthz", WITH_KEY)).reply.status, 500);
}

/// The configuration of the mesh for the roll-out.
fn mesh_config() -> Value {
    documents("mesh-config.yaml").remove(0)["spec"]["meshConfig"].clone()
}

/// The Envoy statistics that Istio's bootstrap keeps (`pkg/bootstrap/config.go`), and those that the file adds.
#[test]
fn the_gates_counters_are_among_the_statistics_that_istio_keeps() {
    let kept = ["cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm"];
    let kept = |name: &str| kept.iter().any(|prefix| name.starts_with(prefix));
    let added = mesh_config()["defaultConfig"]["proxyStatsMatcher"]["inclusionPrefixes"][0].clone();
    let mesh = Mesh::new();
    let proxy = mesh.sidecar(vec![only("mesh-wide.yaml").extension(Form::Text)]);
    mesh.send(&proxy, NOBODY, &get(MODELS, &[]));
    let stats = proxy.envoy.admin().stats("").expect("the admin interface answers");
    let ours: Vec<&String> = stats.keys().filter(|name| name.contains("portcullis.mesh.")).collect();
    assert!(ours.len() > 10 && ours.iter().all(|name| kept(name)), "{ours:?}");
    let failures: Vec<&String> = stats.keys().filter(|name| name.ends_with(".config_fail")).collect();
    assert!(!failures.is_empty(), "{stats:?}");
    for name in failures {
        assert!(!kept(name) && name.starts_with(added.as_str().expect("a prefix")), "{name}");
    }
    let page = proxy.envoy.admin().get("/stats/prometheus").expect("the admin interface answers").body;
    let page = String::from_utf8(page).expect("text");
    assert!(page.contains("\nportcullis_mesh_denied_no_credential{} 1\n"), "{page}");
    let failures: Vec<&str> = page.lines().filter(|line| line.contains("_config_fail{")).collect();
    assert!(
        failures[0].starts_with("envoy_extension_config_discovery_http_filter_extensions_istio_io_"),
        "{failures:?}"
    );
}

#[test]
fn the_access_log_shows_who_would_be_denied_and_no_key() {
    let format = mesh_config()["extensionProviders"][0]["envoyFileAccessLog"]["logFormat"]["text"].clone();
    // Istio ends each line.
    let log_format = Some(format!("{}\n", format.as_str().expect("a text")));
    let mesh = Mesh::new();
    let filters = vec![only("namespace.yaml").extension(Form::Text)];
    let proxy = Proxy::start(Setup { log_format, ..mesh.setup(filters) });
    mesh.send(&proxy, "billing/worker", &get("/v2/models?api_key=istio-suite-query", &[]));
    mesh.send(&proxy, NOBODY, &get(MODELS, WITH_KEY));
    for line in [
        "GET models.shop /v2/models 200 spiffe://cluster.local/ns/billing/sa/worker 127.0.0.1 report no_credential",
        "GET models.shop /v2/models/iris/predict 200 - 127.0.0.1 allow key ci ci-demo\n",
    ] {
        poll::until("the line is written", || proxy.envoy.log().contains(line).then_some(()));
    }
}

/// On a port with protocol detection, the caller's ALPN decides, and connections that do not declare HTTP bypass the
/// HTTP filters. A caller in the mesh can send any ALPN: so declare the port, or accept only HTTP.
#[test]
fn a_port_whose_protocol_is_guessed_has_a_way_round_the_gate() {
    let mesh = Mesh::new();
    let gate = || vec![only("mesh-wide.yaml").extension(Form::Text)];
    let ask = |proxy: &Proxy, protocol| calling_itself(&mesh, proxy, "billing/worker", protocol, &[]);
    let guessed = Proxy::start(Setup { tcp: Some(Vec::new()), ..mesh.setup(gate()) });
    assert_eq!(ask(&guessed, HTTP_ALPN[1]).expect("a reply"), 401);
    assert_eq!(ask(&guessed, "istio").expect("a reply"), 200, "the gate was not asked");
    let declared = mesh.sidecar(gate());
    assert_eq!(ask(&declared, "istio").expect("a reply"), 401);

    let http_only = authorized(&mesh, gate(), &authorizations("http-only.yaml"));
    assert!(ask(&http_only, "istio").is_err());
    assert_eq!(ask(&http_only, HTTP_ALPN[1]).expect("a reply"), 401, "the gate's answer");
    let with_key = calling_itself(&mesh, &http_only, "billing/worker", HTTP_ALPN[1], WITH_KEY);
    assert_eq!(with_key.expect("a reply"), 200, "no HTTP request is denied");
}

/// Allow policies are additive: one that allows all of HTTP would undo the one that only lets the gateway call.
#[test]
fn taking_nothing_but_http_lets_nobody_in_whom_another_policy_keeps_out() {
    let mesh = Mesh::new();
    let gateway = authorizations("gateway.yaml");
    let both = [gateway.clone(), authorizations("http-only.yaml")].concat();
    assert_eq!(both[0]["spec"]["selector"], both[1]["spec"]["selector"], "they are for one workload");
    let [alone, both] = [gateway, both].map(|policies| authorized(&mesh, Vec::new(), &policies));
    let forged: &[(&str, &str)] = &[("x-portcullis-consumer", "admin")];
    for (proxy, tcp_of_the_gateway) in [(&alone, Some(200)), (&both, None)] {
        let ask = |who, protocol| calling_itself(&mesh, proxy, who, protocol, forged).ok();
        assert_eq!([ask("billing/worker", HTTP_ALPN[1]), ask("billing/worker", "istio")], [Some(403), None]);
        assert_eq!([ask(GATEWAY, HTTP_ALPN[1]), ask(GATEWAY, "istio")], [Some(200), tcp_of_the_gateway]);
    }
}

/// A sidecar for a port with protocol detection, with gates and the filters that istiod makes of policies.
fn authorized(mesh: &Mesh, gates: Vec<Value>, policies: &[Value]) -> Proxy {
    let filters = [gates, authorization(policies, Traffic::Http)].concat();
    Proxy::start(Setup { tcp: Some(authorization(policies, Traffic::Tcp)), ..mesh.setup(filters) })
}

/// The status for a caller over mutual TLS with a chosen ALPN.
fn calling_itself(mesh: &Mesh, to: &Proxy, who: &str, protocol: &str, headers: &[(&str, &str)]) -> io::Result<u16> {
    let session = mesh.authority.session_offering(connect(V4, to.mutual())?, Some(mesh.account(who)), &[protocol])?;
    Client::new(session).send(&get(MODELS, headers).bytes()).map(|reply| reply.status)
}
