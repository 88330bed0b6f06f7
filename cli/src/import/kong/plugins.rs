//! The settings of `key-auth`: key sources, forwarding of the key, and the headers for the upstream.

use serde_json::json;

use super::access;
use super::routes::{Plugin, Routing};
use crate::import::discovered::{Discovered, refused};
use crate::import::key_sources::{KeySources, Places, Reads};
use crate::yaml::{Node, Tree};

/// Adds the settings that correspond to the plugins. Returns where keys are read.
pub(super) fn settings(routing: &Routing<'_>, discovered: &mut Discovered) -> Places {
    discovered.set("name", "kong".into(), "From Kong.");
    let plugins: Vec<&Plugin<'_>> = routing.all("key-auth").collect();
    if plugins.is_empty() {
        discovered.leave(None, "no plugin key-auth is enabled, so Kong requires no key; here every path needs one");
    }
    for plugin in &plugins {
        let known = [
            "key_names",
            "hide_credentials",
            "anonymous",
            "key_in_header",
            "key_in_query",
            "key_in_body",
            "run_on_preflight",
            "realm",
        ];
        plugin.leave_unknown(&known, discovered);
        if plugin.config("anonymous").is_some_and(|anonymous| anonymous.text() != Some("")) {
            discovered.leave(
                plugin.at,
                "anonymous: Kong accepts callers without a key as this consumer; here they need a key",
            );
        }
        if plugin.is_on("key_in_body", false) {
            discovered.leave(plugin.at, "key_in_body: the gate does not read bodies");
        }
    }
    let places = sources(&plugins, discovered);
    access::settings(routing, discovered);
    if let Some(first) = plugins.first() {
        preflights(routing, discovered);
        if let Some(realm) = first.config("realm") {
            let reply = Node::from(json!({"realm": realm.text().unwrap_or_default()}));
            match refused("reply", &reply) {
                Some(why) => discovered.leave(realm.at, format!("realm not imported: {why}")),
                None => discovered.set("reply", reply, "realm of the plugin key-auth."),
            }
        }
    }
    upstream(&plugins, discovered);
    places
}

/// Allows preflights if every plugin on every route allows them in Kong, since here one setting applies to all paths.
fn preflights(routing: &Routing<'_>, discovered: &mut Discovered) {
    let passes = |plugin: &Plugin<'_>| plugin.name == "key-auth" && !plugin.is_on("run_on_preflight", true);
    let Some(first) = routing.guards().find(|plugin| passes(plugin)) else { return };
    if routing.guards().all(passes) && !routing.is_in_doubt() {
        let comment = "run_on_preflight was false. Only true preflights pass, not all OPTIONS.";
        discovered.set("cors_preflight", "allow".into(), comment);
    } else {
        let message = "run_on_preflight: false: preflights need a key here, because another plugin may require one on \
                       its routes. `cors_preflight: allow` allows them on every path";
        discovered.leave(first.at, message);
    }
}

fn sources(plugins: &[&Plugin<'_>], discovered: &mut Discovered) -> Places {
    let mut found = KeySources::new(Reads::Whole("Kong"));
    let default = Node::from(json!(["apikey"]));
    for plugin in plugins {
        let names = plugin.config("key_names").unwrap_or(&default);
        for name in names.items() {
            let Some(text) = name.text() else {
                discovered.leave(name.at, "key_names: expected text");
                continue;
            };
            for (kind, member) in [("header", "key_in_header"), ("query", "key_in_query")] {
                if plugin.is_on(member, true) {
                    found.add(kind, text, name.at, discovered);
                }
            }
        }
    }
    if plugins.len() > 1 && !found.is_empty() {
        discovered.note(None, "several plugins key-auth become one: every key source applies to every path");
    }
    let comment = match found.has("query") {
        true => {
            "key_names of the plugin key-auth. Kong also reads the query: URLs end up in logs, so remove it if you can."
        }
        false => "key_names of the plugin key-auth.",
    };
    found.set(comment, discovered)
}

/// Uses the names of Kong's headers, so that upstreams need no change.
fn upstream(plugins: &[&Plugin<'_>], discovered: &mut Discovered) {
    let hidden = plugins.iter().filter(|plugin| plugin.is_on("hide_credentials", false)).count();
    if hidden > 0 && hidden < plugins.len() {
        discovered.note(None, "hide_credentials differs: here the key is hidden everywhere");
    }
    let forward = hidden == 0 && !plugins.is_empty();
    let members = [
        ("consumer_header", Node::from("x-consumer-username")),
        ("roles_header", "x-consumer-groups".into()),
        ("key_id_header", "x-credential-identifier".into()),
        ("forward_credential", Tree::Bool(forward).into()),
    ];
    discovered.set(
        "upstream",
        Node::map(members),
        "Kong's names for these. forward_credential: hide_credentials of key-auth.",
    );
}
