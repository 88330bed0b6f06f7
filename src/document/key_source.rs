//! Where a key may stand.

use serde::Serialize;
use serde_json::Value;

use super::names::{HeaderName, ParameterName};
use super::object::object;
use super::read::{Read, Reader, Refused, Token};
use super::refusal::{Invalid, Problem};
use super::schema::{either, exactly_one, one_of, with};

/// Where a key may stand in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// `Authorization: Bearer KEY` (RFC 6750, section 2.1).
    Bearer,
    /// A header whose whole value is the key.
    Header(HeaderName),
    /// A query parameter. URLs end up in logs, so none by default.
    Query(ParameterName),
    /// A cookie.
    Cookie(ParameterName),
}

object! {
    /// A source that has a name.
    struct Named {
        /// A header whose whole value is the key.
        header: Option<HeaderName> = optional,
        /// A query parameter. URLs end up in logs.
        query: Option<ParameterName> = optional,
        /// A cookie.
        cookie: Option<ParameterName> = optional,
    }
}

impl Read for KeySource {
    const EXPECTED: &'static str = "bearer, {header: NAME}, {query: NAME} or {cookie: NAME}";
    const QUOTABLE: bool = true;

    fn schema() -> Value {
        let named = with(Named::members_schema(), exactly_one(&["header", "query", "cookie"]));
        either([one_of(&["bearer"]), named])
    }

    fn read(reader: &mut Reader<'_>, value: Token) -> Result<Self, Refused> {
        match value {
            Token::Text(text) if text == "bearer" => Ok(Self::Bearer),
            Token::Text(text) => {
                let invalid = Invalid::new("is no key source", format!("write {}", Self::EXPECTED));
                Err(reader.invalid(&text, invalid))
            }
            Token::Object => {
                let named = Named::members(reader)?;
                match (named.header, named.query, named.cookie) {
                    (Some(header), None, None) => Ok(Self::Header(header)),
                    (None, Some(query), None) => Ok(Self::Query(query)),
                    (None, None, Some(cookie)) => Ok(Self::Cookie(cookie)),
                    _ => {
                        let invalid = Invalid::new("a key source has one name", format!("write {}", Self::EXPECTED));
                        Err(reader.refuse(Problem::Invalid { shown: None, invalid }))
                    }
                }
            }
            other => Err(reader.unexpected(other, Self::EXPECTED, Self::QUOTABLE)),
        }
    }
}
