//! What a link may carry of a policy and of a request. All else is removed: a new member of the policy is not shared until it is
//! listed here.

use std::mem;

use portcullis::Document;
use portcullis::request::{
    ADDED_BY_A_PROXY, CLIENT_ADDRESSES, HOLDS_THE_CLIENT, KeySource, METHOD_OVERRIDES, ROOT_OVERRIDES, URL_BEGINNINGS,
    URL_OVERRIDES,
};
use portcullis_explain::request_spec;
use portcullis_explain::yaml::{Node, Tree};

use crate::request::Described;

/// The members of a policy, at any depth.
pub(crate) const MEMBERS: [&str; 34] = [
    "access_log",
    "client_address",
    "consumer_header",
    "consumers",
    "cookie",
    "cors_preflight",
    "detail",
    "endpoints",
    "filter_state",
    "forward_credential",
    "header",
    "key_id_header",
    "key_metrics",
    "key_sources",
    "methods",
    "mode",
    "name",
    "path",
    "protected_paths",
    "public_paths",
    "query",
    "ranges",
    "realm",
    "reply",
    "roles",
    "roles_header",
    "rules",
    "token",
    "trusted_identities",
    "trusted_networks",
    "upstream",
    "version",
    "websocket_protocol",
    "whoami",
];

/// The members of the presented key, besides its id: each can make it invalid.
pub(crate) const KEY_MEMBERS: [&str; 3] = ["not_before", "expires", "disabled"];

/// The headers on which decisions depend and which carry no credential.
const HEADERS: [&[&str]; 8] = [
    &ADDED_BY_A_PROXY,
    &CLIENT_ADDRESSES,
    &HOLDS_THE_CLIENT,
    &METHOD_OVERRIDES,
    &ROOT_OVERRIDES,
    &URL_BEGINNINGS,
    &URL_OVERRIDES,
    &[
        "accept",
        "access-control-request-headers",
        "access-control-request-method",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "origin",
        "sec-fetch-site",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ],
];

/// Returns the policy with its listed members only.
pub(crate) fn policy(node: &Node) -> Node {
    let tree = match &node.tree {
        Tree::Map(members) => {
            let listed = members.iter().filter(|(name, _)| MEMBERS.contains(&name.text.as_str()));
            Tree::Map(listed.map(|(name, value)| (name.clone(), policy(value))).collect())
        }
        Tree::List(items) => Tree::List(items.iter().map(policy).collect()),
        tree => tree.clone(),
    };
    tree.into()
}

/// A request as a link has it.
pub(crate) struct SharedRequest {
    pub(crate) request: Described,
    /// What was removed, in words.
    pub(crate) removed: Vec<String>,
    /// The removed texts themselves. They may be credentials.
    pub(crate) taken: Vec<String>,
}

/// Removes from a request its query, its key, and headers that are not listed or that are key sources.
pub(crate) fn request(described: &Described, document: &Document) -> SharedRequest {
    let (mut removed, mut taken) = (Vec::new(), Vec::new());
    let mut shared = described.clone();
    shared.key = String::new();
    let (kept, query) = split_query(&described.path);
    if !query.is_empty() {
        removed.push("the query of the path".to_owned());
        taken.push(query.to_owned());
        shared.path = kept.to_owned();
    }
    for (field, name) in [(&mut shared.authority, "the host"), (&mut shared.identity, "the identity")] {
        if field.contains(['@', '?', '#']) {
            removed.push(format!("{name} (it has a user or a query)"));
            taken.push(mem::take(field));
        }
    }
    let mut lines = Vec::new();
    for (name, value) in described.headers.lines().filter_map(|line| request_spec::header(line).ok()) {
        let (kept, query) = split_query(value);
        if !is_listed(name, document) || value.contains('@') {
            removed.push(format!("the header {}", name.to_ascii_lowercase()));
            taken.push(value.to_owned());
        } else {
            if !query.is_empty() {
                removed.push(format!("the query in {}", name.to_ascii_lowercase()));
                taken.push(query.to_owned());
            }
            lines.push(format!("{name}: {kept}"));
        }
    }
    shared.headers = lines.join("\n");
    SharedRequest { request: shared, removed, taken }
}

/// Splits a text before its first `?` or `#`, also where they are escaped, and however often.
fn split_query(text: &str) -> (&str, &str) {
    let ends = |rest: &str| {
        let rest = rest.to_ascii_lowercase();
        let Some(escaped) = rest.strip_prefix('%') else { return rest.starts_with(['?', '#']) };
        let mut escaped = escaped;
        while let Some(inner) = escaped.strip_prefix("25") {
            escaped = inner;
        }
        escaped.starts_with("3f") || escaped.starts_with("23")
    };
    let end = text.char_indices().map(|(at, _)| at).find(|at| text.get(*at..).is_some_and(ends));
    end.and_then(|end| text.split_at_checked(end)).unwrap_or((text, ""))
}

/// Whether a header is shared: it is listed, and no key source of the policy. The gate reads it in any spelling.
fn is_listed(name: &str, document: &Document) -> bool {
    let spelled = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-").to_ascii_lowercase();
    let name = spelled(name);
    let is_source = document.key_sources.iter().any(|source| match source {
        KeySource::Header(header) => spelled(header.as_str()) == name,
        _ => false,
    });
    !is_source && HEADERS.iter().any(|list| list.contains(&name.as_str()))
}
