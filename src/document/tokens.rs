//! Endpoints of the gate, and the tokens that one of them issues, as a policy writes them.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::path::target::Target;
use crate::value::names::VariableName;
use crate::value::text::{Invalid, Text, read_text};

/// The paths that the gate itself answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object: {whoami, token}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Endpoints {
    /// Tells a caller who it is to the gate: its consumer, its key's id and its roles. Methods: GET and HEAD.
    pub whoami: Option<EndpointPath>,
    /// Issues a token for a key. Method: POST. Needs `tokens`.
    pub token: Option<EndpointPath>,
}

/// Tokens: who signs them, and how long they are valid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object: {secrets, lifetime}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct TokenSettings {
    /// The secrets. The first signs, all verify.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub secrets: Vec<SecretEntry>,
    /// How long a token is valid. Default `15min`.
    #[serde(default)]
    pub lifetime: Lifetime,
}

/// A secret that signs tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a secret: {env}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct SecretEntry {
    /// The environment variable that holds it, where Envoy runs: at least 32 bytes.
    pub env: VariableName,
}

/// The path of an endpoint. It is compared exactly with the path as sent.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct EndpointPath(String);

impl EndpointPath {
    /// Returns the path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EndpointPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Text for EndpointPath {
    const EXPECTED: &'static str = "a path such as /v1/token";
    const PATTERN: &'static str = "^/[A-Za-z0-9/._~-]{0,255}$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte);
        let target = Target::parse(text.as_bytes()).ok().filter(|target| target.unambiguous().is_ok());
        if target.is_none() || text.len() > 256 || !text.bytes().all(is_plain) {
            let help = "expected one path without patterns, such as /v1/token: `/`, letters, digits, - . _ ~";
            return Err(Invalid::new("invalid path of an endpoint", help));
        }
        Ok(Self(text.to_owned()))
    }
}

/// How long a token is valid: 1 minute to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lifetime(u32);

impl Lifetime {
    /// Returns the seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.into()
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self(15 * 60)
    }
}

impl Text for Lifetime {
    const EXPECTED: &'static str = "a time such as 15min";
    const PATTERN: &'static str = "^[0-9]{1,5}(s|min|h)$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        let units = [("s", 1), ("min", 60), ("h", 3_600)];
        let seconds = units.iter().find_map(|(unit, seconds)| {
            let number = text.strip_suffix(unit).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?;
            number.parse::<u32>().ok()?.checked_mul(*seconds)
        });
        let seconds = seconds.filter(|seconds| (60..=86_400).contains(seconds));
        seconds.map(Self).ok_or_else(|| {
            Invalid::new("invalid lifetime", "expected 1min to 24h, such as 900s, 15min or 1h (`m` may be a month)")
        })
    }
}

read_text!(EndpointPath, Lifetime);
