//! Public and protected paths, trusted peers, and rules, as a policy writes them.

use serde::{Deserialize, Serialize};

use crate::path::pattern::PathPattern;
use crate::request::peer::IpRange;
use crate::value::names::{Description, Methods, RoleName, StateKey};
use crate::value::text::{self, Invalid, Text};

/// A pattern of paths that need no key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublicPath {
    /// The paths.
    pub path: PathPattern,
    /// The only methods. Default: every method.
    pub methods: Option<Methods>,
    /// A remark.
    pub description: Option<Description>,
}

impl Text for PublicPath {
    const EXPECTED: &'static str = "a path pattern such as /docs/**, or {path, methods}";
    const PATTERN: &'static str = PathPattern::PATTERN;

    fn from_text(text: &str) -> Result<Self, Invalid> {
        Ok(Self { path: text.parse()?, methods: None, description: None })
    }
}

/// A pattern of paths that need a key, where all others do not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProtectedPath {
    /// The paths.
    pub path: PathPattern,
    /// A remark.
    pub description: Option<Description>,
}

impl Text for ProtectedPath {
    const EXPECTED: &'static str = "a path pattern such as /v2/models/**, or {path}";
    const PATTERN: &'static str = PathPattern::PATTERN;

    fn from_text(text: &str) -> Result<Self, Invalid> {
        Ok(Self { path: text.parse()?, description: None })
    }
}

/// Peers that need no key, by address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object: {ranges, client_address}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustedNetworks {
    /// The addresses.
    pub ranges: Vec<IpRange>,
    /// Which address is compared.
    #[serde(deserialize_with = "text::either")]
    #[cfg_attr(feature = "schema", schemars(with = "text::Either<ClientAddress>"))]
    pub client_address: ClientAddress,
}

/// Which address is compared with the trusted ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "Recorded")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ClientAddress {
    /// The address of the direct peer, and only where no header names another client.
    #[default]
    Direct,
    /// The address that Envoy detected. The operator vouches for `use_remote_address`, hops and trusted CIDRs.
    RemoteIp,
    /// The address that the listener recorded in filter state before the gate. It must equal `source.address`.
    FilterState(StateKey),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Recorded {
    /// The `object_key` under which the listener recorded the address.
    filter_state: StateKey,
}

impl From<Recorded> for ClientAddress {
    fn from(recorded: Recorded) -> Self {
        Self::FilterState(recorded.filter_state)
    }
}

impl Text for ClientAddress {
    const EXPECTED: &'static str = "direct, remote_ip or {filter_state: KEY}";
    const CHOICES: &'static [&'static str] = &["direct", "remote_ip"];

    fn from_text(text: &str) -> Result<Self, Invalid> {
        match text {
            "direct" => Ok(Self::Direct),
            "remote_ip" => Ok(Self::RemoteIp),
            _ => Err(Invalid::new("invalid client address", format!("expected {}", Self::EXPECTED))),
        }
    }
}

/// A rule: the roles that paths require.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rule: {path, methods, roles}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuleEntry {
    /// The paths.
    pub path: PathPattern,
    /// The only methods. Default: every method.
    pub methods: Option<Methods>,
    /// The roles, of which the consumer must have one.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub roles: Vec<RoleName>,
    /// A remark.
    pub description: Option<Description>,
}
