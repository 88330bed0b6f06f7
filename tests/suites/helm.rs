//! The Helm chart in `kubernetes/helm/portcullis`, with Helm's own engine: it renders what `portcullis render istio` prints
//! for the same policy, refuses wrong values with a message, and its gate decides the same on a real Envoy.

#[path = "helm/policy.rs"]
mod policy;
#[path = "helm/refused.rs"]
mod refused;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use portcullis_tests::bytes::said;
use portcullis_tests::crd::{Schemas, documents};
use portcullis_tests::envoy::Options;
use portcullis_tests::http1::get;
use portcullis_tests::istio::{Place, Plugin};
use portcullis_tests::mesh::{Proxy, Setup};
use portcullis_tests::paths::{command, helm, workspace};
use portcullis_tests::report::not_checked;
use portcullis_tests::tls::Authority;
use portcullis_tests::upstream::Upstream;
use portcullis_tests::wire_engine::Form;
use serde_json::{Value, json};

const IMAGE: &str = "oci://registry.example.com/portcullis:0.1.0";
const DIGEST: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// A name of a Secret, not a secret.
const TOKEN: &str = "helm-suite-token";

fn chart() -> PathBuf {
    workspace().join("kubernetes/helm/portcullis")
}

fn golden(name: &str) -> String {
    fs::read_to_string(workspace().join("cli/tests/golden").join(name)).expect(name)
}

