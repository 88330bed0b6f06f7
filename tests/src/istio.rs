//! The configuration that Istio generates from the manifests under `envoy/istio/`.
//!
//! From Istio's source, releases 1.27 to 1.31: istiod makes a resource of each plugin, with its `pluginConfig` as JSON
//! text (`pilot/pkg/model/extensions.go`). The agent next to Envoy replaces the address with the module that it has
//! fetched, or with a filter that denies all requests if it has none (`pkg/wasm/convert.go`). Here, the module is
//! always the built one, whatever the manifest's `url` is.

use std::fs;

use serde_json::{Value, json};

use crate::wire_engine::Form;
use crate::{crd, paths};

/// The places for a filter in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Inbound traffic of a workload, in its sidecar.
    SidecarInbound,
    /// Outbound traffic of a workload, in its sidecar.
    SidecarOutbound,
    /// An ingress gateway.
    Gateway,
    /// A waypoint, in ambient mode.
    Waypoint,
}

/// A `WasmPlugin` or a `TrafficExtension`.
#[derive(Debug, Clone)]
pub struct Plugin {
    document: Value,
}

/// The documents of a file under `envoy/istio/`.
///
/// # Panics
/// If it does not exist, or is not YAML.
pub fn documents(file: &str) -> Vec<Value> {
    let path = paths::workspace().join("envoy/istio").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    crd::documents(&text)
}

/// The plugins of a file under `envoy/istio/`.
pub fn plugins(file: &str) -> Vec<Plugin> {
    let is_plugin = |document: &Value| document["kind"] == "WasmPlugin" || document["kind"] == "TrafficExtension";
    documents(file).into_iter().filter(is_plugin).map(Plugin::new).collect()
}

/// The `AuthorizationPolicy`s of a file under `envoy/istio/`.
///
/// # Panics
/// If it has none.
pub fn authorizations(file: &str) -> Vec<Value> {
    let is_policy = |document: &Value| document["kind"] == "AuthorizationPolicy";
    let all: Vec<Value> = documents(file).into_iter().filter(is_policy).collect();
    assert!(!all.is_empty(), "{file}");
    all
}

impl Plugin {
    /// The plugin in a document.
    pub fn new(document: Value) -> Self {
        Self { document }
    }

    /// The fields that a `WasmPlugin` has in its `spec`, and a `TrafficExtension` one level below.
    pub fn wasm(&self) -> &Value {
        let spec = &self.document["spec"];
        spec.get("wasm").unwrap_or(spec)
    }

    /// The `spec`.
    pub fn spec(&self) -> &Value {
        &self.document["spec"]
    }

    /// The policy.
    pub fn policy(&self) -> &Value {
        &self.wasm()["pluginConfig"]
    }

