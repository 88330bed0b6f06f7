//! Imports Envoy's filter `envoy.filters.http.api_key_auth`: from a whole bootstrap, or from its configuration.

use anyhow::{Result, bail};

use super::blocked::{Blocked, fix};
use super::discovered::{Discovered, DiscoveredKey, refused};
use super::key_sources::{KeySources, Reads};
use super::source::Source;
use crate::yaml::{Node, Position, Tree};

/// The usual name of the filter.
const NAME: &str = "envoy.filters.http.api_key_auth";
const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";
const FILTER: &str = "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth";

/// Reads the filter.
///
/// # Errors
/// If there is no such filter, or more than one.
pub(super) fn find(source: &Source) -> Result<Discovered> {
    let node = source.node()?;
    let mut found = Found::default();
    let mut discovered = Discovered::default();
    search(&node, None, &mut found);
    let filter = match found.filters.as_slice() {
        [] if node.get("credentials").is_some() || sources(&node).is_some() => &node,
        [] => bail!("{} has no filter {NAME}", source.name),
        [one] => *one,
        [first, second, ..] => bail!(
            "{} has several filters envoy.filters.http.api_key_auth ({} and {}): a key of one would be valid for all, \
             so import the configuration of one of them only",
            source.name,
            source.place(first.at),
            source.place(second.at)
        ),
    };
    discovered.leave_unknown(filter, "", &["@type", "credentials", "key_sources", "keySources", "forwarding"]);
    if !std::ptr::eq(filter, &node) {
        discovered.note(None, "only the filter is imported: routes and listeners stay in Envoy");
    }
    let credentials = filter.items_of("credentials");
    for (index, credential) in credentials.iter().enumerate() {
        credential_of(credential, &format!("credentials[{index}]"), &mut discovered);
    }
    key_sources(filter, &mut discovered);
    forwarding(filter, &mut discovered);
    routes(&found.per_route, &mut discovered);
    off(&found, &mut discovered);
    Ok(discovered)
}

/// The key sources. Envoy accepts the field's name in the `.proto` file and its JSON name.
fn sources(filter: &Node) -> Option<&Node> {
    filter.get("key_sources").or_else(|| filter.get("keySources"))
}

/// Settings for a single route, and the match of that route, if they apply to only one.
struct PerRoute<'a> {
    settings: &'a Node,
    matches: Option<&'a Node>,
}

/// What was found in a configuration.
#[derive(Default)]
struct Found<'a> {
    filters: Vec<&'a Node>,
    /// The name of the filter in its list, which routes refer to.
    name: Option<&'a str>,
    /// The position of the filter, if it is off unless a route enables it.
    off: Option<&'a Node>,
    per_route: Vec<PerRoute<'a>>,
    /// Where filters are off on a route, by their names.
    off_routes: Vec<(&'a str, &'a Node)>,
}

/// Finds the filters, and settings for single routes. The parser limits the depth of the recursion.
fn search<'a>(node: &'a Node, matches: Option<&'a Node>, found: &mut Found<'a>) {
    match kind(node) {
        FILTER => return found.filters.push(node),
        kind if kind.strip_prefix(FILTER) == Some("PerRoute") => {
            return found.per_route.push(PerRoute { settings: node, matches });
        }
        _ => {}
    }
    let config = ["typed_config", "typedConfig"].iter().find_map(|name| node.get(name));
    if config.is_some_and(|config| kind(config) == FILTER) {
        found.name = node.get("name").and_then(Node::text);
        found.off = Some(node).filter(|node| is_disabled(node));
    }
    for member in ["typed_per_filter_config", "typedPerFilterConfig"] {
        let settings = node.get(member).map(Node::members).unwrap_or_default().iter();
        let off = settings.filter(|(_, settings)| kind(settings) == FILTER_CONFIG && is_disabled(settings));
        found.off_routes.extend(off.map(|(name, settings)| (name.text.as_str(), settings)));
    }
    let matches = node.get("match").or(matches);
    let children = node.members().iter().map(|(_, value)| value).chain(node.items());
    children.for_each(|child| search(child, matches, found));
}

/// The type of a message.
fn kind(node: &Node) -> &str {
    let kind = node.get("@type").and_then(Node::text).unwrap_or_default();
    kind.rsplit('/').next().unwrap_or_default()
}

fn is_disabled(node: &Node) -> bool {
    node.get("disabled").is_some_and(|disabled| disabled.tree == Tree::Bool(true))
}

/// Reports where Envoy does not run the filter: the gate applies to every request.
fn off(found: &Found<'_>, discovered: &mut Discovered) {
    if let Some(filter) = found.off {
        let message = "the filter is off unless a route enables it; here every path needs a key: list those that need none \
                       in public_paths";
        discovered.leave(filter.at, message);
    }
    for (name, settings) in &found.off_routes {
        if *name == found.name.unwrap_or(NAME) {
            let message = "the filter is off on this route; here it needs a key: if it may stay open, add its path to \
                           public_paths";
            discovered.leave(settings.at, message);
        }
    }
}

