//! The manifests for Kubernetes under `envoy/istio/` and `envoy/envoy-gateway/`: an API server accepts each document,
//! and each gate in them has a valid policy, a pinned module, and never fails open.
//!
//! Schemas are in the directory that `PORTCULLIS_SCHEMAS` names, one `CustomResourceDefinition` in each file. Without
//! it, only the schema checks are skipped, and a line says so.

use std::fs;

use portcullis::Policy;
use portcullis_tests::crd::{Findings, Schemas, documents, yaml_files};
use portcullis_tests::paths::workspace;
use portcullis_tests::report::not_checked;
use serde_json::{Value, json};

/// Kinds whose schema must be in the directory.
const WITH_SCHEMA: [&str; 6] =
    ["EnvoyExtensionPolicy", "EnvoyFilter", "PeerAuthentication", "Telemetry", "TrafficExtension", "WasmPlugin"];

/// Kinds for which only apiVersion, kind and name are checked if the directory has no schema.
const BY_NAME: [(&str, &[&str]); 8] = [
    ("v1", &["ConfigMap", "Namespace", "Secret", "Service", "ServiceAccount"]),
    ("apps/v1", &["DaemonSet", "Deployment"]),
    ("gateway.networking.k8s.io/v1", &["Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute"]),
    ("gateway.envoyproxy.io/v1alpha1", &["ClientTrafficPolicy", "EnvoyProxy"]),
    ("networking.istio.io/v1", &["DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "VirtualService"]),
    ("security.istio.io/v1", &["AuthorizationPolicy", "RequestAuthentication"]),
    ("install.istio.io/v1alpha1", &["IstioOperator"]),
    ("monitoring.coreos.com/v1", &["PodMonitor", "PrometheusRule", "ServiceMonitor"]),
];

/// A document of a file.
struct Manifest {
    place: String,
    document: Value,
}

fn manifests() -> Vec<Manifest> {
    let directories = ["envoy/envoy-gateway", "envoy/istio"].map(|name| workspace().join(name));
    let files = directories.iter().filter(|directory| directory.is_dir()).flat_map(|directory| yaml_files(directory));
    let all: Vec<Manifest> = files
        .flat_map(|file| {
            let text = fs::read_to_string(&file).expect("a file that was listed");
            let place = file.strip_prefix(workspace()).expect("a file of the workspace").display().to_string();
            let all = documents(&text).into_iter().enumerate();
            all.map(move |(index, document)| Manifest { place: format!("{place}#{}", index + 1), document })
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(!all.is_empty(), "no manifest in {directories:?}");
    all
}

/// The errors of a document, by its schema or without one.
fn examine(document: &Value, schemas: Option<&Schemas>) -> Findings {
    let [version, kind] = ["apiVersion", "kind"].map(|name| document[name].as_str().unwrap_or_default());
    let Findings { mut errors, mut unevaluated } = Findings::default();
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        errors.push(format!("metadata.name: {name:?} is no name"));
    }
    if WITH_SCHEMA.contains(&kind) {
        let allowed = ["apiVersion", "kind", "metadata", "spec"];
        let members = document.as_object().into_iter().flat_map(|members| members.keys());
        errors.extend(
            members.filter(|name| !allowed.contains(&name.as_str())).map(|name| format!("{name}: unknown field")),
        );
    }
    let by_name = BY_NAME.iter().any(|(known, kinds)| *known == version && kinds.contains(&kind));
    match schemas.map(|schemas| schemas.check(document)) {
        Some(Some(findings)) => {
            errors.extend(findings.errors);
            unevaluated = findings.unevaluated;
        }
        Some(None) if !by_name => errors.push(format!("no schema for {version} {kind}")),
        None if !by_name && !WITH_SCHEMA.contains(&kind) => errors.push(format!("{version} {kind} is no known kind")),
        _ => {}
    }
    Findings { errors, unevaluated }
}

#[test]
fn an_api_server_takes_every_document() {
    let schemas = Schemas::from_environment();
    if schemas.is_none() {
        not_checked("manifests against the schemas of their kinds: PORTCULLIS_SCHEMAS names no folder");
    }
    let errors = manifests().into_iter().flat_map(|Manifest { place, document }| {
        let Findings { errors, unevaluated } = examine(&document, schemas.as_ref());
        eprintln!("{place}: {unevaluated} rules in CEL are not evaluated");
        errors.into_iter().map(move |error| format!("{place}: {error}"))
    });
    assert_eq!(errors.collect::<Vec<_>>().join("\n"), "");
}

/// Control: documents with one error each, from the shipped ones for Envoy Gateway and for Istio.
#[test]
fn an_api_server_refuses_a_document_with_one_thing_wrong() {
    let text = fs::read_to_string(workspace().join("envoy/envoy-gateway/gateway.yaml")).expect("it is there");
    let gateway = documents(&text).remove(0);
    let istio = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "gate"},
        "spec": {"phase": "AUTHN", "url": "oci://registry.test/gate", "sha256": "0".repeat(64), "priority": 10,
            "pluginConfig": {"anything": ["goes"]}, "match": [{"mode": "SERVER", "ports": [{"number": 80}]}]}
    });
    let schemas = Schemas::from_environment();
    let errors = |document: &Value| examine(document, schemas.as_ref()).errors.join("\n");
    let with = |right: &Value, place: &str, value: &Value| {
        let mut document = right.clone();
        let (parent, name) = place.rsplit_once('/').expect("a pointer");
        document.pointer_mut(parent).expect("a place in the document")[name] = value.clone();
        errors(&document)
    };
    assert_eq!((errors(&gateway), errors(&istio)), Default::default(), "both are right as they stand");
    for (place, value, message) in [
        ("/metadata/name", json!("Not A Name"), "metadata.name: \"Not A Name\" is no name"),
        ("/kind", json!("EnvoyExtensionsPolicy"), "EnvoyExtensionsPolicy"),
        ("/specs", json!({}), "specs: unknown field"),
    ] {
        let errors = with(&gateway, place, &value);
        assert!(errors.contains(message), "{place}: {errors}");
    }
    if schemas.is_none() {
        return;
    }
    for (right, place, value, message) in [
        (&gateway, "/apiVersion", json!("gateway.envoyproxy.io/v1"), "no schema for gateway.envoyproxy.io/v1"),
        (
            &gateway,
            "/spec/wasm/0/failOpn",
            json!(false),
            "spec/wasm/0: Additional properties are not allowed ('failOpn'",
        ),
        (&gateway, "/spec/wasm/0/failOpen", json!("no"), "spec/wasm/0/failOpen: \"no\" is not of type \"boolean\""),
        (&gateway, "/spec/wasm/0/code", json!({"type": "FTP"}), "spec/wasm/0/code/type: \"FTP\" is not one of"),
        (&gateway, "/spec/wasm/0/code/http", json!({}), "spec/wasm/0/code/http: \"url\" is a required property"),
        (&gateway, "/spec/targetRefs/0/kind", json!(""), "spec/targetRefs/0/kind: \"\" is shorter than 1 character"),
        (&istio, "/spec/phase", json!("AUTHEN"), "spec/phase: \"AUTHEN\" is not one of"),
        (&istio, "/spec/sha256", json!("latest"), "spec/sha256: \"latest\" does not match"),
        (&istio, "/spec/priority", json!("10"), "spec/priority: \"10\" is not of type"),
        (
            &istio,
            "/spec/match/0/ports/0/number",
            json!(0),
            "spec/match/0/ports/0/number: 0 is less than the minimum of 1",
        ),
        (&istio, "/spec/match/0/port", json!(80), "spec/match/0: Additional properties are not allowed ('port'"),
    ] {
        let errors = with(right, place, &value);
        assert!(errors.contains(message), "{place}: {errors}");
    }
}