    /// The same plugin with a changed policy.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let spec = &mut self.document["spec"];
        let wasm = if spec.get("wasm").is_some() { &mut spec["wasm"] } else { spec };
        let (parent, member) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        wasm["pluginConfig"].pointer_mut(parent).expect("a place in the policy")[member] = value;
        self
    }

    /// Whether istiod applies the plugin there, according to its `match` and `targetRefs`.
    pub fn stands_at(&self, place: Place) -> bool {
        let mode = if matches!(place, Place::SidecarInbound | Place::Waypoint) { "SERVER" } else { "CLIENT" };
        let selectors = self.spec()["match"].as_array();
        let matches = selectors.is_none_or(|selectors| {
            selectors.iter().any(|selector| {
                let has_port = place == Place::Waypoint && !selector["ports"].is_null();
                !has_port && [None, Some("CLIENT_AND_SERVER"), Some(mode)].contains(&selector["mode"].as_str())
            })
        });
        matches
            && match place {
                Place::SidecarInbound | Place::SidecarOutbound => self.spec()["targetRefs"].is_null(),
                Place::Gateway => true,
                Place::Waypoint => !self.spec()["targetRefs"].is_null(),
            }
    }

    /// The name of the resource, which is also that of the filter in the listener.
    pub fn resource(&self) -> String {
        format!("extensions.istio.io/trafficextension/{}", self.name())
    }

    /// Namespace and name; for a `WasmPlugin`, with the suffix that Istio 1.30 adds when it makes a `TrafficExtension`.
    fn name(&self) -> String {
        let [namespace, name] =
            ["namespace", "name"].map(|part| self.document["metadata"][part].as_str().expect("a name"));
        let translated = if self.document["kind"] == "WasmPlugin" { "~istio-translated-wasmplugin" } else { "" };
        format!("{namespace}.{name}{translated}")
    }

    /// The resource as Envoy gets it; Istio's form of the policy is [`Form::Text`].
    ///
    /// # Panics
    /// If the manifest has a field that Istio does not have.
    pub fn extension(&self, form: Form) -> Value {
        let wasm = self.wasm();
        let configuration = match form {
            Form::Text => json!({"@type": type_url("google.protobuf.StringValue"), "value": self.policy().to_string()}),
            Form::Struct => json!({"@type": type_url("google.protobuf.Struct"), "value": self.policy()}),
        };
        let failure_policy = match wasm["failStrategy"].as_str() {
            None | Some("FAIL_CLOSE") => "FAIL_CLOSED",
            Some(strategy @ ("FAIL_OPEN" | "FAIL_RELOAD")) => strategy,
            Some(other) => panic!("{other} is no failStrategy"),
        };
        let mut vm_config = json!({
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": paths::module()}}
        });
        let variables = wasm["vmConfig"]["env"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !variables.is_empty() {
            let (host, inline): (Vec<_>, Vec<_>) = variables.iter().partition(|one| one["valueFrom"] == "HOST");
            let host: Vec<&Value> = host.into_iter().map(|one| &one["name"]).collect();
            let inline: serde_json::Map<_, _> = inline
                .into_iter()
                .map(|one| (one["name"].as_str().expect("a name").to_owned(), one["value"].clone()))
                .collect();
            vm_config["environment_variables"] = json!({"host_env_keys": host, "key_values": inline});
        }
        self.typed(json!({
            "@type": type_url(WASM),
            "config": {
                "name": self.name(),
                "root_id": wasm["pluginName"].as_str().unwrap_or_default(),
                "failure_policy": failure_policy,
                "configuration": configuration,
                "vm_config": vm_config
            }
        }))
    }

    /// What the agent sends instead of the plugin while its module cannot be fetched: RBAC without rules, so no request
    /// passes.
    pub fn stand_in(&self) -> Value {
        self.typed(json!({
            "@type": type_url(RBAC),
            "rules": {},
            "rules_stat_prefix": "wasm-default-deny"
        }))
    }

    fn typed(&self, config: Value) -> Value {
        json!({"@type": type_url(EXTENSION), "name": self.resource(), "typed_config": config})
    }
}

/// The resources that an `EnvoyFilter` adds, as Envoy gets them.
pub fn added(envoy_filter: &Value) -> Vec<Value> {
    let patches = envoy_filter["spec"]["configPatches"].as_array().map(Vec::as_slice).unwrap_or_default();
    let adds = |patch: &&Value| patch["applyTo"] == "EXTENSION_CONFIG" && patch["patch"]["operation"] == "ADD";
    let reaches = |patch: &Value| {
        let mut resource = patch["patch"]["value"].clone();
        resource["@type"] = json!(type_url(EXTENSION));
        resource["typed_config"]["config"]["vm_config"]["code"] = json!({"local": {"filename": paths::module()}});
        resource
    };
    patches.iter().filter(adds).map(reaches).collect()
}

/// The filters that the `EnvoyFilter`s of a file put first into an inbound listener.
pub fn inserted_first(file: &str) -> Vec<Value> {
    let filters = documents(file).into_iter().filter(|document| document["kind"] == "EnvoyFilter");
    let patches = filters.flat_map(|filter| filter["spec"]["configPatches"].as_array().cloned().unwrap_or_default());
    let first = |patch: &Value| {
        patch["applyTo"] == "HTTP_FILTER"
            && patch["match"]["context"] == "SIDECAR_INBOUND"
            && patch["patch"]["operation"] == "INSERT_FIRST"
    };
    patches.filter(first).map(|patch| patch["patch"]["value"].clone()).collect()
}

/// The settings that `pathNormalization` of the mesh's configuration makes in every connection manager
/// (`pilot/pkg/networking/core/listener_builder.go`).
///
/// # Panics
/// If Istio has no such normalization.
pub fn normalization(mesh_config: &Value) -> Value {
    match mesh_config["pathNormalization"]["normalization"].as_str() {
        Some("NONE") => json!({"normalize_path": false}),
        None | Some("DEFAULT" | "BASE") => json!({"normalize_path": true}),
        Some("MERGE_SLASHES") => json!({"normalize_path": true, "merge_slashes": true}),
        Some("DECODE_AND_MERGE_SLASHES") => json!({
            "normalize_path": true, "merge_slashes": true, "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"
        }),
        Some(other) => panic!("{other} is no normalization"),
    }
}

