//! What the caller and the upstream are told.

use serde::{Deserialize, Serialize};

use crate::value::names::{HeaderName, Realm, Sentence};

/// The reply to a denied caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object: {realm, detail}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct ReplyTexts {
    /// Names what the key is for (RFC 9110, section 11.5). Default `portcullis`.
    pub realm: Realm,
    /// The `detail` of a 401.
    pub detail: Sentence,
}

impl Default for ReplyTexts {
    fn default() -> Self {
        Self {
            realm: Realm::fixed("portcullis"),
            detail: Sentence::fixed("Invalid or missing API key. Please provide a valid X-API-Key header."),
        }
    }
}

/// What the upstream is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "an object: {consumer_header, roles_header, key_id_header, forward_credential}"
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct Upstream {
    /// The consumer's name. Default `x-portcullis-consumer`.
    pub consumer_header: HeaderName,
    /// The consumer's roles, comma-separated. Default `x-portcullis-roles`.
    pub roles_header: HeaderName,
    /// The key's id. Default `x-portcullis-key-id`.
    pub key_id_header: HeaderName,
    /// Whether the key is forwarded to the upstream. Default false.
    pub forward_credential: bool,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            consumer_header: HeaderName::fixed("x-portcullis-consumer"),
            roles_header: HeaderName::fixed("x-portcullis-roles"),
            key_id_header: HeaderName::fixed("x-portcullis-key-id"),
            forward_credential: false,
        }
    }
}
