//! Objects of Kubernetes: their kinds, references between them, and the texts of Secrets.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::source::Source;
use crate::yaml::{Name, Node, Position, Tree};

/// The objects of all documents. `kubectl get -o yaml` wraps several objects into a List.
///
/// # Errors
/// If a document is invalid.
pub(super) fn objects(source: &Source) -> Result<Vec<Node>> {
    Ok(source.nodes()?.into_iter().flat_map(flat).collect())
}

/// The objects of a document: its items, if it is a List.
pub(super) fn flat(document: Node) -> Vec<Node> {
    let is_list = kind(&document).ends_with("List");
    match document.tree {
        Tree::Null => Vec::new(),
        Tree::Map(members) if is_list => {
            let items = members.into_iter().filter(|(name, _)| name.text == "items");
            let items =
                items.filter_map(|(_, items)| if let Tree::List(items) = items.tree { Some(items) } else { None });
            items.flatten().collect()
        }
        _ => vec![document],
    }
}

/// The kind of an object.
pub(super) fn kind(object: &Node) -> &str {
    object.get("kind").and_then(Node::text).unwrap_or_default()
}

/// A text in `metadata`.
pub(super) fn metadata<'a>(object: &'a Node, member: &str) -> Option<&'a str> {
    object.get("metadata")?.get(member)?.text()
}

/// A label.
pub(super) fn label<'a>(object: &'a Node, name: &str) -> Option<&'a Node> {
    object.get("metadata")?.get("labels")?.get(name)
}

/// An annotation.
pub(super) fn annotation<'a>(object: &'a Node, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.text()
}

/// A reference from an object to a Secret.
pub(super) struct Reference<'a> {
    /// Its position.
    pub(super) at: Option<Position>,
    /// The name of the Secret.
    pub(super) name: &'a str,
    /// Its namespace, if known.
    pub(super) namespace: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// The reference to a Secret of this name in the namespace of an object.
    pub(super) fn beside(object: &'a Node, name: &'a Node) -> Option<Self> {
        Some(Self { at: name.at, name: name.text()?, namespace: metadata(object, "namespace") })
    }

    /// Whether the reference is to this Secret. If one of the two has no namespace, the name decides.
    pub(super) fn is_to(&self, secret: &Node) -> bool {
        let namespaces = self.namespace.zip(metadata(secret, "namespace"));
        metadata(secret, "name") == Some(self.name) && namespaces.is_none_or(|(this, its)| this == its)
    }
}

/// The Secrets of a file, by name.
pub(super) struct Secrets<'a> {
    by_name: HashMap<&'a str, Vec<&'a Node>>,
    used: BTreeSet<Option<Position>>,
}

impl<'a> Secrets<'a> {
    /// Those among the objects.
    pub(super) fn of(objects: &'a [Node]) -> Self {
        let mut by_name: HashMap<&str, Vec<&Node>> = HashMap::new();
        for secret in objects.iter().filter(|object| kind(object) == "Secret") {
            by_name.entry(metadata(secret, "name").unwrap_or_default()).or_default().push(secret);
        }
        Self { by_name, used: BTreeSet::new() }
    }

    /// The Secret that a reference is to, which is in use from then on.
    pub(super) fn get(&mut self, reference: &Reference<'_>) -> Option<&'a Node> {
        let secret = self.by_name.get(reference.name)?.iter().copied().find(|secret| reference.is_to(secret))?;
        self.used.insert(secret.at);
        Some(secret)
    }

    /// The Secrets that are not in use.
    pub(super) fn unused(&self) -> impl Iterator<Item = &'a Node> {
        self.by_name.values().flatten().copied().filter(|secret| !self.used.contains(&secret.at))
    }
}

/// The members of a Secret with their texts, which are `None` if they are not base64 of text. `stringData` overrides
/// `data`.
pub(super) fn texts(secret: &Node) -> Vec<(&Name, &Node, Option<String>)> {
    let members = |name| secret.get(name).map(Node::members).unwrap_or_default();
    let plain = members("stringData");
    let encoded = members("data").iter().filter(|(name, _)| !plain.iter().any(|(other, _)| other.text == name.text));
    let decoded = encoded.map(|(name, value)| (name, value, value.text().and_then(decode)));
    let plain = plain.iter().map(|(name, value)| (name, value, value.text().map(str::to_owned)));
    plain.chain(decoded).collect()
}

/// One member of a Secret as text.
pub(super) fn text(secret: &Node, member: &str) -> Option<Node> {
    let (_, value, text) = texts(secret).into_iter().find(|(name, ..)| name.text == member)?;
    Some(Node { at: value.at, tree: Tree::Text(text?) })
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(text.trim()).ok()?).ok()
}
