//! Which paths need no key, and which need a group. What cannot be said here stays shut, never open.

use super::routes::{Plugin, Prefix, Route, Routing};
use crate::import::found::{Found, list, refused, texts};
use crate::yaml::{Node, Position};

/// A role that nobody has, of a rule that somebody must write.
const NOBODY: &str = "nobody-write-this-rule";

/// A rule to be.
struct Restriction {
    at: Option<Position>,
    prefix: String,
    methods: Vec<String>,
    narrowed: bool,
    roles: Vec<String>,
}

/// Sets public paths and rules.
pub(super) fn settings(routing: &Routing<'_>, found: &mut Found) {
    public_paths(routing, found);
    rules(routing, found);
}

fn public_paths(routing: &Routing<'_>, found: &mut Found) {
    let (open, shut): (Vec<_>, Vec<_>) =
        routing.routes.iter().enumerate().partition(|(index, _)| routing.is_open(*index));
    if shut.is_empty() {
        // Nothing asks for a key at all: that is said elsewhere.
        return;
    }
    let mut paths = Vec::new();
    for (_, route) in open {
        for prefix in &route.prefixes {
            let why = if route.narrowed || prefix.is_regex {
                Some("it is open for some hosts or headers, or by a regular expression".to_owned())
            } else if shut.iter().any(|(_, other)| would_open(prefix, route, other)) {
                Some("to open it would open a part of a route with key-auth too".to_owned())
            } else {
                None
            };
            let item = member(&prefix.text, &route.methods, None);
            match why.or_else(|| refused("public_paths", &Node::list([item.clone()]))) {
                Some(why) => found.leave(route.at, format!("a route without key-auth needs a key here: {why}")),
                None => paths.push(item),
            }
        }
    }
    if !paths.is_empty() {
        found.set("public_paths", Node::list(paths), "Routes without key-auth.");
    }
}

/// Whether a public pattern for the prefix would open what Kong sends to this route. Of two routes with paths alone, the
/// longer prefix wins; one that asks for more wins over it.
fn would_open(prefix: &Prefix, open: &Route<'_>, shut: &Route<'_>) -> bool {
    shut.prefixes.iter().any(|other| {
        let special = shut.narrowed || other.is_regex || shut.methods.len() > open.methods.len();
        // The pattern /a/** covers /a too, which Kong's /a/ does not.
        let wider = prefix.text.len() > 1 && prefix.text.ends_with('/');
        is_below(&other.text, &prefix.text) || ((special || wider) && prefix.text.starts_with(&other.text))
    })
}

