//! Consumers and key entries, as written.

use core::fmt;

use serde::Deserialize;

use super::digest::Digest;
use super::placeholder::NotAKey;
use crate::request::credential::is_presentable;
use crate::value::names::{ConsumerName, Description, KeyId, Plaintext, RoleName, VariableName};
use crate::value::text::{Invalid, Text, read_text};
use crate::value::timestamp::Timestamp;

/// A function that reads an environment variable of the VM.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

/// A consumer, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a consumer: {name, roles, keys}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConsumerEntry {
    /// Unique in the document.
    pub name: ConsumerName,
    /// A remark.
    #[serde(default)]
    pub description: Option<Description>,
    /// The roles of the consumer, which rules may require.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// The consumer's keys.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Entry>"))]
    pub keys: Vec<KeyEntry>,
}

/// One key of a consumer.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Entry")]
pub struct KeyEntry {
    /// The public handle of the key. Default: the first 16 hex digits of its digest.
    pub id: Option<KeyId>,
    /// A remark.
    pub description: Option<Description>,
    /// The key itself, in one of its forms.
    pub secret: Secret,
    /// The time from which the key is valid.
    pub not_before: Option<Timestamp>,
    /// The time from which the key is no longer valid.
    pub expires: Option<Timestamp>,
    /// Whether the key is disabled.
    pub disabled: bool,
}

/// The key of an entry, in one of its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The SHA-256 of the key; `None` if the text is not 64 hex digits. Then the entry is skipped.
    Sha256(Option<Digest>),
    /// The key itself.
    Plaintext(Plaintext),
    /// The name of the environment variable that holds the key.
    Env(VariableName),
}

/// A key entry, as written.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a key entry: {sha256}, {plaintext} or {env}, with id, not_before, expires, disabled"
)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["plaintext"]}, {"required": ["env"]}]))
)]
struct Entry {
    /// Its public handle, in logs and headers. Default: the first 16 hex digits of the digest.
    id: Option<KeyId>,
    /// A remark.
    description: Option<Description>,
    /// The SHA-256 of the key.
    sha256: Option<Sha256Text>,
    /// The key itself. Better give its `sha256`, or an `env`.
    plaintext: Option<Plaintext>,
    /// The environment variable that holds the key, where Envoy runs.
    env: Option<VariableName>,
    /// The time from which the key is valid.
    not_before: Option<Timestamp>,
    /// The time from which the key is no longer valid.
    expires: Option<Timestamp>,
    /// Whether the key is disabled.
    #[serde(default)]
    disabled: bool,
}

impl TryFrom<Entry> for KeyEntry {
    type Error = Invalid;

    fn try_from(entry: Entry) -> Result<Self, Invalid> {
        let secret = match (entry.sha256, entry.plaintext, entry.env) {
            (Some(digest), None, None) => Secret::Sha256(digest.0),
            (None, Some(plaintext), None) => Secret::Plaintext(plaintext),
            (None, None, Some(variable)) => Secret::Env(variable),
            _ => return Err(Invalid::new("invalid key entry", "expected exactly one of sha256, plaintext and env")),
        };
        if entry.not_before.zip(entry.expires).is_some_and(|(from, until)| from >= until) {
            return Err(Invalid::new("invalid key entry", "expected `expires` to be after `not_before`"));
        }
        let Entry { id, description, not_before, expires, disabled, .. } = entry;
        Ok(Self { id, description, secret, not_before, expires, disabled })
    }
}

/// The text of a `sha256` member.
struct Sha256Text(Option<Digest>);

impl Text for Sha256Text {
    const EXPECTED: &'static str = "the SHA-256 of the key, as 64 hex digits";
    const PATTERN: &'static str = "^[0-9a-fA-F]{64}$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        Ok(Self(Digest::from_hex(text)))
    }
}

read_text!(Sha256Text);

impl Plaintext {
    /// Returns the digest.
    ///
    /// # Errors
    /// A text that is not a key, or that no request can present.
    pub fn digest(&self) -> Result<Digest, EntryProblem> {
        let key = self.expose().as_bytes();
        match NotAKey::of(key) {
            Some(why) => Err(EntryProblem::NotAKey(why)),
            None if is_presentable(key) => Ok(Digest::of(key)),
            None => Err(EntryProblem::MalformedPlaintext),
        }
    }
}

impl Secret {
    /// Returns the digest of the key, which may be in the environment.
    ///
    /// # Errors
    /// Why the entry is skipped.
    pub fn resolve(&self, environment: &Environment<'_>) -> Result<Digest, EntryProblem> {
        match self {
            Self::Sha256(digest) => digest.ok_or(EntryProblem::MalformedDigest),
            Self::Plaintext(key) => key.digest(),
            Self::Env(variable) => {
                let key = read_variable(variable, environment)?;
                match key.as_slice() {
                    [] => Err(EntryProblem::EmptyVariable(variable.clone())),
                    key if is_presentable(key) => Ok(Digest::of(key)),
                    _ => Err(EntryProblem::MalformedVariable(variable.clone())),
                }
            }
        }
    }
}

/// Returns the value of a variable without a line end at its end. A value that is not a key is an error.
pub(super) fn read_variable(variable: &VariableName, environment: &Environment<'_>) -> Result<Vec<u8>, EntryProblem> {
    let mut value = environment(variable.as_str()).ok_or_else(|| EntryProblem::UnsetVariable(variable.clone()))?;
    for end in [b'\n', b'\r'] {
        value.pop_if(|last| *last == end);
    }
    match NotAKey::of(&value) {
        Some(why) => Err(EntryProblem::NotAKeyInVariable(variable.clone(), why)),
        None => Ok(value),
    }
}

/// A skipped key entry. All other keys work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// The path of the entry, such as `consumers[0].keys[1]`.
    pub path: String,
    /// The id of the entry, if the document has one.
    pub id: Option<String>,
    /// The error in the entry.
    pub problem: EntryProblem,
}

impl fmt::Display for RefusedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map(|id| format!(" (id {id})")).unwrap_or_default();
        write!(f, "{}{id}: {}", self.path, self.problem)
    }
}

/// An error in one key entry. It never contains the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EntryProblem {
    #[error("invalid sha256: expected 64 hex digits (printf %s \"$KEY\" | sha256sum)")]
    MalformedDigest,
    #[error("invalid plaintext: expected 1 to 1024 visible ASCII characters (0x21 to 0x7E)")]
    MalformedPlaintext,
    #[error("invalid plaintext: {0}: expected the key itself")]
    NotAKey(NotAKey),
    #[error(
        "environment variable {0} is not set in the VM: export it before Envoy starts, and list it in \
         vm_config.environment_variables"
    )]
    UnsetVariable(VariableName),
    #[error("environment variable {0} is empty: put the key in it")]
    EmptyVariable(VariableName),
    #[error("invalid value of environment variable {0}: expected 1 to 1024 visible ASCII characters (0x21 to 0x7E)")]
    MalformedVariable(VariableName),
    #[error("invalid value of environment variable {0}: {1}: expected the key itself")]
    NotAKeyInVariable(VariableName, NotAKey),
    #[error("invalid value of environment variable {0}: expected at least 32 bytes (openssl rand -base64 32)")]
    ShortSecret(VariableName),
    #[error("duplicate key, also at {0}: both entries are skipped, keep one")]
    DuplicateDigest(String),
}
