//! `portcullis schema`: prints the JSON Schema of the policy, generated from the types that the gate uses.

use anyhow::Result;
use clap::Args;
use portcullis::Document;
use serde_json::{Value, json};

use crate::output::print;
use crate::teams::{DELEGATIONS, FINAL_RULES};

const EXAMPLES: &str = "Examples:
  portcullis schema > policy.schema.json

Editors use it to check and complete policy.yaml, if its first line is:
  # yaml-language-server: $schema=./policy.schema.json

It accepts every policy that the gate accepts, and the fields of a platform's file that only the command knows. Run `portcullis lint` to find errors that a schema cannot, such as a \
duplicate id.

Exit status: 0 done, 2 usage error.";

/// Print the JSON Schema of the policy
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> Result<bool> {
        print(&format!("{:#}\n", schema()))?;
        Ok(true)
    }
}

/// The schema of what people write: that of the gate, and the fields that the command resolves.
fn schema() -> Value {
    let mut schema = Document::json_schema();
    let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return schema };
    let rules = fields.get("rules").cloned().unwrap_or_default();
    let roles = rules.pointer("/items/properties/roles/items").cloned().unwrap_or_else(|| json!({"type": "string"}));
    let with = |mut field: Value, description: &str| {
        if let Some(members) = field.as_object_mut() {
            members.insert("description".to_owned(), description.into());
        }
        field
    };
    let text = |description: &str| json!({"type": "string", "description": description});
    let grant = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["file", "prefix"],
        "properties": {
            "file": text("The team's file, with or without its extension."),
            "prefix": {
                "type": "string",
                "pattern": PREFIX,
                "description": "The path below which the team may write rules, such as /team-a.",
            },
            "roles": {
                "type": "array",
                "items": roles,
                "description": "The roles named by rules of other files that consumers of the team may have. Default: none.",
            },
            "description": text("A remark."),
        },
    });
    let delegations = json!({"type": "array", "items": grant});
    let about =
        "The teams, whose files are given after this one. The command resolves this field: the gate refuses it.";
    fields.insert(DELEGATIONS.to_owned(), with(delegations, about));
    let about = "Rules that are tried after those of the teams. The command resolves this field: the gate refuses it.";
    fields.insert(FINAL_RULES.to_owned(), with(rules, about));
    schema
}

/// A prefix of [`delegations`](crate::teams).
const PREFIX: &str = r"^(/[A-Za-z0-9_-]+(\.+[A-Za-z0-9_-]+)*)+$";
