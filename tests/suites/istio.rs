//! The manifests under `envoy/istio/` on a real Envoy, in the form that Istio generates: JSON text, by ECDS, in a
//! listener like that of its sidecars, with mutual TLS and SPIFFE certificates, behind a gateway like Istio's. Istio
//! itself is not run.

#[path = "istio/around.rs"]
mod around;
#[path = "istio/behind.rs"]
mod behind;
#[path = "istio/mesh.rs"]
mod mesh;

use std::collections::BTreeSet;
use std::fs;

use mesh::{GATEWAY, KEY, MODELS, Mesh, NOBODY, Request, TOKEN, WITH_KEY, get, says};
use portcullis_tests::crd::yaml_files;
use portcullis_tests::istio::{Place, Plugin, documents, inserted_first, plugins};
use portcullis_tests::mesh::Proxy;
use portcullis_tests::paths::workspace;
use portcullis_tests::poll;
use portcullis_tests::wire_engine::Form;
use serde_json::json;

/// Every file with plugins.
const FILES: [&str; 11] = [
    "forward-credential.yaml",
    "gateway-api.yaml",
    "gateway.yaml",
    "mesh-wide.yaml",
    "namespace.yaml",
    "record-peer.yaml",
    "secret.yaml",
    "traffic-extension.yaml",
    "trust-gateway.yaml",
    "waypoint.yaml",
    "workload.yaml",
];

/// The only plugin of a file.
fn only(file: &str) -> Plugin {
    let mut all = plugins(file);
    assert_eq!(all.len(), 1, "{file}");
    all.remove(0)
}

#[test]
fn every_file_of_the_folder_is_tried_here() {
    let files = yaml_files(&workspace().join("envoy/istio"));
    let names = files.iter().map(|file| file.file_name().and_then(|name| name.to_str()).expect("a name in ASCII"));
    let with_plugins: Vec<&str> = names.filter(|name| !plugins(name).is_empty()).collect();
    assert_eq!(with_plugins, FILES);
}

/// Every file has the image that `make push` pushes, and the note that its digest must be set.
#[test]
fn every_file_names_the_image_that_is_pushed_and_says_that_its_digest_is_not_there_yet() {
    let image = concat!("oci://registry.example.com/portcullis:", env!("CARGO_PKG_VERSION"));
    let warning = "# Set url and sha256: with these placeholders no module is found, and every request gets 403.\n";
    for file in FILES {
        for plugin in plugins(file) {
            assert_eq!(
                (&plugin.wasm()["url"], &plugin.wasm()["sha256"]),
                (&json!(image), &json!("0".repeat(64))),
                "{file}"
            );
        }
        let text = fs::read_to_string(workspace().join("envoy/istio").join(file)).expect("it is there");
        assert!(text.contains(warning), "{file}");
    }
}

/// Requests for many kinds of decision, by many kinds of callers.
fn requests() -> Vec<(&'static str, Request<'static>)> {
    let headers: [&[(&str, &str)]; 8] = [
        &[],
        WITH_KEY,
        &[("authorization", "Bearer pk_demo_ci_not_a_secret")],
        &[("x-api-key", TOKEN)],
        &[("x-api-key", "istio-suite-stranger")],
        &[("x-api-key", KEY), ("authorization", "Bearer pk_demo_ci_not_a_secret")],
        &[("x-forwarded-for", "192.168.10.7")],
        &[("x-portcullis-consumer", "forged")],
    ];
    let predictions = headers.map(|headers| Request { method: "POST", path: MODELS, headers });
    let others = [get("/healthz", headers[7]), get("/", &[]), get("/v2/", &[]), get("/v2/%zz", &[])];
    let delete = Request { method: "DELETE", path: MODELS, headers: WITH_KEY };
    let all = predictions.into_iter().chain(others).chain([delete]);
    all.flat_map(|request| [NOBODY, "shop/frontend", GATEWAY].map(|who| (who, request))).collect()
}

/// As a `Struct`, the policy is what people write into an Envoy configuration; Istio converts it to JSON text.
#[test]
fn every_policy_means_the_same_as_json_text_and_as_a_struct() {
    for file in FILES {
        for plugin in plugins(file) {
            let mesh = Mesh::new();
            let proxy = mesh.sidecar(vec![plugin.extension(Form::Text)]);
            let ask = || requests().into_iter().map(|(who, request)| mesh.send(&proxy, who, &request));
            let text: Vec<_> = ask().map(|outcome| (outcome.verdict(), outcome.all())).collect();
            let reasons: BTreeSet<_> = text.iter().map(|(verdict, _)| verdict).collect();
            assert!(reasons.len() > 4, "{file}: the requests tell policies apart: {reasons:?}");
            proxy.update(&plugin.extension(Form::Struct));
            poll::until("the other form is loaded", || {
                let stats = proxy.envoy.admin().stats(".config_reload").expect("the admin interface answers");
                stats.iter().any(|(name, count)| name.contains("istio.io/") && *count == 2).then_some(())
            });
            let packed: Vec<_> = ask().map(|outcome| (outcome.verdict(), outcome.all())).collect();
            assert_eq!(text, packed, "{file}");
        }
    }
}

