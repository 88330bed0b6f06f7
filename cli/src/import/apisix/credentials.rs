//! Keys of consumers: in their plugin `key-auth`, or in credentials.

use portcullis::Timestamp;
use portcullis::keys::NotAKey;

use super::entities::Entity;
use super::plugins::RESTRICTIONS;
use crate::import::discovered::{Discovered, DiscoveredKey, path, shown};
use crate::import::key_sources::Places;
use crate::import::kubernetes::{Reference, Secrets, metadata, text};
use crate::yaml::{Node, Tree};

/// The keys that were found so far.
#[derive(Default)]
pub(super) struct Credentials {
    found: Vec<Found>,
}

struct Found {
    consumer: String,
    /// The text; `None` if it is not one.
    key: Node,
    id: Option<String>,
    created: Option<Timestamp>,
}

impl Credentials {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Adds the keys of a consumer or credential of the Admin API, the standalone file or ADC.
    pub(super) fn of_entity(&mut self, Entity { key, node }: &Entity<'_>, discovered: &mut Discovered) {
        let id = || node.get("id").and_then(Node::text);
        // A credential has no name of a consumer, but its key has.
        let of_credential = key.or_else(id).and_then(|key| key.split_once("/credentials/"));
        let username = node.get("username").and_then(Node::text).or(of_credential.map(|(name, _)| name));
        let Some(consumer) = username.or(*key) else {
            return discovered.leave(node.at, "a consumer without username: its keys are not imported");
        };
        let known =
            ["username", "id", "desc", "description", "name", "create_time", "update_time", "plugins", "credentials"];
        discovered.leave_unknown(node, "consumers[]", &known);
        if let Some(plugins) = node.get("plugins") {
            if RESTRICTIONS.iter().any(|name| plugins.get(name).is_some()) {
                return discovered.leave(node.at, RESTRICTED);
            }
            let id = of_credential.map(|(_, id)| id);
            for (name, plugin) in plugins.members() {
                match name.text.as_str() {
                    "key-auth" => self.add(consumer, plugin, id, created(node), discovered),
                    other => discovered.leave(name.at, format!("{} of one consumer", path("plugins", &shown(other)))),
                }
            }
        }
        self.of_list(consumer, node.items_of("credentials"), None, discovered);
    }

    /// Adds the keys of an `ApisixConsumer` or `Consumer` of the ingress controller.
    pub(super) fn of_resource(&mut self, object: &Node, secrets: &mut Secrets<'_>, discovered: &mut Discovered) {
        let (Some(name), Some(spec)) = (metadata(object, "name"), object.get("spec")) else {
            return discovered.leave(object.at, "a consumer without metadata.name or spec");
        };
        let plugins =
            spec.items_of("plugins").iter().map(|plugin| (plugin.at, plugin.get("name").and_then(Node::text)));
        for (at, name) in plugins {
            if name.is_some_and(|name| RESTRICTIONS.contains(&name)) {
                return discovered.leave(at, RESTRICTED);
            }
            let message = format!("{} of one consumer", path("spec.plugins", &shown(name.unwrap_or_default())));
            discovered.leave(at, message);
        }
        // The name that APISIX has for it.
        let consumer = metadata(object, "namespace").map_or_else(|| name.to_owned(), |space| format!("{space}_{name}"));
        let known = ["ingressClassName", "gatewayRef", "authParameter", "credentials", "plugins"];
        discovered.leave_unknown(spec, "spec", &known);
        for (name, parameter) in spec.get("authParameter").map(Node::members).unwrap_or_default() {
            if name.text != "keyAuth" {
                let message = format!("{} of one consumer", path("spec.authParameter", &shown(&name.text)));
                discovered.leave(name.at, message);
            } else if let Some(plugin) = parameter.get("value").cloned().or_else(|| secret(parameter, object, secrets))
            {
                self.add(&consumer, &plugin, None, None, discovered);
            } else {
                discovered.leave(parameter.at, LOST);
            }
        }
        self.of_list(&consumer, spec.items_of("credentials"), Some((object, secrets)), discovered);
    }

    /// Adds the keys of a list of credentials, as ADC and the ingress controller have it, or as the Admin API.
    fn of_list(
        &mut self,
        consumer: &str,
        credentials: &[Node],
        mut place: Option<(&Node, &mut Secrets<'_>)>,
        discovered: &mut Discovered,
    ) {
        for credential in credentials {
            let id = credential.get("id").and_then(Node::text);
            let own = credential.get("plugins").and_then(|plugins| plugins.get("key-auth"));
            let is_key = credential.get("type").and_then(Node::text) == Some("key-auth");
            let config = own.or_else(|| credential.get("config").filter(|_| is_key)).cloned();
            let mut in_secret = || place.as_mut().and_then(|(object, secrets)| secret(credential, object, secrets));
            match config.or_else(&mut in_secret) {
                Some(config) if is_key || own.is_some() => {
                    self.add(consumer, &config, id, created(credential), discovered);
                }
                None if is_key => discovered.leave(credential.at, LOST),
                _ => discovered.leave(credential.at, "a credential that is not of the type key-auth"),
            }
        }
    }

    fn add(
        &mut self,
        consumer: &str,
        plugin: &Node,
        id: Option<&str>,
        created: Option<Timestamp>,
        discovered: &mut Discovered,
    ) {
        match plugin.get("key") {
            Some(key) => self.found.push(Found {
                consumer: consumer.to_owned(),
                key: key.clone(),
                id: id.map(str::to_owned),
                created,
            }),
            None => discovered.leave(plugin.at, "key not imported: key-auth without key"),
        }
    }

    /// Adds the keys to what was discovered.
    pub(super) fn push(self, places: Places, discovered: &mut Discovered) {
        for Found { consumer, key: node, id, created } in self.found {
            let Some(text) = node.text() else {
                discovered.leave(node.at, "key not imported: expected text: quote it");
                continue;
            };
            if text.starts_with('$') && text.contains("://") && NotAKey::of(text.as_bytes()).is_none() {
                let message = "key not imported: it is a reference to a key in another place: add the key itself with \
                               `portcullis keys add`";
                discovered.leave(node.at, message);
                continue;
            }
            match places.key_in(text) {
                Ok(text) => {
                    let mut key = DiscoveredKey::of(text, node.at, consumer);
                    key.id = id;
                    key.created = created;
                    discovered.push(text, key);
                }
                Err(why) => discovered.leave(node.at, format!("key not imported: {why}")),
            }
        }
    }
}

const RESTRICTED: &str = "keys of a consumer not imported: a plugin limits where it may call";
const LOST: &str = "key not imported: secretRef names a Secret that is not in this file, or has no member `key`";

/// The configuration in the Secret that `secretRef` names.
fn secret(from: &Node, object: &Node, secrets: &mut Secrets<'_>) -> Option<Node> {
    let own = from.get("secretRef")?;
    let mut reference = Reference::beside(object, own.get("name")?)?;
    reference.namespace = own.get("namespace").and_then(Node::text).or(reference.namespace);
    Some(Node::map([("key", text(secrets.get(&reference)?, "key")?)]))
}

fn created(node: &Node) -> Option<Timestamp> {
    match node.get("create_time").map(|node| &node.tree) {
        Some(Tree::Number(number)) => number.as_i64().map(Timestamp),
        _ => None,
    }
}