/// What an `EnvoyFilter` merges into the connection managers of such a place
/// (`pilot/pkg/networking/core/envoyfilter/listener_patch.go`).
pub fn merged(envoy_filter: &Value, place: Place) -> Value {
    let context = match place {
        Place::SidecarInbound => "SIDECAR_INBOUND",
        Place::SidecarOutbound => "SIDECAR_OUTBOUND",
        Place::Gateway => "GATEWAY",
        Place::Waypoint => "WAYPOINT",
    };
    let patches = envoy_filter["spec"]["configPatches"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = patches.iter().filter(|patch| {
        let named = &patch["match"]["listener"]["filterChain"]["filter"]["name"];
        patch["applyTo"] == "NETWORK_FILTER"
            && patch["patch"]["operation"] == "MERGE"
            && patch["match"]["context"] == context
            && *named == "envoy.filters.network.http_connection_manager"
    });
    let mut settings = json!({});
    for patch in ours {
        let members = patch["patch"]["value"]["typed_config"].as_object().cloned().unwrap_or_default();
        settings.as_object_mut().expect("an object").extend(members);
    }
    settings
}

/// A kind of traffic, for which istiod makes separate filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Traffic for an HTTP connection manager.
    Http,
    /// All other traffic.
    Tcp,
}

/// The filters that istiod makes of all `AuthorizationPolicy`s of a workload: one that denies and one that allows.
/// Policies are additive (`pilot/pkg/security/authz/builder/builder.go`).
///
/// # Panics
/// If a policy has a field that those under `envoy/istio/` do not have.
pub fn authorization(policies: &[Value], traffic: Traffic) -> Vec<Value> {
    let filter = |action: &'static str| {
        let mut ours = policies.iter().filter(move |policy| policy["spec"]["action"] == action).peekable();
        ours.peek()?;
        let name = |policy: &Value| policy["metadata"]["name"].as_str().expect("a name").to_owned();
        let rules = ours.filter_map(|policy| Some((name(policy), rule(&policy["spec"], traffic)?)));
        let rules = json!({"action": action, "policies": rules.collect::<serde_json::Map<_, _>>()});
        Some(match traffic {
            Traffic::Http => json!({"name": "envoy.filters.http.rbac", "typed_config": {
                "@type": type_url(RBAC), "rules": rules
            }}),
            Traffic::Tcp => json!({"name": "envoy.filters.network.rbac", "typed_config": {
                "@type": type_url("envoy.extensions.filters.network.rbac.v3.RBAC"), "rules": rules, "stat_prefix": "tcp."
            }}),
        })
    };
    ["DENY", "ALLOW"].into_iter().filter_map(filter).collect()
}

/// The only rule of a policy. For TCP, istiod drops an allow rule with a condition on methods, and drops only the
/// condition from a deny rule (`pilot/pkg/security/authz/model/model.go`).
fn rule(spec: &Value, traffic: Traffic) -> Option<Value> {
    let [rule] = spec["rules"].as_array().expect("a list").as_slice() else { panic!("one rule: {spec}") };
    let every = json!(["*"]);
    let method = json!({"header": {"name": ":method", "present_match": true}});
    let permission = match (&rule["to"][0]["operation"], traffic) {
        (Value::Null, _) => json!({"any": true}),
        (_, Traffic::Tcp) if spec["action"] == "ALLOW" => return None,
        (_, Traffic::Tcp) => json!({"any": true}),
        (operation, Traffic::Http) if operation["methods"] == every => method,
        (operation, Traffic::Http) if operation["notMethods"] == every => json!({"not_rule": method}),
        (other, Traffic::Http) => panic!("an operation that is not known here: {other}"),
    };
    let principal = match rule["from"][0]["source"]["principals"].as_array().map(Vec::as_slice) {
        None => json!({"any": true}),
        Some([Value::String(name)]) => {
            json!({"authenticated": {"principal_name": {"exact": format!("spiffe://{name}")}}})
        }
        Some(other) => panic!("one principal: {other:?}"),
    };
    Some(json!({"permissions": [permission], "principals": [principal]}))
}

pub(crate) const EXTENSION: &str = "envoy.config.core.v3.TypedExtensionConfig";
pub(crate) const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
pub(crate) const RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";

pub(crate) fn type_url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}
