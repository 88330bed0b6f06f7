//! The configuration that Envoy Gateway generates from an `EnvoyExtensionPolicy`, rebuilt from its source
//! (`internal/xds/translator/wasm.go` and `listener.go`), and an Envoy that runs it. There is no controller and no
//! cluster.
//!
//! Each filter is disabled in the listener, and each route enables those of its policy. The policy is JSON text. The
//! module comes over HTTP from the controller. The listener comes by xDS, here from a file.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use portcullis::keys::Digest;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::bootstrap::{cluster, publish, socket, watched};
use crate::crd::documents;
use crate::envoy::{Envoy, Options, V4};
use crate::message::Reply;
use crate::stage::Stage;
use crate::upstream::Upstream;
use crate::wire_engine::Form;
use crate::{paths, poll};

/// The key of `gateway.yaml`, from the environment of the proxy.
pub const TOKEN: &str = "gateway-suite-token";

/// The file of the listener.
const LDS: &str = "lds.json";

/// A module that the controller serves, or fails to serve.
#[derive(Debug)]
pub struct Module {
    name: String,
    sha256: String,
}

impl Module {
    /// The module in that file.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn at(path: &Path) -> Self {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        Self { name, sha256: Digest::of(&fs::read(path).expect("a file")).to_hex() }
    }

    /// A module that the controller does not have.
    pub fn missing() -> Self {
        Self { name: "missing.wasm".to_owned(), sha256: "0".repeat(64) }
    }
}

/// An Envoy with its listener from a file, another Envoy that serves the module in place of the controller, and an
/// upstream.
#[derive(Debug)]
pub struct Gateway {
    /// Envoy, and the upstream behind the gate.
    pub stage: Stage,
    _controller: Envoy,
    directory: TempDir,
    version: u32,
}

/// The extension policy of a manifest.
///
/// # Panics
/// If it has none.
pub fn manifest(file: &str) -> Value {
    of_kind(file, "EnvoyExtensionPolicy")
}

/// The document of that kind in a manifest.
///
/// # Panics
/// If it has none.
pub fn of_kind(file: &str, kind: &str) -> Value {
    let text = fs::read_to_string(paths::workspace().join("envoy/envoy-gateway").join(file)).expect("it is shipped");
    documents(&text).into_iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("{file} has no {kind}"))
}

/// As [`manifest`], with another policy for the gate.
pub fn manifest_with(policy: &Value) -> Value {
    let mut manifest = manifest("gateway.yaml");
    manifest["spec"]["wasm"][0]["config"] = policy.clone();
    manifest
}

/// The name of the filter, with which routes enable it.
fn filter_name(manifest: &Value) -> String {
    format!("envoy.filters.http.wasm/{}", vm_name(manifest))
}

fn vm_name(manifest: &Value) -> String {
    let [namespace, name] = ["namespace", "name"].map(|part| manifest["metadata"][part].as_str().expect("a name"));
    format!("envoyextensionpolicy/{namespace}/{name}/wasm/0")
}

