//! Imports the plugin `key-auth` of Higress, from a WasmPlugin or from its plain configuration.

use anyhow::{Result, bail};
use serde_json::json;

use super::blocked::{Blocked, fix};
use super::discovered::{Discovered, DiscoveredKey, texts};
use super::key_sources::{KeySources, Places, Reads};
use super::kubernetes::{kind, objects};
use super::source::Source;
use crate::yaml::{Node, Tree};

/// Reads the documents.
///
/// # Errors
/// If there is no such plugin, or more than one.
pub(super) fn find(source: &Source) -> Result<Discovered> {
    let objects = objects(source)?;
    let mut discovered = Discovered::default();
    let (plugins, others): (Vec<&Node>, Vec<&Node>) = objects.iter().partition(|object| is_key_auth(object));
    let plugin = match plugins.as_slice() {
        [] => return Err(source.not_a("a configuration of Higress: it has no plugin key-auth with consumers and keys")),
        [one] => *one,
        [first, second, ..] => bail!(
            "{} has several plugins key-auth ({} and {}): a key of one would be valid for all, so import one of them only",
            source.name,
            source.place(first.at),
            source.place(second.at)
        ),
    };
    for other in others {
        discovered.leave(other.at, "not the plugin key-auth");
    }
    let config = config(plugin);
    discovered.set("name", "higress".into(), "From Higress.");
    discovered.leave_unknown(
        config,
        "",
        &["consumers", "keys", "in_header", "in_query", "global_auth", "allow", "_rules_"],
    );
    if is(config, "global_auth", false) || !rules(plugin).is_empty() && config.get("global_auth").is_none() {
        discovered.note(
            None,
            "global_auth: Higress requires a key only on the routes of its rules; here every path needs one",
        );
    }
    if plugin.get("spec").is_some_and(|spec| is(spec, "defaultConfigDisable", true)) {
        discovered.note(None, "defaultConfigDisable: the plugin is off outside its rules; here every path needs a key");
    }
    let places = sources(config, &mut discovered);
    let names = consumers(config, places, &mut discovered);
    restrictions(plugin, &names, &mut discovered);
    discovered.set(
        "upstream",
        Node::from(json!({"consumer_header": "x-mse-consumer", "forward_credential": true})),
        "Higress's name for this. It forwards the key to the upstream.",
    );
    Ok(discovered)
}

/// The configuration of a WasmPlugin, or of the plugin alone.
fn config(object: &Node) -> &Node {
    object.get("spec").and_then(|spec| spec.get("defaultConfig")).unwrap_or(object)
}

fn is_key_auth(object: &Node) -> bool {
    let is_resource = kind(object) == "WasmPlugin";
    (is_resource || kind(object).is_empty())
        && config(object).get("keys").is_some()
        && config(object).get("consumers").is_some()
}

fn is(node: &Node, name: &str, value: bool) -> bool {
    node.get(name).is_some_and(|node| node.tree == Tree::Bool(value))
}

/// The rules for routes and domains.
fn rules(plugin: &Node) -> Vec<&Node> {
    let of_resource = plugin.get("spec").map(|spec| spec.items_of("matchRules")).unwrap_or_default();
    let on = of_resource.iter().filter(|rule| !is(rule, "configDisable", true));
    on.chain(config(plugin).items_of("_rules_")).collect()
}

fn sources(config: &Node, discovered: &mut Discovered) -> Places {
    let mut found = KeySources::new(Reads::Whole("Higress"));
    for name in config.items_of("keys") {
        let Some(text) = name.text() else {
            discovered.leave(name.at, "keys: expected text");
            continue;
        };
        for (kind, member) in [("header", "in_header"), ("query", "in_query")] {
            if !is(config, member, false) {
                found.add(kind, text, name.at, discovered);
            }
        }
    }
    found.set("keys of the plugin key-auth, in_header and in_query. URLs end up in logs.", discovered)
}

/// Adds the keys. Returns the names of all consumers.
fn consumers<'a>(config: &'a Node, places: Places, discovered: &mut Discovered) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (index, consumer) in config.items_of("consumers").iter().enumerate() {
        discovered.leave_unknown(consumer, &format!("consumers[{index}]"), &["name", "credential", "credentials"]);
        let Some(name) = consumer.get("name").and_then(Node::text) else {
            discovered.leave(consumer.at, "a consumer without name: its keys are not imported");
            continue;
        };
        names.push(name);
        for credential in consumer.get("credential").into_iter().chain(consumer.items_of("credentials")) {
            let Some(text) = credential.text() else {
                discovered.leave(credential.at, "key not imported: expected text: quote it");
                continue;
            };
            match places.key_in(text) {
                Ok(text) => discovered.push(text, DiscoveredKey::of(text, credential.at, name)),
                Err(why) => discovered.leave(credential.at, format!("key not imported: {why}")),
            }
        }
    }
    names
}

/// Blocks every path if a rule allows some consumers only: rules of Higress are for routes and domains, not for paths.
fn restrictions(plugin: &Node, names: &[&str], discovered: &mut Discovered) {
    let mut blocked = Blocked::default();
    let own = config(plugin);
    for rule in rules(plugin).into_iter().chain([own]) {
        let config = rule.get("config").unwrap_or(rule);
        if !std::ptr::eq(config, own) && config.get("consumers").is_some() {
            discovered.leave(config.at, "consumers of a single route or domain: their keys are not imported");
        }
        let Some(allow) = config.get("allow") else { continue };
        let allowed = texts(allow).unwrap_or_default();
        if names.iter().all(|name| allowed.iter().any(|allowed| allowed == name)) {
            continue;
        }
        discovered.leave(allow.at, format!("allow: only some consumers may use this route: {}", fix()));
        blocked.add(None);
    }
    blocked.set("Routes for some consumers (allow): write which roles they allow.", discovered);
}
