//! The key store, `keys.json`, which the command writes: key entries by consumer, with digests only, and an override of
//! the mode.
//!
//! It is sorted and has one key on each line, so that diffs are readable. Members that users add are kept.

pub(crate) mod journal;
mod located;
mod locked;
mod replace;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use portcullis::Timestamp;
use portcullis::document::Mode;
use portcullis::keys::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::located::Located;
pub(crate) use self::locked::Locked;
pub(crate) use self::replace::write_atomically;
use crate::when::rfc3339;
use crate::yaml::Node;

/// The contents of the key store.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Store {
    /// The version of the format: 1. It is required.
    pub(crate) version: Version,
    /// The mode that overrides the one of the policy.
    #[serde(default)]
    pub(crate) mode_override: Option<Mode>,
    /// Keys by the name of their consumer. A duplicate name, as after a careless merge, is an error: otherwise the keys
    /// of one of them would be lost.
    #[serde(default, deserialize_with = "serde_with::rust::maps_duplicate_key_is_error::deserialize")]
    pub(crate) consumers: BTreeMap<String, Stored>,
    /// Members that users added.
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}

/// Version 1: the only one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Version;

impl TryFrom<u64> for Version {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number == 1 { Ok(Self) } else { Err("unknown version of the format") }
    }
}

impl Store {
    /// Returns this store without the access that a later version of it has taken away: keys that are removed or disabled
    /// there, or that end earlier; and a mode other than enforce, if it has that.
    pub(crate) fn without_revoked(&self, later: &Self) -> Self {
        let mut kept = self.clone();
        for (name, consumer) in &mut kept.consumers {
            let now = later.consumers.get(name).map(|consumer| consumer.keys.as_slice()).unwrap_or_default();
            consumer.keys.retain_mut(|key| {
                let Some(now) = now.iter().find(|one| one.sha256 == key.sha256) else { return false };
                key.disabled |= now.disabled;
                if ends_earlier(now, key) {
                    key.expires.clone_from(&now.expires);
                }
                true
            });
        }
        if later.mode_override == Some(Mode::Enforce) {
            kept.mode_override = later.mode_override;
        }
        kept
    }
}

/// Whether a key ends earlier than another one. A time that is invalid makes the gate skip the key.
fn ends_earlier(one: &StoredKey, other: &StoredKey) -> bool {
    match (&one.expires, &other.expires) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(_), Some(_)) => one.ends_at().is_none() || one.ends_at() < other.ends_at(),
    }
}

/// A consumer in the store.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Stored {
    /// Its roles, if the policy does not define the consumer.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Its keys.
    #[serde(default)]
    pub(crate) keys: Vec<StoredKey>,
    /// Members that users added.
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}

/// One key. Times are RFC 3339 texts, as the policy has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredKey {
    /// Its public id.
    pub(crate) id: String,
    /// The SHA-256 of the key, as 64 hex digits.
    pub(crate) sha256: String,
    /// A description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// A note, such as the number of a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// When it was added to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    /// The user who added it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
    /// Not valid before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<String>,
    /// Not valid from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    /// Whether `expires` was changed since the key was made, so that nothing says how long it was made for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) expiry_changed: bool,
    /// Whether it is disabled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) disabled: bool,
    /// Members that users added.
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}

impl Stored {
    /// Whether it contains nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl StoredKey {
    /// When it becomes valid, if it has such a time that is valid.
    pub(crate) fn begins_at(&self) -> Option<Timestamp> {
        self.not_before.as_deref().and_then(Timestamp::from_rfc3339)
    }

    /// When it expires, if it has such a time that is valid.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        self.expires.as_deref().and_then(Timestamp::from_rfc3339)
    }

    /// Lets it expire at another time.
    pub(crate) fn expire_at(&mut self, at: Timestamp) {
        let at = Some(rfc3339(at));
        self.expiry_changed |= self.expires != at;
        self.expires = at;
    }

    /// The digest, if the text is valid, in either letter case.
    pub(crate) fn digest(&self) -> Option<Digest> {
        Digest::from_hex(&self.sha256)
    }

    /// The entry as the gate gets it: without members that only the store has.
    pub(crate) fn to_node(&self) -> Node {
        let text = |name, value: &Option<String>| value.as_ref().map(|value| (name, Node::from(value.as_str())));
        let always = [("id", Node::from(self.id.as_str())), ("sha256", self.sha256.as_str().into())];
        let given = [
            text("description", &self.description),
            text("not_before", &self.not_before),
            text("expires", &self.expires),
            self.disabled.then(|| ("disabled", true.into())),
        ];
        Node::map(always.into_iter().chain(given.into_iter().flatten()))
    }
}

