//! Imports the policy `apiKey` of agentgateway, from its configuration file.

use anyhow::{Result, bail};
use portcullis::keys::Digest;

use super::blocked::{Blocked, fix};
use super::discovered::{Discovered, DiscoveredKey, Fits};
use super::key_sources::{KeySources, Places, Reads};
use super::source::Source;
use crate::yaml::{Node, Position};

/// The consumer of keys whose metadata has no name.
const CONSUMER: &str = "agentgateway";

/// The members of `metadata` that may have the name of the caller.
const NAMES: [&str; 6] = ["user", "username", "name", "client", "id", "sub"];

/// Reads the policy.
///
/// # Errors
/// If there is none, or several that differ.
pub(super) fn find(source: &Source) -> Result<Discovered> {
    let node = source.node()?;
    let mut found = Found::default();
    search(&node, &mut found);
    let Some(policy) = found.policies.first() else {
        return Err(source.not_a("a configuration of agentgateway with a policy apiKey that has keys"));
    };
    let own = policy.to_json()?;
    for other in &found.policies {
        if other.to_json()? != own {
            bail!(
                "{} has several policies apiKey ({} and {}): a key of one would be valid for all, so import one of them \
                 only",
                source.name,
                source.place(policy.at),
                source.place(other.at)
            );
        }
    }
    let mut discovered = Discovered::default();
    discovered.leave_unknown(policy, "apiKey", &["keys", "mode", "location"]);
    discovered.set("name", CONSUMER.into(), "From agentgateway.");
    if policy.get("mode").and_then(Node::text) != Some("strict") {
        let at = policy.get("mode").map_or(policy.at, |mode| mode.at);
        discovered
            .note(at, "mode is not strict: agentgateway accepts requests without a key; here every path needs one");
    }
    discovered.note(None, "routes stay in agentgateway's configuration: here every path needs a key");
    let places = sources(policy.get("location"), &mut discovered);
    for (index, entry) in policy.items_of("keys").iter().enumerate() {
        key(entry, &format!("keys[{index}]"), places, &mut discovered);
    }
    let mut blocked = Blocked::default();
    for at in found.restrictions {
        discovered.leave(at, format!("authorization: rules for some callers: {}", fix()));
        blocked.add(None);
    }
    blocked.set("Routes with authorization: write which roles they allow.", &mut discovered);
    Ok(discovered)
}

#[derive(Default)]
struct Found<'a> {
    policies: Vec<&'a Node>,
    restrictions: Vec<Option<Position>>,
}

/// Finds the policies. The parser limits the depth of the recursion.
fn search<'a>(node: &'a Node, found: &mut Found<'a>) {
    let is_policy = |node: Option<&Node>| node.is_some_and(|node| node.get("keys").is_some());
    let beside_keys = is_policy(node.get("apiKey"));
    for (name, value) in node.members() {
        match name.text.as_str() {
            "apiKey" if is_policy(Some(value)) => found.policies.push(value),
            "authorization" | "mcpAuthorization" if beside_keys || names_keys(value) => {
                found.restrictions.push(name.at)
            }
            _ => search(value, found),
        }
    }
    node.items().iter().for_each(|item| search(item, found));
}

/// Whether a rule is about the callers with keys: rules name them `apiKey`.
fn names_keys(rules: &Node) -> bool {
    let is_about = |node: &Node| node.text().is_some_and(|text| text.contains("apiKey")) || names_keys(node);
    rules.items().iter().any(is_about) || rules.members().iter().any(|(_, value)| is_about(value))
}

/// The key source: by default `Authorization: Bearer`.
fn sources(location: Option<&Node>, discovered: &mut Discovered) -> Places {
    let at = location.and_then(|location| location.at);
    let part = |name: &str| location.and_then(|location| location.get(name));
    let name = |part: Option<&Node>| part?.get("name")?.text().map(str::to_owned);
    let (header, query, cookie) = (part("header"), part("queryParameter"), part("cookie"));
    let prefix = header.and_then(|header| header.get("prefix")).and_then(Node::text).map(str::trim);
    let reads = match header {
        Some(_) if prefix.unwrap_or_default().is_empty() => Reads::Whole("agentgateway"),
        _ => Reads::WithoutBearer,
    };
    let mut found = KeySources::new(reads);
    match (name(header), name(query), name(cookie)) {
        (Some(header), ..) => match prefix {
            None | Some("") => found.add("header", &header, at, discovered),
            Some(prefix) if prefix.eq_ignore_ascii_case("bearer") && header.eq_ignore_ascii_case("authorization") => {
                found.add("header", &header, at, discovered);
            }
            Some(_) => {
                discovered.leave(at, "location not imported: the gate reads a prefix only as Authorization: Bearer")
            }
        },
        (_, Some(query), _) => found.add("query", &query, at, discovered),
        (_, _, Some(cookie)) => found.add("cookie", &cookie, at, discovered),
        _ if location.is_none() => found.add("header", "authorization", at, discovered),
        _ => discovered.leave(at, "location not imported: expected header, queryParameter or cookie"),
    }
    found.set("location of the policy apiKey.", discovered)
}

fn key(entry: &Node, place: &str, places: Places, discovered: &mut Discovered) {
    discovered.leave_unknown(entry, place, &["key", "keyHash", "metadata"]);
    let metadata = entry.get("metadata");
    let name = metadata.and_then(|metadata| NAMES.iter().find_map(|name| metadata.get(name)?.text()));
    if let Some(metadata) = metadata {
        discovered.leave_unknown(metadata, &format!("{place}.metadata"), &NAMES);
    }
    let consumer = name.unwrap_or(CONSUMER);
    let text = |name| entry.get(name).and_then(|node| Some((node.text()?, node.at)));
    match (text("key"), text("keyHash")) {
        (Some((text, at)), _) => match places.key_in(text) {
            Ok(text) => discovered.push(text, DiscoveredKey::of(text, at, consumer)),
            Err(why) => discovered.leave(at, format!("key not imported: {why}")),
        },
        (None, Some((hash, at))) => match hash.strip_prefix("sha256:").and_then(Digest::from_hex) {
            Some(digest) => discovered.push("", DiscoveredKey::of_digest(digest, Fits::Unknown, at, consumer)),
            None => discovered.leave(at, "key not imported: only a hash sha256:HEX can be imported"),
        },
        (None, None) => discovered.leave(entry.at, "key not imported: expected key or keyHash as text: quote it"),
    }
}
