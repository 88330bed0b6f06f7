//! The headers that identify a consumer to the upstream, as a policy writes them.

use serde::{Deserialize, Serialize};

use crate::value::names::HeaderName;

/// What the upstream is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "an object: {consumer_header, roles_header, key_id_header, forward_credential}"
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
