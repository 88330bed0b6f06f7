//! Renders the gate as a resource of Istio.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::document::KeylessPolicy;
use super::remote::{Module, Origin};
use super::{NAME, envoy};
use crate::yaml::Node;

/// The resource, and the workloads that it applies to.
#[derive(Debug, Args)]
pub(crate) struct Mesh {
    /// The kind of resource
    #[arg(long, value_enum, default_value = "wasm-plugin")]
    kind: Kind,
    /// The name of the resource; it replaces a resource with the same name in the namespace
    #[arg(long, default_value = NAME, value_parser = super::object_name)]
    name: String,
    /// The namespace that the gate applies to; Istio's root namespace means the whole mesh
    #[arg(long, default_value = ROOT, value_parser = super::object_name)]
    namespace: String,
    /// Apply only to pods with this label; may be repeated
    #[arg(long, value_name = "LABEL=VALUE", value_delimiter = ',', value_parser = label)]
    selector: Vec<(String, String)>,
    /// The selected pods are a gateway
    #[arg(long, requires = "selector")]
    ingress: bool,
    /// Apply to a Gateway of the Gateway API in the namespace, instead of pods
    #[arg(long, value_name = "NAME", value_parser = super::object_name, requires = "namespace", conflicts_with = "selector")]
    gateway: Option<String>,
    /// Apply to a Service behind a waypoint in the namespace, instead of pods
    #[arg(long, value_name = "NAME", value_parser = super::object_name, requires = "namespace", conflicts_with_all = ["selector", "gateway"])]
    service: Option<String>,
    #[command(flatten)]
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Istio 1.27 and later (before, there is no FAIL_RELOAD)
    WasmPlugin,
    /// Istio 1.30 and later
    TrafficExtension,
    /// A patch of Envoy's configuration: the gate runs before every other filter
    EnvoyFilter,
}