/// A gate: the configuration of the plugin, and its policy.
struct Gate<'a> {
    plugin: &'a Value,
    policy: Vec<u8>,
}

/// The gates in a document: Istio's plugins have a `pluginConfig`, those of Envoy itself a `vm_config`, those of Envoy
/// Gateway `code`.
fn gates<'a>(value: &'a Value, found: &mut Vec<Gate<'a>>) {
    let policy = match value {
        Value::Object(members) if members.contains_key("pluginConfig") => Some(&value["pluginConfig"]),
        Value::Object(members) if members.contains_key("vm_config") => Some(&value["configuration"]["value"]),
        Value::Object(members) if members.contains_key("code") && !members.contains_key("runtime") => {
            Some(&value["config"])
        }
        _ => None,
    };
    if let Some(policy) = policy {
        let text = policy.as_str().map_or_else(|| policy.to_string(), str::to_owned);
        found.push(Gate { plugin: value, policy: text.into_bytes() });
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| gates(member, found)),
        Value::Array(items) => items.iter().for_each(|item| gates(item, found)),
        _ => {}
    }
}

/// Every text in a value, except those in a policy.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Object(members) => {
            let others = members
                .iter()
                .filter(|(name, _)| !["pluginConfig", "configuration", "config"].contains(&name.as_str()));
            others.for_each(|(_, member)| texts(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        _ => {}
    }
}

/// Whether something in a value fails open.
fn opens(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, member)| {
            let open = ["fail_open", "failOpen"].contains(&name.as_str()) && *member == true;
            open || member == "FAIL_OPEN" || opens(member)
        }),
        Value::Array(items) => items.iter().any(opens),
        _ => false,
    }
}

