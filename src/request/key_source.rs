//! Key sources: the places in a request that may contain a key.

use serde::{Deserialize, Serialize};

use crate::value::names::{HeaderName, ParameterName};
use crate::value::text::{Invalid, Text};

/// Where a key may stand in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "Named")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum KeySource {
    /// `Authorization: Bearer KEY` (RFC 6750, section 2.1).
    Bearer,
    /// A header whose whole value is the key.
    Header(HeaderName),
    /// A query parameter. URLs end up in logs, so none by default.
    Query(ParameterName),
    /// A cookie.
    Cookie(ParameterName),
    /// A subprotocol of a WebSocket handshake, after this marker: `MARKER, KEY` or `MARKER.KEY` in `Sec-WebSocket-Protocol`
    /// (RFC 6455, section 11.3.4).
    #[serde(rename = "websocket_protocol")]
    WebsocketProtocol(ParameterName),
}

/// A source that has a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("oneOf" = [{"required": ["header"]}, {"required": ["query"]}, {"required": ["cookie"]},
        {"required": ["websocket_protocol"]}]))
)]
struct Named {
    /// A header whose whole value is the key.
    header: Option<HeaderName>,
    /// A query parameter. URLs end up in logs.
    query: Option<ParameterName>,
    /// A cookie.
    cookie: Option<ParameterName>,
    /// The marker of the key among the subprotocols of a WebSocket handshake.
    websocket_protocol: Option<ParameterName>,
}

impl TryFrom<Named> for KeySource {
    type Error = Invalid;

    fn try_from(named: Named) -> Result<Self, Invalid> {
        match (named.header, named.query, named.cookie, named.websocket_protocol) {
            (Some(header), None, None, None) => Ok(Self::Header(header)),
            (None, Some(query), None, None) => Ok(Self::Query(query)),
            (None, None, Some(cookie), None) => Ok(Self::Cookie(cookie)),
            (None, None, None, Some(marker)) => Ok(Self::WebsocketProtocol(marker)),
            _ => Err(Invalid::new("invalid key source", format!("expected {}", Self::EXPECTED))),
        }
    }
}

impl Text for KeySource {
    const EXPECTED: &'static str =
        "bearer, {header: NAME}, {query: NAME}, {cookie: NAME} or {websocket_protocol: MARKER}";
    const CHOICES: &'static [&'static str] = &["bearer"];

    fn from_text(text: &str) -> Result<Self, Invalid> {
        match text {
            "bearer" => Ok(Self::Bearer),
            _ => Err(Invalid::new("invalid key source", format!("expected {}", Self::EXPECTED))),
        }
    }
}
