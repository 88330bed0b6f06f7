//! The policy as it goes into a render, which others read: version control, admin interfaces. So no key is in it.

use anyhow::Result;
use portcullis::document::Mode;
use portcullis::keys::Digest;
use portcullis::keys::EntryProblem;

use crate::files::EffectivePolicy;
use crate::mode;
use crate::yaml::{Node, Tree};

/// A policy that the gate takes, without keys.
#[derive(Debug)]
pub(crate) struct KeylessPolicy {
    /// The document.
    pub node: Node,
    /// The variables of the environment that it names, in order.
    pub variables: Vec<String>,
    /// 48 bits of its digest, as the gate logs them.
    pub digest: String,
    /// The entries that the gate would refuse alone, with their places, wherever it runs: whether a variable is set is
    /// another matter.
    pub refused: Vec<String>,
    /// The places of keys that stood there themselves, and are digests now.
    pub plaintext: Vec<String>,
}

impl KeylessPolicy {
    /// Puts `mode` over the policy's, where given, and digests in the place of keys.
    ///
    /// # Errors
    /// If the gate would refuse the document.
    pub(crate) fn new(mut merged: EffectivePolicy, mode: Option<Mode>) -> Result<Self> {
        if let Some(mode) = mode {
            merged.node.set("mode", mode::name(mode).into());
        }
        // The environment of this command is another than Envoy's.
        let loaded = merged.compile(&|_| None)?;
        let refused = loaded.refused_entries.iter();
        let refused = refused.filter(|entry| !matches!(entry.problem, EntryProblem::UnsetVariable(_)));
        let refused = refused.map(|entry| format!("{}: {entry}", merged.place(&entry.path))).collect();
        let mut variables = Vec::new();
        let mut places = Vec::new();
        for (index, consumer) in items(merged.node.get_mut("consumers")).iter_mut().enumerate() {
            for (number, key) in items(consumer.get_mut("keys")).iter_mut().enumerate() {
                if let Some(variable) = key.get("env").and_then(Node::text).map(str::to_owned)
                    && !variables.contains(&variable)
                {
                    variables.push(variable);
                }
                if hash_plaintext(key) {
                    places.push(format!("consumers[{index}].keys[{number}]"));
                }
            }
        }
        let plaintext = places.iter().map(|place| merged.place(place)).collect();
        let digest = format!("{:012x}", loaded.policy.digest().first_48_bits());
        Ok(Self { node: merged.node, variables, digest, refused, plaintext })
    }
}

fn items(node: Option<&mut Node>) -> &mut [Node] {
    match node {
        Some(Node { tree: Tree::List(items), .. }) => items,
        _ => &mut [],
    }
}

/// Puts the SHA-256 of a key in its place; says whether there was one.
fn hash_plaintext(entry: &mut Node) -> bool {
    let Tree::Map(members) = &mut entry.tree else { return false };
    let Some((name, key)) = members.iter_mut().find(|(name, _)| name.text == "plaintext") else { return false };
    let digest = Digest::of(key.text().unwrap_or_default().as_bytes()).to_hex();
    name.text = "sha256".to_owned();
    key.tree = Tree::Text(digest);
    true
}