impl Store {
    /// The default file name.
    pub(crate) const NAME: &str = "keys.json";

    /// Reads a store.
    ///
    /// # Errors
    /// If the file does not exist, or is invalid.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_text(path)?).with_context(|| format!("invalid key store {}", path.display()))
    }

    /// Parses the text of a store. The message shows no part of it, since it may contain a key.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "missing member, or unexpected type or version",
                _ => "not valid JSON",
            };
            anyhow!("{what} (line {}, column {}): correct it, or restore a copy", error.line(), error.column())
        })
    }

    /// The text of the store: sorted, one key a line.
    ///
    /// # Errors
    /// Never: it only writes to memory.
    pub(crate) fn to_text(&self) -> Result<String> {
        let mut text = String::from("{\n  \"version\": 1");
        let mut member = |name: &str, value: &str| text.push_str(&format!(",\n  {}: {value}", Value::from(name)));
        member("mode_override", &serde_json::to_string(&self.mode_override)?);
        for (name, value) in &self.others {
            member(name, &serde_json::to_string(value)?);
        }
        text.push_str(",\n  \"consumers\": {");
        for (number, (name, stored)) in self.consumers.iter().enumerate() {
            text.push_str(if number == 0 { "\n" } else { ",\n" });
            text.push_str(&format!("    {}: {{", Value::from(name.as_str())));
            if !stored.roles.is_empty() {
                text.push_str(&format!("\"roles\": {}, ", serde_json::to_string(&stored.roles)?));
            }
            for (name, value) in &stored.others {
                text.push_str(&format!("{}: {}, ", Value::from(name.as_str()), serde_json::to_string(value)?));
            }
            text.push_str("\"keys\": [");
            let mut keys: Vec<_> = stored.keys.iter().collect();
            keys.sort_by(|one, other| one.id.cmp(&other.id));
            for (number, key) in keys.iter().enumerate() {
                text.push_str(if number == 0 { "\n      " } else { ",\n      " });
                text.push_str(&serde_json::to_string(key)?);
            }
            text.push_str("]}");
        }
        text.push_str("\n  }\n}\n");
        Ok(text)
    }
}

/// The text of a store.
fn read_text(path: &Path) -> Result<String> {
    let place = path.display();
    fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("key store {place} not found (--store selects another, `portcullis init` creates one)")
        }
        _ => anyhow!("cannot read the store {place}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_added_survives() {
        let text = r#"{"version": 1, "owner": {"team": "ml"}, "consumers": {"b": {"note": 1, "keys": [
            {"id": "2", "sha256": "00", "ticket": "T-1", "disabled": true}, {"id": "1", "sha256": "11"}]}, "a": {}}}"#;
        let store = Store::parse(text).unwrap();
        let written = store.to_text().unwrap();
        assert_eq!(
            written,
            r#"{
  "version": 1,
  "mode_override": null,
  "owner": {"team":"ml"},
  "consumers": {
    "a": {"keys": []},
    "b": {"note": 1, "keys": [
      {"id":"1","sha256":"11"},
      {"id":"2","sha256":"00","disabled":true,"ticket":"T-1"}]}
  }
}
"#
        );
        assert_eq!(Store::parse(&written).unwrap().to_text().unwrap(), written);
    }

    #[test]
    fn a_file_that_is_no_store_is_told_without_its_contents() {
        for text in [
            "secret",
            r#"{"valid_keys": ["secret"]}"#,
            r#"{"version": 2}"#,
            r#"{"version": 1, "consumers": ["secret"]}"#,
            r#"{"version": 1, "mode_override": "secret"}"#,
        ] {
            let error = Store::parse(text).unwrap_err().to_string();
            assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
        }
    }
}
