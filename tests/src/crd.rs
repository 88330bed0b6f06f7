//! Manifests against the schemas of their custom resources, as strictly as an API server takes them with
//! `fieldValidation: Strict`: an unknown field is an error.
//!
//! Not evaluated: rules in CEL (`x-kubernetes-validations`), which are counted, and `format`. A keyword that this module
//! does not know stops the suite.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

use crate::paths::workspace;

/// Schemas by `apiVersion` and `kind`.
#[derive(Debug, Default)]
pub struct Schemas(BTreeMap<(String, String), Value>);

/// What was found wrong with a manifest, and what was not looked at.
#[derive(Debug, Default)]
pub struct Findings {
    /// Each with its place.
    pub errors: Vec<String>,
    /// The number of rules in CEL that would apply.
    pub unevaluated: usize,
}

impl Schemas {
    /// The schemas in the directory that `PORTCULLIS_SCHEMAS` names, absolute or from the top of the workspace: a
    /// `CustomResourceDefinition` in each `*.yaml`.
    ///
    /// # Panics
    /// If the variable is set, and there are none.
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
            self.0.insert((group, text(&spec["names"]["kind"])), schema);
        }
    }

    /// What the schema says of the manifest's `spec`; `None` if there is no schema for its kind.
    pub fn check(&self, manifest: &Value) -> Option<Findings> {
        let kind = ["apiVersion", "kind"].map(|name| manifest[name].as_str().unwrap_or_default().to_owned());
        let schema = self.0.get(&kind.into())?;
        let mut findings = Findings::default();
        findings.check(schema, &manifest["spec"], "spec", true);
        Some(findings)
    }
}

impl Findings {
    /// `strict` outside of `allOf` and its like, which describe a part of a value each.
    fn check(&mut self, schema: &Value, value: &Value, place: &str, strict: bool) {
        let before = self.errors.len();
        self.check_value(schema, value, place);
        if self.errors.len() == before {
            self.check_parts(schema, value, place, strict);
            self.check_choices(schema, value, place);
        }
    }

    fn error(&mut self, place: &str, message: &str) {
        self.errors.push(format!("{place}: {message}"));
    }

    /// The value as a whole.
    fn check_value(&mut self, schema: &Value, value: &Value, place: &str) {
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        let length = match value {
            Value::String(text) => Some(text.chars().count() as f64),
            Value::Array(items) => Some(items.len() as f64),
            Value::Object(members) => Some(members.len() as f64),
            number => number.as_f64(),
        };
        let at_least = |bound: &Value| bound.as_f64() <= length;
        let at_most = |bound: &Value| length <= bound.as_f64();
        for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
            let holds = match keyword.as_str() {
                "type" => wanted.as_str().is_some_and(|name| is_a(value, name)),
                "enum" => wanted.as_array().is_some_and(|values| values.contains(value)),
                "minLength" | "minimum" | "minItems" | "minProperties" => at_least(wanted),
                "maxLength" | "maximum" | "maxItems" | "maxProperties" => at_most(wanted),
                "pattern" => matches(wanted, value),
                "x-kubernetes-int-or-string" => is_a(value, "integer") || value.is_string(),
                "x-kubernetes-validations" => {
                    self.unevaluated += wanted.as_array().map_or(0, Vec::len);
                    true
                }
                // Looked at elsewhere, or not at all.
                "properties" | "additionalProperties" | "required" | "items" => true,
                "allOf" | "anyOf" | "oneOf" | "not" | "nullable" | "default" | "description" | "format" => true,
                "x-kubernetes-preserve-unknown-fields" | "x-kubernetes-map-type" => true,
                "x-kubernetes-list-type" | "x-kubernetes-list-map-keys" => true,
                _ => panic!("{place}: the schema has `{keyword}`, which is not known here"),
            };
            if !holds {
                self.error(place, &format!("{keyword} is {wanted}, and this is {value}"));
            }
        }
    }

    /// The members of an object, the items of a list.
    fn check_parts(&mut self, schema: &Value, value: &Value, place: &str, strict: bool) {
        let items = value.as_array().into_iter().flatten().enumerate();
        items
            .filter(|_| schema["items"].is_object())
            .for_each(|(index, item)| self.check(&schema["items"], item, &format!("{place}[{index}]"), strict));
        let Value::Object(members) = value else { return };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) && schema["properties"][name]["default"].is_null() {
                self.error(place, &format!("{name} is missing"));
            }
        }
        for (name, member) in members {
            let place = format!("{place}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (known @ Value::Object(_), _) | (_, known @ Value::Object(_)) => {
                    self.check(known, member, &place, strict);
                }
                _ if strict && schema["x-kubernetes-preserve-unknown-fields"] != true => {
                    self.error(&place, "unknown field");
                }
                _ => {}
            }
        }
    }

    /// The schemas that must hold beside this one: all, any, exactly one, or not this one.
    fn check_choices(&mut self, schema: &Value, value: &Value, place: &str) {
        let holds = |one: &Value| {
            let mut findings = Self::default();
            findings.check(one, value, place, false);
            findings.errors.is_empty()
        };
        let holding = |keyword: &str| {
            let all = schema[keyword].as_array()?;
            Some((all.iter().filter(|one| holds(one)).count(), all.len()))
        };
        let wrong = [
            ("allOf", holding("allOf").is_some_and(|(holding, all)| holding < all)),
            ("anyOf", holding("anyOf").is_some_and(|(holding, _)| holding == 0)),
            ("oneOf", holding("oneOf").is_some_and(|(holding, _)| holding != 1)),
            ("not", schema["not"].is_object() && holds(&schema["not"])),
        ];
        for (keyword, _) in wrong.iter().filter(|(_, wrong)| *wrong) {
            self.error(place, &format!("{keyword} is not kept: {}", schema[*keyword]));
        }
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => panic!("{name} is no type"),
    }
}

/// Whether a text has a match of the pattern anywhere; what is no text has no pattern to keep.
fn matches(pattern: &Value, value: &Value) -> bool {
    let pattern = regex_lite::Regex::new(pattern.as_str().expect("a pattern")).expect("a regular expression");
    value.as_str().is_none_or(|text| pattern.is_match(text))
}

/// The documents of a YAML file; one that is empty is none.
///
/// # Panics
/// If it is not YAML, or has a member twice.
pub fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("no YAML: {error}"));
    all.into_iter().filter(|document: &Value| !document.is_null()).collect()
}

/// The `*.yaml` of a directory, sorted.
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
