//! The store, `keys.json`: what the command writes. Key entries by consumer, digests only, and an override of the mode.
//!
//! It is replaced as a whole: a temporary file beside it, flushed to the disk, renamed over it. A lock file beside it
//! keeps two commands apart. Members that somebody added are kept.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::yaml::Node;

/// All that the command keeps.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Store {
    /// The version of the format: 1.
    #[serde(default)]
    pub(crate) version: Version,
    /// The mode, whatever the policy says.
    #[serde(default)]
    pub(crate) mode_override: Option<Mode>,
    /// Keys, by the name of their consumer.
    #[serde(default)]
    pub(crate) consumers: BTreeMap<String, Stored>,
    /// What somebody added.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Version 1: the only one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Version;

impl TryFrom<u64> for Version {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number == 1 { Ok(Self) } else { Err("a version of the format that this command does not know") }
    }
}

/// The gate's modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Deny what is to be denied
    Enforce,
    /// Decide and count, let everything through
    Report,
    /// Let everything through undecided
    Disabled,
}

/// What the store has of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Stored {
    /// Its roles, where no policy names the consumer.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Its keys.
    #[serde(default)]
    pub(crate) keys: Vec<StoredKey>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// One key. Times are RFC 3339 texts, as the policy has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredKey {
    /// Its public handle.
    pub(crate) id: String,
    /// The SHA-256 of the key, as 64 hex digits.
    pub(crate) sha256: String,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// When it came into the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    /// Not valid before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<String>,
    /// Not valid from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    /// Switched off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) disabled: bool,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Mode {
    /// As the policy writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
            Self::Disabled => "disabled",
        }
    }
}

impl StoredKey {
    /// The entry that the gate gets: without what only the store knows.
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
    /// What the file is called, beside the policy.
    pub(crate) const NAME: &str = "keys.json";

    /// Reads a store.
    ///
    /// # Errors
    /// Where there is none, or where it is none.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let place = path.display();
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the store {place} (`portcullis init` makes one)"))?;
        Self::parse(&text).with_context(|| format!("{place} is no store of keys"))
    }

    /// Reads the text of a store. The message shows none of it: somebody may have put a key there.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "something has another type or version than belongs there",
                _ => "not valid JSON",
            };
            anyhow!("{what} (line {}, column {}): mend it, or restore a copy", error.line(), error.column())
        })
    }

    /// The text of the store: sorted, one key a line.
    ///
    /// # Errors
    /// None: it is only memory that is written to.
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

/// A store that nobody else changes until this is dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    path: PathBuf,
    /// What is in it.
    pub(crate) store: Store,
    _lock: File,
}

impl Locked {
    /// Locks the store at `path` and reads it; an empty one where there is none yet.
    ///
    /// # Errors
    /// Where its directory cannot be written, or where it is no store.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // A store that is a link stays one: what it points to is replaced.
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            resolved => resolved.with_context(|| format!("cannot open the store {}", path.display()))?,
        };
        let name = path.file_name().ok_or_else(|| anyhow!("{} is no file name", path.display()))?;
        // The file itself is replaced, so it cannot carry the lock.
        let lock_path = path.with_file_name(format!(".{}.lock", name.to_string_lossy()));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock =
            lock.with_context(|| format!("cannot lock the store {} ({})", path.display(), lock_path.display()))?;
        lock.lock().with_context(|| format!("cannot lock the store {}", path.display()))?;
        let store = if path.try_exists()? { Store::read(&path)? } else { Store::default() };
        Ok(Self { path, store, _lock: lock })
    }

    /// Replaces the file, at once or not at all.
    ///
    /// # Errors
    /// Where it cannot be written; the old one then stands as it was.
    pub(crate) fn save(&self) -> Result<()> {
        write_atomically(&self.path, self.store.to_text()?.as_bytes(), 0o600)
    }
}

/// Replaces a file: whoever reads it, and whatever is left by a crash, is the old one or the new one.
///
/// # Errors
/// Where it cannot be written; the old one then stands as it was.
pub(crate) fn write_atomically(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    let place = path.display();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> Result<()> {
        // It begins as its owner's alone, whatever it is to be.
        let mut file = tempfile::Builder::new().prefix(".portcullis-").tempfile_in(directory)?;
        file.write_all(contents)?;
        // Not at its creation: the umask would take from it.
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The new name is on the disk when its directory is.
        File::open(directory)?.sync_all()?;
        Ok(())
    };
    if path.is_dir() {
        bail!("cannot write {place}: it is a directory");
    }
    write().with_context(|| format!("cannot write {place}"))
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
        for text in ["secret", r#"{"version": 2}"#, r#"{"consumers": ["secret"]}"#, r#"{"mode_override": "secret"}"#] {
            let error = Store::parse(text).unwrap_err().to_string();
            assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn it_is_replaced_for_its_owner_alone_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let mut locked = Locked::open(&path).unwrap();
        locked.store.mode_override = Some(Mode::Report);
        locked.save().unwrap();
        drop(locked);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Locked::open(&path).unwrap().store.mode_override, Some(Mode::Report));
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "the store and its lock: {names:?}");
    }
}
