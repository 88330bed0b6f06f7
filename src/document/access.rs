//! What is open, to whom, and what asks for roles.

use serde::Serialize;
use serde::de::{Error, MapAccess};

use super::names::{Description, Methods, RoleName, StateKey};
use super::read::{Read, Reader, read_members};
use super::refusal::{Invalid, Problem};
use crate::network::Range;
use crate::pattern::PathPattern;

/// A pattern of paths that need no key.
#[derive(Debug, Clone, Serialize)]
pub struct PublicPath {
    /// The paths.
    pub path: PathPattern,
    /// Only these methods. Default: every method.
    pub methods: Option<Methods>,
    /// A remark.
    pub description: Option<Description>,
}

impl Read for PublicPath {
    const EXPECTED: &'static str = "a path pattern such as /docs/**, or {path, methods}";
    const QUOTABLE: bool = true;

    fn text<E: Error>(reader: &mut Reader, text: &str) -> Result<Self, E> {
        Ok(Self { path: PathPattern::text(reader, text)?, methods: None, description: None })
    }

    fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
        Ok(read_members!(reader, members, { path: required, methods: optional, description: optional }))
    }
}

/// A pattern of paths that need a key, where all others do not.
#[derive(Debug, Clone, Serialize)]
pub struct ProtectedPath {
    /// The paths.
    pub path: PathPattern,
    /// A remark.
    pub description: Option<Description>,
}

impl Read for ProtectedPath {
    const EXPECTED: &'static str = "a path pattern such as /v2/models/**, or {path}";
    const QUOTABLE: bool = true;

    fn text<E: Error>(reader: &mut Reader, text: &str) -> Result<Self, E> {
        Ok(Self { path: PathPattern::text(reader, text)?, description: None })
    }

    fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
        Ok(read_members!(reader, members, { path: required, description: optional }))
    }
}

/// Peers that need no key, by address.
#[derive(Debug, Clone, Serialize)]
pub struct TrustedNetworks {
    /// The addresses.
    pub ranges: Vec<Range>,
    /// Whose address is compared.
    pub client_address: ClientAddress,
}

impl Read for TrustedNetworks {
    const EXPECTED: &'static str = "an object: {ranges, client_address}";

    fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
        Ok(read_members!(reader, members, { ranges: or(Vec::new()), client_address: or(ClientAddress::Direct) }))
    }
}

/// Whose address is compared with the trusted ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAddress {
    /// The direct peer's, and only where no header speaks of another client.
    Direct,
    /// What Envoy detected: the operator vouches for `use_remote_address`, hops and trusted CIDRs.
    RemoteIp,
    /// The one that the listener recorded in filter state before the gate, which must agree with `source.address`.
    FilterState(StateKey),
}

impl Read for ClientAddress {
    const EXPECTED: &'static str = "direct, remote_ip or {filter_state: KEY}";
    const QUOTABLE: bool = true;

    fn text<E: Error>(reader: &mut Reader, text: &str) -> Result<Self, E> {
        match text {
            "direct" => Ok(Self::Direct),
            "remote_ip" => Ok(Self::RemoteIp),
            _ => {
                let invalid = Invalid::new("is no choice here", format!("write {}", Self::EXPECTED));
                Err(reader.invalid::<E>(text, invalid))
            }
        }
    }

    fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
        struct State {
            filter_state: StateKey,
        }
        impl Read for State {
            const EXPECTED: &'static str = ClientAddress::EXPECTED;

            fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
                Ok(read_members!(reader, members, { filter_state: required }))
            }
        }
        State::object(reader, &mut members).map(|state| Self::FilterState(state.filter_state))
    }
}

/// Which roles a path asks for.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    /// The paths.
    pub path: PathPattern,
    /// Only these methods. Default: every method.
    pub methods: Option<Methods>,
    /// Any of these.
    pub roles: Vec<RoleName>,
    /// A remark.
    pub description: Option<Description>,
}

impl Read for Rule {
    const EXPECTED: &'static str = "a rule: {path, methods, roles}";

    fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
        let rule: Self = read_members!(reader, members, {
            path: required, methods: optional, roles: required, description: optional,
        });
        if rule.roles.is_empty() {
            let invalid =
                Invalid::new("the rule asks for no role, so nobody could meet it", "name a role, or remove the rule");
            return Err(reader.refuse(Problem::Invalid { shown: None, invalid }));
        }
        Ok(rule)
    }
}
