//! Builds a kustomization of this repository. Kustomize itself is not run: this has only the part of its format that the files
//! use, and panics at any other field.

use std::fs;
use std::path::Path;

use portcullis_tests::crd::documents;
use serde::Deserialize;
use serde_json::{Value, json};

/// A `kustomization.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kustomization {
    api_version: String,
    kind: String,
    /// Sets the namespace of every resource.
    namespace: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    components: Vec<String>,
    #[serde(default)]
    patches: Vec<Patch>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    target: Target,
    /// Operations of RFC 6902, as YAML.
    patch: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    kind: String,
    name: Option<String>,
}

/// The resources of the kustomization in a folder.
pub(crate) fn build(folder: &Path) -> Vec<Value> {
    let kustomization = read(folder);
    let is_expected = kustomization.kind == "Kustomization" && kustomization.api_version.ends_with("/v1beta1");
    assert!(is_expected, "{}: {kustomization:?}", folder.display());
    let mut resources = Vec::new();
    apply(folder, &kustomization, &mut resources);
    resources
}

fn read(folder: &Path) -> Kustomization {
    let file = folder.join("kustomization.yaml");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Adds the resources, lets the components change them, and then the kustomization itself.
fn apply(folder: &Path, kustomization: &Kustomization, resources: &mut Vec<Value>) {
    for name in &kustomization.resources {
        let path = folder.join(name);
        if path.is_dir() {
            resources.extend(build(&path));
        } else {
            resources.extend(documents(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))));
        }
    }
    for name in &kustomization.components {
        let component = read(&folder.join(name));
        let is_expected = component.kind == "Component" && component.api_version.ends_with("/v1alpha1");
        assert!(is_expected, "{name}: {component:?}");
        apply(&folder.join(name), &component, resources);
    }
    for Patch { target, patch } in &kustomization.patches {
        let is_target = |resource: &&mut Value| {
            let name = resource["metadata"]["name"].as_str();
            resource["kind"] == *target.kind && target.name.as_deref().is_none_or(|wanted| name == Some(wanted))
        };
        let operations: json_patch::Patch = serde_saphyr::from_str(patch).expect("operations of RFC 6902");
        let mut count = 0;
        for resource in resources.iter_mut().filter(is_target) {
            json_patch::patch(resource, &operations).unwrap_or_else(|error| panic!("{target:?}: {error}"));
            count += 1;
        }
        assert!(count > 0, "{}: no resource is {target:?}", folder.display());
    }
    for resource in resources {
        if let Some(namespace) = &kustomization.namespace {
            resource["metadata"]["namespace"] = json!(namespace);
        }
    }
}
