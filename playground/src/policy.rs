//! The policy that was pasted.

use std::path::Path;

use portcullis::document::{Mode, Refusal};
use portcullis::keys::EntryProblem;
use portcullis::{Document, Loaded, Policy};
use portcullis_explain::Written;
use portcullis_explain::refusal::{meant, refused_at};
use portcullis_explain::yaml::{Node, Place, Tree, position_in};

use crate::fault::Fault;

/// The length of a policy, in bytes: more would stop the page for seconds.
const MAX_LENGTH: usize = 256 * 1024;

/// The name of the policy in places, as the command has it.
const NAME: &str = "policy.yaml";

/// Members that show that this is not a policy alone.
const WHOLE: [&str; 3] = ["static_resources", "dynamic_resources", "apiVersion"];

/// A policy, with the place of every value.
#[derive(Clone)]
pub(crate) struct Pasted {
    pub(crate) node: Node,
}

impl Pasted {
    /// Parses YAML or JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_LENGTH {
            return Err(Fault::new("policy", "longer than 256 KiB: use `portcullis check`"));
        }
        let node = Node::parse(text).map_err(|error| {
            let (at, message) = position_in(&error);
            Fault { at, ..Fault::new("policy", format!("not valid YAML: {message}")) }
        })?;
        if node.tree == Tree::Null {
            return Err(Fault::new("policy", "empty: write {} for a policy without any settings"));
        }
        if WHOLE.iter().any(|member| node.get(member).is_some()) {
            let fix = "paste only the policy, which is the value of the filter's `configuration` (or `pluginConfig`)";
            return Err(Fault::new("policy", format!("this is a whole configuration: {fix}")));
        }
        Ok(Self { node })
    }

    /// Reads the document, as the gate does.
    pub(crate) fn document(&self) -> Result<Document, Fault> {
        Document::read(&self.json()?).map_err(|refusal| self.refused(&refusal))
    }

    /// Compiles it, as the gate does. There is no environment.
    pub(crate) fn compile(&self) -> Result<Loaded, Fault> {
        Policy::load(&self.json()?, &|_| None).map_err(|refusal| self.refused(&refusal))
    }

    /// The same policy in mode `enforce`.
    pub(crate) fn enforced(&self) -> Self {
        let mut policy = self.clone();
        policy.node.set("mode", Mode::Enforce.as_str().into());
        policy
    }

    fn json(&self) -> Result<Vec<u8>, Fault> {
        self.node.to_json().map_err(Fault::field("policy"))
    }

    fn refused(&self, refusal: &Refusal) -> Fault {
        let at = refused_at(&self.node, refusal, self.node.position(&refusal.path));
        Fault { at, ..Fault::new("policy", format!("{refusal}{}", meant(&refusal.problem))) }
    }
}

impl Written for Pasted {
    fn node(&self) -> &Node {
        &self.node
    }

    fn known_place(&self, path: &str) -> Option<String> {
        let at = self.node.at_path(path)?.at?;
        Some(Place::new(Path::new(NAME), Some(at)).to_string())
    }
}

/// The entries that the gate skips, in words. That a variable is not set says nothing here, where there is no environment.
pub(crate) fn notes(loaded: &Loaded) -> Vec<String> {
    let refused = loaded.refused_entries.iter();
    let refused = refused.filter(|entry| !matches!(entry.problem, EntryProblem::UnsetVariable(_)));
    refused.map(|entry| format!("invalid key entry skipped: {entry}")).collect()
}
