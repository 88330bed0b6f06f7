//! The policy document as written: version 1 of the format, with every default filled in.
//!
//! This is the wire form. [`Policy`](crate::Policy) is the compiled form, which decides. An error in one field is found
//! when the document is parsed, and has the field's path. An error that involves several fields is found when the document
//! is compiled.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use strum::{IntoStaticStr, VariantArray};

use super::access::{ProtectedPath, PublicPath, RuleEntry, TrustedNetworks};
use super::reply::ReplyTexts;
use super::tokens::{Endpoints, TokenSettings};
use super::upstream::Upstream;
use crate::keys::entry::ConsumerEntry;
use crate::request::key_source::KeySource;
use crate::request::spiffe::SpiffeIdPattern;
use crate::value::names::{Description, GateName, HeaderName};
use crate::value::text::{self, Invalid, Text, read_text};

/// A policy document, version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a policy document (an object)")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Document {
    /// The version of the format: 1.
    #[serde(deserialize_with = "version")]
    #[cfg_attr(feature = "schema", schemars(extend("const" = 1)))]
    pub version: u64,
    /// Shown in stats and logs, since several gates may share one Envoy. Default `default`.
    pub name: GateName,
    /// A remark.
    pub description: Option<Description>,
    /// Whether the gate denies requests, only reports them, or is disabled. Default `enforce`.
    pub mode: Mode,
    /// Whether each decision is written to filter state, for access logs. Default false.
    pub access_log: bool,
    /// Whether the uses of each key are counted. Default false.
    pub key_metrics: bool,
    /// The places where a key may be sent. Default: `bearer`, and the header `x-api-key`.
    #[serde(deserialize_with = "text::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<text::Either<KeySource>>", length(min = 1), extend("uniqueItems" = true)))]
    pub key_sources: Vec<KeySource>,
    /// The consumers, with their keys. Default: none.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub consumers: Vec<ConsumerEntry>,
    /// The paths that need no key. Default: none.
    #[serde(deserialize_with = "text::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<text::Either<PublicPath>>"))]
    pub public_paths: Vec<PublicPath>,
    /// The only paths that need a key. Default: every path needs one.
    #[serde(deserialize_with = "text::list_if_any")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<text::Either<ProtectedPath>>", length(min = 1)))]
    pub protected_paths: Option<Vec<ProtectedPath>>,
    /// The peers that need no key, by address. Default: none.
    pub trusted_networks: TrustedNetworks,
    /// The peers that need no key, by mTLS identity. Default: none.
    pub trusted_identities: Vec<SpiffeIdPattern>,
    /// What happens to a CORS preflight. Default `authenticate`.
    pub cors_preflight: CorsPreflight,
    /// The roles that paths require. Default: any valid key will do.
    pub rules: Vec<RuleEntry>,
    /// The paths that the gate itself answers. Default: none.
    #[serde(skip_serializing)]
    pub endpoints: Endpoints,
    /// The tokens that the gate issues and accepts. Default: none.
    #[serde(skip_serializing)]
    pub tokens: Option<TokenSettings>,
    /// The reply to a denied caller.
    pub reply: ReplyTexts,
    /// What the upstream is told.
    pub upstream: Upstream,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            version: 1,
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
            endpoints: Endpoints::default(),
            tokens: None,
            reply: ReplyTexts::default(),
            upstream: Upstream::default(),
        }
    }
}

/// Reads the version of the format.
fn version<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let version = u64::deserialize(from)?;
    if version == 1 {
        return Ok(version);
    }
    let invalid = Invalid::new("unknown version of the format", "expected 1");
    Err(D::Error::invalid_value(Unexpected::Unsigned(version), &invalid))
}

/// What the gate does with its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Mode {
    /// Requests are denied as decided.
    Enforce,
    /// Decisions are counted, and every request is forwarded.
    Report,
    /// Every request is forwarded without a decision.
    Disabled,
}

impl Mode {
    /// Every mode.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Returns the name, as a policy writes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Text for Mode {
    const EXPECTED: &'static str = "enforce, report or disabled";
    const CHOICES: &'static [&'static str] = &["enforce", "report", "disabled"];

    fn from_text(text: &str) -> Result<Self, Invalid> {
        let mode = Self::ALL.iter().find(|mode| mode.as_str() == text);
        mode.copied().ok_or_else(|| Invalid::new("invalid mode", format!("expected {}", Self::EXPECTED)))
    }
}

/// What happens to a CORS preflight, which browsers send without credentials (Fetch standard, section 4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CorsPreflight {
    /// It needs a key like any other request.
    Authenticate,
    /// It is allowed.
    Allow,
}

impl Text for CorsPreflight {
    const EXPECTED: &'static str = "authenticate or allow";
    const CHOICES: &'static [&'static str] = &["authenticate", "allow"];

    fn from_text(text: &str) -> Result<Self, Invalid> {
        match text {
            "authenticate" => Ok(Self::Authenticate),
            "allow" => Ok(Self::Allow),
            _ => Err(Invalid::new("invalid value", format!("expected {}", Self::EXPECTED))),
        }
    }
}

read_text!(Mode, CorsPreflight);
