//! Rules for the groups that a path requires, in the order in which Kong selects routes: the first rule that matches
//! belongs to the route that Kong would select.
//!
//! That order is the one of its router `traditional_compatible` (developer.konghq.com/gateway/routing/traditional):
//!
//! 1. the route with more attributes (methods, hosts, headers, SNIs, paths) first, whatever the length of its path;
//! 2. a regular expression before a prefix;
//! 3. the longer prefix;
//! 4. of two equal routes, either: callers need the groups of both.
//!
//! Kong's prefix `/a` also matches `/ab`, which no pattern here can express. `GET` includes `HEAD`.

use super::access::{is_below, member, pattern};
use super::route::{Prefix, Route};
use super::routes::{Plugin, Routing};
use crate::import::discovered::{Discovered, PLACEHOLDER_ROLE, refused, texts};
use crate::yaml::{Node, Position};

/// One path of a route, as Kong orders them.
#[derive(Clone)]
struct Candidate {
    at: Option<Position>,
    prefix: Prefix,
    methods: Vec<String>,
    attributes: usize,
    narrowed: bool,
    /// The allowed groups; `None` if any caller with a key is allowed.
    roles: Option<Vec<String>>,
}

/// A rule, and its place in the order.
struct Rule {
    rule: Node,
    /// The prefix that it replaces, if its pattern is wider.
    widened: Option<Prefix>,
}

/// Sets the rules.
pub(super) fn settings(routing: &Routing<'_>, discovered: &mut Discovered) {
    let mut candidates = Vec::new();
    for (index, route) in routing.routes.iter().enumerate() {
        let roles = roles_on(routing, index, discovered);
        candidates.extend(route.prefixes.iter().map(|prefix| candidate(route, prefix, roles.clone(), discovered)));
    }
    for acl in routing.all("acl") {
        let known = ["allow", "whitelist", "deny", "blacklist", "hide_groups_header"];
        acl.leave_unknown(&known, discovered);
        if acl.is_on("hide_groups_header", false) {
            discovered.note(acl.at, "hide_groups_header: here the upstream gets the groups");
        }
    }
    close_ambiguous(&mut candidates, discovered);
    candidates.sort_by_key(|one| std::cmp::Reverse(one.rank()));
    say_what_is_covered_too(&candidates, discovered);
    let mut rules = Vec::new();
    for (number, candidate) in candidates.iter().enumerate() {
        rules_of(candidate, &candidates, number, &mut rules, discovered);
    }
    let mut rules = in_order(rules);
    // Paths that no route of this file matches.
    let everything = Some("/**".to_owned());
    let rest = if routing.elsewhere("acl").is_some() { Some(placeholder()) } else { None };
    let rest = rest.or_else(|| routing.everywhere("acl").map(|acl| roles(acl, discovered)));
    rules.extend(everything.zip(rest).map(|(path, roles)| member(path, &[], Some(&roles))));
    let mut unique: Vec<Node> = Vec::new();
    for rule in rules {
        if !unique.contains(&rule) {
            unique.push(rule);
        }
    }
    if !unique.is_empty() {
        discovered.note(
            None,
            "in Kong an acl on /a also applies to /ab; here its rule applies to /a and all below: make Envoy's routes \
             end at a segment too (path_separated_prefix)",
        );
        discovered.set("rules", Node::list(unique), "Groups of the plugin acl, as roles, in Kong's order of routes.");
    }
}

fn placeholder() -> Vec<String> {
    vec![PLACEHOLDER_ROLE.to_owned()]
}

fn shut_until(what: &str) -> String {
    format!("{what}: the route is blocked until you replace {PLACEHOLDER_ROLE} in its rule")
}

/// The groups that may use a route; the placeholder role if that is unknown.
fn roles_on(routing: &Routing<'_>, index: usize, discovered: &mut Discovered) -> Option<Vec<String>> {
    if let Some(why) = routing.hidden("acl", index) {
        let at = routing.routes.get(index).and_then(|route| route.at);
        discovered.leave(at, shut_until(&format!("the groups that may use this route are unknown ({why})")));
        return Some(placeholder());
    }
    routing.on("acl", index).map(|acl| roles(acl, discovered))
}

