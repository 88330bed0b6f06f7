//! Imports from Kong Ingress Controller: KongConsumers, the Secrets with their credentials, and KongPlugins. They become a
//! declarative configuration, which is read as one of Kong.

use anyhow::{Result, bail};
use portcullis::Timestamp;

use crate::import::discovered::{Discovered, shown};
use crate::import::kubernetes::{Reference, Secrets, annotation, kind, label, metadata, objects, text};
use crate::import::rename::Renames;
use crate::import::source::Source;
use crate::yaml::{Node, Tree};

const CONSUMER: &str = "KongConsumer";
const ROUTES: [&str; 7] = ["Ingress", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute", "TCPIngress"];

/// Reads the objects.
///
/// # Errors
/// If there is neither a consumer nor a plugin among them.
pub(in crate::import) fn find(source: &Source, renames: &Renames<'_>, now: Timestamp) -> Result<Discovered> {
    let objects = objects(source)?;
    let mut discovered = Discovered::default();
    let (mut consumers, mut plugins, mut older) = (Vec::new(), Vec::new(), Vec::new());
    for object in &objects {
        match kind(object) {
            CONSUMER => consumers.push(object),
            "KongPlugin" | "KongClusterPlugin" => plugins.push(object),
            "KongCredential" => older.push(object),
            "Secret" => {}
            kind if ROUTES.contains(&kind) => {
                let plugins = annotation(object, "konghq.com/plugins").map_or("without plugins", |_| "with plugins");
                let message = format!("a route {plugins}: routes are not imported, so every path needs a key");
                discovered.leave(object.at, message);
            }
            _ => discovered.leave(object.at, "neither a consumer, a plugin nor a Secret of Kong"),
        }
    }
    if consumers.is_empty() && plugins.is_empty() {
        bail!("{} has no KongConsumer and no KongPlugin", source.name);
    }
    let mut secrets = Secrets::of(&objects);
    let person = |consumer| person(consumer, &mut secrets, &older, &mut discovered);
    let people = consumers.into_iter().map(person).collect();
    let plugins = plugins_of(&plugins, &mut secrets, &mut discovered);
    for secret in secrets.unused() {
        discovered.leave(secret.at, "a Secret that no KongConsumer and no KongPlugin of this file names");
    }
    let node = Node::map([("consumers", Tree::List(people).into()), ("plugins", Tree::List(plugins).into())]);
    super::read(node, renames, now, &mut discovered);
    Ok(discovered)
}

/// A consumer of the declarative configuration.
fn person(consumer: &Node, secrets: &mut Secrets<'_>, older: &[&Node], discovered: &mut Discovered) -> Node {
    let known =
        ["apiVersion", "kind", "metadata", "status", "spec", "username", "custom_id", "credentials", "consumerGroups"];
    discovered.leave_unknown(consumer, CONSUMER, &known);
    if let Some(groups) = consumer.get("consumerGroups") {
        discovered.leave(groups.at, "consumerGroups: only groups in credentials of the type acl become roles");
    }
    if annotation(consumer, "konghq.com/plugins").is_some() {
        discovered.leave(consumer.at, "plugins of one consumer");
    }
    let mut keys = Vec::new();
    let mut groups = Vec::new();
    for name in consumer.items_of("credentials") {
        let Some(secret) = Reference::beside(consumer, name).and_then(|reference| secrets.get(&reference)) else {
            discovered.leave(name.at, "credentials names a Secret that is not in this file: its key is missing");
            continue;
        };
        let member = |member: &'static str| Some((member, text(secret, member)?));
        let type_of = label(secret, "konghq.com/credential").and_then(Node::text).map(str::to_owned);
        let type_of = type_of.or_else(|| Some(text(secret, "kongCredType")?.text()?.to_owned()));
        let credential = match type_of.as_deref() {
            Some("key-auth") => Some((&mut keys, [member("key"), ttl(secret)])),
            Some("acl") => Some((&mut groups, [member("group"), None])),
            Some(other) => {
                discovered.leave(secret.at, format!("a credential of the type {}", shown(other)));
                None
            }
            None => {
                discovered.leave(secret.at, "a Secret without the label konghq.com/credential: its type is unknown");
                None
            }
        };
        if let Some((list, members)) = credential {
            list.push(Node { at: secret.at, ..Node::map(members.into_iter().flatten()) });
        }
    }
    let is_own = |credential: &&&Node| {
        let owner = credential.get("consumerRef").and_then(Node::text);
        owner.is_some() && owner == metadata(consumer, "name")
    };
    for credential in older.iter().filter(is_own) {
        match credential.get("type").and_then(Node::text) {
            Some("key-auth") => keys.extend(credential.get("config").cloned()),
            Some("acl") => groups.extend(credential.get("config").cloned()),
            _ => discovered.leave(credential.at, "a credential that is not of the type key-auth"),
        }
    }
    let name = |name: &'static str| Some((name, consumer.get(name)?.clone()));
    let members = [name("username"), name("custom_id")].into_iter().flatten();
    let lists = [("keyauth_credentials", Tree::List(keys).into()), ("acls", Tree::List(groups).into())];
    Node { at: consumer.at, ..Node::map(members.chain(lists)) }
}

/// The seconds that a key works. A Secret has them as text.
fn ttl(secret: &Node) -> Option<(&'static str, Node)> {
    let ttl = text(secret, "ttl")?;
    let number = ttl.text().and_then(|text| text.trim().parse::<i64>().ok());
    Some(("ttl", number.map_or_else(|| ttl.clone(), |number| Node { at: ttl.at, tree: Tree::Number(number.into()) })))
}

/// The plugins of the declarative configuration. Which routes use them is not read, so they apply to every path.
fn plugins_of(objects: &[&Node], secrets: &mut Secrets<'_>, discovered: &mut Discovered) -> Vec<Node> {
    let mut plugins = Vec::new();
    for object in objects {
        let Some(name) = object.get("plugin").filter(|name| name.text().is_some()) else {
            discovered.leave(object.at, "a KongPlugin without plugin");
            continue;
        };
        let is_off = object.get("disabled").is_some_and(|off| off.tree == Tree::Bool(true));
        let mut members = vec![("name", name.clone()), ("enabled", Node::from(!is_off))];
        let config = config(object, secrets);
        if config.is_none() && !is_off {
            discovered.leave(object.at, "its configuration is in a Secret that is not in this file, or not readable");
            if name.text() == Some("key-auth") {
                continue;
            }
        }
        if object.get("configPatches").is_some() && !is_off {
            discovered.leave(object.at, "configPatches: the parts of the configuration that come from Secrets");
        }
        members.extend(config.map(|config| ("config", config)));
        members.extend(object.get("consumerRef").map(|consumer| ("consumer", consumer.clone())));
        plugins.push(Node { at: object.at, ..Node::map(members) });
    }
    one_acl(&mut plugins, discovered);
    plugins
}

/// The configuration of a plugin: its own, or the one in a Secret. An absent one is empty.
fn config(object: &Node, secrets: &mut Secrets<'_>) -> Option<Node> {
    let Some(from) = object.get("configFrom") else {
        return Some(object.get("config").cloned().unwrap_or_else(|| Tree::Map(Vec::new()).into()));
    };
    let from = from.get("secretKeyRef")?;
    let mut reference = Reference::beside(object, from.get("name")?)?;
    reference.namespace = from.get("namespace").and_then(Node::text).or(reference.namespace);
    let secret = secrets.get(&reference)?;
    let config = text(secret, from.get("key")?.text()?)?;
    // Positions in that text are not positions in the file.
    let mut parsed = Node::parse(config.text()?).ok()?.without_nulls();
    parsed.move_to(&|_| config.at);
    Some(parsed)
}

/// Replaces several plugins `acl` by one without groups, which blocks every path: their routes are not read.
fn one_acl(plugins: &mut Vec<Node>, discovered: &mut Discovered) {
    let is_on = |plugin: &Node| plugin.get("enabled").is_some_and(|on| on.tree == Tree::Bool(true));
    let is_acl = |plugin: &Node| plugin.get("name").and_then(Node::text) == Some("acl") && is_on(plugin);
    let mut acls = plugins.iter().filter(|plugin| is_acl(plugin)).map(|plugin| plugin.at);
    match (acls.next(), acls.next()) {
        (Some(first), Some(second)) => {
            discovered.leave(second, "several plugins acl, and the routes that use them are not imported");
            plugins.retain(|plugin| !is_acl(plugin));
            plugins.push(Node { at: first, ..Node::map([("name", Node::from("acl"))]) });
        }
        (Some(only), None) => {
            discovered.note(only, "the plugin acl applies to every path here: which routes use it is not imported");
        }
        _ => {}
    }
}
