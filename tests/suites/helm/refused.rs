//! The values that the chart refuses, by its schema and by its template.

use serde_json::{Value, json};

use super::{DIGEST, IMAGE, engine, values};

#[test]
fn wrong_values_are_refused_and_the_message_says_why() {
    let good = || json!({"version": 1});
    let target = |target: Value| values(good(), &[("target", target)]);
    let module = |module: Value| values(good(), &[("module", module)]);
    let key = "helm-suite-key-in-plaintext";
    let cases = [
        (json!({}), "at '': missing property 'policy'"),
        (values(json!(""), &[]), "at '/policy': minLength"),
        (values(json!("# nothing\n"), &[]), "policy: it is empty"),
        (values(json!("[]"), &[]), "policy: it is no object in YAML or JSON"),
        (values(json!(format!("a: [{key}")), &[]), "policy: it is no object in YAML or JSON"),
        (values(good(), &[("mode", json!("off"))]), "at '/mode': value must be one of 'enforce', 'report', 'disabled'"),
        (values(good(), &[("mode", json!(""))]), "at '/mode': value must be one of"),
        (values(good(), &[("failStrategy", json!("FAIL_OPEN"))]), "at '/failStrategy': value must be one of"),
        (values(good(), &[("kind", json!("EnvoyFilter"))]), "at '/kind': value must be one of"),
        (values(good(), &[("modus", json!("report"))]), "additional properties 'modus' not allowed"),
        (values(good(), &[("name", json!("Not A Name"))]), "at '/name'"),
        (module(json!({"url": IMAGE})), "at '/module/sha256'"),
        (module(json!({"url": IMAGE, "sha256": "latest"})), "at '/module/sha256'"),
        (module(json!({"url": "http://x/y", "sha256": DIGEST})), "at '/module/url'"),
        (target(json!({"kind": "ingress"})), "at '/target/labels': minProperties"),
        (target(json!({"kind": "gateway"})), "at '/target/name': minLength"),
        (target(json!({"kind": "service", "name": "a", "labels": {"app": "a"}})), "at '/target/labels': maxProperties"),
        (target(json!({"kind": "sidecars", "name": "a"})), "at '/target/name': maxLength"),
        (target(json!({"kind": "everything"})), "at '/target/kind'"),
        (target(json!({"kind": "sidecars", "scope": "everything"})), "at '/target/scope': value must be one of"),
        (target(json!({"kind": "gateway", "name": "a", "scope": "mesh"})), "at '/target/scope'"),
        (values(good(), &[("rootNamespace", json!(""))]), "at '/rootNamespace': minLength"),
    ];
    let jobs: Vec<(Value, &str)> = cases.iter().map(|(values, _)| (values.clone(), "shop")).collect();
    let answers = engine(&jobs);
    for ((values, message), answer) in cases.iter().zip(answers["results"].as_array().expect("a list")) {
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{values} is not refused: {answer}"));
        assert!(error.contains(message), "{values}: {error}");
        assert!(!error.contains(key), "{error}");
    }
}

