//! The output of `portcullis render`: Envoy or the schemas accept its golden files (`cli/tests/golden`). Fresh renders
//! run on a real Envoy, take effect live, and mean the same in a mesh as the shipped manifests.

#[path = "render/live.rs"]
mod live;
#[path = "render/mesh.rs"]
mod mesh;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use portcullis_tests::bytes::said;
use portcullis_tests::crd::{Schemas, documents};
use portcullis_tests::envoy::{Verdict, validate};
use portcullis_tests::istio::{Place, added, merged};
use portcullis_tests::paths;
use portcullis_tests::report::not_checked;
use portcullis_tests::tls::Authority;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The environment that the renders need.
const ENVIRONMENT: &[(&str, &str)] =
    &[("PORTCULLIS_TOKEN", "render-suite-token"), ("PORTCULLIS_TOKEN_2", "render-suite-two")];

/// The golden files with that prefix, each with its text.
fn golden(begin: &str) -> Vec<(String, String)> {
    let directory = paths::workspace().join("cli/tests/golden");
    let files = fs::read_dir(&directory).expect("it is there").map_while(Result::ok).map(|entry| entry.path());
    let named = files.map(|file| (file.file_name().expect("a name").to_string_lossy().into_owned(), file));
    let mut found: Vec<_> = named
        .filter(|(name, _)| name.starts_with(begin))
        .map(|(name, file)| (name, fs::read_to_string(file).expect("a file that was listed")))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no golden file begins with {begin}");
    found
}

fn one(text: &str) -> Value {
    let mut all = documents(text);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The output of `portcullis render` in a directory.
fn rendered(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(paths::command());
    let output = command.arg("render").args(arguments).current_dir(directory).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("it is text")
}

/// A directory with the files that the golden files refer to: the module, and a certificate.
fn stage() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    symlink(paths::module(), directory.path().join("portcullis.wasm")).expect("a link in it");
    // If a bootstrap refers to it for the policy, it only needs to exist.
    fs::write(directory.path().join("gate.yaml"), "").expect("a file in it");
    fs::create_dir(directory.path().join("tls")).expect("a directory in it");
    let server = Authority::new().server();
    for (name, pem) in ["chain.pem", "key.pem"].iter().zip(server.pem()) {
        fs::write(directory.path().join("tls").join(name), pem).expect("a file in it");
    }
    directory
}

/// Envoy's verdict on a bootstrap, as text.
fn ask(stage: &Path, text: &str) -> Verdict {
    let file = stage.join("asked.yaml");
    let place = stage.to_str().expect("a path in UTF-8");
    let text = text.replace("/opt/portcullis.wasm", "portcullis.wasm").replace("/etc/portcullis/gate", place);
    let text = text.replace("/etc/ssl/certs/ca-certificates.crt", "tls/chain.pem");
    fs::write(&file, text).expect("the directory takes a file");
    validate(&file, stage, ENVIRONMENT)
}

/// A bootstrap with these filters before the router.
fn around(filters: &[Value]) -> String {
    let mut document = one(&golden("envoy.yaml")[0].1);
    let manager = &mut document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let router = manager["http_filters"][1].clone();
    manager["http_filters"] = filters.iter().cloned().chain([router]).collect();
    document.to_string()
}

fn accepts(name: &str, stage: &Path, text: &str) {
    let verdict = ask(stage, text);
    assert!(verdict.status.success(), "{name}:\n{}", verdict.output);
    assert!(!verdict.output.contains("deprecated"), "{name}:\n{}", verdict.output);
    // Control: the filter is validated too, if it is not in another file.
    let broken = text.replace("'/healthz'", "'healthz'").replace("\"/healthz\"", "\"healthz\"");
    let broken = broken.replace("'/v2/'", "'v2/'").replace("\"/v2/\"", "\"v2/\"");
    let verdict = ask(stage, &broken);
    assert_eq!(
        verdict.status.success(),
        !text.contains("vm_config"),
        "{name} with a broken policy:\n{}",
        verdict.output
    );
    assert!(verdict.status.success() || verdict.output.contains("policy refused"), "{name}:\n{}", verdict.output);
}

