//! A file of another kind is named, with the command that reads it.

use std::fs;
use std::path::Path;

use crate::place::Place;

const FIXTURES: [(&str, &str); 11] = [
    ("orchestra", "orchestra.json"),
    ("deepaas", "deepaas.conf"),
    ("rxinfer", "rxinfer.json"),
    ("api-key-auth", "api-key-auth.yaml"),
    ("envoy-gateway", "envoy-gateway.yaml"),
    ("kong", "kong.yaml"),
    ("kong-ingress", "kong-ingress.yaml"),
    ("apisix", "apisix.yaml"),
    ("higress", "higress.yaml"),
    ("agentgateway", "agentgateway.yaml"),
    ("csv", "keys.csv"),
];

/// The arguments of an import.
fn arguments(kind: &str) -> Vec<&str> {
    let consumer: &[&str] = if kind == "list" { &["--consumer", "ci"] } else { &[] };
    [&["import", kind, "a file"], consumer].concat()
}

#[test]
fn every_import_names_the_files_of_the_others() {
    for (own, name) in FIXTURES {
        let kinds = FIXTURES.iter().map(|(kind, _)| *kind).chain(["list"]);
        for kind in kinds.filter(|kind| *kind != own) {
            let place = Place::new();
            let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name);
            place.write("a file", fs::read(fixture).expect("a fixture"));
            let (status, _, said) = place.run(&arguments(kind), &[]);
            let advice = format!(": use `portcullis import {own} 'a file'`");
            assert!(
                status == 2 && said.contains("a file looks like ") && said.contains(&advice),
                "{kind} {name}: {said}"
            );
            assert!(!place.path("keys.json").exists(), "{kind} {name}");
        }
    }
}

#[test]
fn what_cannot_be_imported_is_named_too() {
    for (text, words) in [
        ("public_paths: [/]\n", "a policy of Portcullis"),
        ("consumers: [{name: ci, keys: [{plaintext: Stray-Secret-9}]}]\n", "a policy of Portcullis"),
        ("{\"consumers\": {\"ci\": {\"keys\": [{\"id\": \"a\", \"sha256\": \"\"}]}}}", "a key store of Portcullis"),
        ("http: {middlewares: {auth: {plugin: {apiKey: {}}}}}\n", "a configuration of Traefik"),
        ("apiVersion: traefik.io/v1alpha1\nkind: Middleware\n", "a configuration of Traefik"),
        ("apiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\n", "agentgateway's resources"),
    ] {
        for kind in ["kong", "csv", "list", "deepaas"] {
            let place = Place::new();
            place.write("a file", text);
            let (status, _, said) = place.run(&arguments(kind), &[]);
            let told = format!("a file looks like {words}, which `import {kind}` does not read");
            assert!(status == 2 && said.contains(&told), "{kind} {text}: {said}");
        }
    }
}

#[test]
fn several_documents_are_counted_where_one_is_expected() {
    let place = Place::new();
    place.write("kong.yaml", "consumers: []\n---\nplugins: []\n---\nroutes: []\n");
    let (status, _, said) = place.run(&["import", "kong", "kong.yaml"], &[]);
    assert!(status == 2 && said.contains("kong.yaml has 3 YAML documents, separated by ---: expected one"), "{said}");
}
