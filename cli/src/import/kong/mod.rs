//! Imports Kong's declarative configuration: consumers and their keys, and the plugins `key-auth` and `acl`.

mod access;
pub(super) mod ingress;
mod plugins;
mod reference;
mod route;
mod routes;
mod rules;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use portcullis::Timestamp;
use portcullis::keys::NotAKey;

use crate::import::discovered::{Discovered, DiscoveredKey};
use crate::import::key_sources::Places;
use crate::import::rename::Renames;
use crate::import::source::Source;
use crate::yaml::{Node, Tree};
use routes::Routing;

/// Reads the configuration.
///
/// # Errors
/// If it is invalid.
pub(super) fn find(source: &Source, renames: &Renames<'_>, now: Timestamp) -> Result<Discovered> {
    let node = source.node()?;
    let entities = ["consumers", "services", "routes", "plugins", "keyauth_credentials"];
    if !entities.iter().any(|entity| node.get(entity).is_some()) {
        bail!(
            "{} is not a declarative configuration of Kong: expected at least one of {}",
            source.name,
            entities.join(", ")
        );
    }
    let mut discovered = Discovered::default();
    let known = ["_format_version", "_transform", "_comment", "_info", "acls", "upstreams"];
    discovered.leave_unknown(&node, "", &[&entities[..], &known].concat());
    read(node, renames, now, &mut discovered);
    Ok(discovered)
}

/// Reads the entities of a configuration.
fn read(mut node: Node, renames: &Renames<'_>, now: Timestamp, discovered: &mut Discovered) {
    rename_groups(&mut node, renames);
    let people = consumers(&node, discovered);
    let places = plugins::settings(&Routing::read(&node, discovered), discovered);
    for person in &people {
        for credential in &person.credentials {
            key(credential, person, places, now, discovered);
        }
    }
}

/// Renames the groups of consumers and of the plugin `acl` alike, so that rules still mean the same callers. The parser
/// limits the depth of the recursion.
fn rename_groups(node: &mut Node, renames: &Renames<'_>) {
    match &mut node.tree {
        Tree::Map(members) => {
            for (name, value) in members {
                if ["group", "allow", "whitelist", "deny", "blacklist"].contains(&name.text.as_str()) {
                    rename_group(value, renames);
                }
                rename_groups(value, renames);
            }
        }
        Tree::List(items) => items.iter_mut().for_each(|item| rename_groups(item, renames)),
        _ => {}
    }
}

/// Renames one group, or those of a list.
fn rename_group(node: &mut Node, renames: &Renames<'_>) {
    match &mut node.tree {
        Tree::Text(group) => {
            if let Some(new) = renames.role(group) {
                new.clone_into(group);
            }
        }
        Tree::List(items) => items.iter_mut().for_each(|item| rename_group(item, renames)),
        _ => {}
    }
}

/// A consumer with its keys and groups, from its own entry and from the top level.
struct KongConsumer<'a> {
    name: &'a str,
    credentials: Vec<&'a Node>,
    groups: Vec<String>,
}

fn consumers<'a>(node: &'a Node, discovered: &mut Discovered) -> Vec<KongConsumer<'a>> {
    let mut people = Vec::new();
    let mut index = BTreeMap::new();
    for consumer in node.items_of("consumers") {
        let text = |name| consumer.get(name).and_then(Node::text);
        let handles: Vec<&str> = ["username", "custom_id", "id"].into_iter().filter_map(text).collect();
        let Some(name) = handles.first() else {
            discovered.leave(consumer.at, "a consumer without username, custom_id and id: its keys are not imported");
            continue;
        };
        let known = [
            "username",
            "custom_id",
            "id",
            "tags",
            "created_at",
            "updated_at",
            "keyauth_credentials",
            "acls",
            "plugins",
        ];
        discovered.leave_unknown(consumer, "consumers[]", &known);
        let credentials = consumer.items_of("keyauth_credentials").iter().collect();
        let mut person = KongConsumer { name, credentials, groups: Vec::new() };
        for acl in consumer.items_of("acls") {
            group(acl, &mut person, discovered);
        }
        index.extend(handles.into_iter().map(|handle| (handle, people.len())));
        people.push(person);
    }
    for (member, what) in [("keyauth_credentials", "key not imported"), ("acls", "group not imported")] {
        for entry in node.items_of(member) {
            let owner = entry.get("consumer");
            let member = |name| owner.and_then(|owner| owner.get(name)).and_then(Node::text);
            let owner = owner.and_then(Node::text).or_else(|| member("username")).or_else(|| member("id"));
            match owner.and_then(|owner| index.get(owner)).and_then(|place| people.get_mut(*place)) {
                Some(person) if what == "key not imported" => person.credentials.push(entry),
                Some(person) => group(entry, person, discovered),
                None => discovered.leave(entry.at, format!("{what}: its consumer is not in this file")),
            }
        }
    }
    people
}

fn group(acl: &Node, person: &mut KongConsumer<'_>, discovered: &mut Discovered) {
    match acl.get("group").and_then(Node::text) {
        Some(group) if person.groups.iter().any(|other| other == group) => {}
        Some(group) => person.groups.push(group.to_owned()),
        None => discovered.leave(acl.at, "group not imported: expected text"),
    }
}

fn key(credential: &Node, person: &KongConsumer<'_>, places: Places, now: Timestamp, discovered: &mut Discovered) {
    discovered.leave_unknown(
        credential,
        "keyauth_credentials[]",
        &["key", "id", "tags", "ttl", "created_at", "consumer"],
    );
    let value = credential.get("key");
    let at = value.and_then(|key| key.at).or(credential.at);
    let Some(text) = value.and_then(Node::text) else {
        let message =
            "key not imported: expected text: quote it, or if Kong generates the key, use `portcullis keys add`";
        return discovered.leave(at, message);
    };
    // decK also replaces a part of a value.
    if NotAKey::of(text.as_bytes()).is_none() && text.contains("${{") {
        let message = "key not imported: a part of it is a template: add the key with `portcullis keys add`";
        return discovered.leave(at, message);
    }
    let text = match places.key_in(text) {
        Ok(text) => text,
        Err(why) => return discovered.leave(at, format!("key not imported: {why}")),
    };
    let mut key = DiscoveredKey::of(text, at, person.name);
    key.roles = Some(person.groups.clone());
    key.id = credential.get("id").and_then(Node::text).map(str::to_owned);
    let number = |name| match credential.get(name).map(|node| &node.tree) {
        Some(Tree::Number(number)) => number.as_i64(),
        _ => None,
    };
    let created = number("created_at");
    key.created = created.map(Timestamp);
    if credential.get("ttl").is_some() {
        let end = number("ttl").and_then(|ttl| created.unwrap_or(now.0).checked_add(ttl));
        let Some(end) = end else {
            return discovered.leave(at, "key not imported: invalid ttl: expected a number of seconds");
        };
        key.expires = Some(Timestamp(end));
        if created.is_none() {
            discovered.note(at, "its ttl counts from now, because created_at is missing");
        }
    }
    discovered.push(text, key);
}
