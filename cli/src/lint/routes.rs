//! Routes behind a gate whose prefix ends within a segment, where the patterns of a policy end on one: `/adminx` is
//! then routed
//! like `/admin`, and decided like any other path.

use portcullis::{Document, PathPattern};

use super::code::Code;
use super::configuration::{Source, field, text_of, walk};
use super::finding::Finding;
use super::gate::Gate;
use super::listener::{Manager, holds};
use crate::yaml::{Node, Place, Position};

/// A prefix of a route.
struct Prefix<'a> {
    at: Option<Position>,
    text: &'a str,
    /// How to make it end at a segment.
    fix: String,
}

/// Checks the routes of each file: those of a connection manager against its gates, all others against every gate.
pub(super) fn examine(sources: &[Source], managers: &[Manager<'_>], gates: &[Gate<'_>], findings: &mut Vec<Finding>) {
    for source in sources {
        for document in &source.documents {
            let mut prefixes = virtual_service(document);
            walk(document, &mut |node| prefixes.extend(prefixes_of(node).into_iter().map(|prefix| (node, prefix))));
            for (node, prefix) in prefixes {
                let manager = managers.iter().find(|manager| holds(manager.node, node));
                let is_before =
                    |gate: &&Gate<'_>| manager.is_none_or(|manager| !manager.is_whole() || manager.has(gate, gates));
                let policies = gates.iter().filter(is_before).filter_map(|gate| gate.accepted.as_ref());
                let mut escaped = policies.filter_map(|accepted| escaped(&accepted.document, prefix.text));
                if let Some((path, pattern)) = escaped.next() {
                    let text = prefix.text;
                    let pattern = pattern.as_str();
                    let message =
                        format!("the prefix {text} also matches {text}x, but {path} of the gate ({pattern}) does not");
                    let place = Place { file: source.file.clone(), at: prefix.at };
                    findings.push(Finding::new(Code::LoosePrefix, place, message, prefix.fix));
                }
            }
        }
    }
}

/// The prefix of an Envoy route that leads to a cluster, and those of a tree of matchers.
fn prefixes_of(node: &Node) -> Vec<Prefix<'_>> {
    let route = field(node, "match").filter(|_| field(node, "route").is_some());
    let route = route.and_then(|route| field(route, "prefix")).and_then(|prefix| Some((prefix.at, prefix.text()?)));
    let tree = field(node, "prefix_match_map").and_then(|tree| field(tree, "map")).map(Node::members);
    let tree = tree.unwrap_or_default().iter().map(|(name, _)| (name.at, name.text.as_str()));
    let fix = "use path_separated_prefix, or end the prefix with a slash";
    let envoy = |(at, text)| Prefix { at, text, fix: fix.to_owned() };
    route.into_iter().chain(tree).map(envoy).collect()
}

/// The prefixes of a VirtualService of Istio, which has no other kind of prefix.
fn virtual_service(document: &Node) -> Vec<(&Node, Prefix<'_>)> {
    if text_of(document, "kind") != Some("VirtualService") {
        return Vec::new();
    }
    let routes = document.get("spec").map(|spec| spec.items_of("http")).unwrap_or_default();
    let routes = routes.iter().filter(|route| route.get("route").or_else(|| route.get("delegate")).is_some());
    let prefixes = routes.flat_map(|route| route.items_of("match")).filter_map(|one| {
        let prefix = one.get("uri")?.get("prefix")?;
        let text = prefix.text()?;
        let fix = format!("match uri: {{exact: {text}}} and uri: {{prefix: {text}/}} instead");
        Some((one, Prefix { at: prefix.at, text, fix }))
    });
    prefixes.collect()
}

/// A rule or a protected path for something below the prefix that does not cover everything that the prefix routes: its
/// path in the policy, and its pattern.
fn escaped<'a>(document: &'a Document, prefix: &str) -> Option<(String, &'a PathPattern)> {
    if prefix.is_empty() || prefix.ends_with('/') {
        return None;
    }
    let protected = document.protected_paths.iter().flatten().enumerate();
    let protected = protected.map(|(index, one)| (format!("protected_paths[{index}]"), &one.path));
    let rules = document.rules.iter().enumerate().map(|(index, rule)| (format!("rules[{index}]"), &rule.path));
    rules.chain(protected).find(|(_, pattern)| lets_escape(pattern, prefix))
}

/// Whether a pattern covers paths below a prefix, but not paths in which the last name of the prefix is longer.
fn lets_escape(pattern: &PathPattern, prefix: &str) -> bool {
    let Some(prefix) = prefix.strip_prefix('/') else { return false };
    let mut segments = pattern.names();
    // If the pattern has fewer segments, it ends with `**` and also covers longer names.
    let is_met = |name: &str| segments.next().is_some_and(|one| one.is_none_or(|one| one.eq_ignore_ascii_case(name)));
    prefix.split('/').all(is_met)
}

#[cfg(test)]
mod tests {
    use super::lets_escape;

    #[test]
    fn a_pattern_lets_escape_what_has_more_behind_the_last_name() {
        for (pattern, prefix, escapes) in [
            ("/admin/**", "/admin", true),
            ("/admin", "/admin", true),
            ("/admin/users/**", "/admin", true),
            ("/Admin/**", "/admin", true),
            ("/*/admin", "/app", true),
            ("/models/{model}/predict", "/models", true),
            ("/models/{model}/predict", "/models/iris", true),
            ("/admin/**", "/admin/users", false),
            ("/**", "/admin", false),
            ("/admin", "/admin/users", false),
            ("/admin/**", "/adm", false),
            ("/admin/**", "/other", false),
        ] {
            assert_eq!(lets_escape(&pattern.parse().unwrap(), prefix), escapes, "{pattern} behind {prefix}");
        }
    }
}