/// The groups that an acl allows.
fn roles(acl: &Plugin<'_>, discovered: &mut Discovered) -> Vec<String> {
    let groups = |name, old| acl.config(name).or_else(|| acl.config(old)).filter(|node| !node.items().is_empty());
    let allowed = groups("allow", "whitelist").and_then(texts);
    if let (Some(allowed), None) = (allowed, groups("deny", "blacklist")) {
        return allowed;
    }
    let what = if groups("deny", "blacklist").is_some() { "an acl with deny" } else { "an acl without groups" };
    discovered.leave(acl.at, shut_until(what));
    placeholder()
}

fn candidate(route: &Route<'_>, prefix: &Prefix, roles: Option<Vec<String>>, discovered: &mut Discovered) -> Candidate {
    let is_open_regex = prefix.is_regex && roles.as_ref().is_some_and(|roles| *roles != placeholder());
    if is_open_regex {
        discovered.leave(route.at, shut_until("an acl on a regular expression"));
    }
    Candidate {
        at: route.at,
        prefix: prefix.clone(),
        methods: route.methods.clone(),
        attributes: route.attributes,
        narrowed: route.narrowed,
        roles: if is_open_regex { Some(placeholder()) } else { roles },
    }
}

/// Blocks paths for which routes that differ by host or header require different groups: rules cannot depend on hosts.
fn close_ambiguous(candidates: &mut [Candidate], discovered: &mut Discovered) {
    let restricted = |one: &&Candidate| one.roles.is_some();
    let is_ambiguous = |one: &Candidate| {
        candidates.iter().filter(restricted).any(|other| {
            one.prefix.meets(&other.prefix) && (one.narrowed || other.narrowed) && one.roles != other.roles
        })
    };
    let ambiguous: Vec<bool> = candidates.iter().map(|one| one.roles.is_some() && is_ambiguous(one)).collect();
    for (candidate, ambiguous) in candidates.iter_mut().zip(ambiguous) {
        if ambiguous && candidate.roles != Some(placeholder()) {
            discovered.leave(candidate.at, shut_until("an acl that differs by host or header"));
            candidate.roles = Some(placeholder());
        } else if candidate.narrowed && candidate.roles.is_some() {
            discovered.note(candidate.at, "an acl for some hosts or headers; here its rule applies to all");
        }
    }
}

/// Reports routes without an acl below one with an acl.
fn say_what_is_covered_too(candidates: &[Candidate], discovered: &mut Discovered) {
    for one in candidates.iter().filter(|one| one.roles.is_some()) {
        let is_covered = |other: &Candidate| {
            let (above, below) = (&one.prefix.text, &other.prefix.text);
            other.roles.is_none() && is_below(below, above) && below.len() > above.len()
        };
        if candidates.iter().any(is_covered) {
            discovered.note(one.at, "a route below has no acl in Kong; here this rule covers it too");
        }
    }
}

/// Adds the rule of a candidate. Before it, adds rules for paths that its pattern covers but Kong sends to another
/// route, and for paths that Kong sends to it but its pattern does not cover.
fn rules_of(one: &Candidate, all: &[Candidate], number: usize, rules: &mut Vec<Rule>, discovered: &mut Discovered) {
    let Some(roles) = &one.roles else { return };
    let mut push = |path: String, methods: &[String], roles: &[String]| {
        // Paths that cannot be expressed are blocked by the rule of their own route.
        rules.extend(sayable(&path, methods, roles).map(|rule| Rule { rule, widened: None }));
    };
    let prefix = &one.prefix.text;
    let file = prefix.strip_suffix('/').filter(|file| !file.is_empty());
    for other in all.iter().skip(number.saturating_add(1)) {
        let Some(methods) = both(&one.methods, &other.methods) else { continue };
        // Kong sends /ab to the route for /a, if that has more attributes than the route for /ab.
        let is_beside = other.prefix.text.starts_with(prefix) && !is_below(&other.prefix.text, prefix);
        if is_beside && !other.roles.as_ref().is_some_and(|others| lets_in_no_more(others, roles)) {
            push(pattern(&other.prefix.text), &methods, roles);
        }
        let Some(others) = &other.roles else { continue };
        if lets_in_no_more(roles, others) {
            continue;
        }
        if one.rank() == other.rank() && one.prefix == other.prefix {
            let alike = all.iter().filter(|third| {
                third.rank() == one.rank() && third.prefix == one.prefix && both(&methods, &third.methods).is_some()
            });
            let common = alike.fold(roles.clone(), |common, third| meet(&common, third.roles.as_ref()));
            if common == placeholder() {
                discovered.leave(other.at, shut_until("two routes that are equal to Kong, but allow different groups"));
            }
            push(pattern(prefix), &methods, &common);
        } else if let Some(file) = file.filter(|file| file.starts_with(&other.prefix.text)) {
            // The pattern for /a/ covers /a, which Kong sends to another route.
            push(file.to_owned(), &methods, others);
        }
    }
    rules.push(rule(one, roles, discovered));
}

