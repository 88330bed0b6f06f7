//! Validates manifests against the schemas of their custom resources, as strictly as an API server with
//! `fieldValidation: Strict`: an unknown field is an error.
//!
//! Not evaluated: rules in CEL (`x-kubernetes-validations`), which are counted, and `format`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::paths::workspace;

/// Schemas by `apiVersion` and `kind`.
#[derive(Debug, Default)]
pub struct Schemas(BTreeMap<(String, String), Schema>);

/// A schema as in its resource definition, and compiled.
#[derive(Debug)]
struct Schema {
    text: Value,
    validator: Validator,
}

/// The errors of a manifest, and what was not checked.
#[derive(Debug, Default)]
pub struct Findings {
    /// The errors, each with its place.
    pub errors: Vec<String>,
    /// The number of rules in CEL that would apply.
    pub unevaluated: usize,
}

impl Schemas {
    /// The schemas in the directory that `PORTCULLIS_SCHEMAS` names, absolute or relative to the workspace: one
    /// `CustomResourceDefinition` in each `*.yaml`.
    ///
    /// # Panics
    /// If the variable is set, and there are no schemas.
    pub fn from_environment() -> Option<Self> {
        let directory = env::var_os("PORTCULLIS_SCHEMAS").filter(|value| !value.is_empty())?;
        let mut schemas = Self::default();
        for file in yaml_files(&workspace().join(&directory)) {
            let text = fs::read_to_string(&file).expect("a file that was listed");
            documents(&text).iter().for_each(|definition| schemas.add(definition));
        }
        assert!(!schemas.0.is_empty(), "no CustomResourceDefinition in {}", directory.display());
        Some(schemas)
    }

    fn add(&mut self, definition: &Value) {
        let text = |value: &Value| value.as_str().expect("a name").to_owned();
        let spec = &definition["spec"];
        for version in spec["versions"].as_array().into_iter().flatten() {
            let group = format!("{}/{}", text(&spec["group"]), text(&version["name"]));
            let schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
            let validator = jsonschema::validator_for(&strict(schema.clone())).expect("a schema");
            self.0.insert((group, text(&spec["names"]["kind"])), Schema { text: schema, validator });
        }
    }

    /// Validates the manifest's `spec`; `None` if there is no schema for its kind.
    pub fn check(&self, manifest: &Value) -> Option<Findings> {
        let kind = ["apiVersion", "kind"].map(|name| manifest[name].as_str().unwrap_or_default().to_owned());
        let Schema { text, validator } = self.0.get(&kind.into())?;
        let spec = &manifest["spec"];
        let errors = validator.iter_errors(spec).map(|error| format!("spec{}: {error}", error.instance_path()));
        Some(Findings { errors: errors.collect(), unevaluated: rules(text, spec) })
    }
}

/// JSON Schema for a structural schema of Kubernetes: converts its own keywords, adds what an API server fills in, and
/// forbids unknown fields. `allOf` and similar keywords describe only a part of a value, and stay as they are.
fn strict(mut schema: Value) -> Value {
    let Some(keywords) = schema.as_object_mut() else { return schema };
    let is_true = |value: Option<&Value>| value == Some(&Value::Bool(true));
    if is_true(keywords.get("x-kubernetes-int-or-string")) {
        keywords.insert("type".to_owned(), json!(["integer", "string"]));
    }
    if is_true(keywords.get("nullable"))
        && let Some(kind) = keywords.get_mut("type")
    {
        *kind = json!([kind.take(), "null"]);
    }
    if !is_true(keywords.get("x-kubernetes-preserve-unknown-fields")) {
        keywords.entry("additionalProperties").or_insert(json!(false));
    }
    let properties = keywords.get("properties").cloned().unwrap_or_default();
    if let Some(required) = keywords.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| properties[name.as_str().expect("a name")].get("default").is_none());
    }
    for part in ["items", "additionalProperties"] {
        keywords.entry(part).and_modify(|part| *part = strict(part.take()));
    }
    for member in
        keywords.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut())
    {
        *member = strict(member.take());
    }
    schema
}

/// The number of rules in CEL for a value and all of its parts.
fn rules(schema: &Value, value: &Value) -> usize {
    let parts: usize = match value {
        Value::Array(items) => items.iter().map(|item| rules(&schema["items"], item)).sum(),
        Value::Object(members) => {
            let known = |name| schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
            members.iter().map(|(name, member)| rules(known(name), member)).sum()
        }
        _ => 0,
    };
    schema["x-kubernetes-validations"].as_array().map_or(0, Vec::len) + parts
}

/// The documents of a YAML file, without empty ones.
///
/// # Panics
/// If it is not YAML, or has a duplicate member.
pub fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("no YAML: {error}"));
    all.into_iter().filter(|document: &Value| !document.is_null()).collect()
}

/// The `*.yaml` files of a directory, sorted.
///
/// # Panics
/// If there is no such directory.
pub fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map_while(Result::ok).map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    files
}
