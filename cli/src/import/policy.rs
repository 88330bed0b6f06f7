//! The settings of a source, and the policy that they go to. An existing policy is never changed: people write it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use portcullis::{Document, Policy};
use serde_json::Value;

use super::discovered::{Discovered, Setting, holds, refused};
use super::keys::is_key;
use crate::files::{POLICY, environment, merge, read_policy};
use crate::store::{Store, write_atomically};
use crate::teams::without_teams;
use crate::yaml::{Node, Tree};

/// The policy that goes with the store.
#[derive(Debug)]
pub(super) struct Target {
    /// Its path.
    pub(super) path: PathBuf,
    /// The existing document, or the one that will be written.
    pub(super) document: Document,
    /// The settings that an existing policy lacks, which the user has to add.
    pub(super) to_do: Vec<Setting>,
    /// The text of a new policy.
    pub(super) text: Option<String>,
    node: Node,
}

/// Leaves out settings that contain a key, and those that the gate would refuse.
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
    /// Reads the policy beside the store, or composes a new one from the settings if there is none.
    ///
    /// # Errors
    /// If there is one that the gate would refuse.
    pub(super) fn read(path: Option<&Path>, store: &Path, discovered: &mut Discovered) -> Result<Self> {
        let path = path.map_or_else(|| store.with_file_name(POLICY), Path::to_owned);
        if path.try_exists()? {
            let node = without_teams(read_policy(&path)?);
            let document = document(&node).map_err(|error| anyhow!("{}: {error}", path.display()))?;
            let now = effective(&document)?;
            let mut to_do = Vec::new();
            // An existing policy keeps its name.
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

    /// Checks that the gate would accept policy and store together.
    ///
    /// # Errors
    /// If it would not.
    pub(super) fn check(&self, store: &Store) -> Result<()> {
        let merged = merge(self.node.clone(), Some(store), &self.path)?;
        let refused = |refusal| anyhow!("nothing was written, because the gate would refuse the result: {refusal}");
        Policy::load(&merged.node.to_json()?, &environment).map(drop).map_err(refused)
    }

    /// Writes a new policy.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self) -> Result<()> {
        self.text.as_ref().map_or(Ok(()), |text| write_atomically(&self.path, text.as_bytes(), 0o644))
    }
}

/// Sets a member; of an object, only the given members.
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

/// A policy with all defaults.
fn effective(document: &Document) -> Result<Value> {
    Ok(serde_json::to_value(document)?)
}

fn document_of(node: &Node) -> Option<Value> {
    document(node).and_then(|document| effective(&document)).ok()
}

/// The text of settings, each below its comment.
///
/// # Errors
/// Never: it only writes to memory.
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
