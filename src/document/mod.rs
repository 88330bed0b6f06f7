//! The policy document as it is written: version 1 of the format, with every default filled in.
//!
//! This is the wire form. [`Policy`](crate::Policy) is the form that decides. What one field can be wrong about is found
//! here, with the field's path; what several fields can be wrong about together is found when the policy is compiled.

mod access;
mod answer;
pub(crate) mod canonical;
mod consumer;
mod form;
mod json;
mod key_source;
pub(crate) mod names;
mod object;
mod protobuf;
pub(crate) mod read;
pub(crate) mod refusal;
#[cfg(test)]
mod refusal_table;
pub(crate) mod schema;
mod source;
mod window;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

pub use access::{ClientAddress, ProtectedPath, PublicPath, Rule, TrustedNetworks};
pub use answer::{Reply, Upstream};
pub(crate) use consumer::Taker;
pub use consumer::{Consumer, KeyEntry, Secret};
pub use key_source::KeySource;
pub use names::{
    ConsumerName, Description, GateName, HeaderName, KeyId, Method, Methods, ParameterName, Plaintext, Realm, RoleName,
    Sentence, StateKey, VariableName,
};
use object::object;
use read::{Read, Reader, Refused, Text, Token, read_text};
use refusal::{Invalid, Refusal};
use schema::{one_of, with};
pub use window::Pieces;
pub(crate) use window::whole;

use crate::spiffe::IdentityPattern;

object! {
    /// A policy document, version 1.
    #[derive(Debug, Clone, Serialize)]
    pub struct Document {
        /// The version of the format: 1.
        pub version: Version = or(Version),
        /// Shows in stats and logs; several gates share one Envoy. Default `default`.
        pub name: GateName = or(GateName::fixed("default")),
        /// A remark.
        pub description: Option<Description> = optional,
        /// Deny, only report, or let everything through. Default `enforce`.
        pub mode: Mode = or(Mode::Enforce),
        /// Whether each decision is written to filter state, for access logs. Default false.
        pub access_log: bool = or(false),
        /// Whether the uses of each key are counted. Default false.
        pub key_metrics: bool = or(false),
        /// Where a key may stand. Default: `bearer`, and the header `x-api-key`.
        pub key_sources: Vec<KeySource> = or(vec![KeySource::Bearer, KeySource::Header(HeaderName::fixed("x-api-key"))]),
        /// Who may come in. Default: nobody.
        #[serde(skip)]
        pub consumers: Vec<Consumer> = list,
        /// What is open to everyone. Default: nothing.
        pub public_paths: Vec<PublicPath> = list,
        /// Where given, only these need a key. Default: everything needs one.
        pub protected_paths: Option<Vec<ProtectedPath>> = optional,
        /// Peers that need no key, by address. Default: none.
        pub trusted_networks: TrustedNetworks = or(TrustedNetworks { ranges: Vec::new(), client_address: ClientAddress::Direct }),
        /// Peers that need no key, by mTLS identity. Default: none.
        pub trusted_identities: Vec<IdentityPattern> = list,
        /// What happens to a CORS preflight. Default `authenticate`.
        pub cors_preflight: CorsPreflight = or(CorsPreflight::Authenticate),
        /// Which roles a path asks for. Default: any valid key will do.
        pub rules: Vec<Rule> = list,
        /// What a denied caller hears.
        pub reply: Reply = or(Reply::default()),
        /// What the upstream hears.
        pub upstream: Upstream = or(Upstream::default()),
    }
}

impl Document {
    /// Reads a document from the filter's configuration: JSON text, or a serialized `google.protobuf.Struct`. Nothing at
    /// all is the document `{}`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its path.
    pub fn read(configuration: &[u8]) -> Result<Self, Refusal> {
        let mut all = All::default();
        let document = Self::stream(&mut whole(configuration), &mut all)?;
        Ok(Self { consumers: all.consumers, ..document })
    }

    /// As [`read`](Self::read), from what comes piece by piece. The document is left without the consumers.
    pub(crate) fn stream(configuration: &mut Pieces<'_>, taker: &mut dyn Taker) -> Result<Self, Refusal> {
        Reader::document(configuration, taker)
    }

    /// The JSON Schema (draft 2020-12) of a document. It takes whatever the gate takes, and most of what it refuses it
    /// refuses too; the rest is what only the whole of a document tells, such as an id that is given twice.
    #[must_use]
    pub fn json_schema() -> Value {
        let about = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Portcullis policy, version 1",
        });
        with(about, <Self as Read>::schema())
    }
}

/// Takes consumers and keys to keep them.
#[derive(Default)]
struct All {
    consumers: Vec<Consumer>,
    keys: Vec<KeyEntry>,
}

impl Taker for All {
    fn key(&mut self, key: KeyEntry) {
        self.keys.push(key);
    }

    fn consumer(&mut self, consumer: Consumer) {
        let keys = core::mem::take(&mut self.keys);
        self.consumers.push(Consumer { keys, ..consumer });
    }
}

impl Read for Document {
    const EXPECTED: &'static str = "a policy document (an object)";

    fn schema() -> Value {
        let lists = json!({"key_sources": {"minItems": 1, "uniqueItems": true}, "protected_paths": {"minItems": 1}});
        with(Self::members_schema(), json!({"properties": lists}))
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        reader.begin_object(value, Self::EXPECTED)?;
        Self::members(reader)
    }
}

/// Version 1: the only one.
#[derive(Debug, Clone, Copy)]
pub struct Version;

impl Read for Version {
    const EXPECTED: &'static str = "a number: 1";

    fn schema() -> Value {
        json!({"const": 1})
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        match value {
            Token::Whole(1) => Ok(Self),
            Token::Whole(number) => {
                let invalid = Invalid::new("is a version of the format that this filter does not know", "write 1");
                Err(reader.invalid(&number.to_string(), invalid))
            }
            other => Err(reader.unexpected(other, Self::EXPECTED, Self::QUOTABLE)),
        }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

/// What the gate does with its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Denies what it denies.
    Enforce,
    /// Decides and counts, and lets every request through.
    Report,
    /// Lets every request through undecided.
    Disabled,
}

impl Text for Mode {
    const EXPECTED: &'static str = "enforce, report or disabled";

    fn schema() -> Value {
        one_of(&["enforce", "report", "disabled"])
    }

    fn read(text: &str) -> Result<Self, Invalid> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "report" => Ok(Self::Report),
            "disabled" => Ok(Self::Disabled),
            _ => Err(Invalid::new("is no mode", "write enforce, report or disabled")),
        }
    }
}

/// What happens to a CORS preflight, which browsers send without credentials (Fetch standard, section 4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CorsPreflight {
    /// It needs a key like any other request.
    Authenticate,
    /// It is let through.
    Allow,
}

impl Text for CorsPreflight {
    const EXPECTED: &'static str = "authenticate or allow";

    fn schema() -> Value {
        one_of(&["authenticate", "allow"])
    }

    fn read(text: &str) -> Result<Self, Invalid> {
        match text {
            "authenticate" => Ok(Self::Authenticate),
            "allow" => Ok(Self::Allow),
            _ => Err(Invalid::new("is no choice here", "write authenticate or allow")),
        }
    }
}

read_text!(Mode, CorsPreflight);
