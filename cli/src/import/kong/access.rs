//! Public paths and rules. What cannot be expressed is blocked, never public.

use super::route::{Prefix, Route};
use super::routes::Routing;
use super::rules;
use crate::import::discovered::{Discovered, list, refused};
use crate::yaml::Node;

/// Sets public paths and rules.
pub(super) fn settings(routing: &Routing<'_>, discovered: &mut Discovered) {
    public_paths(routing, discovered);
    rules::settings(routing, discovered);
}

fn public_paths(routing: &Routing<'_>, discovered: &mut Discovered) {
    let (unguarded, shut): (Vec<_>, Vec<_>) =
        routing.routes.iter().enumerate().partition(|(index, _)| routing.is_unguarded(*index));
    let (doubtful, open): (Vec<_>, Vec<_>) =
        unguarded.into_iter().partition(|(index, _)| routing.doubt(*index).is_some());
    for (index, route) in &doubtful {
        let why = routing.doubt(*index).unwrap_or_default();
        discovered.leave(route.at, format!("a route without key-auth needs a key here: {why}"));
    }
    let shut: Vec<&Route<'_>> = shut.into_iter().chain(doubtful).map(|(_, route)| route).collect();
    if shut.is_empty() {
        // No route needs a key, which is reported elsewhere.
        return;
    }
    let mut paths = Vec::new();
    for (_, route) in open {
        for prefix in &route.prefixes {
            let why = if route.narrowed || prefix.is_regex {
                Some("it depends on a host, a header or a regular expression".to_owned())
            } else if shut.iter().any(|other| would_open(prefix, route, other)) {
                Some("a public path for it would also open a part of a route with key-auth".to_owned())
            } else {
                None
            };
            let item = member(pattern(&prefix.text), &route.methods, None);
            match why.or_else(|| refused("public_paths", &Node::list([item.clone()]))) {
                Some(why) => discovered.leave(route.at, format!("a route without key-auth needs a key here: {why}")),
                None => paths.push(item),
            }
        }
    }
    if !paths.is_empty() {
        discovered.set("public_paths", Node::list(paths), "Routes without key-auth.");
    }
}

/// Whether a public pattern for the prefix would open paths that Kong sends to this route. Of two routes with only
/// paths, the longer prefix wins; a route with more conditions wins over both.
fn would_open(prefix: &Prefix, open: &Route<'_>, shut: &Route<'_>) -> bool {
    shut.prefixes.iter().any(|other| {
        let special = shut.narrowed || other.is_regex || shut.attributes > open.attributes;
        // The pattern /a/** covers /a too, which Kong's /a/ does not.
        let wider = prefix.text.len() > 1 && prefix.text.ends_with('/');
        is_below(&other.text, &prefix.text) || ((special || wider) && prefix.text.starts_with(&other.text))
    })
}

/// Whether the pattern for a prefix covers a path.
pub(super) fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The pattern for a prefix. It covers less than the prefix, which can end anywhere.
pub(super) fn pattern(prefix: &str) -> String {
    format!("{}/**", prefix.trim_end_matches('/'))
}

/// An item of `public_paths`, or with roles one of `rules`.
pub(super) fn member(path: impl Into<String>, methods: &[String], roles: Option<&[String]>) -> Node {
    let mut members = vec![("path", Node::from(path.into()))];
    if !methods.is_empty() {
        members.push(("methods", list(methods)));
    }
    members.extend(roles.map(|roles| ("roles", list(roles))));
    Node::map(members)
}
