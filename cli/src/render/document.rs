//! The policy in a rendered file. Others can read it (version control, admin interfaces), so it contains no key.

use std::rc::Rc;

use anyhow::Result;
use portcullis::document::Mode;
use portcullis::keys::EntryProblem;
use portcullis::value::Plaintext;

use crate::files::EffectivePolicy;
use crate::teams::Parts;
use crate::yaml::{Node, Tree};

/// A valid policy without keys.
#[derive(Debug)]
pub(crate) struct KeylessPolicy {
    /// The document.
    pub node: Node,
    /// The name of the gate.
    pub name: String,
    /// The environment variables that it names, in order.
    pub variables: Vec<String>,
    /// 48 bits of its digest, as the gate logs them.
    pub digest: String,
    /// The invalid key entries, with their places. Unset variables do not count, since they depend on where Envoy runs.
    pub refused: Vec<String>,
    /// The places of plaintext keys, which were replaced by digests.
    pub plaintext: Vec<String>,
    /// The files that it is made of.
    pub parts: Option<Rc<Parts>>,
}

impl KeylessPolicy {
    /// Applies `mode`, if given, and replaces keys by digests.
    ///
    /// # Errors
    /// If the gate would refuse the document.
    pub(crate) fn new(mut merged: EffectivePolicy, mode: Option<Mode>) -> Result<Self> {
        if let Some(mode) = mode {
            merged.node.set("mode", mode.as_str().into());
        }
        // The environment of this command differs from Envoy's.
        let loaded = merged.compile(&|_| None)?;
        let refused = loaded.refused_entries.iter();
        let refused = refused.filter(|entry| !matches!(entry.problem, EntryProblem::UnsetVariable(_)));
        let refused = refused.map(|entry| format!("{}: {entry}", merged.place(&entry.path))).collect();
        let (mut variables, mut places) = (Vec::new(), Vec::new());
        let mut note = |entry: &Node| {
            let variable = entry.get("env").and_then(Node::text).map(str::to_owned);
            if let Some(variable) = variable.filter(|variable| !variables.contains(variable)) {
                variables.push(variable);
            }
        };
        for (index, consumer) in items(merged.node.get_mut("consumers")).iter_mut().enumerate() {
            for (number, key) in items(consumer.get_mut("keys")).iter_mut().enumerate() {
                note(key);
                if hash_plaintext(key) {
                    places.push(format!("consumers[{index}].keys[{number}]"));
                }
            }
        }
        let secrets = merged.node.get_mut("tokens").and_then(|tokens| tokens.get_mut("secrets"));
        items(secrets).iter().for_each(&mut note);
        let plaintext = places.iter().map(|place| merged.place(place)).collect();
        let digest = format!("{:012x}", loaded.policy.digest().first_48_bits());
        let name = loaded.policy.name().to_owned();
        Ok(Self { node: merged.node, name, variables, digest, refused, plaintext, parts: merged.parts })
    }
}

fn items(node: Option<&mut Node>) -> &mut [Node] {
    match node {
        Some(Node { tree: Tree::List(items), .. }) => items,
        _ => &mut [],
    }
}

/// Replaces a plaintext key by its SHA-256; one that the gate skips, by an invalid one. Returns whether there was one.
fn hash_plaintext(entry: &mut Node) -> bool {
    let Tree::Map(members) = &mut entry.tree else { return false };
    let Some((name, key)) = members.iter_mut().find(|(name, _)| name.text == "plaintext") else { return false };
    let plaintext = key.text().and_then(|text| text.parse::<Plaintext>().ok());
    let digest = plaintext.and_then(|key| key.digest().ok());
    name.text = "sha256".to_owned();
    key.tree = Tree::Text(digest.map(|digest| digest.to_hex()).unwrap_or_default());
    true
}
