//! What the caller and the upstream hear.

use serde::Serialize;

use super::names::{HeaderName, Realm, Sentence};
use super::object::{object, read_members};
use super::read::Read;

object! {
    /// What a denied caller hears.
    #[derive(Debug, Clone, Serialize)]
    pub struct Reply {
        /// Names what the key is for (RFC 9110, section 11.5). Default `portcullis`.
        pub realm: Realm = or(Self::default().realm),
        /// The `detail` of a 401.
        pub detail: Sentence = or(Self::default().detail),
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            realm: Realm::fixed("portcullis"),
            detail: Sentence::fixed("Invalid or missing API key. Please provide a valid X-API-Key header."),
        }
    }
}

impl Read for Reply {
    const EXPECTED: &'static str = "an object: {realm, detail}";
    read_members!();
}

object! {
    /// What the upstream hears.
    #[derive(Debug, Clone, Serialize)]
    pub struct Upstream {
        /// The consumer's name. Default `x-portcullis-consumer`.
        pub consumer_header: HeaderName = or(Self::default().consumer_header),
        /// The consumer's roles, comma-separated. Default `x-portcullis-roles`.
        pub roles_header: HeaderName = or(Self::default().roles_header),
        /// The key's id. Default `x-portcullis-key-id`.
        pub key_id_header: HeaderName = or(Self::default().key_id_header),
        /// Whether the key itself goes on to the upstream. Default false.
        pub forward_credential: bool = or(false),
    }
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

impl Read for Upstream {
    const EXPECTED: &'static str = "an object: {consumer_header, roles_header, key_id_header, forward_credential}";
    read_members!();
}