#[test]
fn envoy_takes_every_bootstrap_as_it_stands() {
    let stage = stage();
    let bootstraps = golden("envoy").into_iter().filter(|(name, _)| !name.starts_with("envoy-gateway"));
    bootstraps.for_each(|(name, text)| accepts(&name, stage.path(), &text));
}

#[test]
fn envoy_takes_every_filter_and_every_live_update_in_a_listener() {
    let stage = stage();
    for (name, text) in golden("filter") {
        accepts(&name, stage.path(), &around(one(&text).as_array().expect("a list of filters")));
    }
    for (name, text) in golden("ecds") {
        let resource = one(&text)["resources"][0].take();
        assert_eq!(resource["@type"], "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "{name}");
        let filter = json!({"name": resource["name"], "typed_config": resource["typed_config"]});
        accepts(&name, stage.path(), &around(&[filter]));
    }
}

/// The schema does not cover what Envoy requires in a patch.
#[test]
fn envoy_takes_the_filter_of_every_envoy_filter() {
    let stage = stage();
    for (name, text) in golden("istio-envoy-filter") {
        let document = one(&text);
        let resources = added(&document);
        let [resource] = resources.as_slice() else { panic!("{name} adds one resource") };
        let filter = json!({"name": resource["name"], "typed_config": resource["typed_config"]});
        accepts(&name, stage.path(), &around(&[filter]));
        // The listener refers to it by its name.
        let patch = &document["spec"]["configPatches"][1];
        assert_eq!(
            (&patch["applyTo"], &patch["patch"]["operation"]),
            (&json!("HTTP_FILTER"), &json!("INSERT_FIRST")),
            "{name}"
        );
        assert_eq!(patch["patch"]["value"]["name"], resource["name"], "{name}");
        let mut asked = patch["patch"]["value"].clone();
        asked["config_discovery"]["config_source"] =
            json!({"path_config_source": {"path": stage.path().join("gate.yaml")}});
        let verdict = ask(stage.path(), &around(&[asked]));
        assert!(verdict.status.success(), "{name}:\n{}", verdict.output);
        // The connection manager has the merged settings.
        let place = if name.contains("gateway") { Place::Gateway } else { Place::SidecarInbound };
        let settings = merged(&document, place);
        assert_eq!(
            settings["common_http_protocol_options"]["headers_with_underscores_action"], "REJECT_REQUEST",
            "{name}"
        );
        let mut bootstrap = one(&around(&[]));
        let manager =
            &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        manager.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
        let verdict = ask(stage.path(), &bootstrap.to_string());
        assert!(verdict.status.success(), "{name}:\n{}", verdict.output);
    }
}

#[test]
fn an_api_server_takes_every_manifest() {
    let Some(schemas) = Schemas::from_environment() else {
        return not_checked("renders against the schemas of their kinds: PORTCULLIS_SCHEMAS names no folder");
    };
    let mut kinds = BTreeSet::new();
    let all = [golden("istio"), golden("envoy-gateway")].concat();
    let all = all.iter().flat_map(|(name, text)| documents(text).into_iter().map(move |one| (name, one)));
    for (name, document) in all {
        let Some(findings) = schemas.check(&document) else {
            // Its fields are those of `envoy/envoy-gateway/proxy.yaml`, which the suite `settings` checks.
            assert_eq!(document["kind"], "ClientTrafficPolicy", "{name}: no schema for its kind");
            continue;
        };
        assert!(findings.errors.is_empty(), "{name}: {:?}", findings.errors);
        kinds.insert(document["kind"].as_str().unwrap_or_default().to_owned());
        // Control: an unknown field is found.
        let mut wrong = document.clone();
        wrong["spec"]["slector"] = json!({});
        assert!(!schemas.check(&wrong).expect("the same kind").errors.is_empty(), "{name}");
    }
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| *kind != "ClientTrafficPolicy").collect();
    assert_eq!(kinds, ["EnvoyExtensionPolicy", "EnvoyFilter", "TrafficExtension", "WasmPlugin"]);
}