/// The answers of the engine to these values, each with its namespace.
fn engine(jobs: &[(Value, &str)]) -> Value {
    // JSON is YAML.
    let jobs = jobs.iter().map(|(values, namespace)| json!({"values": values.to_string(), "namespace": namespace}));
    let asked = json!({"chart": chart(), "jobs": jobs.collect::<Value>()}).to_string();
    let mut python = Command::new("python3");
    python.arg(workspace().join("tests/suites/helm/engine.py")).env("PYTHONPATH", helm());
    let mut child = python
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    child.stdin.take().expect("a pipe").write_all(asked.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(warnings, "", "the engine warns");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The only resource of each answer.
fn resources(jobs: &[(Value, &str)]) -> Vec<Value> {
    let one = |result: &Value| {
        let text = result["gate.yaml"].as_str().unwrap_or_else(|| panic!("{result}"));
        let mut all = documents(text);
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0)
    };
    engine(jobs)["results"].as_array().expect("a list").iter().map(one).collect()
}

/// Values with a policy, and others.
fn values(policy: Value, others: &[(&str, Value)]) -> Value {
    let mut values = json!({"policy": policy, "module": {"url": IMAGE, "sha256": DIGEST}});
    for (name, value) in others {
        values[name] = value.clone();
    }
    values
}

/// The golden files of `portcullis render istio` that the chart can render, and its values for them.
fn twins() -> Vec<(&'static str, Value, &'static str)> {
    let enforced = |others: &[(&str, Value)]| {
        let mode = [("mode", json!("enforce"))];
        values(json!(golden("policy.json")), &[&mode, others].concat())
    };
    let target = |target: Value| enforced(&[("target", target)]);
    let mesh = || ("target", json!({"kind": "sidecars", "scope": "mesh"}));
    let extension = ("kind", json!("TrafficExtension"));
    vec![
        ("istio-mesh-wide.yaml", enforced(&[mesh()]), "istio-system"),
        ("istio-traffic-extension.yaml", enforced(&[mesh(), extension]), "istio-system"),
        ("istio-namespace.yaml", values(json!(golden("policy.json")), &[]), "shop"),
        (
            "istio-workload.yaml",
            enforced(&[
                ("target", json!({"kind": "sidecars", "labels": {"app": "models", "version": "2"}})),
                ("module", json!({"url": "https://files.example.com/portcullis.wasm", "sha256": DIGEST})),
            ]),
            "shop",
        ),
        (
            "istio-ingress.yaml",
            target(json!({"kind": "ingress", "labels": {"istio": "ingressgateway"}})),
            "istio-system",
        ),
        ("istio-gateway-api.yaml", target(json!({"kind": "gateway", "name": "edge"})), "ingress"),
        ("istio-waypoint.yaml", target(json!({"kind": "service", "name": "models"})), "shop"),
    ]
}

/// The golden file, with the mode of the values: the chart always writes it.
fn golden_with_mode(name: &str, values: &Value) -> Value {
    let mut expected = documents(&golden(name)).remove(0);
    let spec = &mut expected["spec"];
    let wasm = if spec["wasm"].is_object() { &mut spec["wasm"] } else { spec };
    wasm["pluginConfig"]["mode"] = values.get("mode").cloned().unwrap_or(json!("report"));
    expected
}

#[test]
fn the_chart_renders_what_the_command_renders() {
    let twins = twins();
    let rendered =
        resources(&twins.iter().map(|(_, values, namespace)| (values.clone(), *namespace)).collect::<Vec<_>>());
    for ((name, values, namespace), resource) in twins.iter().zip(rendered) {
        let expected = golden_with_mode(name, values);
        for field in ["apiVersion", "kind", "spec"] {
            assert_eq!(resource[field], expected[field], "{name}: {field}");
        }
        assert_eq!(resource["metadata"]["namespace"], *namespace, "{name}");
    }
}

/// As an object in a file of values, beside the text of `--set-file`.
#[test]
fn a_policy_is_a_text_or_an_object_and_its_variables_reach_the_gate() {
    let text = golden("policy.json");
    let object: Value = serde_json::from_str(&text).expect("JSON");
    let expected = golden_with_mode("istio-token.yaml", &json!({}));
    let with_secret = json!({"url": IMAGE, "sha256": DIGEST, "pullSecret": "registry"});
    let all = resources(&[
        (values(json!(text), &[]), "shop"),
        (values(object, &[]), "shop"),
        (values(expected["spec"]["pluginConfig"].clone(), &[("module", with_secret)]), "shop"),
        (values(json!({"version": 1}), &[("module", json!({"url": "file:///opt/gate.wasm"}))]), "shop"),
    ]);
    assert_eq!(all[0], all[1]);
    assert_eq!(all[2]["spec"], expected["spec"]);
    assert_eq!(all[3]["spec"].get("sha256"), None, "Istio compares no digest there");
}

#[test]
fn the_chart_is_as_helm_wants_it_and_of_this_version() {
    let answers = engine(&[(values(json!({"version": 1}), &[]), "shop")]);
    let messages = answers["lint"]["messages"].as_array().expect("a list");
    let worse = messages.iter().filter(|one| one["severity"].as_u64() != Some(1)).collect::<Vec<_>>();
    assert!(worse.is_empty() && answers["lint"]["errors"] == json!([]), "{answers}");
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("it is there");
    let about: Value = serde_saphyr::from_str(&text).expect("YAML");
    for field in ["version", "appVersion"] {
        assert_eq!(about[field], env!("CARGO_PKG_VERSION"), "{field}");
    }
}

#[test]
fn the_notes_say_what_to_do_next() {
    let keys = json!({"consumers": [{"name": "ops", "keys": [{"env": "OPS_TOKEN"}]}]});
    let mesh = ("target", json!({"kind": "sidecars", "scope": "mesh"}));
    let gateway = ("target", json!({"kind": "gateway", "name": "edge"}));
    let mode = |mode: &str| ("mode", json!(mode));
    let answers = engine(&[
        // The mode of the policy is not the one of the gate.
        (values(json!({"version": 1, "mode": "enforce"}), &[]), "shop"),
        (values(keys, &[mesh, mode("enforce")]), "istio-system"),
        (values(json!({"version": 1}), &[gateway, mode("disabled")]), "ingress"),
    ]);
    for (number, text) in [
        (0, "The gate is for the sidecars of the namespace shop, in mode report.\n\nNOTHING IS DENIED YET: "),
        (0, "  helm upgrade gate CHART -n shop --reuse-values --set mode=enforce"),
        (
            1,
            "The gate is for the sidecars of the whole mesh, in mode enforce.\n\nCheck that a request without a key gets 401.",
        ),
        (1, "- {name: OPS_TOKEN, valueFrom: {secretKeyRef: {name: portcullis, key: ops_token}}}"),
        (2, "The gate is for the Gateway edge of the namespace ingress, in mode disabled.\n\nNOTHING IS DENIED: "),
    ] {
        let notes = answers["results"][number]["NOTES.txt"].as_str().expect("notes");
        assert!(notes.contains(text), "{text}: {notes}");
    }
}

#[test]
fn an_api_server_takes_what_the_chart_renders() {
    let Some(schemas) = Schemas::from_environment() else {
        not_checked("the chart against the schemas of Istio: set PORTCULLIS_SCHEMAS");
        return;
    };
    let jobs: Vec<(Value, &str)> = twins().into_iter().map(|(_, values, namespace)| (values, namespace)).collect();
    for resource in resources(&jobs) {
        let findings = schemas.check(&resource).expect("there is a schema of its kind");
        assert_eq!(findings.errors, [""; 0], "{resource}");
    }
}

#[test]
fn the_rendered_gate_decides_on_a_real_envoy_and_keys_come_from_a_secret() {
    let sha256 = "209c6ca829ca9a6046ee97478da9a5a5ad2dc5c502730d3d8209341f1380b853";
    let policy = json!({
        "version": 1, "public_paths": ["/healthz"],
        "consumers": [{"name": "ci", "keys": [{"sha256": sha256}]}, {"name": "ops", "keys": [{"env": "OPS_TOKEN"}]}]
    });
    let rendered = resources(&[
        (values(policy.clone(), &[("mode", json!("enforce"))]), "shop"),
        (values(policy, &[("kind", json!("TrafficExtension"))]), "shop"),
    ]);
    for (resource, expected) in rendered.into_iter().zip([[401, 401, 200, 200, 200], [200, 200, 200, 200, 200]]) {
        let (authority, upstream) = (Authority::new(), Upstream::start());
        let proxy = Proxy::start(Setup {
            place: Place::SidecarInbound,
            filters: vec![Plugin::new(resource).extension(Form::Text)],
            upstream: upstream.address(),
            authority: &authority,
            identity: None,
            settings: Value::Null,
            options: Options { environment: &[("OPS_TOKEN", TOKEN)], ..Options::default() },
            log_format: None,
            tcp: None,
        });
        let key = |key| [("x-api-key", key)];
        let [ci, ops, other] = [key("pk_demo_ci_not_a_secret"), key(TOKEN), key("helm-suite-stranger")];
        let asks: [(&str, &[(&str, &str)]); 5] =
            [("/v2", &[]), ("/v2", &other), ("/v2", &ci), ("/v2", &ops), ("/healthz", &[])];
        let statuses =
            asks.map(|(path, headers)| proxy.send(&authority, None, &get(path, headers)).expect("a reply").status);
        assert_eq!(statuses, expected);
    }
}

/// The values in the guide.
#[test]
fn the_values_of_the_guide_render() {
    let page = fs::read_to_string(workspace().join("docs/guides/helm.md")).expect("the guide");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("a block"));
    let jobs: Vec<(Value, &str)> = blocks
        .map(|block| {
            let mut values: Value = serde_saphyr::from_str(block.trim_end()).expect("YAML");
            values["policy"] = json!(golden("policy.json"));
            (values, "shop")
        })
        .collect();
    let [first, second] = resources(&jobs).try_into().expect("two blocks");
    assert_eq!(first["spec"]["pluginConfig"]["mode"], "report");
    assert_eq!(first["spec"]["match"], json!([{"mode": "SERVER"}]));
    assert_eq!(second["spec"]["selector"], json!({"matchLabels": {"istio": "ingressgateway"}}));
}

/// The commands of the guide: the policy as a file, and lint of what the chart renders.
#[test]
fn the_way_of_the_guide_from_a_policy_to_a_gate_works() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |arguments: &[&str]| {
        let output = Command::new(command()).args(arguments).current_dir(directory.path()).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let key = "helm-suite-key-in-plaintext";
    let policy = format!("version: 1\nconsumers: [{{name: ci, keys: [{{plaintext: {key}}}]}}]\n");
    fs::write(directory.path().join("policy.yaml"), policy).expect("our own directory");
    let rendered = run(&["render", "policy", "--format", "json"]);
    assert!(!rendered.contains(key));
    let mut answers = engine(&[(values(json!(rendered), &[]), "shop")]);
    let text = answers["results"][0]["gate.yaml"].take();
    fs::write(directory.path().join("rendered.yaml"), text.as_str().expect("a manifest")).expect("our own directory");
    let found = run(&["lint", "--envoy", "rendered.yaml"]);
    assert!(found.contains("0 errors"), "{found}");
}
