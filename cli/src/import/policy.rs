//! The settings of a source, and the policy that they belong to. A policy that is there is never edited: people write it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use portcullis::{Document, Policy};
use serde_json::Value;

use super::discovered::{Discovered, Setting, holds, refused};
use super::keys::is_key;
use crate::files::{POLICY, environment, merge, read_policy};
use crate::store::{Store, write_atomically};
use crate::yaml::{Node, Tree};

/// The policy that goes with the store.
#[derive(Debug)]
pub(super) struct Target {
    /// Its path.
    pub(super) path: PathBuf,
    /// What it says, or will say once it is written.
    pub(super) document: Document,
    /// The settings that a policy which is there lacks: for people to put there.
    pub(super) to_do: Vec<Setting>,
    /// The text of one that is to be written.
    pub(super) text: Option<String>,
    node: Node,
}

/// Leaves out settings that hold a key, and those that the gate would refuse.
pub(super) fn leave_out_keys(discovered: &mut Discovered) {
    let is_key = is_key(discovered);
    let settings = std::mem::take(&mut discovered.settings);
    for setting in settings {
        let member = setting.member;
        if holds(&setting.value, &is_key) {
            discovered.leave(None, format!("{member} not imported: it contains a key"));
        } else if let Some(why) = refused(member, &setting.value) {
            discovered.leave(None, format!("{member} not imported: {why}"));
        } else {
            discovered.settings.push(setting);
        }
    }
}

impl Target {
    /// Reads the policy beside the store, or composes one of the settings where there is none.
    ///
    /// # Errors
    /// If there is one that the gate would refuse.
    pub(super) fn read(path: Option<&Path>, store: &Path, discovered: &mut Discovered) -> Result<Self> {
        let path = path.map_or_else(|| store.with_file_name(POLICY), Path::to_owned);
        if path.try_exists()? {
            let node = read_policy(&path)?;
            let document = document(&node).map_err(|error| anyhow!("{}: {error}", path.display()))?;
            let now = effective(&document)?;
            let mut to_do = Vec::new();
            // A policy that is there has a name of its own.
            for setting in discovered.settings.iter().filter(|setting| setting.member != "name") {
                let mut with = node.clone();
                put(&mut with, setting.member, &setting.value);
                if document_of(&with).is_none_or(|with| with != now) {
                    to_do.push(setting.clone());
                }
            }
            return Ok(Self { path, document, to_do, text: None, node });
        }
        let text = if discovered.settings.is_empty() { None } else { Some(compose(&discovered.settings)?) };
        let node = match &text {
            Some(text) => Node::parse(text).map_err(|error| anyhow!("{error}"))?,
            None => Node::from(Tree::Map(Vec::new())),
        };
        let document = document(&node)?;
        Ok(Self { path, document, to_do: Vec::new(), text, node })
    }

    /// Whether the gate would take policy and store together.
    ///
    /// # Errors
    /// If it would not.
    pub(super) fn check(&self, store: &Store) -> Result<()> {
        let merged = merge(self.node.clone(), Some(store), &self.path)?;
        let refused = |refusal| anyhow!("nothing was written, because the gate would refuse the result: {refusal}");
        Policy::load(&merged.node.to_json()?, &environment).map(drop).map_err(refused)
    }

    /// Writes a policy where there was none.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        self.text.as_ref().map_or(Ok(()), |text| write_atomically(&self.path, text.as_bytes(), 0o644))
    }
}

/// Puts a member there; of an object, only the members that are given.
fn put(node: &mut Node, name: &str, value: &Node) {
    match node.get_mut(name) {
        Some(there) if !there.members().is_empty() && !value.members().is_empty() => {
            value.members().iter().for_each(|(name, value)| there.set(&name.text, value.clone()));
        }
        _ => node.set(name, value.clone()),
    }
}

fn document(node: &Node) -> Result<Document> {
    Document::read(&node.to_json()?).map_err(|refusal| anyhow!("the gate would refuse this policy: {refusal}"))
}

/// What a policy comes to, every default filled in.
fn effective(document: &Document) -> Result<Value> {
    Ok(serde_json::to_value(document)?)
}

fn document_of(node: &Node) -> Option<Value> {
    document(node).and_then(|document| effective(&document)).ok()
}

/// The text of settings, each under where it came from.
///
/// # Errors
/// None: it is only memory that is written to.
pub(super) fn fragment(settings: &[Setting]) -> Result<String> {
    let mut text = String::new();
    for setting in settings {
        text.push('\n');
        for line in setting.comment.lines() {
            writeln!(text, "# {line}")?;
        }
        text.push_str(&Node::map([(setting.member, setting.value.clone())]).to_yaml()?);
    }
    Ok(text)
}

fn compose(settings: &[Setting]) -> Result<String> {
    let head = "# Written by `portcullis import`. Review it, change it, and keep it in version control.\n\
                # The keys are in keys.json. `portcullis lint` checks both.\n\n";
    Ok(format!("{head}version: 1\n{}", fragment(settings)?))
}
