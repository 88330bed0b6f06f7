//! The request that the upstream gets.

use super::Decision;
use super::credential::{Presented, is_named, present, protocols, take_keys};
use super::document::{Document, KeySource};
use super::path;
use super::request::{Request, folded, pair, split, trimmed};

/// The forwarded header pairs. The order is kept if nothing is replaced.
pub fn forwarded(document: &Document, request: &Request, decision: &Decision) -> Vec<(String, Vec<u8>)> {
    let identity = document.identity_headers().map(folded);
    let mut headers: Vec<_> = request.0.iter().filter(|(name, _)| !identity.contains(&folded(name))).cloned().collect();
    let ("key", Some(owner)) = (decision.reason, &decision.owner) else { return headers };
    if !document.upstream.forward_credential {
        let query = path::query(request.path().unwrap_or_default());
        let has_key = |source: &&KeySource| match source {
            // Also outside of a handshake.
            KeySource::WebSocketProtocol(marker) => !take_keys(protocols(request), &[marker]).0.is_empty(),
            _ => present(std::slice::from_ref(*source), request, query.clone()) != Presented::Nothing,
        };
        let used: Vec<&KeySource> = document.key_sources.iter().filter(has_key).collect();
        without_keys(&used, request, &mut headers);
    }
    headers.push((document.upstream.consumer_header.clone(), owner.name.clone().into_bytes()));
    if !owner.roles.is_empty() {
        headers.push((document.upstream.roles_header.clone(), owner.roles.join(",").into_bytes()));
    }
    headers.push((document.upstream.key_id_header.clone(), owner.key_id.clone().into_bytes()));
    headers
}

/// Removes every credential.
fn without_keys(used: &[&KeySource], request: &Request, headers: &mut Vec<(String, Vec<u8>)>) {
    let mut markers = Vec::new();
    for source in used {
        match source {
            KeySource::Bearer => headers.retain(|(name, _)| name != "authorization"),
            KeySource::Header(key) => headers.retain(|(name, _)| name != key),
            KeySource::Query(key) => {
                for (_, target) in headers.iter_mut().filter(|(name, _)| name == ":path") {
                    *target = without_parameter(target, key);
                }
            }
            KeySource::Cookie(key) => {
                let lines: Vec<_> = headers.extract_if(.., |(name, _)| name == "cookie").collect();
                let crumbs = lines.into_iter().flat_map(|(_, line)| split(&line, b';'));
                let crumbs = crumbs.map(|crumb| trimmed(&crumb)).filter(|crumb| !crumb.is_empty());
                let kept: Vec<_> = crumbs.filter(|crumb| trimmed(&pair(crumb).0) != key.as_bytes()).collect();
                if !kept.is_empty() {
                    headers.push(("cookie".into(), kept.join(&b"; "[..])));
                }
            }
            KeySource::WebSocketProtocol(marker) => markers.push(marker),
        }
    }
    if !markers.is_empty() {
        headers.retain(|(name, _)| name != "sec-websocket-protocol");
        let kept = take_keys(protocols(request), &markers).1;
        if !kept.is_empty() {
            headers.push(("sec-websocket-protocol".into(), kept.join(&b", "[..])));
        }
    }
}

fn without_parameter(target: &[u8], key: &str) -> Vec<u8> {
    let parts = split(&path::query(target).unwrap_or_default(), b'&');
    let kept: Vec<_> = parts.into_iter().filter(|part| !is_named(&pair(part).0, key)).collect();
    let query = kept.join(&b'&');
    if kept.is_empty() { path::path(target).to_vec() } else { [path::path(target), b"?", &query].concat() }
}
