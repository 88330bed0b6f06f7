//! What is open, to whom, and what asks for roles.

use serde::Serialize;
use serde_json::{Value, json};

use super::names::{Description, Methods, RoleName, StateKey};
use super::object::{object, read_members};
use super::read::{Read, Reader, Refused, Token};
use super::refusal::{Invalid, Problem};
use super::schema::{either, one_of, with};
use crate::network::Range;
use crate::pattern::PathPattern;

object! {
    /// A pattern of paths that need no key.
    #[derive(Debug, Clone, Serialize)]
    pub struct PublicPath {
        /// The paths.
        pub path: PathPattern = required,
        /// Only these methods. Default: every method.
        pub methods: Option<Methods> = optional,
        /// A remark.
        pub description: Option<Description> = optional,
    }
}

impl Read for PublicPath {
    const EXPECTED: &'static str = "a path pattern such as /docs/**, or {path, methods}";
    const QUOTABLE: bool = true;

    fn schema() -> Value {
        either([PathPattern::schema(), Self::members_schema()])
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        match value {
            Token::Text(_) => Ok(Self { path: PathPattern::read(reader, value)?, methods: None, description: None }),
            Token::Object => Self::members(reader),
            other => Err(reader.unexpected(other, Self::EXPECTED, Self::QUOTABLE)),
        }
    }
}

object! {
    /// A pattern of paths that need a key, where all others do not.
    #[derive(Debug, Clone, Serialize)]
    pub struct ProtectedPath {
        /// The paths.
        pub path: PathPattern = required,
        /// A remark.
        pub description: Option<Description> = optional,
    }
}

impl Read for ProtectedPath {
    const EXPECTED: &'static str = "a path pattern such as /v2/models/**, or {path}";
    const QUOTABLE: bool = true;

    fn schema() -> Value {
        either([PathPattern::schema(), Self::members_schema()])
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        match value {
            Token::Text(_) => Ok(Self { path: PathPattern::read(reader, value)?, description: None }),
            Token::Object => Self::members(reader),
            other => Err(reader.unexpected(other, Self::EXPECTED, Self::QUOTABLE)),
        }
    }
}

object! {
    /// Peers that need no key, by address.
    #[derive(Debug, Clone, Serialize)]
    pub struct TrustedNetworks {
        /// The addresses.
        pub ranges: Vec<Range> = list,
        /// Whose address is compared.
        pub client_address: ClientAddress = or(ClientAddress::Direct),
    }
}

impl Read for TrustedNetworks {
    const EXPECTED: &'static str = "an object: {ranges, client_address}";
    read_members!();
}

object! {
    struct Recorded {
        /// The `object_key` under which the listener recorded the address.
        filter_state: StateKey = required,
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

    fn schema() -> Value {
        either([one_of(&["direct", "remote_ip"]), Recorded::members_schema()])
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        match value {
            Token::Text(text) => match text.as_str() {
                "direct" => Ok(Self::Direct),
                "remote_ip" => Ok(Self::RemoteIp),
                _ => {
                    let invalid = Invalid::new("is no choice here", format!("write {}", Self::EXPECTED));
                    Err(reader.invalid(&text, invalid))
                }
            },
            Token::Object => Recorded::members(reader).map(|recorded| Self::FilterState(recorded.filter_state)),
            other => Err(reader.unexpected(other, Self::EXPECTED, Self::QUOTABLE)),
        }
    }
}

object! {
    /// Which roles a path asks for.
    #[derive(Debug, Clone, Serialize)]
    pub struct Rule {
        /// The paths.
        pub path: PathPattern = required,
        /// Only these methods. Default: every method.
        pub methods: Option<Methods> = optional,
        /// Any of these.
        pub roles: Vec<RoleName> = required,
        /// A remark.
        pub description: Option<Description> = optional,
    }
}

impl Read for Rule {
    const EXPECTED: &'static str = "a rule: {path, methods, roles}";

    fn schema() -> Value {
        with(Self::members_schema(), json!({"properties": {"roles": {"minItems": 1}}}))
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        reader.begin_object(value, Self::EXPECTED)?;
        let rule = Self::members(reader)?;
        if rule.roles.is_empty() {
            let invalid =
                Invalid::new("the rule asks for no role, so nobody could meet it", "name a role, or remove the rule");
            return Err(reader.refuse(Problem::Invalid { shown: None, invalid }));
        }
        Ok(rule)
    }
}
