//! What a team's file may hold, so that no team opens what the platform or another team has closed.

use std::collections::HashMap;

use portcullis::{Document, PathPattern};
use serde_json::Value;

use super::Conflict;
use super::delegation::{DELEGATIONS, FINAL_RULES, Grant};
use super::portion::Portion;
use super::stem;
use crate::similar::did_you_mean;
use crate::yaml::{Node, Place, Tree};

/// The fields of a team's file.
const FIELDS: [&str; 3] = ["version", "consumers", "rules"];

/// Checks every team.
pub(super) fn check(first: &Portion, teams: &[Portion], grants: &[Grant], conflicts: &mut Vec<Conflict>) {
    let named = named_roles(first, teams);
    for (number, team) in teams.iter().enumerate() {
        let own: Vec<&Grant> = grants.iter().filter(|grant| grant.is_for(&team.file)).collect();
        fields(first, team, conflicts);
        rules(first, team, &own, conflicts);
        roles(team, number, &own, &named, conflicts);
    }
}

fn fields(first: &Portion, team: &Portion, conflicts: &mut Vec<Conflict>) {
    let platform = first.file.display();
    if !matches!(team.own.tree, Tree::Map(_)) {
        conflicts.push(Conflict::new(team.place(""), "wrong type", "expected an object: version, consumers, rules"));
    }
    for (name, _) in team.own.members().iter().filter(|(name, _)| !FIELDS.contains(&name.text.as_str())) {
        let place = Place::new(&team.file, name.at);
        if is_field(&name.text) {
            let message = format!("{}: only {platform} may have this field", name.text);
            let fix = "remove it: a team's file has version, consumers and rules";
            conflicts.push(Conflict::new(place, message, fix));
        } else {
            // The name is not shown: it may be a key.
            let fix = format!("expected version, consumers or rules{}", did_you_mean(&name.text, FIELDS));
            conflicts.push(Conflict::new(place, "unknown field", fix));
        }
    }
    for name in ["consumers", "rules"] {
        if team.own.get(name).is_some_and(|list| !matches!(list.tree, Tree::List(_))) {
            conflicts.push(Conflict::new(team.place(name), format!("{name}: wrong type"), "expected a list"));
        }
    }
    let is_one = |version: &Node| matches!(&version.tree, Tree::Number(number) if number.as_u64() == Some(1));
    if team.own.get("version").is_some_and(|version| !is_one(version)) {
        conflicts.push(Conflict::new(team.place("version"), "version: unknown version", "expected 1"));
    }
    if let Some(stored) = team.store.as_ref().filter(|stored| stored.store.mode_override.is_some()) {
        let message = "mode_override: only the store of the first file may override the mode";
        let place = stored.place(&["mode_override"]);
        conflicts.push(Conflict::new(place, message, format!("remove it; the mode is that of {platform}")));
    }
}

/// Whether the gate or the platform's file has this field.
fn is_field(name: &str) -> bool {
    let known =
        Document::json_schema().get("properties").and_then(Value::as_object).is_some_and(|all| all.contains_key(name));
    known || [DELEGATIONS, FINAL_RULES].contains(&name)
}

/// The prefix stands in a pattern letter by letter, so that no variant of a path leads elsewhere.
fn rules(first: &Portion, team: &Portion, grants: &[&Grant], conflicts: &mut Vec<Conflict>) {
    let platform = first.file.display();
    let rules = team.own.items_of("rules");
    if grants.is_empty() && !rules.is_empty() {
        let message = "rules: no prefix is delegated to this file";
        let fix = format!(
            "remove the rules, or add `{{file: {}, prefix: /PREFIX}}` to the delegations of {platform}",
            stem(&team.file)
        );
        conflicts.push(Conflict::new(team.name_place("rules"), message, fix));
        return;
    }
    for (index, rule) in rules.iter().enumerate() {
        // The gate refuses a rule without a valid path.
        let pattern = rule.get("path").and_then(Node::text).and_then(|path| path.parse::<PathPattern>().ok());
        let Some(pattern) = pattern else { continue };
        if !grants.iter().any(|grant| begins_with(&pattern, &grant.prefix)) {
            let path = format!("rules[{index}].path");
            let prefixes: Vec<String> =
                grants.iter().map(|grant| format!("{} ({})", grant.prefix(), grant.place)).collect();
            let message = format!("{path}: not below the prefix of this file, {}", prefixes.join(" or "));
            let fix = "begin the pattern with the prefix as it is written there";
            conflicts.push(Conflict::new(team.place(&path), message, fix));
        }
    }
}

fn begins_with(pattern: &PathPattern, prefix: &[String]) -> bool {
    let mut names = pattern.names();
    prefix.iter().all(|segment| names.next().flatten() == Some(segment))
}

/// A rule that names a role: the number of its team, or `None` for the platform's, and its place.
type Named = HashMap<String, Vec<(Option<usize>, Place)>>;

fn named_roles(first: &Portion, teams: &[Portion]) -> Named {
    let mut named = Named::new();
    let mut collect = |owner: Option<usize>, portion: &Portion, list: &str| {
        for (index, rule) in portion.own.items_of(list).iter().enumerate() {
            for (number, role) in rule.items_of("roles").iter().enumerate() {
                let Some(name) = role.text() else { continue };
                let place = portion.place(&format!("{list}[{index}].roles[{number}]"));
                named.entry(name.to_owned()).or_default().push((owner, place));
            }
        }
    };
    for list in ["rules", FINAL_RULES] {
        collect(None, first, list);
    }
    for (number, team) in teams.iter().enumerate() {
        collect(Some(number), team, "rules");
    }
    named
}

fn roles(team: &Portion, number: usize, grants: &[&Grant], named: &Named, conflicts: &mut Vec<Conflict>) {
    for (index, consumer) in team.merged.items_of("consumers").iter().enumerate() {
        for (position, role) in consumer.items_of("roles").iter().enumerate() {
            let Some(name) =
                role.text().filter(|name| !grants.iter().any(|grant| grant.roles.iter().any(|one| one == name)))
            else {
                continue;
            };
            let other = named.get(name).and_then(|places| places.iter().find(|(owner, _)| *owner != Some(number)));
            if let Some((_, other)) = other {
                let path = format!("consumers[{index}].roles[{position}]");
                let message = format!("{path}: a rule of another file names this role: {other}");
                let fix = format!(
                    "use a role of your own, or let the platform grant it: `roles` in a delegation of {}, or remove it from that \
                     rule",
                    stem(&team.file)
                );
                conflicts.push(Conflict::new(team.place(&path), message, fix));
            }
        }
    }
}
