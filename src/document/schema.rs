//! The schema of the document (JSON Schema, draft 2020-12): pieces from which each type says its own. The members of an
//! object, with their remarks and defaults, come from `object!`.
//!
//! The schema takes whatever the gate takes. It cannot know all that the gate refuses: an id that is given twice, say.

use core::marker::PhantomData;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::read::Read;

/// The value of a member.
pub(crate) struct Member {
    schema: Value,
    is_required: bool,
}

impl Member {
    /// One that must be there.
    pub(crate) fn required<T: Read>() -> Self {
        Self { schema: T::schema(), is_required: true }
    }

    /// One without a default.
    pub(crate) fn optional<T: Read>(_: PhantomData<Option<T>>) -> Self {
        Self { schema: T::schema(), is_required: false }
    }

    /// A list, by default of nothing.
    pub(crate) fn list<T: Read>() -> Self {
        Self { schema: with(T::schema(), json!({"default": []})), is_required: false }
    }

    /// One with a default.
    pub(crate) fn or<T: Read + Serialize>(default: &T) -> Self {
        Self { schema: with(T::schema(), json!({"default": default})), is_required: false }
    }
}

/// An object of these members, each with its name and its doc comment, and no others.
pub(crate) fn object(members: impl IntoIterator<Item = (&'static str, &'static str, Member)>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, remark, member) in members {
        properties.insert(name.to_owned(), with(member.schema, json!({"description": remark.trim()})));
        if member.is_required {
            required.push(name);
        }
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// A text of 1 to `longest` characters of a class, as a regular expression has it between brackets.
pub(crate) fn characters(class: &str, longest: usize) -> Value {
    pattern(&format!("^[{class}]{{1,{longest}}}$"))
}

/// A text that a regular expression matches (ECMA-262, and whatever reads it alike).
pub(crate) fn pattern(expression: &str) -> Value {
    json!({"pattern": expression})
}

/// One of these texts.
pub(crate) fn one_of(choices: &[&str]) -> Value {
    json!({"enum": choices})
}

/// Any of several forms.
pub(crate) fn either(forms: impl IntoIterator<Item = Value>) -> Value {
    json!({"anyOf": forms.into_iter().collect::<Vec<_>>()})
}

/// Exactly one of these members is there.
pub(crate) fn exactly_one(members: &[&str]) -> Value {
    let alone: Vec<Value> = members.iter().map(|name| json!({"required": [name]})).collect();
    json!({"oneOf": alone})
}

/// A schema with more said: objects are joined, and anything else is replaced.
pub(crate) fn with(mut schema: Value, more: Value) -> Value {
    match (&mut schema, more) {
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more {
                let joined = with(members.remove(&name).unwrap_or_default(), value);
                members.insert(name, joined);
            }
            schema
        }
        (_, more) => more,
    }
}
