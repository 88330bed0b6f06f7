//! The JSON Schema of a document.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use super::root::Document;

impl Document {
    /// Returns the JSON Schema (draft 2020-12) of a document. It accepts every document that the gate accepts, and rejects
    /// most that the gate refuses. The remaining errors need the whole document, such as a duplicate id.
    pub fn json_schema() -> Value {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let settings = settings.with_transform(RecursiveTransform(without_null));
        let mut schema = settings.into_generator().into_root_schema_for::<Self>();
        schema.insert("title".into(), "Portcullis policy, version 1".into());
        schema.into()
    }
}

/// Removes `null` from the schema: optional members may be omitted, but not `null`.
fn without_null(schema: &mut schemars::Schema) {
    let null = json!({"type": "null"});
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| *form != null);
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}