/// The filter of a manifest; Envoy Gateway generates [`Form::Text`]. The checksum is that of the module, even if the
/// manifest has the digest of an image.
pub fn filter(manifest: &Value, form: Form, module: &Module) -> Value {
    let wasm = &manifest["spec"]["wasm"][0];
    let mut config = json!({
        "name": wasm["name"],
        "root_id": wasm["rootID"],
        "fail_open": wasm["failOpen"],
        "configuration": form.gate(&wasm["config"]).configuration(),
        "vm_config": {
            "vm_id": vm_name(manifest),
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"remote": {
                "http_uri": {"uri": format!("https://envoy-gateway:18002/{}", module.name), "cluster": "wasm_cluster", "timeout": "10s"},
                "sha256": module.sha256,
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

/// A route to the upstream, behind the gate of a manifest or behind no gate.
pub fn route(prefix: &str, gate: Option<&Value>) -> Value {
    let enabled = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
    let enabled = gate.map(|manifest| (filter_name(manifest), enabled)).into_iter().collect::<Map<_, _>>();
    let by = if prefix == "/" { "prefix" } else { "path_separated_prefix" };
    json!({"match": {by: prefix}, "route": {"cluster": "upstream"}, "typed_per_filter_config": enabled})
}

/// The listener `http`, with Envoy Gateway's defaults and `settings`.
///
/// # Panics
/// If `settings` is not an object.
pub fn listener(filters: &[Value], routes: &[Value], settings: &Value) -> Value {
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
        "address": socket((Ipv4Addr::LOCALHOST, 0)),
        "default_filter_chain": {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    })
}

/// The changes that a `ClientTrafficPolicy` makes to a connection manager, for paths and headers
/// (`internal/xds/translator/listener.go`).
///
/// # Panics
/// If it has a field that Envoy Gateway does not have.
pub fn client_settings(policy: &Value) -> Value {
    let (path, headers) = (&policy["spec"]["path"], &policy["spec"]["headers"]);
    let escapes = match path["escapedSlashesAction"].as_str() {
        None | Some("UnescapeAndRedirect") => "UNESCAPE_AND_REDIRECT",
        Some("RejectRequest") => "REJECT_REQUEST",
        Some("UnescapeAndForward") => "UNESCAPE_AND_FORWARD",
        Some("KeepUnchanged") => "KEEP_UNCHANGED",
        Some(other) => panic!("{other} is no escapedSlashesAction"),
    };
    let underscores = match headers["withUnderscoresAction"].as_str() {
        None | Some("RejectRequest") => "REJECT_REQUEST",
        Some("DropHeader") => "DROP_HEADER",
        Some("Allow") => "ALLOW",
        Some(other) => panic!("{other} is no withUnderscoresAction"),
    };
    json!({
        "merge_slashes": path["disableMergeSlashes"] != true,
        "path_with_escaped_slashes_action": escapes,
        "common_http_protocol_options": {"headers_with_underscores_action": underscores}
    })
}

/// A listener with the gate of one manifest on all routes.
pub fn gated(manifest: &Value, form: Form, module: &Module) -> Value {
    listener(&[filter(manifest, form, module)], &[route("/", Some(manifest))], &json!({}))
}

/// Serves these modules, each under its name, like the controller.
fn controller(modules: &[PathBuf]) -> Envoy {
    let serve = |path: &PathBuf| json!({"match": {"path": format!("/{}", Module::at(path).name)}, "direct_response": {"status": 200, "body": {"filename": path}}});
    let mut listener = listener(&[], &modules.iter().map(serve).collect::<Vec<_>>(), &json!({}));
    listener.as_object_mut().expect("an object").remove("@type");
    let manager = &mut listener["default_filter_chain"]["filters"][0]["typed_config"];
    manager["route_config"]["max_direct_response_body_size_bytes"] = json!(100 << 20);
    Envoy::start(&json!({
        "admin": {"address": socket((Ipv4Addr::LOCALHOST, 0))},
        "static_resources": {"listeners": [listener]}
    }))
}

impl Gateway {
    /// Starts Envoy with that listener.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(listener: &Value) -> Self {
        let (upstream, controller) = (Upstream::start(), controller(&[paths::module(), paths::trap_module()]));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let document = json!({
            "admin": {"address": socket((Ipv4Addr::LOCALHOST, 0))},
            "dynamic_resources": {"lds_config": watched(directory.path(), LDS)},
            "static_resources": {"clusters": [
                cluster("upstream", &socket(upstream.address())),
                cluster("wasm_cluster", &socket(controller.address("http", V4))),
            ]}
        });
        publish(directory.path(), LDS, "1", listener);
        let options = Options { environment: &[("PORTCULLIS_TOKEN", TOKEN)], ..Options::default() };
        let envoy = Envoy::start_with(&document, options);
        Self { stage: Stage { envoy, upstream }, _controller: controller, directory, version: 1 }
    }

    /// Makes Envoy apply or reject the listener: `counter` must then be one higher.
    ///
    /// # Panics
    /// If it is not.
    pub fn apply(&mut self, listener: &Value, counter: &str) {
        let before = self.count(counter);
        self.version += 1;
        publish(self.directory.path(), LDS, &self.version.to_string(), listener);
        poll::until("the update is counted", || (self.count(counter) == before + 1).then_some(()));
    }

    /// A value of Envoy's statistics.
    ///
    /// # Panics
    /// If the admin interface does not answer.
    pub fn count(&self, name: &str) -> u64 {
        self.stage.envoy.admin().count(name).unwrap_or_default()
    }

    /// The reply to a request over a new connection.
    ///
    /// # Panics
    /// If there is no reply.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.stage.send("http", method, path, headers).expect("Envoy replies")
    }

    /// The status of the reply to a GET with that key.
    pub fn status(&self, path: &str, key: &str) -> u16 {
        self.send("GET", path, &[("x-api-key", key)]).status
    }
}