impl Gate<'_> {
    fn wrong(&self) -> Vec<String> {
        let plugin = self.plugin;
        let mut errors = Vec::new();
        let mut named = Vec::new();
        texts(plugin, &mut named);
        // A variable is available if the VM gets it by name.
        let environment = |name: &str| named.contains(&name).then(|| format!("the-key-in-{name}").into_bytes());
        match Policy::load(&self.policy, &environment) {
            Ok(loaded) => errors.extend(loaded.refused_entries.iter().map(ToString::to_string)),
            Err(refusal) => errors.push(refusal.to_string()),
        }
        if opens(plugin) {
            errors.push("lets everybody in when it fails".to_owned());
        }
        let code = [&plugin["code"], &plugin["vm_config"]["code"]].into_iter().find(|code| code.is_object());
        let code = code.unwrap_or(plugin);
        let sources = ["http", "image", "remote"].map(|name| &code[name]["sha256"]);
        let pins = sources.into_iter().chain([&code["sha256"]]).filter_map(Value::as_str);
        let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
        if !pins.clone().any(is_digest) && code["local"].is_null() {
            errors.push(format!("its module is not pinned by a SHA-256: {:?}", pins.collect::<Vec<_>>()));
        }
        errors
    }
}

#[test]
fn every_gate_has_a_policy_that_loads_and_a_pinned_module_and_never_opens() {
    let mut errors = Vec::new();
    for Manifest { place, document } in manifests() {
        let mut found = Vec::new();
        gates(&document, &mut found);
        let kind = document["kind"].as_str().unwrap_or_default();
        if ["EnvoyExtensionPolicy", "TrafficExtension", "WasmPlugin"].contains(&kind) && found.is_empty() {
            errors.push(format!("{place}: no gate"));
        }
        // Also if a gate is written in a form that is unknown here.
        if opens(&document) {
            errors.push(format!("{place}: something in it lets everybody in when it fails"));
        }
        if kind == "WasmPlugin" && document["spec"]["phase"] != "AUTHN" {
            errors.push(format!("{place}: the gate stands after others: phase is not AUTHN"));
        }
        errors.extend(found.iter().flat_map(Gate::wrong).map(|error| format!("{place}: {error}")));
    }
    assert_eq!(errors.join("\n"), "");
}

/// Control: gates of each kind, with one error each.
#[test]
fn a_gate_with_one_thing_wrong_is_found() {
    let digest = "0".repeat(64);
    let istio = json!({"url": "oci://registry.test/gate:1", "sha256": digest, "failStrategy": "FAIL_CLOSE", "pluginConfig": {}});
    let gateway = json!({"failOpen": false, "code": {"type": "HTTP", "http": {"sha256": digest}}, "config": {}});
    let envoy = json!({"failure_policy": "FAIL_RELOAD", "configuration": {"value": "{}"},
        "vm_config": {"runtime": "v8", "code": {"remote": {"sha256": digest}}}});
    let wrong = |plugin: &Value| {
        let mut found = Vec::new();
        gates(plugin, &mut found);
        assert_eq!(found.len(), 1, "{plugin}");
        found[0].wrong().join("\n")
    };
    for right in [&istio, &gateway, &envoy] {
        assert_eq!(wrong(right), "", "{right}");
    }
    let unknown = json!({"versoin": 1});
    let unset = json!({"consumers": [{"name": "ci", "keys": [{"env": "MANIFEST_TOKEN"}]}]});
    for (right, place, value, message) in [
        (&istio, "/failStrategy", json!("FAIL_OPEN"), "lets everybody in"),
        (&gateway, "/failOpen", json!(true), "lets everybody in"),
        (&envoy, "/failure_policy", json!("FAIL_OPEN"), "lets everybody in"),
        (&istio, "/sha256", json!("latest"), "not pinned"),
        (&gateway, "/code/http", json!({}), "not pinned"),
        (&envoy, "/vm_config/code/remote/sha256", json!(""), "not pinned"),
        (&istio, "/pluginConfig", unknown.clone(), "unknown field `versoin`"),
        (&gateway, "/config", unset.clone(), "MANIFEST_TOKEN is not set"),
        (&envoy, "/configuration/value", json!(unknown.to_string()), "unknown field `versoin`"),
    ] {
        let mut plugin = right.clone();
        *plugin.pointer_mut(place).expect("a member of the plugin") = value;
        let errors = wrong(&plugin);
        assert!(errors.contains(message), "{place}: {errors}");
    }
    let mut named = gateway.clone();
    named["config"] = unset;
    named["env"] = json!({"hostKeys": ["MANIFEST_TOKEN"]});
    assert_eq!(wrong(&named), "", "the variable is there once the VM is given it");
}
