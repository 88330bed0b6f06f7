//! Lints of manifests of Istio and Envoy Gateway. docs/guides/istio.md describes how Istio applies them.

use portcullis::document::ClientAddress;

use super::code::Code;
use super::configuration::{Source, text_of};
use super::finding::Finding;
use super::gate::Gate;
use super::listener::{self, Find};
use crate::delivery::TooLarge;
use crate::yaml::{Node, Place};

/// Istio's root namespace, whose plugins apply to all namespaces.
const ROOT: &str = "istio-system";

/// The gates of a manifest.
pub(super) fn gates_of<'a>(source: &'a Source, document: &'a Node) -> Vec<Gate<'a>> {
    let Some(spec) = document.get("spec") else { return Vec::new() };
    match text_of(document, "kind") {
        Some("WasmPlugin") => Gate::of_istio(source, document, spec).into_iter().collect(),
        Some("TrafficExtension") => {
            spec.get("wasm").and_then(|wasm| Gate::of_istio(source, document, wasm)).into_iter().collect()
        }
        Some("EnvoyExtensionPolicy") => {
            let wasm = spec.items_of("wasm");
            wasm.iter().filter_map(|wasm| Gate::of_envoy_gateway(source, wasm)).collect()
        }
        _ => Vec::new(),
    }
}

/// Checks where the manifests of a file put their gates.
pub(super) fn examine(source: &Source, findings: &mut Vec<Finding>) {
    for document in &source.documents {
        let Some(spec) = document.get("spec") else { continue };
        let mut find = |code, node: Option<&Node>, message: &str, fix: &str| {
            let at = node.or(Some(spec)).and_then(|node| node.at);
            findings.push(Finding::new(code, Place { file: source.file.clone(), at }, message, fix));
        };
        match text_of(document, "kind") {
            Some("WasmPlugin" | "TrafficExtension") if !gates_of(source, document).is_empty() => istio(spec, &mut find),
            Some("EnvoyFilter") => patches(source, document, spec, &mut find),
            _ => {}
        }
        let size = document.to_json().map(|json| json.len()).unwrap_or_default();
        if let Some(TooLarge { message, fix }) =
            TooLarge::object(size).filter(|_| !gates_of(source, document).is_empty())
        {
            find(Code::LargePolicy, None, &message, fix);
        }
    }
}

fn istio(spec: &Node, find: &mut Find<'_>) {
    let matches = spec.get("match");
    // A waypoint has targetRefs, and takes no match.
    if modes(spec).len() > 1 && spec.get("targetRefs").is_none() {
        let message = "the gate also runs in the outbound listeners of sidecars, and in gateways: calls that services \
                       make need a key";
        find(
            Code::MatchMissing,
            matches,
            message,
            "add match: [{mode: SERVER}] for sidecars, or [{mode: CLIENT}] for a gateway",
        );
    }
    for one in matches.map(Node::items).unwrap_or_default() {
        if let Some(ports) = one.get("ports").filter(|ports| !ports.items().is_empty()) {
            let message = "calls to a port that no Service declares bypass the gate";
            find(Code::MatchPorts, Some(ports), message, "remove ports: the gate then runs at every port");
        }
    }
    if text_of(spec, "phase") != Some("AUTHN") {
        let message = "the gate runs after Istio's authentication, and except in phase AUTHZ also after its \
                       authorization: requests that these answer need no key";
        find(Code::LatePhase, spec.get("phase"), message, "set phase: AUTHN");
    }
}

/// The modes (directions) of the listeners that a plugin runs in.
fn modes(spec: &Node) -> Vec<&str> {
    let all = vec!["CLIENT", "SERVER"];
    let matches = spec.items_of("match");
    if matches.is_empty() {
        return all;
    }
    let mode = |one: &'_ Node| text_of(one, "mode").is_none_or(|mode| !matches!(mode, "CLIENT" | "SERVER"));
    if matches.iter().any(mode) { all } else { matches.iter().filter_map(|one| text_of(one, "mode")).collect() }
}