/// With `--skip-schema-validation`, the template itself refuses what would let requests through.
#[test]
fn values_that_could_open_the_gate_are_refused_without_the_schema_too() {
    let with = |name: &str, value: Value| values(json!({"version": 1}), &[(name, value)]);
    let digest = "module.sha256: expected the SHA-256 of the module";
    let mode = "mode: expected enforce, report or disabled";
    let cases = [
        (with("failStrategy", json!("FAIL_OPEN")), "failStrategy: expected FAIL_RELOAD or FAIL_CLOSE"),
        (with("failStrategy", json!("")), "failStrategy: expected FAIL_RELOAD or FAIL_CLOSE"),
        (with("mode", json!("off")), mode),
        (with("mode", json!("")), mode),
        (with("mode", json!(null)), mode),
        (with("mode", json!(false)), mode),
        (with("mode", json!(["report"])), mode),
        (with("module", json!({"url": IMAGE})), digest),
        (with("module", json!({"url": IMAGE, "sha256": null})), digest),
        (with("module", json!({"url": IMAGE, "sha256": "latest"})), digest),
        (with("module", json!({"url": IMAGE, "sha256": DIGEST.to_uppercase()})), digest),
        (with("module", json!({"url": "file:///opt/gate.wasm", "sha256": DIGEST})), digest),
        (
            with("module", json!({"url": "http://x/y", "sha256": DIGEST})),
            "module.url: expected oci://, https:// or file://",
        ),
        (with("module", json!({"sha256": DIGEST})), "module.url: expected oci://, https:// or file://"),
        // It would be for the outbound direction, so that the sidecars had no gate.
        (with("target", json!({"kind": "sidecar"})), "target.kind: expected sidecars, ingress, gateway or service"),
        (with("target", json!({"kind": "ingress"})), "target.labels: expected the labels of the gateway's pods"),
        (values(json!(5), &[]), "policy: it is no object in YAML or JSON"),
        (values(json!([{"version": 1}]), &[]), "policy: it is no object in YAML or JSON"),
    ];
    let good = [values(json!({"version": 1}), &[]), with("module", json!({"url": "file:///opt/gate.wasm"}))];
    let jobs: Vec<(Value, &str)> =
        good.iter().chain(cases.iter().map(|(values, _)| values)).map(|values| (values.clone(), "shop")).collect();
    let answers = engine(&jobs);
    for (name, is_message_ours) in [("unchecked", true), ("results", false)] {
        let (rendered, refused) = answers[name].as_array().expect("a list").split_at(good.len());
        assert!(rendered.iter().all(|answer| answer.get("error").is_none()), "{rendered:?}");
        for ((values, message), answer) in cases.iter().zip(refused) {
            let error = answer["error"].as_str().unwrap_or_else(|| panic!("{name}: {values} is not refused: {answer}"));
            assert!(!is_message_ours || error.contains(message), "{values}: {error}");
        }
    }
}

/// Istio applies what is in its root namespace to every namespace.
#[test]
fn a_gate_for_the_whole_mesh_needs_its_scope() {
    let mesh = |target: Value| values(json!({"version": 1}), &[("target", target)]);
    let in_root = "target.scope: in the namespace istio-system, the gate is for sidecars of the whole mesh: set target.scope=mesh";
    let labels = json!({"app": "models"});
    let elsewhere =
        "target.scope: mesh is for target.kind sidecars in Istio's root namespace, istio-system: install it there";
    let mut other_root = mesh(json!({"kind": "sidecars"}));
    other_root["rootNamespace"] = json!("istio-config");
    let cases = [
        (mesh(json!({"kind": "sidecars", "scope": "mesh"})), "istio-system", None),
        (mesh(json!({"kind": "sidecars", "scope": "mesh", "labels": labels})), "istio-system", None),
        (mesh(json!({"kind": "ingress", "labels": labels})), "istio-system", None),
        (mesh(json!({"kind": "gateway", "name": "edge"})), "istio-system", None),
        (other_root.clone(), "istio-system", None),
        (mesh(json!({"kind": "sidecars"})), "istio-system", Some(in_root)),
        (mesh(json!({"kind": "sidecars", "labels": labels})), "istio-system", Some(in_root)),
        (mesh(json!({"kind": "sidecars", "scope": "mesh"})), "shop", Some(elsewhere)),
        (other_root, "istio-config", Some("in the namespace istio-config, the gate is for sidecars of the whole mesh")),
    ];
    let jobs: Vec<(Value, &str)> = cases.iter().map(|(values, namespace, _)| (values.clone(), *namespace)).collect();
    let answers = engine(&jobs);
    for name in ["results", "unchecked"] {
        for ((values, namespace, message), answer) in cases.iter().zip(answers[name].as_array().expect("a list")) {
            let error = answer["error"].as_str();
            let is_expected = match message {
                Some(message) => error.is_some_and(|error| error.contains(message)),
                None => error.is_none(),
            };
            assert!(is_expected, "{name}: {values} in {namespace}: {error:?}");
        }
    }
}
