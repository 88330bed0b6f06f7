//! The gates of `envoy/envoy-gateway/` as Envoy Gateway hands them to Envoy, on a real Envoy: no controller and no cluster
//! is here, only what it makes of a manifest, rebuilt after its source (`internal/xds/translator/wasm.go` and `listener.go`).
//!
//! There, each filter is disabled and each route enables those of its policy; the policy is JSON text; the module comes over
//! HTTP, from the controller; the listener comes by xDS, here from a file.

use std::fs;
use std::net::IpAddr;

use portcullis::digest::Digest;
use portcullis_tests::bootstrap::replace;
use portcullis_tests::crd::documents;
use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::message::{Pair, Reply};
use portcullis_tests::net::connect;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{http1, paths, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The key of `gateway.yaml`, which it has from the environment.
const TOKEN: &str = "gateway-suite-token";
/// The key of `httproute.yaml`.
const DEMO: &str = "pk_demo_ci_not_a_secret";

/// The form of the policy in the filter's configuration.
#[derive(Clone, Copy)]
enum Form {
    /// What Envoy Gateway makes.
    Text,
    /// What it does not make: a control.
    Struct,
}

/// An Envoy with its listener from a file, another that serves the module in the controller's place, and an upstream.
struct Gateway {
    envoy: Envoy,
    upstream: Upstream,
    _controller: Envoy,
    directory: TempDir,
    version: u32,
}

/// The extension policy of a manifest.
fn manifest(file: &str) -> Value {
    let text = fs::read_to_string(paths::workspace().join("envoy/envoy-gateway").join(file)).expect("it is shipped");
    documents(&text).into_iter().find(|one| one["kind"] == "EnvoyExtensionPolicy").expect("it has an extension policy")
}

/// As [`manifest`], with another policy of the gate.
fn manifest_with(policy: &Value) -> Value {
    let mut manifest = manifest("gateway.yaml");
    manifest["spec"]["wasm"][0]["config"] = policy.clone();
    manifest
}

/// The name of the filter, which routes enable it by.
fn filter_name(manifest: &Value) -> String {
    format!("envoy.filters.http.wasm/{}", vm_name(manifest))
}

fn vm_name(manifest: &Value) -> String {
    let [namespace, name] = ["namespace", "name"].map(|part| manifest["metadata"][part].as_str().expect("a name"));
    format!("envoyextensionpolicy/{namespace}/{name}/wasm/0")
}

/// The SHA-256 of a file, in hex.
fn sha256(file: &std::path::Path) -> String {
    let bytes = fs::read(file).expect("a file");
    Digest::of(&bytes).to_hex()
}

/// The filter of a manifest. The checksum is that of the module itself, also where the manifest has an image's.
fn filter(manifest: &Value, form: Form, sha256: &str) -> Value {
    let wasm = &manifest["spec"]["wasm"][0];
    let policy = &wasm["config"];
    let configuration = match form {
        Form::Text => json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy.to_string()}),
        Form::Struct => json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": policy}),
    };
    let mut config = json!({
        "name": wasm["name"],
        "root_id": wasm["rootID"],
        "fail_open": wasm["failOpen"],
        "configuration": configuration,
        "vm_config": {
            "vm_id": vm_name(manifest),
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"remote": {
                "http_uri": {"uri": "https://envoy-gateway:18002/module.wasm", "cluster": "wasm_cluster", "timeout": "10s"},
                "sha256": sha256,
                "retry_policy": {"num_retries": 10, "retry_back_off": {"base_interval": "1s", "max_interval": "30s"}}
            }}
        }
    });
    if let Some(names) = wasm["env"].get("hostKeys") {
        config["vm_config"]["environment_variables"] = json!({"host_env_keys": names});
    }
    json!({
        "name": filter_name(manifest),
        "disabled": true,
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config}
    })
}

/// A route to the upstream, behind the gate of a manifest or behind none.
fn route(prefix: &str, gate: Option<&Value>) -> Value {
    let enabled = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
    let enabled = gate.map(|manifest| (filter_name(manifest), enabled)).into_iter().collect::<serde_json::Map<_, _>>();
    let by = if prefix == "/" { "prefix" } else { "path_separated_prefix" };
    json!({"match": {by: prefix}, "route": {"cluster": "upstream"}, "typed_per_filter_config": enabled})
}

/// The listener `http`, with Envoy Gateway's defaults but for `settings`.
fn listener(filters: &[Value], routes: &[Value], settings: &Value) -> Value {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true}
    });
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http-10080",
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "server_header_transformation": "PASS_THROUGH",
        "http_filters": ([filters, &[router]].concat()),
        "route_config": {"name": "http", "virtual_hosts": [{"name": "http", "domains": ["*"], "routes": routes}]}
    });
    let members = settings.as_object().expect("an object").clone();
    manager.as_object_mut().expect("an object").extend(members);
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "http",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "default_filter_chain": {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    })
}