/// The purpose of a file: who asks, for what, with which headers, and the expected result.
type Promise = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], u16, &'static str);

fn keeps(mesh: &Mesh, proxy: &Proxy, promises: &[Promise]) {
    for (who, method, path, headers, status, reason) in promises {
        let outcome = mesh.send(proxy, who, &Request { method, path, headers });
        assert_eq!(outcome.verdict(), says(*status, reason), "{who} {method} {path} {headers:?}");
    }
}

#[test]
fn a_mesh_wide_gate_asks_for_keys_but_knows_its_own() {
    for file in ["mesh-wide.yaml", "traffic-extension.yaml"] {
        let mesh = Mesh::new();
        let proxy = mesh.sidecar(vec![only(file).extension(Form::Text)]);
        keeps(
            &mesh,
            &proxy,
            &[
                ("shop/frontend", "GET", MODELS, &[], 200, "trusted_identity"),
                ("monitoring/prometheus", "GET", "/metrics", &[], 200, "trusted_identity"),
                ("monitoring/grafana", "GET", "/metrics", &[], 401, "no_credential"),
                ("billing/worker", "GET", MODELS, &[], 401, "no_credential"),
                ("billing/worker", "GET", MODELS, WITH_KEY, 200, "key"),
                (NOBODY, "GET", MODELS, &[], 401, "no_credential"),
                (NOBODY, "GET", MODELS, WITH_KEY, 200, "key"),
                (NOBODY, "GET", "/healthz", &[], 200, "public_path"),
                (NOBODY, "GET", "/", &[], 401, "no_credential"),
                // Istio's listeners resolve dot segments before the gate.
                (NOBODY, "GET", "/healthz/../v2/models", &[], 401, "no_credential"),
                (NOBODY, "GET", MODELS, &[("x-forwarded-for", "127.0.0.1")], 401, "no_credential"),
                (
                    NOBODY,
                    "GET",
                    MODELS,
                    &[("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/frontend")],
                    401,
                    "no_credential",
                ),
                (GATEWAY, "GET", MODELS, &[], 401, "no_credential"),
            ],
        );
    }
}

#[test]
fn a_traffic_extension_is_the_same_gate() {
    let [plugin, extension] = ["mesh-wide.yaml", "traffic-extension.yaml"].map(only);
    assert_eq!(plugin.policy(), extension.policy());
    for same in ["url", "sha256", "pluginName", "failStrategy"] {
        assert_eq!(plugin.wasm()[same], extension.wasm()[same], "{same}");
    }
    for same in ["phase", "match"] {
        assert_eq!(plugin.spec()[same], extension.spec()[same], "{same}");
    }
}

#[test]
fn a_first_gate_reports_and_denies_nobody() {
    let mesh = Mesh::new();
    let proxy = mesh.sidecar(vec![only("namespace.yaml").extension(Form::Text)]);
    keeps(
        &mesh,
        &proxy,
        &[
            ("billing/worker", "GET", MODELS, &[], 200, "no_credential"),
            (NOBODY, "GET", MODELS, &[("x-api-key", "istio-suite-stranger")], 200, "unknown_key"),
            (NOBODY, "GET", MODELS, WITH_KEY, 200, "key"),
            ("shop/frontend", "GET", MODELS, &[], 200, "trusted_identity"),
        ],
    );
    let stats = proxy.envoy.admin().stats("wasmcustom.portcullis.shop.").expect("the admin interface answers");
    let count = |name: &str| stats[&format!("wasmcustom.portcullis.shop.{name}")];
    assert_eq!((count("reported.no_credential"), count("reported.unknown_key")), (1, 1));
    assert_eq!((count("allowed.key"), count("mode")), (1, 1));
}

/// The last step of the roll-out in the guide: the same plugin without its `mode` replaces the one that reports.
#[test]
fn enforcing_is_an_update_and_so_is_the_way_back() {
    let mesh = Mesh::new();
    let plugin = only("namespace.yaml");
    let proxy = mesh.sidecar(vec![plugin.extension(Form::Text)]);
    let status = || mesh.send(&proxy, "billing/worker", &get(MODELS, &[])).reply.status;
    assert_eq!(status(), 200);
    proxy.update(&plugin.clone().with("/mode", json!("enforce")).extension(Form::Text));
    poll::until("the gate enforces", || (status() == 401).then_some(()));
    proxy.update(&plugin.extension(Form::Text));
    poll::until("the gate only reports again", || (status() == 200).then_some(()));
}

#[test]
fn a_gate_of_one_workload_has_rules_of_its_own() {
    let mesh = Mesh::new();
    let proxy = mesh.sidecar(vec![only("workload.yaml").extension(Form::Text)]);
    keeps(
        &mesh,
        &proxy,
        &[
            (NOBODY, "GET", "/", &[], 200, "public_path"),
            (NOBODY, "GET", "/v2/", &[], 200, "public_path"),
            (NOBODY, "POST", "/v2/", &[], 401, "no_credential"),
            (NOBODY, "POST", MODELS, WITH_KEY, 200, "key"),
            (NOBODY, "DELETE", MODELS, WITH_KEY, 403, "missing_role"),
            ("shop/frontend", "DELETE", MODELS, &[], 200, "trusted_identity"),
            ("shop/other", "POST", MODELS, &[], 401, "no_credential"),
        ],
    );
}

