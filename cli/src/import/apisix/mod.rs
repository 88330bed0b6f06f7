//! Imports consumers and `key-auth` of APISIX: from its standalone file, from what the Admin API replies, from the file of
//! ADC, and from the resources of its ingress controller.

mod credentials;
mod entities;
mod plugins;

use anyhow::Result;

use super::discovered::Discovered;
use super::kubernetes::{Secrets, flat, kind};
use super::source::Source;
use crate::yaml::{Node, Tree};
use credentials::Credentials;
use entities::Entities;
use plugins::Plugins;

/// Reads the documents.
///
/// # Errors
/// If a document is invalid, or if there is neither a consumer nor a plugin among them.
pub(super) fn find(source: &Source) -> Result<Discovered> {
    let documents = source.nodes_with_nulls()?.into_iter().map(|node| with_empty_plugins(node).without_nulls());
    let objects: Vec<Node> = documents.flat_map(flat).collect();
    let mut discovered = Discovered::default();
    let mut secrets = Secrets::of(&objects);
    let mut credentials = Credentials::default();
    let mut plugins = Plugins::default();
    for object in &objects {
        match kind(object) {
            "" => {
                let entities = Entities::read(object);
                entities.consumers.into_iter().for_each(|consumer| credentials.of_entity(&consumer, &mut discovered));
                entities.others.into_iter().for_each(|other| plugins.search(other, None));
            }
            "Secret" => {}
            "ApisixConsumer" | "Consumer" => credentials.of_resource(object, &mut secrets, &mut discovered),
            _ => plugins.search(object, None),
        }
    }
    if credentials.is_empty() && plugins.is_empty() {
        return Err(source.not_a("a configuration of APISIX: it has no consumer with key-auth and no such plugin"));
    }
    let places = plugins.settings(&mut discovered);
    credentials.push(places, &mut discovered);
    Ok(discovered)
}

/// Gives plugins without a configuration an empty one: `key-auth:` in YAML is a plugin with its defaults. The parser limits
/// the depth of the recursion.
fn with_empty_plugins(mut node: Node) -> Node {
    node.tree = match node.tree {
        Tree::Map(members) => {
            let members = members.into_iter().map(|(name, mut value)| {
                if let ("plugins", Tree::Map(plugins)) = (name.text.as_str(), &mut value.tree) {
                    let unset = plugins.iter_mut().filter(|(_, plugin)| plugin.tree == Tree::Null);
                    unset.for_each(|(_, plugin)| plugin.tree = Tree::Map(Vec::new()));
                }
                (name, with_empty_plugins(value))
            });
            Tree::Map(members.collect())
        }
        Tree::List(items) => Tree::List(items.into_iter().map(with_empty_plugins).collect()),
        tree => tree,
    };
    node
}