/// A listener with the gate of one manifest on all routes.
fn gated(manifest: &Value, form: Form, sha256: &str) -> Value {
    listener(&[filter(manifest, form, sha256)], &[route("/", Some(manifest))], &json!({}))
}

/// The module's own listener: what the controller has, whatever path is asked for.
fn controller(module: &std::path::Path) -> Envoy {
    let mut document = json!({"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}});
    let serve = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"filename": module}}});
    let mut listener = listener(&[], &[serve], &json!({}));
    listener.as_object_mut().expect("an object").remove("@type");
    let manager = &mut listener["default_filter_chain"]["filters"][0]["typed_config"];
    manager["route_config"]["max_direct_response_body_size_bytes"] = json!(100 << 20);
    document["static_resources"] = json!({"listeners": [listener]});
    Envoy::start(&document)
}

impl Gateway {
    fn start(listener: &Value) -> Self {
        let (upstream, controller) = (Upstream::start(), controller(&paths::module()));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cluster = |name: &str, to: std::net::SocketAddr| {
            let address = json!({"socket_address": {"address": to.ip().to_string(), "port_value": to.port()}});
            json!({"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}})
        };
        let document = json!({
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "dynamic_resources": {"lds_config": {"path_config_source": {
                "path": directory.path().join("lds.json"), "watched_directory": {"path": directory.path()}
            }}},
            "static_resources": {"clusters": [
                cluster("upstream", upstream.address()),
                cluster("wasm_cluster", controller.address("http", V4)),
            ]}
        });
        apply(&directory, 1, listener);
        let options = Options { environment: &[("PORTCULLIS_TOKEN", TOKEN)], ..Options::default() };
        let envoy = Envoy::start_with(&document, options);
        Self { envoy, upstream, _controller: controller, directory, version: 1 }
    }

    /// Has Envoy take the listener, or refuse it: the number that is then one higher.
    fn apply(&mut self, listener: &Value, counter: &str) {
        let before = self.count(counter);
        self.version += 1;
        apply(&self.directory, self.version, listener);
        poll::until("the update is counted", || (self.count(counter) == before + 1).then_some(()));
    }

    fn count(&self, name: &str) -> u64 {
        let stats = self.envoy.admin().stats(name).expect("the admin interface answers");
        stats.get(name).copied().unwrap_or_default()
    }

    fn send(&self, from: IpAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let headers: Vec<Pair> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let request = http1::request(method.as_bytes(), path.as_bytes(), b"gateway.test", &headers, None);
        let stream = connect(from, self.envoy.address("http", V4)).expect("Envoy listens");
        http1::Client::new(stream).send(&request).expect("Envoy replies")
    }

    /// The status of the reply to a GET with that key.
    fn status(&self, path: &str, key: &str) -> u16 {
        self.send(V4, "GET", path, &[("x-api-key", key)]).status
    }
}

fn apply(directory: &TempDir, version: u32, listener: &Value) {
    let update = json!({"version_info": version.to_string(), "resources": [listener]});
    replace(directory.path(), "lds.json", &update.to_string());
}

/// A request, and what is promised: the status, and the consumer that the upstream is told; `-` where it is told of none,
/// nothing where it is not reached.
type Promise = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16, &'static str);

const PROMISES: [Promise; 16] = [
    ("GET", "/v2/models", &[], 401, ""),
    ("GET", "/v2/models", &[("x-api-key", "gateway-suite-unknown")], 401, ""),
    ("GET", "/v2/models", &[("x-api-key", TOKEN)], 200, "ci"),
    ("GET", "/v2/models", &[("authorization", "Bearer gateway-suite-token")], 200, "ci"),
    ("GET", "/v2/models", &[("authorization", "Bearer gateway-suite-token"), ("x-api-key", TOKEN)], 400, ""),
    ("POST", "/v2/models/iris/predict", &[("x-api-key", TOKEN)], 200, "ci"),
    ("GET", "/healthz", &[], 200, "-"),
    ("GET", "/healthz", &[("x-portcullis-consumer", "forged")], 200, "-"),
    // Envoy merges slashes before the gate looks.
    ("GET", "//healthz", &[], 200, "-"),
    ("GET", "/healthz/../v2/models", &[], 401, ""),
    // Envoy itself refuses these, and redirects that one, with Envoy Gateway's settings.
    ("GET", "/v2/models", &[("x_api_key", TOKEN)], 400, ""),
    ("GET", "/healthz%2f..%2fv2/models", &[], 307, ""),
    // The route with a gate of its own: the keys of the other do not open it, and the other way round.
    ("GET", "/orders", &[("x-api-key", TOKEN)], 401, ""),
    ("GET", "/orders", &[("x-api-key", DEMO)], 200, "shop"),
    ("GET", "/v2/models", &[("x-api-key", DEMO)], 401, ""),
    // The danger: a route whose nearest policy has no gate.
    ("GET", "/ungated", &[], 200, "-"),
];

#[test]
fn envoy_gateways_filters_answer_as_promised_in_both_forms_of_the_policy() {
    let (gateway, orders) = (manifest("gateway.yaml"), manifest("httproute.yaml"));
    let sum = sha256(&paths::module());
    for form in [Form::Text, Form::Struct] {
        let filters = [filter(&gateway, form, &sum), filter(&orders, form, &sum)];
        let routes = [route("/orders", Some(&orders)), route("/ungated", None), route("/", Some(&gateway))];
        let stage = Gateway::start(&listener(&filters, &routes, &json!({})));
        for (method, path, headers, status, consumer) in PROMISES {
            let reply = stage.send(V4, method, path, headers);
            let told = stage.upstream.seen(&reply).map_or_else(String::new, |seen| {
                let values = portcullis_tests::message::values(&seen.headers, "x-portcullis-consumer");
                let named = values.first().map(|value| String::from_utf8_lossy(value).into_owned());
                named.unwrap_or_else(|| "-".to_owned())
            });
            assert_eq!((reply.status, told.as_str()), (status, consumer), "{method} {path} {headers:?}");
        }
    }
}

#[test]
fn an_update_is_taken_or_refused_as_a_whole() {
    let policy =
        |key: &str| json!({"version": 1, "name": "edge", "consumers": [{"name": "ci", "keys": [{"plaintext": key}]}]});
    let sum = sha256(&paths::module());
    let listener = |policy: &Value, sum: &str| gated(&manifest_with(policy), Form::Text, sum);
    let mut stage = Gateway::start(&listener(&policy("gateway-first-key"), &sum));
    let keys = |stage: &Gateway| ["gateway-first-key", "gateway-second-key"].map(|key| stage.status("/x", key));
    assert_eq!(keys(&stage), [200, 401]);

    stage.apply(&listener(&policy("gateway-second-key"), &sum), "listener_manager.lds.update_success");
    poll::until("the new key works", || (keys(&stage) == [401, 200]).then_some(()));

    let mut wrong = policy("gateway-first-key");
    wrong["colour"] = json!("red");
    stage.apply(&listener(&wrong, &sum), "listener_manager.lds.update_rejected");
    assert_eq!(keys(&stage), [401, 200], "the old policy serves on");

    // A module that does not come: the listener waits for it, and the old one serves on.
    stage.apply(&listener(&policy("gateway-first-key"), &"0".repeat(64)), "listener_manager.lds.update_success");
    assert_eq!((keys(&stage), stage.count("listener_manager.total_listeners_warming")), ([401, 200], 1));
}

/// Envoy takes a listener before it has the module, so nothing can refuse the update any more: the gate lets nobody in.
#[test]
fn a_refused_policy_beside_a_new_module_lets_nobody_in() {
    let wrong = manifest_with(&json!({"version": 1, "colour": "red"}));
    let stage = Gateway::start(&gated(&wrong, Form::Text, &sha256(&paths::module())));
    assert_eq!(["/x", "/healthz"].map(|path| stage.status(path, TOKEN)), [503, 503]);
    assert_eq!((stage.upstream.count(), stage.count("listener_manager.lds.update_rejected")), (0, 0));
}

/// Who is trusted by address. A local peer on the loopback cannot show `direct`: Envoy names an address of its own then.
#[test]
fn a_caller_chooses_its_address_where_hops_are_trusted() {
    let policy = |address: &str| {
        manifest_with(
            &json!({"version": 1, "name": "edge", "trusted_networks": {"ranges": ["10.1.0.0/16"], "client_address": address}}),
        )
    };
    let sum = sha256(&paths::module());
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
        let stage = Gateway::start(&listener(
            &[filter(&manifest, Form::Text, &sum)],
            &[route("/", Some(&manifest))],
            &settings,
        ));
        let ask = |headers: &[(&str, &str)]| stage.send(V4, "GET", "/x", headers).status;
        assert_eq!(ask(&[]), 401, "{settings} {address}");
        assert_eq!(ask(&[("x-forwarded-for", "10.1.2.3")]), status, "{settings} {address}");
    }
}