/// Adds rules that block routes with their own keys or clients.
fn routes(per_route: &[PerRoute<'_>], discovered: &mut Discovered) {
    let mut blocked = Blocked::default();
    for PerRoute { settings, matches } in per_route {
        let left = "settings of a single route are not imported: its keys, key sources, and which clients it allows";
        let is_given =
            |names: &[&str]| names.iter().any(|name| settings.get(name).is_some_and(|node| !node.items().is_empty()));
        if !is_given(&["credentials", "allowed_clients", "allowedClients"]) {
            discovered.leave(settings.at, left);
            continue;
        }
        blocked.add(matches.and_then(pattern));
        discovered.leave(settings.at, format!("{left}: {}", fix()));
    }
    blocked.set("Routes with their own keys or clients: write which roles they allow.", discovered);
}

/// The pattern for the match of a route. An Envoy prefix can end anywhere, the pattern ends at a segment: `portcullis
/// lint --envoy` finds where that matters.
fn pattern(matches: &Node) -> Option<String> {
    let text = |name: &str| matches.get(name).and_then(Node::text);
    let prefix = || text("prefix").or_else(|| text("path_separated_prefix")).or_else(|| text("pathSeparatedPrefix"));
    let below = || prefix().map(|prefix| format!("{}/**", prefix.trim_end_matches('/')));
    text("path").map(str::to_owned).or_else(below)
}

fn credential_of(credential: &Node, place: &str, discovered: &mut Discovered) {
    discovered.leave_unknown(credential, place, &["key", "client"]);
    let text = |name| credential.get(name).and_then(Node::text);
    match (text("key"), text("client")) {
        (Some(key), Some(client)) => {
            let at = credential.get("key").and_then(|key| key.at);
            discovered.push(key, DiscoveredKey::of(key, at, client));
        }
        _ => discovered.leave(credential.at, "key not imported: key and client must both be text: quote them"),
    }
}

/// Adds key sources: kind, name and position, as in Envoy and Envoy Gateway.
pub(super) fn set_sources(
    sources: Vec<(&'static str, String, Option<Position>)>,
    comment: &str,
    discovered: &mut Discovered,
) {
    let mut found = KeySources::new(Reads::WithoutBearer);
    for (kind, name, at) in sources {
        found.add(kind, &name, at, discovered);
    }
    if found.has("header") {
        discovered.note(
            None,
            "Envoy removes the word Bearer before a key in any header; the gate does so only in Authorization",
        );
    }
    found.set(comment, discovered);
}

fn key_sources(filter: &Node, discovered: &mut Discovered) {
    let Some(sources) = sources(filter) else {
        return discovered.leave(filter.at, "key_sources is missing: the policy decides where keys are accepted");
    };
    let mut named = Vec::new();
    for (index, source) in sources.items().iter().enumerate() {
        discovered.leave_unknown(source, &format!("key_sources[{index}]"), &["header", "query", "cookie"]);
        for kind in ["header", "query", "cookie"] {
            if let Some(name) = source.get(kind).and_then(Node::text).filter(|name| !name.is_empty()) {
                named.push((kind, name.to_owned(), source.at));
            }
        }
    }
    set_sources(named, "key_sources of envoy.filters.http.api_key_auth.", discovered);
}

fn forwarding(filter: &Node, discovered: &mut Discovered) {
    let forwarding = filter.get("forwarding");
    if let Some(forwarding) = forwarding {
        discovered.leave_unknown(forwarding, "forwarding", &["header", "hide_credentials", "hideCredentials"]);
    }
    let header = forwarding.and_then(|forwarding| forwarding.get("header"));
    let hide = forwarding
        .and_then(|forwarding| forwarding.get("hide_credentials").or_else(|| forwarding.get("hideCredentials")));
    set_upstream(header, hide, "forwarding of envoy.filters.http.api_key_auth.", discovered);
}

/// Adds what the upstream gets: the client's name in a header, and the key itself if it is not hidden.
pub(super) fn set_upstream(header: Option<&Node>, hide: Option<&Node>, comment: &str, discovered: &mut Discovered) {
    let mut members = Vec::new();
    if let Some(name) = header.and_then(Node::text).filter(|name| !name.is_empty()) {
        let name = Node::from(name.to_ascii_lowercase());
        match refused("upstream", &Node::map([("consumer_header", name.clone())])) {
            Some(why) => discovered.leave(
                header.and_then(|header| header.at),
                format!("header for the client's name not imported: {why}"),
            ),
            None => members.push(("consumer_header", name)),
        }
    }
    let hidden = hide.is_some_and(|hide| hide.tree == Tree::Bool(true));
    members.push(("forward_credential", Node::from(!hidden)));
    let comment = if hidden {
        comment.to_owned()
    } else {
        format!("{comment} The key is forwarded to the upstream, because it was not hidden.")
    };
    discovered.set("upstream", Node::map(members), comment);
}