/// Whether the pattern for a prefix covers a path.
fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn rules(routing: &Routing<'_>, found: &mut Found) {
    let mut restrictions = Vec::new();
    let mut unrestricted = Vec::new();
    for (index, route) in routing.routes.iter().enumerate() {
        match routing.on("acl", index) {
            None => unrestricted.extend(&route.prefixes),
            Some(acl) => restrict(acl, route, &mut restrictions, found),
        }
    }
    if let Some(acl) = routing.everywhere("acl") {
        let roles = roles(acl, found);
        restrictions.push(Restriction {
            at: acl.at,
            prefix: "/".to_owned(),
            methods: Vec::new(),
            narrowed: false,
            roles,
        });
    }
    for acl in routing.all("acl") {
        let known = ["allow", "whitelist", "deny", "blacklist", "hide_groups_header"];
        acl.leave_unknown(&known, found);
        if acl.is_on("hide_groups_header", false) {
            found.note(acl.at, "hide_groups_header: the upstream hears the groups here");
        }
    }
    close_ambiguous(&mut restrictions, found);
    for restriction in &restrictions {
        let stricter = |prefix: &&Prefix| {
            is_below(&prefix.text, &restriction.prefix) && prefix.text.len() > restriction.prefix.len()
        };
        if unrestricted.iter().any(stricter) {
            found.note(restriction.at, "a route below has no acl in Kong; here this rule covers it too");
        }
    }
    let mut rules: Vec<Node> = Vec::new();
    for restriction in &restrictions {
        let rule = rule(restriction, found);
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    // The first rule that matches counts, so the longest prefix stands first.
    let length = |rule: &Node| rule.get("path").and_then(Node::text).map(str::len);
    rules.sort_by_key(|rule| std::cmp::Reverse(length(rule)));
    if !rules.is_empty() {
        found.note(None, "an acl on /a holds for /ab too in Kong; here its rule is for /a and all below");
        found.set("rules", Node::list(rules), "Groups of the plugin acl, as roles.");
    }
}

fn restrict(acl: &Plugin<'_>, route: &Route<'_>, restrictions: &mut Vec<Restriction>, found: &mut Found) {
    let roles = roles(acl, found);
    for prefix in &route.prefixes {
        let mut roles = roles.clone();
        if prefix.is_regex {
            found.leave(
                route.at,
                format!("an acl on a regular expression: nobody passes there until the rule with {NOBODY} is written"),
            );
            roles = vec![NOBODY.to_owned()];
        }
        let Route { at, narrowed, .. } = *route;
        restrictions.push(Restriction {
            at,
            prefix: prefix.text.clone(),
            methods: route.methods.clone(),
            narrowed,
            roles,
        });
    }
}

/// A rule for these groups; where its path cannot be said here, one that lets nobody into the place above.
fn rule(restriction: &Restriction, found: &mut Found) -> Node {
    let rule = member(&restriction.prefix, &restriction.methods, Some(&restriction.roles));
    let Some(why) = refused("rules", &Node::list([rule.clone()])) else { return rule };
    let message = format!("an acl on a path that {why}; nobody passes there until the rule with {NOBODY} is written");
    found.leave(restriction.at, message);
    let mut place = restriction.prefix.as_str();
    while let Some((above, _)) = place.rsplit_once('/') {
        let rule = member(above, &[], Some(&[NOBODY.to_owned()]));
        if refused("rules", &Node::list([rule.clone()])).is_none() {
            return rule;
        }
        place = above;
    }
    member("/", &[], Some(&[NOBODY.to_owned()]))
}

/// The groups that an acl lets in.
fn roles(acl: &Plugin<'_>, found: &mut Found) -> Vec<String> {
    let groups = |name, old| acl.config(name).or_else(|| acl.config(old)).filter(|node| !node.items().is_empty());
    let allowed = groups("allow", "whitelist").and_then(texts);
    if let (Some(allowed), None) = (allowed, groups("deny", "blacklist")) {
        return allowed;
    }
    let message =
        format!("an acl that names who is kept out: nobody passes there until the rule with {NOBODY} is written");
    found.leave(acl.at, message);
    vec![NOBODY.to_owned()]
}

/// Hosts do not count here: where two routes that differ by them ask for different groups on one path, nobody passes.
fn close_ambiguous(restrictions: &mut [Restriction], found: &mut Found) {
    let ambiguous: Vec<bool> = restrictions
        .iter()
        .map(|one| {
            restrictions.iter().any(|other| {
                let overlap = is_below(&one.prefix, &other.prefix) || is_below(&other.prefix, &one.prefix);
                overlap && (one.narrowed || other.narrowed) && one.roles != other.roles
            })
        })
        .collect();
    for (restriction, ambiguous) in restrictions.iter_mut().zip(ambiguous) {
        if ambiguous {
            found.leave(
                restriction.at,
                format!(
                    "an acl that differs by host or header: nobody passes there until the rule with {NOBODY} is written"
                ),
            );
            restriction.roles = vec![NOBODY.to_owned()];
        } else if restriction.narrowed {
            found.note(restriction.at, "an acl for some hosts or headers; here its rule is for all");
        }
    }
}

/// An item of `public_paths`, or with roles one of `rules`.
fn member(prefix: &str, methods: &[String], roles: Option<&[String]>) -> Node {
    let mut members = vec![("path", Node::from(format!("{}/**", prefix.trim_end_matches('/'))))];
    if !methods.is_empty() {
        members.push(("methods", list(methods)));
    }
    members.extend(roles.map(|roles| ("roles", list(roles))));
    Node::map(members)
}
