//! The texts of the reply to a denied caller, as a policy writes them.

use serde::{Deserialize, Serialize};

use crate::value::names::{Realm, Sentence};

/// The reply to a denied caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object: {realm, detail}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
