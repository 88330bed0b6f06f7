//! The kustomizations in `kubernetes/kustomize`, built by kubectl: each overlay is what `portcullis render istio` prints for
//! that place, an API server accepts it, and its gate decides on a real Envoy.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use portcullis_tests::bytes::said;
use portcullis_tests::crd::{Schemas, documents};
use portcullis_tests::envoy::Options;
use portcullis_tests::http1::get;
use portcullis_tests::istio::{Place, Plugin};
use portcullis_tests::mesh::{Proxy, Setup};
use portcullis_tests::paths::{command, kubectl, workspace};
use portcullis_tests::report::not_checked;
use portcullis_tests::tls::Authority;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::wire_engine::Form;
use serde_json::{Value, json};

const OVERLAYS: [&str; 4] = ["gateway", "key-from-secret", "mesh-wide", "namespace"];
/// A key of this suite only.
const TOKEN: &str = "kustomize-suite-token";

fn folder() -> PathBuf {
    workspace().join("kubernetes/kustomize")
}

/// The resources of an overlay, as `kubectl apply -k` would send them.
fn overlay(name: &str) -> Vec<Value> {
    let output = Command::new(kubectl())
        .arg("kustomize")
        .arg(folder().join("overlays").join(name))
        .output()
        .expect("kubectl starts");
    assert!(output.status.success(), "{name}: {}", said(&output));
    // Such as that a field is deprecated.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}: kubectl warns");
    documents(&String::from_utf8(output.stdout).expect("text"))
}

fn gate(name: &str) -> Value {
    let mut gates = overlay(name).into_iter().filter(|one| one["kind"] == "WasmPlugin");
    let gate = gates.next().expect("a gate");
    assert_eq!(gates.next(), None, "{name} has one gate");
    gate
}

/// The output of `portcullis render istio` for the policy of the base.
fn rendered(options: &[&str]) -> String {
    let url = concat!("oci://registry.example.com/portcullis:", env!("CARGO_PKG_VERSION"));
    let mut render = Command::new(command());
    render.args(["render", "istio", "--url", url, "--sha256", &"0".repeat(64)]).args(options);
    let output = render.current_dir(folder().join("base")).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_base_is_what_the_command_renders() {
    let gate = fs::read_to_string(folder().join("base/gate.yaml")).expect("it is there");
    assert_eq!(gate, rendered(&[]), "write it anew, with the command in base/kustomization.yaml");
}

#[test]
fn every_overlay_is_what_the_command_renders_for_that_place() {
    let entries = fs::read_dir(folder().join("overlays")).expect("it is there").map(|entry| entry.expect("a folder"));
    let names: BTreeSet<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names, OVERLAYS.map(str::to_owned).into());
    for (name, options) in [
        ("mesh-wide", &[][..]),
        ("namespace", &["--namespace", "shop", "--mode", "report"]),
        ("gateway", &["--selector", "istio=ingressgateway", "--ingress"]),
    ] {
        assert_eq!(gate(name), documents(&rendered(options)).remove(0), "{name}");
    }
}

/// The variable has the same name from the Secret to the policy.
#[test]
fn a_key_from_a_secret_reaches_the_gate() {
    let (gate, all) = (gate("key-from-secret"), overlay("key-from-secret"));
    let deployment = all.iter().find(|one| one["kind"] == "Deployment").expect("the example");
    let sidecar = &deployment["spec"]["template"]["spec"]["containers"][1];
    assert_eq!((&sidecar["name"], &sidecar["image"]), (&json!("istio-proxy"), &json!("auto")));
    assert_eq!(sidecar["env"][0]["valueFrom"], json!({"secretKeyRef": {"name": "portcullis", "key": "token"}}));
    let name = &sidecar["env"][0]["name"];
    assert_eq!(gate["spec"]["vmConfig"]["env"], json!([{"name": name, "valueFrom": "HOST"}]));
    assert_eq!(gate["spec"]["pluginConfig"]["consumers"][1]["keys"][0]["env"], *name);
    for resource in &all {
        assert_eq!(resource["metadata"]["namespace"], "shop");
    }
}

#[test]
fn an_api_server_takes_every_gate() {
    let Some(schemas) = Schemas::from_environment() else {
        not_checked("the kustomizations against the schemas of Istio: set PORTCULLIS_SCHEMAS");
        return;
    };
    for name in OVERLAYS {
        let findings = schemas.check(&gate(name)).expect("there is a schema of its kind");
        assert_eq!(findings.errors, [""; 0], "{name}");
    }
}

#[test]
fn every_overlay_decides_on_a_real_envoy() {
    // Without a key, with the one of the Secret, with the one of the demonstration, on a public path.
    for (name, place, expected) in [
        ("mesh-wide", Place::SidecarInbound, [401, 401, 200, 200]),
        ("namespace", Place::SidecarInbound, [200, 200, 200, 200]),
        ("gateway", Place::Gateway, [401, 401, 200, 200]),
        ("key-from-secret", Place::SidecarInbound, [401, 200, 200, 200]),
    ] {
        let plugin = Plugin::new(gate(name));
        let other = if place == Place::Gateway { Place::SidecarInbound } else { Place::Gateway };
        assert!(plugin.stands_at(place) && !plugin.stands_at(other), "{name}");
        let (authority, upstream) = (Authority::new(), Upstream::start());
        let proxy = Proxy::start(Setup {
            place: Place::SidecarInbound,
            filters: vec![plugin.extension(Form::Text)],
            upstream: upstream.address(),
            authority: &authority,
            identity: None,
            settings: Value::Null,
            options: Options { environment: &[("PORTCULLIS_TOKEN", TOKEN)], ..Options::default() },
            log_format: None,
            tcp: None,
        });
        let key = |key| [("x-api-key", key)];
        let (secret, demo) = (key(TOKEN), key("pk_demo_ci_not_a_secret"));
        let asks: [(&str, &[(&str, &str)]); 4] = [("/v2", &[]), ("/v2", &secret), ("/v2", &demo), ("/healthz", &[])];
        let statuses =
            asks.map(|(path, headers)| proxy.send(&authority, None, &get(path, headers)).expect("a reply").status);
        assert_eq!(statuses, expected, "{name}");
    }
}
