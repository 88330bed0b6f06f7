//! What a link may carry of a policy and of a request. All else is removed: a new member of the policy is not shared until it is
//! listed here.

use percent_encoding::percent_decode_str;
use portcullis::Document;
use portcullis::keys::Secret;
use portcullis::request::{CLIENT_ADDRESSES, KeySource};
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

/// The headers on which decisions depend, besides [`CLIENT_ADDRESSES`], and which carry no credential.
const HEADERS: [&str; 31] = [
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
    "via",
    "x-envoy-external-address",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-http-method",
    "x-http-method-override",
    "x-invoke-path",
    "x-matched-path",
    "x-method-override",
    "x-ms-original-url",
    "x-original-url",
    "x-payload-http-method-override",
    "x-rewrite-url",
];

/// The shortest value of a header or parameter that is searched for in the rest: shorter ones stand everywhere by chance.
const MIN_SECRET: usize = 6;

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

/// Returns the request without its query, its key, and headers that are not listed or that are key sources. Says what was removed.
pub(crate) fn request(described: &Described, document: &Document, removed: &mut Vec<String>) -> Described {
    let mut shared = described.clone();
    shared.key = String::new();
    let kept = without_query(&described.path);
    if kept.len() < described.path.len() {
        removed.push("the query of the path".to_owned());
        shared.path = kept.to_owned();
    }
    for (field, name) in [(&mut shared.authority, "the host"), (&mut shared.identity, "the identity")] {
        if field.contains(['@', '?', '#']) {
            removed.push(format!("{name} (it has a user or a query)"));
            field.clear();
        }
    }
    let mut lines = Vec::new();
    for (name, value) in described.headers.lines().filter_map(|line| request_spec::header(line).ok()) {
        let kept = without_query(value);
        if !is_listed(name, document) || value.contains('@') {
            removed.push(format!("the header {}", name.to_ascii_lowercase()));
        } else {
            if kept.len() < value.len() {
                removed.push(format!("the query in {}", name.to_ascii_lowercase()));
            }
            lines.push(format!("{name}: {kept}"));
        }
    }
    shared.headers = lines.join("\n");
    shared
}

/// The secrets of the policy and of the request, to search for them in what is shared.
pub(crate) fn secrets(described: &Described, document: &Document) -> Vec<String> {
    let keys = document.consumers.iter().flat_map(|consumer| &consumer.keys);
    let keys = keys.filter_map(|key| match &key.secret {
        Secret::Plaintext(key) => Some(key.expose().to_owned()),
        Secret::Sha256(_) | Secret::Env(_) => None,
    });
    let headers = described.headers.lines().filter_map(|line| request_spec::header(line).ok());
    let removed = headers.filter(|(name, _)| !is_listed(name, document)).map(|(_, value)| value);
    let query = described.path.get(without_query(&described.path).len()..).unwrap_or_default();
    let words = removed.chain([query]).flat_map(|text| words(text).chain(words(&decoded(text))).collect::<Vec<_>>());
    let words = words.filter(|word| word.len() >= MIN_SECRET && !matches!(word.as_str(), "Bearer" | "bearer"));
    keys.chain(words).filter(|secret| !secret.is_empty()).collect()
}

/// The text without escapes, decoded until it no longer changes, but not forever.
pub(crate) fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..4 {
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    text
}

/// The words of a header or a query, of which one may be a key. Of `name=value`, that is the value.
fn words(text: &str) -> impl Iterator<Item = String> {
    let ends = |c: char| c.is_whitespace() || ['&', ';', ',', '?', '"', '#'].contains(&c);
    let value = |word: &str| match word.split_once('=') {
        Some((_, value)) if !value.trim_matches('=').is_empty() => value.to_owned(),
        _ => word.to_owned(),
    };
    text.split(ends).map(value).collect::<Vec<_>>().into_iter()
}

/// The text before a `?` or `#`, also where they are escaped, and however often.
fn without_query(text: &str) -> &str {
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
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Whether a header is shared: it is listed, and no key source of the policy, in any spelling.
fn is_listed(name: &str, document: &Document) -> bool {
    let spelled = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-").to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    let is_source = document.key_sources.iter().any(|source| match source {
        KeySource::Header(header) => spelled(header.as_str()) == spelled(&name),
        _ => false,
    });
    !is_source && (HEADERS.contains(&name.as_str()) || CLIENT_ADDRESSES.contains(&name.as_str()))
}
