//! The policy document as it is written: version 1 of the format, with every default filled in.
//!
//! This is the wire form. [`Policy`](crate::Policy) is the form that decides. What one field can be wrong about is found
//! here, with the field's path; what several fields can be wrong about together is found when the policy is compiled.

mod access;
mod answer;
pub(crate) mod canonical;
mod consumer;
mod key_source;
pub(crate) mod names;
mod protobuf;
mod read;
pub(crate) mod refusal;
#[cfg(test)]
mod refusal_table;
pub(crate) mod text;

use core::fmt;
use core::str::FromStr;
use std::io::Read;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};

pub use access::{ClientAddress, ProtectedPath, PublicPath, Rule, TrustedNetworks};
pub use answer::{Reply, Upstream};
pub(crate) use consumer::Taker;
pub use consumer::{Consumer, KeyEntry, Secret};
pub use key_source::KeySource;
pub use names::{
    ConsumerName, Description, GateName, HeaderName, KeyId, Method, Methods, ParameterName, Plaintext, Realm, RoleName,
    Sentence, StateKey, VariableName,
};
use refusal::{Invalid, Refusal};
use text::{Text, read_text};

use crate::spiffe::IdentityPattern;

/// A policy document, version 1.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Document {
    /// The version of the format: 1.
    pub version: Version,
    /// Shows in stats and logs; several gates share one Envoy. Default `default`.
    pub name: GateName,
    /// A remark.
    pub description: Option<Description>,
    /// Deny, only report, or let everything through. Default `enforce`.
    pub mode: Mode,
    /// Whether each decision is written to filter state, for access logs. Default false.
    pub access_log: bool,
    /// Whether the uses of each key are counted. Default false.
    pub key_metrics: bool,
    /// Where a key may stand. Default: `bearer`, and the header `x-api-key`.
    #[serde(deserialize_with = "text::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<text::Either<KeySource>>", length(min = 1), extend("uniqueItems" = true)))]
    pub key_sources: Vec<KeySource>,
    /// Who may come in. Default: nobody.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub consumers: Vec<Consumer>,
    /// What is open to everyone. Default: nothing.
    #[serde(deserialize_with = "text::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<text::Either<PublicPath>>"))]
    pub public_paths: Vec<PublicPath>,
    /// Where given, only these need a key. Default: everything needs one.
    #[serde(deserialize_with = "text::list_if_any")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<text::Either<ProtectedPath>>", length(min = 1)))]
    pub protected_paths: Option<Vec<ProtectedPath>>,
    /// Peers that need no key, by address. Default: none.
    pub trusted_networks: TrustedNetworks,
    /// Peers that need no key, by mTLS identity. Default: none.
    pub trusted_identities: Vec<IdentityPattern>,
    /// What happens to a CORS preflight. Default `authenticate`.
    pub cors_preflight: CorsPreflight,
    /// Which roles a path asks for. Default: any valid key will do.
    pub rules: Vec<Rule>,
    /// What a denied caller hears.
    pub reply: Reply,
    /// What the upstream hears.
    pub upstream: Upstream,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            version: Version,
            name: GateName::fixed("default"),
            description: None,
            mode: Mode::Enforce,
            access_log: false,
            key_metrics: false,
            key_sources: vec![KeySource::Bearer, KeySource::Header(HeaderName::fixed("x-api-key"))],
            consumers: Vec::new(),
            public_paths: Vec::new(),
            protected_paths: None,
            trusted_networks: TrustedNetworks::default(),
            trusted_identities: Vec::new(),
            cors_preflight: CorsPreflight::Authenticate,
            rules: Vec::new(),
            reply: Reply::default(),
            upstream: Upstream::default(),
        }
    }
}

impl Document {
    /// Reads a document from the filter's configuration: JSON text, or a serialized `google.protobuf.Struct`. Nothing at
    /// all is the document `{}`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its path.
    pub fn read(mut configuration: &[u8]) -> Result<Self, Refusal> {
        let mut all = All::default();
        let document = Self::stream(&mut configuration, &mut all)?;
        Ok(Self { consumers: all.consumers, ..document })
    }

    /// As [`read`](Self::read), from what comes piece by piece. The document is left without the consumers.
    pub(crate) fn stream(configuration: &mut dyn Read, taker: &mut dyn Taker) -> Result<Self, Refusal> {
        read::document(configuration, taker)
    }

    /// The JSON Schema (draft 2020-12) of a document. It takes whatever the gate takes, and most of what it refuses it
    /// refuses too; the rest is what only the whole of a document tells, such as an id that is given twice.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        use schemars::transform::RecursiveTransform;

        let settings =
            schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let settings = settings.with_transform(RecursiveTransform(without_null));
        let mut schema = settings.into_generator().into_root_schema_for::<Self>();
        schema.insert("title".into(), "Portcullis policy, version 1".into());
        schema.into()
    }
}

/// What need not be there may be left out, and is never `null`.
#[cfg(feature = "schema")]
fn without_null(schema: &mut schemars::Schema) {
    use serde_json::{Value, json};

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

/// Version 1: the only one.
#[derive(Debug, Clone, Copy)]
pub struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_u64(VersionVisitor)
    }
}

struct VersionVisitor;

impl Visitor<'_> for VersionVisitor {
    type Value = Version;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number: 1")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Version, E> {
        if number == 1 { Ok(Version) } else { Err(unknown_version(Unexpected::Unsigned(number))) }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Version, E> {
        Err(unknown_version(Unexpected::Signed(number)))
    }
}

fn unknown_version<E: de::Error>(number: Unexpected<'_>) -> E {
    E::invalid_value(number, &Invalid::new("is a version of the format that this filter does not know", "write 1"))
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"const": 1})
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
    #[cfg(feature = "schema")]
    const CHOICES: &'static [&'static str] = &["enforce", "report", "disabled"];
}

impl FromStr for Mode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
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
    #[cfg(feature = "schema")]
    const CHOICES: &'static [&'static str] = &["authenticate", "allow"];
}

impl FromStr for CorsPreflight {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "authenticate" => Ok(Self::Authenticate),
            "allow" => Ok(Self::Allow),
            _ => Err(Invalid::new("is no choice here", "write authenticate or allow")),
        }
    }
}

read_text!(Mode, CorsPreflight);