/// Finds an EnvoyFilter that puts a gate after the router.
fn patches(source: &Source, document: &Node, spec: &Node, find: &mut Find<'_>) {
    for patch in spec.items_of("configPatches") {
        let Some(inner) = patch.get("patch") else { continue };
        let value = inner.get("value");
        let config = value.and_then(|value| value.get("typed_config").or_else(|| value.get("typedConfig")));
        let is_gate = value.zip(config).is_some_and(|(value, config)| Gate::of_filter(source, value, config).is_some());
        let mut after_router = false;
        super::configuration::walk(patch.get("match").unwrap_or(document), &mut |node| {
            after_router |=
                node.get("subFilter").and_then(|filter| text_of(filter, "name")) == Some("envoy.filters.http.router");
        });
        if is_gate && after_router && text_of(inner, "operation") == Some("INSERT_AFTER") {
            find(
                Code::GateAfterRouter,
                inner.get("operation"),
                "the gate is after the router, which must be the last filter: Envoy refuses this",
                "use INSERT_BEFORE or INSERT_FIRST",
            );
        }
    }
}

/// Checks the plugins of Istio with their policies: addresses in a sidecar, and two plugins in one proxy.
pub(super) fn examine_gates(gates: &[Gate<'_>], findings: &mut Vec<Finding>) {
    let plugin = |gate| Some(Plugin { gate, metadata: gate.entry.get("metadata")?, spec: gate.entry.get("spec")? });
    let plugins: Vec<Plugin<'_>> = gates.iter().filter_map(plugin).collect();
    for (number, plugin) in plugins.iter().enumerate() {
        let networks = plugin.gate.accepted.as_ref().map(|accepted| &accepted.document.trusted_networks);
        let believes = networks
            .is_some_and(|networks| !networks.ranges.is_empty() && networks.client_address == ClientAddress::RemoteIp);
        if believes && modes(plugin.spec).contains(&"SERVER") && plugin.spec.get("targetRefs").is_none() {
            let message = "client_address: remote_ip in a sidecar uses the last address in X-Forwarded-For, which \
                           every caller can forge";
            let fix = "use trusted_identities instead, or record the peer: see envoy/istio/record-peer.yaml";
            findings.push(Finding::new(Code::ForgedAddress, plugin.gate.place(None), message, fix));
        }
        let mut others = plugins.iter().take(number);
        if let Some(first) =
            others.find(|other| plugin.meets(other) && !other.gate.forwards() && !plugin.gate.forwards())
        {
            let message = format!(
                "one proxy may run this gate and {}: the first removes the key, and the second denies every request",
                first.gate.name
            );
            findings.push(Finding::new(Code::TwoGates, plugin.gate.place(None), message, listener::TWO_GATES_FIX));
        }
    }
}

/// A plugin of Istio.
struct Plugin<'a> {
    gate: &'a Gate<'a>,
    metadata: &'a Node,
    spec: &'a Node,
}

impl Plugin<'_> {
    /// Whether both may run in one proxy.
    fn meets(&self, other: &Self) -> bool {
        let (here, there) = (text_of(self.metadata, "namespace"), text_of(other.metadata, "namespace"));
        let is_other = here != there || text_of(self.metadata, "name") != text_of(other.metadata, "name");
        let is_near = here == there || here == Some(ROOT) || there == Some(ROOT);
        let modes_there = modes(other.spec);
        let is_same_way = modes(self.spec).iter().any(|mode| modes_there.contains(mode));
        is_other && is_near && is_same_way && select_one(self.spec, other.spec)
    }
}

/// Whether two plugins may select the same proxy.
fn select_one(one: &Node, other: &Node) -> bool {
    let (targets, other_targets) = (one.get("targetRefs"), other.get("targetRefs"));
    if targets.is_some() || other_targets.is_some() {
        let of = |targets: Option<&Node>| {
            targets
                .map(|targets| targets.items().iter().filter_map(|one| one.to_json().ok()).collect::<Vec<_>>())
                .unwrap_or_default()
        };
        return of(targets).iter().any(|target| of(other_targets).contains(target));
    }
    let labels = |spec: &'_ Node| {
        spec.get("selector")
            .and_then(|selector| selector.get("matchLabels"))
            .map(|labels| labels.members().to_vec())
            .unwrap_or_default()
    };
    let other_labels = labels(other);
    labels(one).iter().all(|(name, value)| {
        other_labels.iter().all(|(other_name, other)| name.text != other_name.text || value.tree == other.tree)
    })
}
