//! The request that the upstream gets.

use super::Decision;
use super::credential::is_named;
use super::document::{Document, KeySource};
use super::path;
use super::request::{Request, folded, pair, split, trimmed};

/// The forwarded header pairs. The order is kept if nothing is replaced.
pub fn forwarded(document: &Document, request: &Request, decision: &Decision) -> Vec<(String, Vec<u8>)> {
    let identity = document.identity_headers().map(folded);
    let mut headers: Vec<_> = request.0.iter().filter(|(name, _)| !identity.contains(&folded(name))).cloned().collect();
    let ("key", Some(owner)) = (decision.reason, &decision.owner) else { return headers };
    if !document.upstream.forward_credential {
        match decision.source.and_then(|source| document.key_sources.get(source)) {
            Some(KeySource::Bearer) => headers.retain(|(name, _)| name != "authorization"),
            Some(KeySource::Header(key)) => headers.retain(|(name, _)| name != key),
            Some(KeySource::Query(key)) => {
                for (_, target) in headers.iter_mut().filter(|(name, _)| name == ":path") {
                    *target = without_parameter(target, key);
                }
            }
            Some(KeySource::Cookie(key)) => {
                let crumbs = request.values("cookie").into_iter().flat_map(|value| split(&value, b';'));
                let crumbs = crumbs.map(|crumb| trimmed(&crumb)).filter(|crumb| !crumb.is_empty());
                let kept: Vec<_> = crumbs.filter(|crumb| trimmed(&pair(crumb).0) != key.as_bytes()).collect();
                headers.retain(|(name, _)| name != "cookie");
                if !kept.is_empty() {
                    headers.push(("cookie".into(), kept.join(&b"; "[..])));
                }
            }
            None => {}
        }
    }
    headers.push((document.upstream.consumer_header.clone(), owner.name.clone().into_bytes()));
    if !owner.roles.is_empty() {
        headers.push((document.upstream.roles_header.clone(), owner.roles.join(",").into_bytes()));
    }
    headers.push((document.upstream.key_id_header.clone(), owner.key_id.clone().into_bytes()));
    headers
}

fn without_parameter(target: &[u8], key: &str) -> Vec<u8> {
    let parts = split(&path::query(target).unwrap_or_default(), b'&');
    let kept: Vec<_> = parts.into_iter().filter(|part| !is_named(&pair(part).0, key)).collect();
    let query = kept.join(&b'&');
    if kept.is_empty() { path::path(target).to_vec() } else { [path::path(target), b"?", &query].concat() }
}
