//! `key-auth` on routes, services and globally, in each form; and the plugins that restrict consumers, whose paths are
//! blocked.

use serde_json::json;

use crate::import::blocked::{Blocked, fix};
use crate::import::discovered::{Discovered, refused, texts};
use crate::import::key_sources::{KeySources, Places, Reads};
use crate::yaml::{Node, Position, Tree};

/// The plugins that allow some consumers only.
pub(super) const RESTRICTIONS: [&str; 2] = ["consumer-restriction", "acl"];

/// What was found so far.
#[derive(Default)]
pub(super) struct Plugins<'a> {
    /// The configurations of `key-auth`; `None` for the defaults.
    uses: Vec<Option<&'a Node>>,
    /// The places of plugins that restrict consumers, and the route around each.
    restricted: Vec<(Option<Position>, Option<&'a Node>)>,
}

impl<'a> Plugins<'a> {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.uses.is_empty() && self.restricted.is_empty()
    }

    /// Finds the plugins below a node: as members (`key-auth: {}`) or as items (`name: key-auth`). The parser limits the
    /// depth of the recursion.
    pub(super) fn search(&mut self, node: &'a Node, route: Option<&'a Node>) {
        let is_route = ["uri", "uris", "match"].iter().any(|member| node.get(member).is_some());
        let route = if is_route { Some(node) } else { route };
        let text = |name| node.get(name).and_then(Node::text);
        let is_on = |config: Option<&Node>| {
            let is = |node: Option<&Node>, value| node.is_some_and(|node| node.tree == Tree::Bool(value));
            let is_disabled = config.and_then(|config| config.get("_meta")).and_then(|meta| meta.get("disable"));
            !is(is_disabled, true) && !is(node.get("enable"), false)
        };
        if let Some(name) = text("name") {
            self.found(name, node.at, node.get("config"), route, &is_on);
        }
        if text("type") == Some("keyAuth") {
            self.found("key-auth", node.at, node.get("keyAuth"), route, &is_on);
        }
        for (name, config) in node.members() {
            self.found(&name.text, name.at, Some(config), route, &is_on);
            self.search(config, route);
        }
        for item in node.items() {
            self.search(item, route);
        }
    }

    fn found(
        &mut self,
        name: &str,
        at: Option<Position>,
        config: Option<&'a Node>,
        route: Option<&'a Node>,
        is_on: &impl Fn(Option<&Node>) -> bool,
    ) {
        match name {
            "key-auth" if is_on(config) => self.uses.push(config),
            name if RESTRICTIONS.contains(&name) && is_on(config) => self.restricted.push((at, route)),
            _ => {}
        }
    }

    /// Adds the settings. Returns where keys are read.
    pub(super) fn settings(self, discovered: &mut Discovered) -> Places {
        discovered.set("name", "apisix".into(), "From APISIX.");
        discovered.note(None, "routes stay in APISIX's configuration: here every path needs a key");
        let mut blocked = Blocked::default();
        for (at, route) in &self.restricted {
            discovered.leave(*at, format!("only some consumers may use this route: {}", fix()));
            let patterns = route.map(patterns).unwrap_or_default();
            if patterns.is_empty() {
                blocked.add(None);
            }
            patterns.into_iter().for_each(|pattern| blocked.add(pattern));
        }
        blocked.set("Routes for some consumers: write which roles they allow.", discovered);
        let places = self.sources(discovered);
        let config =
            |name: &str| self.uses.iter().map(|config| config.and_then(|config| config.get(name))).collect::<Vec<_>>();
        for anonymous in config("anonymous_consumer").into_iter().flatten() {
            let message =
                "anonymous_consumer: APISIX accepts callers without a key as this consumer; here they need a key";
            discovered.leave(anonymous.at, message);
        }
        if let Some(realm) = config("realm").into_iter().flatten().next() {
            let reply = Node::from(json!({"realm": realm.text().unwrap_or_default()}));
            match refused("reply", &reply) {
                Some(why) => discovered.leave(realm.at, format!("realm not imported: {why}")),
                None => discovered.set("reply", reply, "realm of the plugin key-auth."),
            }
        }
        let hides = |hide: &Option<&Node>| hide.is_some_and(|hide| hide.tree == Tree::Bool(true));
        let forward = !config("hide_credentials").iter().any(hides);
        discovered.set(
            "upstream",
            Node::from(json!({
                "consumer_header": "x-consumer-username",
                "key_id_header": "x-credential-identifier",
                "forward_credential": forward,
            })),
            "APISIX's names for these. forward_credential: hide_credentials of key-auth.",
        );
        places
    }

    fn sources(&self, discovered: &mut Discovered) -> Places {
        let mut found = KeySources::new(Reads::Whole("APISIX"));
        if self.uses.is_empty() {
            discovered.leave(
                None,
                "no plugin key-auth on a route or globally is in this file: the key sources are APISIX's default, \
                 change them if your routes read keys elsewhere",
            );
        }
        let default = [None];
        let uses = if self.uses.is_empty() { &default[..] } else { &self.uses[..] };
        for config in uses {
            if let Some(config) = config {
                let known = [
                    "header",
                    "query",
                    "hide_credentials",
                    "anonymous_consumer",
                    "realm",
                    "_meta",
                    "enable",
                    "disable",
                ];
                discovered.leave_unknown(config, "key-auth", &known);
            }
            for kind in ["header", "query"] {
                let name = config.and_then(|config| config.get(kind));
                let at = name.and_then(|name| name.at).or(config.and_then(|config| config.at));
                found.add(kind, name.and_then(Node::text).unwrap_or("apikey"), at, discovered);
            }
        }
        if self.uses.len() > 1 {
            discovered.note(None, "several plugins key-auth become one: every key source applies to every path");
        }
        let comment = "header and query of the plugin key-auth. URLs end up in logs, so remove the query if you can.";
        found.set(comment, discovered)
    }
}

/// The patterns for the paths of a route; `None` for one that is not a pattern here.
fn patterns(route: &Node) -> Vec<Option<String>> {
    let matches = route.get("match").unwrap_or(route);
    let uris = ["uris", "paths"].iter().find_map(|name| matches.get(name)).and_then(texts).unwrap_or_default();
    let uri = matches.get("uri").and_then(Node::text).map(str::to_owned);
    let pattern = |uri: String| match uri.strip_suffix("/*") {
        Some(prefix) if !prefix.contains([':', '*']) => Some(format!("{prefix}/**")),
        None if !uri.contains([':', '*']) => Some(uri),
        _ => None,
    };
    uris.into_iter().chain(uri).map(pattern).collect()
}