/// The traffic that the gate sees.
enum Place<'a> {
    /// Inbound traffic of sidecars; of all pods if there is no label.
    Sidecars(&'a [(String, String)]),
    /// Traffic to a gateway, by the labels of its pods.
    Ingress(&'a [(String, String)]),
    /// Traffic to a Gateway of the Gateway API.
    Gateway(&'a str),
    /// Traffic through the waypoint of a Service.
    Waypoint(&'a str),
}

/// Istio's root namespace, unless the mesh's configuration says otherwise.
const ROOT: &str = "istio-system";

impl Mesh {
    /// The resource.
    ///
    /// # Errors
    /// If the kind of resource does not support an option.
    pub(crate) fn resource(&self, policy: &KeylessPolicy) -> Result<Node> {
        for (number, (label, _)) in self.selector.iter().enumerate() {
            if self.selector.iter().take(number).any(|(other, _)| other == label) {
                bail!("--selector: duplicate label {label}: keep one");
            }
        }
        let module = self.origin.module()?;
        match self.kind {
            Kind::EnvoyFilter => self.envoy_filter(policy, &module),
            Kind::WasmPlugin => {
                let mut spec = self.target();
                self.plugin(&mut spec);
                self.wasm(&mut spec, policy, &module);
                let spec = Node::from(spec).with("pluginConfig", policy.node.clone());
                Ok(self.object("extensions.istio.io/v1alpha1", "WasmPlugin", spec))
            }
            Kind::TrafficExtension => {
                let (mut spec, mut wasm) = (self.target(), json!({}));
                self.plugin(&mut spec);
                self.wasm(&mut wasm, policy, &module);
                let wasm = Node::from(wasm).with("pluginConfig", policy.node.clone());
                let spec = Node::from(spec).with("wasm", wasm);
                Ok(self.object("extensions.istio.io/v1alpha1", "TrafficExtension", spec))
            }
        }
    }

    /// Whether the resource also normalizes requests before the gate, which a plugin cannot.
    pub(crate) fn normalizes(&self) -> bool {
        self.kind == Kind::EnvoyFilter
    }

    /// Describes the workloads that the gate applies to.
    pub(crate) fn scope(&self) -> String {
        let Self { namespace, .. } = self;
        let pods = match self.place() {
            Place::Gateway(name) => return format!("the Gateway {name} of the namespace {namespace}"),
            Place::Waypoint(name) => {
                return format!("the Service {name} of the namespace {namespace}, behind a waypoint");
            }
            Place::Ingress(labels) => format!("the gateways with {}", joined(labels)),
            Place::Sidecars([]) => "every sidecar".to_owned(),
            Place::Sidecars(labels) => format!("the sidecars with {}", joined(labels)),
        };
        if namespace == ROOT {
            format!("{pods} of the whole mesh ({ROOT} is Istio's root namespace; --namespace narrows it)")
        } else {
            format!("{pods} of the namespace {namespace}")
        }
    }

    fn place(&self) -> Place<'_> {
        match (&self.gateway, &self.service) {
            (Some(name), _) => Place::Gateway(name),
            (None, Some(name)) => Place::Waypoint(name),
            (None, None) if self.ingress => Place::Ingress(&self.selector),
            (None, None) => Place::Sidecars(&self.selector),
        }
    }

    fn object(&self, version: &str, kind: &str, spec: Node) -> Node {
        super::object(version, kind, &self.name, &self.namespace, spec)
    }

    /// The target of a plugin.
    fn target(&self) -> Value {
        match self.place() {
            Place::Sidecars([]) => json!({}),
            Place::Sidecars(labels) | Place::Ingress(labels) => json!({"selector": {"matchLabels": label_map(labels)}}),
            Place::Gateway(name) => super::targets([("gateway.networking.k8s.io", "Gateway", name)]),
            Place::Waypoint(name) => super::targets([("", "Service", name)]),
        }
    }

    /// Sets the phase and the direction. Without a direction, outbound calls and gateways are gated too. There are no
    /// ports: Istio's listener for ports that no Service declares has no number. A waypoint takes no match.
    fn plugin(&self, spec: &mut Value) {
        spec["phase"] = json!("AUTHN");
        let mode = match self.place() {
            Place::Sidecars(_) => "SERVER",
            Place::Ingress(_) | Place::Gateway(_) => "CLIENT",
            Place::Waypoint(_) => return,
        };
        spec["match"] = json!([{"mode": mode}]);
    }

    fn wasm(&self, spec: &mut Value, policy: &KeylessPolicy, module: &Module) {
        let (url, sha256) = match module {
            Module::Image { reference, sha256 } => (format!("oci://{reference}"), Some(sha256)),
            Module::Http { url, sha256 } => (url.clone(), Some(sha256)),
            Module::File { path } => (format!("file://{path}"), None),
        };
        spec["url"] = json!(url);
        if let Some(sha256) = sha256 {
            spec["sha256"] = json!(sha256);
        }
        if let Some(secret) = &self.origin.pull_secret {
            spec["imagePullSecret"] = json!(secret);
        }
        spec["pluginName"] = json!(NAME);
        spec["failStrategy"] = json!("FAIL_RELOAD");
        if !policy.variables.is_empty() {
            let host = |name: &String| json!({"name": name, "valueFrom": "HOST"});
            spec["vmConfig"] = json!({"env": policy.variables.iter().map(host).collect::<Value>()});
        }
    }

    /// The filter as a resource, which Istio's agent completes with the module, and its position in the listeners.
    /// While there is no module, the agent sends a filter that denies every request.
    fn envoy_filter(&self, policy: &KeylessPolicy, module: &Module) -> Result<Node> {
        if self.origin.pull_secret.is_some() {
            bail!("--pull-secret: not supported by an EnvoyFilter: use --kind wasm-plugin");
        }
        let context = match self.place() {
            Place::Sidecars(_) => "SIDECAR_INBOUND",
            Place::Ingress(_) | Place::Gateway(_) => "GATEWAY",
            Place::Waypoint(_) => bail!("--service: not supported by an EnvoyFilter: use --kind wasm-plugin"),
        };
        let code = match module {
            Module::Image { reference, sha256 } => remote(&format!("oci://{reference}"), sha256),
            Module::Http { url, sha256 } => remote(url, sha256),
            Module::File { path } => json!({"local": {"filename": path}}),
        };
        // A proxy may get resources of several namespaces.
        let name = format!("{}/{}", self.namespace, self.name);
        let extension = Node::from(json!({"name": name}))
            .with("typed_config", envoy::wasm(&name, &code, &policy.node, &policy.variables));
        let filter = json!({"name": name, "config_discovery": envoy::from_control_plane()});
        let place = json!({"context": context, "listener": {"filterChain": {"filter": {"name": envoy::MANAGER}}}});
        let patches = [
            patch("EXTENSION_CONFIG", None, "ADD", extension),
            patch("HTTP_FILTER", Some(&place), "INSERT_FIRST", filter.into()),
            // Istio itself does only a part of it, depending on the mesh.
            patch("NETWORK_FILTER", Some(&place), "MERGE", envoy::normalizing_manager().into()),
        ];
        let spec = match self.place() {
            Place::Sidecars(labels @ [_, ..]) | Place::Ingress(labels) => {
                json!({"workloadSelector": {"labels": label_map(labels)}})
            }
            _ => self.target(),
        };
        let spec = Node::from(spec).with("configPatches", Node::list(patches));
        Ok(self.object("networking.istio.io/v1alpha3", "EnvoyFilter", spec))
    }
}

/// A module that the agent fetches, not Envoy, which would need a cluster.
fn remote(url: &str, sha256: &str) -> Value {
    json!({"remote": {"http_uri": {"uri": url, "cluster": "_", "timeout": "30s"}, "sha256": sha256}})
}

fn patch(to: &str, place: Option<&Value>, operation: &str, value: Node) -> Node {
    let mut patch = json!({"applyTo": to});
    if let Some(place) = place {
        patch["match"] = place.clone();
    }
    let change = Node::from(json!({"operation": operation})).with("value", value);
    Node::from(patch).with("patch", change)
}

fn label_map(labels: &[(String, String)]) -> Value {
    labels.iter().cloned().collect()
}

fn joined(labels: &[(String, String)]) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

fn label(text: &str) -> Result<(String, String), String> {
    let is_plain =
        |text: &str, others: &[u8]| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte));
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && is_plain(name, b"-._/") && is_plain(value, b"-._") => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected LABEL=VALUE, such as app=models".to_owned()),
    }
}
