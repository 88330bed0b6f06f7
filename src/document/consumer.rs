//! Consumers and their keys.

use serde_json::Value;

use super::names::{ConsumerName, Description, KeyId, Plaintext, RoleName, VariableName};
use super::object::{object, read_members};
use super::read::{Read, Reader, Refused, Text, Token, read_text};
use super::refusal::{Invalid, Problem};
use super::schema::{exactly_one, pattern, with};
use crate::digest::Digest;
use crate::timestamp::Timestamp;

object! {
    /// Who may come in.
    #[derive(Debug, Clone)]
    pub struct Consumer {
        /// Unique in the document.
        pub name: ConsumerName = required,
        /// A remark.
        pub description: Option<Description> = optional,
        /// What rules may ask for.
        pub roles: Vec<RoleName> = list,
        /// The consumer's keys.
        pub keys: Vec<KeyEntry> = list,
    }
}

impl Read for Consumer {
    const EXPECTED: &'static str = "a consumer: {name, roles, keys}";
    read_members!();

    fn keep(self, reader: &mut Reader<'_>) -> Option<Self> {
        reader.taker().consumer(self);
        None
    }
}

/// Takes consumers and keys as soon as they are read: then they are no part of the document any more.
pub(crate) trait Taker {
    /// The next key of the consumer that comes next.
    fn key(&mut self, key: KeyEntry);
    /// The next consumer, without its keys.
    fn consumer(&mut self, consumer: Consumer);
}

/// One key of a consumer.
#[derive(Debug, Clone)]
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

object! {
    /// A key entry as it is written.
    struct Entry {
        /// Its public handle, in logs and headers. Default: the first 16 hex digits of the digest.
        id: Option<KeyId> = optional,
        /// A remark.
        description: Option<Description> = optional,
        /// The SHA-256 of the key.
        sha256: Option<Sha256Text> = optional,
        /// The key itself. Better give its `sha256`, or an `env`.
        plaintext: Option<Plaintext> = optional,
        /// The environment variable that holds the key, where Envoy runs.
        env: Option<VariableName> = optional,
        /// Not valid before.
        not_before: Option<Timestamp> = optional,
        /// Not valid from then on.
        expires: Option<Timestamp> = optional,
        /// Switched off.
        disabled: bool = or(false),
    }
}

impl Read for KeyEntry {
    const EXPECTED: &'static str =
        "a key entry: {sha256}, {plaintext} or {env}, with id, not_before, expires, disabled";

    fn schema() -> Value {
        with(Entry::members_schema(), exactly_one(&["sha256", "plaintext", "env"]))
    }

    fn keep(self, reader: &mut Reader<'_>) -> Option<Self> {
        reader.taker().key(self);
        None
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        reader.begin_object(value, Self::EXPECTED)?;
        let entry = Entry::members(reader)?;
        let secret = match (entry.sha256, entry.plaintext, entry.env) {
            (Some(digest), None, None) => Secret::Sha256(digest.0),
            (None, Some(plaintext), None) => Secret::Plaintext(plaintext),
            (None, None, Some(variable)) => Secret::Env(variable),
            _ => {
                let invalid =
                    Invalid::new("a key entry holds one key", "give exactly one of sha256, plaintext and env");
                return Err(reader.refuse(Problem::Invalid { shown: None, invalid }));
            }
        };
        if entry.not_before.zip(entry.expires).is_some_and(|(from, until)| from >= until) {
            let invalid = Invalid::new("the key expires before it is valid", "give an `expires` after `not_before`");
            return Err(reader.refuse(Problem::Invalid { shown: None, invalid }));
        }
        let Entry { id, description, not_before, expires, disabled, .. } = entry;
        Ok(Self { id, description, secret, not_before, expires, disabled })
    }
}

/// The text of a `sha256` member.
struct Sha256Text(Option<Digest>);

impl Text for Sha256Text {
    const EXPECTED: &'static str = "the SHA-256 of the key, as 64 hex digits";

    fn schema() -> Value {
        pattern("^[0-9a-fA-F]{64}$")
    }

    fn read(text: &str) -> Result<Self, Invalid> {
        Ok(Self(Digest::from_hex(text)))
    }
}

impl Text for Timestamp {
    const EXPECTED: &'static str = "a date-time such as 2027-02-01T00:00:00Z";

    fn schema() -> Value {
        // No `format`: it would refuse the blank for a `T`, which RFC 3339 allows.
        pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$")
    }

    fn read(text: &str) -> Result<Self, Invalid> {
        Self::from_rfc3339(text)
            .ok_or(Invalid::new("is no date-time of RFC 3339", "write one such as 2027-02-01T00:00:00Z"))
    }
}

read_text!(Sha256Text, Timestamp);
