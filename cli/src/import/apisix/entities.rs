//! The entities of a document, in each form that APISIX has for them.

use crate::yaml::Node;

/// The collections without plugins that are about callers.
const UNRELATED: [&str; 6] = ["plugins", "plugin_metadata", "ssls", "protos", "upstreams", "secrets"];

/// Consumers, and everything else.
#[derive(Default)]
pub(super) struct Entities<'a> {
    /// Consumers and their credentials.
    pub(super) consumers: Vec<Entity<'a>>,
    /// Routes, services, global rules and other entities with plugins.
    pub(super) others: Vec<&'a Node>,
}

/// A consumer, or one of its credentials.
pub(super) struct Entity<'a> {
    /// The consumer and the id in the entity's key, such as `jack/credentials/one`.
    pub(super) key: Option<&'a str>,
    /// The entity itself.
    pub(super) node: &'a Node,
}

impl<'a> Entities<'a> {
    /// Reads a document.
    pub(super) fn read(document: &'a Node) -> Self {
        let mut entities = Self::default();
        entities.collect(document);
        entities
    }

    fn collect(&mut self, document: &'a Node) {
        // One reply of the Admin API, or several in a list.
        let replies = document.items().iter().chain(document.items_of("list"));
        let replies = replies.chain(document.get("node").map(|node| node.items_of("nodes")).unwrap_or_default());
        let mut are_replies = false;
        for reply in replies {
            self.collect(reply);
            are_replies = true;
        }
        if are_replies {
            return;
        }
        let key = document.get("key").and_then(Node::text);
        if let Some(value) = document.get("value").filter(|value| !value.members().is_empty()) {
            let of_consumers = key.and_then(|key| key.split_once("/consumers/")).map(|(_, key)| key);
            match of_consumers {
                Some(_) => self.consumers.push(Entity { key: of_consumers, node: value }),
                None => self.others.push(value),
            }
            return;
        }
        if document.get("username").is_some() {
            return self.consumers.push(Entity { key: None, node: document });
        }
        for (name, collection) in document.members() {
            match name.text.as_str() {
                "consumers" => self.consumers.extend(collection.items().iter().map(|node| Entity { key: None, node })),
                name if UNRELATED.contains(&name) => {}
                _ => self.others.push(collection),
            }
        }
    }
}
