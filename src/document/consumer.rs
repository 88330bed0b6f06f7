//! Consumers and their keys.

use core::str::FromStr;

use serde::Deserialize;
use serde::de::SeqAccess;

use super::Document;
use super::names::{ConsumerName, Description, KeyId, Plaintext, RoleName, VariableName};
use super::read::{Holder, Takes};
use super::refusal::Invalid;
use super::text::{Text, read_text};
use crate::digest::Digest;
use crate::timestamp::Timestamp;

/// Who may come in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Consumer {
    /// Unique in the document.
    pub name: ConsumerName,
    /// A remark.
    #[serde(default)]
    pub description: Option<Description>,
    /// What rules may ask for.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// The consumer's keys.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Entry>"))]
    pub keys: Vec<KeyEntry>,
}

/// Takes consumers and keys as soon as they are read: then they are no part of the document any more.
pub(crate) trait Taker {
    /// The next key of the consumer that comes next.
    fn key(&mut self, key: KeyEntry);
    /// The next consumer, without its keys.
    fn consumer(&mut self, consumer: Consumer);
}

/// The consumers of a document.
pub(super) struct TakesConsumers<'t>(pub(super) &'t mut dyn Taker);

impl Takes for TakesConsumers<'_> {
    type Holder = Document;
    const EXPECTED: &'static str = "a policy document (an object)";
    const MEMBER: &'static str = "consumers";

    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error> {
        let consumer = items.next_element_seed(Holder(TakesKeys(self.0)))?;
        Ok(consumer.map(|consumer| self.0.consumer(consumer)).is_some())
    }
}

/// The keys of a consumer.
struct TakesKeys<'t>(&'t mut dyn Taker);

impl Takes for TakesKeys<'_> {
    type Holder = Consumer;
    const EXPECTED: &'static str = "a consumer: {name, roles, keys}";
    const MEMBER: &'static str = "keys";

    fn next<'de, A: SeqAccess<'de>>(&mut self, items: &mut A) -> Result<bool, A::Error> {
        let key = items.next_element()?;
        Ok(key.map(|key| self.0.key(key)).is_some())
    }
}

/// One key of a consumer.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Entry")]
pub struct KeyEntry {
    /// Its public handle. Default: the first 16 hex digits of the digest.
    pub id: Option<KeyId>,
    /// A remark.
    pub description: Option<Description>,
    /// The key itself, in one of its forms.
    pub secret: Secret,
    /// Not valid before.
    pub not_before: Option<Timestamp>,
    /// Not valid from then on.
    pub expires: Option<Timestamp>,
    /// Switched off.
    pub disabled: bool,
}

/// The key of an entry, in one of its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The SHA-256 of the key; `None` where the text is none, which refuses this entry alone.
    Sha256(Option<Digest>),
    /// The key itself.
    Plaintext(Plaintext),
    /// The name of the environment variable that holds the key.
    Env(VariableName),
}

/// A key entry as it is written.
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
    /// Not valid before.
    not_before: Option<Timestamp>,
    /// Not valid from then on.
    expires: Option<Timestamp>,
    /// Switched off.
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
            _ => {
                return Err(Invalid::new("a key entry holds one key", "give exactly one of sha256, plaintext and env"));
            }
        };
        if entry.not_before.zip(entry.expires).is_some_and(|(from, until)| from >= until) {
            return Err(Invalid::new("the key expires before it is valid", "give an `expires` after `not_before`"));
        }
        let Entry { id, description, not_before, expires, disabled, .. } = entry;
        Ok(Self { id, description, secret, not_before, expires, disabled })
    }
}

/// The text of a `sha256` member.
struct Sha256Text(Option<Digest>);

impl Text for Sha256Text {
    const EXPECTED: &'static str = "the SHA-256 of the key, as 64 hex digits";
    #[cfg(feature = "schema")]
    const PATTERN: &'static str = "^[0-9a-fA-F]{64}$";
}

impl FromStr for Sha256Text {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(Self(Digest::from_hex(text)))
    }
}

impl Text for Timestamp {
    const EXPECTED: &'static str = "a date-time such as 2027-02-01T00:00:00Z";

    /// As a `format` it would refuse the blank for a `T`, which RFC 3339 allows.
    #[cfg(feature = "schema")]
    const PATTERN: &'static str =
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";
}

impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::from_rfc3339(text)
            .ok_or(Invalid::new("is no date-time of RFC 3339", "write one such as 2027-02-01T00:00:00Z"))
    }
}

read_text!(Sha256Text, Timestamp);
