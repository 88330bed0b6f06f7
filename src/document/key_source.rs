//! Where a key may stand.

use serde::Serialize;
use serde::de::{Error, MapAccess};

use super::names::{HeaderName, ParameterName};
use super::read::{Read, Reader, read_members};
use super::refusal::{Invalid, Problem};

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

impl Read for KeySource {
    const EXPECTED: &'static str = "bearer, {header: NAME}, {query: NAME} or {cookie: NAME}";
    const QUOTABLE: bool = true;

    fn text<E: Error>(reader: &mut Reader, text: &str) -> Result<Self, E> {
        match text {
            "bearer" => Ok(Self::Bearer),
            _ => {
                let invalid = Invalid::new("is no key source", format!("write {}", Self::EXPECTED));
                Err(reader.invalid::<E>(text, invalid))
            }
        }
    }

    fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
        struct Named {
            header: Option<HeaderName>,
            query: Option<ParameterName>,
            cookie: Option<ParameterName>,
        }
        impl Read for Named {
            const EXPECTED: &'static str = KeySource::EXPECTED;

            fn object<'de, A: MapAccess<'de>>(reader: &mut Reader, mut members: A) -> Result<Self, A::Error> {
                Ok(read_members!(reader, members, { header: optional, query: optional, cookie: optional }))
            }
        }
        let named = Named::object(reader, &mut members)?;
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
}
