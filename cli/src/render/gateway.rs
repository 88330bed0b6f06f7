//! Renders the gate as an `EnvoyExtensionPolicy` of Envoy Gateway, and a `ClientTrafficPolicy` with the settings before
//! it.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::NAME;
use super::document::KeylessPolicy;
use super::remote::{Module, Origin};
use crate::yaml::Node;

/// The target of the gate.
#[derive(Debug, Args)]
#[group(id = "targets", required = true, multiple = true, args = ["gateway", "route"])]
pub(crate) struct GatewayTarget {
    /// A Gateway: all of its routes, except those with their own EnvoyExtensionPolicy; may be repeated
    #[arg(long, value_name = "NAME", value_parser = super::object_name)]
    gateway: Vec<String>,
    /// An HTTPRoute: the gate of its Gateway no longer applies to it; may be repeated
    #[arg(long, value_name = "NAME", value_parser = super::object_name)]
    route: Vec<String>,
    /// The name of the resource
    #[arg(long, default_value = NAME, value_parser = super::object_name)]
    name: String,
    /// The namespace of the resource, and of the Gateway or the route
    #[arg(long, default_value = "default", value_parser = super::object_name)]
    namespace: String,
    #[command(flatten)]
    origin: Origin,
}

const GROUP: &str = "gateway.networking.k8s.io";
const VERSION: &str = "gateway.envoyproxy.io/v1alpha1";

impl GatewayTarget {
    /// The resources.
    ///
    /// # Errors
    /// If Envoy Gateway cannot get the module.
    pub(crate) fn resources(&self, policy: &KeylessPolicy) -> Result<Vec<Node>> {
        Ok([self.gate(policy)?].into_iter().chain(self.settings()).collect())
    }

    fn gateways(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.gateway.iter().map(|name| (GROUP, "Gateway", name.as_str()))
    }

    /// The settings of the connection manager in `render envoy` that differ from Envoy Gateway's defaults, or may be
    /// changed. Only for a Gateway: a route has no such settings.
    fn settings(&self) -> Option<Node> {
        self.gateways().next()?;
        let mut spec = super::targets(self.gateways());
        spec["path"] = json!({"escapedSlashesAction": "RejectRequest"});
        spec["headers"] = json!({"withUnderscoresAction": "RejectRequest"});
        Some(super::object(VERSION, "ClientTrafficPolicy", &self.name, &self.namespace, spec.into()))
    }

    fn gate(&self, policy: &KeylessPolicy) -> Result<Node> {
        let mut wasm = json!({
            "name": self.name,
            "rootID": NAME,
            // The default, made explicit. FAIL_RELOAD is not supported.
            "failOpen": false,
            "code": self.code()?,
        });
        if !policy.variables.is_empty() {
            wasm["env"] = json!({"hostKeys": policy.variables});
        }
        let wasm = Node::from(wasm).with("config", policy.node.clone());
        let routes = self.route.iter().map(|name| (GROUP, "HTTPRoute", name.as_str()));
        let spec = Node::from(super::targets(self.gateways().chain(routes))).with("wasm", Node::list([wasm]));
        Ok(super::object(VERSION, "EnvoyExtensionPolicy", &self.name, &self.namespace, spec))
    }

    fn code(&self) -> Result<Value> {
        let (kind, member, url, sha256) = match self.origin.module()? {
            Module::Image { reference, sha256 } => ("Image", "image", reference, sha256),
            Module::Http { url, sha256 } => ("HTTP", "http", url, sha256),
            Module::File { .. } => bail!("--url file://: Envoy Gateway supports only oci:// and https://"),
        };
        let mut from = json!({"url": url, "sha256": sha256});
        match (&self.origin.pull_secret, kind) {
            (Some(secret), "Image") => from["pullSecretRef"] = json!({"name": secret}),
            (Some(_), _) => bail!("--pull-secret: only for oci://"),
            (None, _) => {}
        }
        Ok(json!({"type": kind, member: from}))
    }
}