/// As in istiod: inbound listeners and waypoints are SERVER, outbound ones and gateways CLIENT.
#[test]
fn every_plugin_stands_where_its_file_says() {
    let all = [Place::SidecarInbound, Place::SidecarOutbound, Place::Gateway, Place::Waypoint];
    for file in FILES {
        for plugin in plugins(file) {
            let at_gateways = plugin.spec()["selector"]["matchLabels"]["istio"] == "ingressgateway";
            let expected: &[Place] = match (file, at_gateways) {
                ("gateway-api.yaml", _) => &[Place::Gateway],
                ("waypoint.yaml", _) => &[Place::Gateway, Place::Waypoint],
                // Its selector excludes sidecars.
                (_, true) => &[Place::SidecarOutbound, Place::Gateway],
                (_, false) => &[Place::SidecarInbound],
            };
            let places: Vec<Place> = all.into_iter().filter(|place| plugin.stands_at(*place)).collect();
            assert_eq!(places, expected, "{file}");
            let wasm = plugin.wasm();
            assert_eq!(
                (&wasm["failStrategy"], &plugin.spec()["phase"]),
                (&json!("FAIL_RELOAD"), &json!("AUTHN")),
                "{file}"
            );
        }
    }
}

#[test]
fn a_key_comes_from_the_environment_of_the_proxy() {
    let plugin = only("secret.yaml");
    let mesh = Mesh::new();
    let proxy = mesh.sidecar(vec![plugin.extension(Form::Text)]);
    let outcome = mesh.send(&proxy, NOBODY, &get(MODELS, &[("x-api-key", TOKEN)]));
    assert_eq!(outcome.verdict(), says(200, "key"));
    assert_eq!((outcome.header("x-portcullis-consumer"), outcome.header("x-api-key")), (Some("ops".into()), None));
    assert_eq!(mesh.send(&proxy, NOBODY, &get(MODELS, &[])).verdict(), says(401, "no_credential"));

    // The variable has the same name everywhere, from the Secret to the policy.
    let deployment = documents("secret.yaml").into_iter().find(|one| one["kind"] == "Deployment").expect("it is there");
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().expect("a list");
    let sidecar = containers.iter().find(|one| one["name"] == "istio-proxy").expect("the sidecar");
    let name = &sidecar["env"][0]["name"];
    assert_eq!((&sidecar["image"], name), (&json!("auto"), &plugin.wasm()["vmConfig"]["env"][0]["name"]));
    assert_eq!(name, &plugin.policy()["consumers"][0]["keys"][0]["env"]);

    // Control: a proxy without the variable skips that entry, and works.
    let bare = Proxy::start(mesh.setup(vec![plugin.extension(Form::Text)]));
    assert_eq!(mesh.send(&bare, NOBODY, &get(MODELS, &[("x-api-key", TOKEN)])).verdict(), says(401, "unknown_key"));
    assert_eq!(mesh.send(&bare, NOBODY, &get("/healthz", &[])).verdict(), says(200, "public_path"));
}

#[test]
fn a_recorded_peer_is_local_and_a_forged_one_is_not() {
    // The suite's callers come from loopback addresses.
    let plugin = only("record-peer.yaml").with("/trusted_networks/ranges", json!(["localhost"]));
    let gate = plugin.extension(Form::Text);
    let recorder = inserted_first("record-peer.yaml");
    assert_eq!(recorder.len(), 1);
    let mesh = Mesh::new();
    let proxy = mesh.sidecar(recorder.iter().cloned().chain([gate.clone()]).collect());
    keeps(
        &mesh,
        &proxy,
        &[
            (NOBODY, "GET", MODELS, &[], 200, "trusted_network"),
            (NOBODY, "GET", MODELS, &[("x-forwarded-for", "127.0.0.1")], 200, "trusted_network"),
            (NOBODY, "GET", MODELS, &[("x-forwarded-for", "192.168.10.7")], 401, "no_credential"),
            (NOBODY, "GET", MODELS, &[("x-forwarded-for", "127.0.0.1, 10.0.0.1")], 401, "no_credential"),
        ],
    );
    // A caller from outside that states a local address.
    let outside = mesh.sidecar(
        recorder
            .iter()
            .cloned()
            .chain([plugin.with("/trusted_networks/ranges", json!(["192.168.10.7"])).extension(Form::Text)])
            .collect(),
    );
    keeps(&mesh, &outside, &[(NOBODY, "GET", MODELS, &[("x-forwarded-for", "192.168.10.7")], 401, "no_credential")]);
    // Without the filter before the gate, no caller is local.
    let bare = mesh.sidecar(vec![gate]);
    keeps(&mesh, &bare, &[(NOBODY, "GET", MODELS, &[], 401, "no_credential")]);
}
