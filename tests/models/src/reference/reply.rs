//! The reply to a denied caller.

use super::Decision;
use super::document::{Document, KeySource};

/// The status of a denial; `None` if the request is forwarded.
pub fn status(document: &Document, decision: &Decision) -> Option<u16> {
    let status = match decision.reason {
        "bad_request_target" | "identity_header_named" | "multiple_credentials" => 400,
        "missing_role" => 403,
        "no_credential"
        | "malformed_credential"
        | "unknown_key"
        | "disabled_key"
        | "key_not_yet_valid"
        | "expired_key" => 401,
        _ => return None,
    };
    (document.mode != "report").then_some(status)
}

/// The values of `WWW-Authenticate`, in order.
pub fn challenges(document: &Document, decision: &Decision) -> Vec<String> {
    let all = document.key_sources.iter().enumerate().map(|(index, source)| {
        let scheme = if *source == KeySource::Bearer { "Bearer" } else { "ApiKey" };
        (Some(index) == decision.source, format!("{scheme} realm=\"{}\"", document.reply.realm))
    });
    match decision.reason {
        "bad_request_target" | "identity_header_named" => Vec::new(),
        "multiple_credentials" => all.map(|(_, challenge)| challenge + ", error=\"invalid_request\"").collect(),
        "missing_role" => {
            all.filter(|(used, _)| *used).map(|(_, challenge)| challenge + ", error=\"insufficient_scope\"").collect()
        }
        _ => all.map(|(used, challenge)| challenge + if used { ", error=\"invalid_token\"" } else { "" }).collect(),
    }
}