/// A rule for these groups, or with the placeholder role if a group is not a valid role. `None` if the path is not a
/// valid pattern.
fn sayable(path: &str, methods: &[String], roles: &[String]) -> Option<Node> {
    let rules = [roles, &placeholder()].map(|roles| member(path, methods, Some(roles)));
    rules.into_iter().find(|rule| refused("rules", &Node::list([rule.clone()])).is_none())
}

/// The rule of a candidate. If its path is not a valid pattern, the rule blocks the folder above it.
fn rule(one: &Candidate, roles: &[String], discovered: &mut Discovered) -> Rule {
    let path = pattern(&one.prefix.text);
    let rule = member(path.as_str(), &one.methods, Some(roles));
    if let Some(why) = refused("rules", &Node::list([rule])) {
        discovered.leave(one.at, shut_until(&format!("an acl with an unsupported path, method or group ({why})")));
    }
    if let Some(rule) = sayable(&path, &one.methods, roles) {
        return Rule { rule, widened: None };
    }
    let places =
        one.prefix.text.match_indices('/').rev().map(|(end, _)| one.prefix.text.get(..end).unwrap_or_default());
    let wider = places.chain([""]).find_map(|place| sayable(&pattern(place), &[], &placeholder()));
    let rule = wider.unwrap_or_else(|| member("/**", &[], Some(&placeholder())));
    Rule { rule, widened: Some(one.prefix.clone()) }
}

/// Orders the rules: a rule that is wider than its prefix comes after the rules that do not overlap with that prefix.
fn in_order(rules: Vec<Rule>) -> Vec<Node> {
    let mut ordered = Vec::new();
    let mut waiting: Vec<(Prefix, Node)> = Vec::new();
    for Rule { rule, widened } in rules {
        if let Some(prefix) = widened {
            waiting.push((prefix, rule));
            continue;
        }
        let path = rule.get("path").and_then(Node::text).unwrap_or_default();
        let place = path.strip_suffix("/**").unwrap_or(path);
        let (due, later) = waiting
            .into_iter()
            .partition(|(prefix, _)| prefix.text.starts_with(place) || place.starts_with(&prefix.text));
        waiting = later;
        let due: Vec<(Prefix, Node)> = due;
        ordered.extend(due.into_iter().map(|(_, rule)| rule));
        ordered.push(rule);
    }
    ordered.extend(waiting.into_iter().map(|(_, rule)| rule));
    ordered
}

/// The methods in both lists; `None` if there are none. An empty list means all methods.
fn both(one: &[String], other: &[String]) -> Option<Vec<String>> {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => Some(other.to_vec()),
        (_, true) => Some(one.to_vec()),
        _ => {
            let both: Vec<String> = one.iter().filter(|method| other.contains(method)).cloned().collect();
            Some(both).filter(|both| !both.is_empty())
        }
    }
}

/// Whether every group of the first is also in the second.
fn lets_in_no_more(one: &[String], other: &[String]) -> bool {
    one == placeholder() || one.iter().all(|role| other.contains(role))
}

/// The groups in both, or the placeholder role if there are none.
fn meet(one: &[String], other: Option<&Vec<String>>) -> Vec<String> {
    let Some(other) = other else { return one.to_vec() };
    let common: Vec<String> = one.iter().filter(|role| other.contains(role)).cloned().collect();
    if common.is_empty() { placeholder() } else { common }
}

impl Candidate {
    /// The rank of the route: Kong tries the highest first.
    fn rank(&self) -> (usize, bool, usize) {
        (self.attributes, self.prefix.is_regex, self.prefix.length)
    }
}
