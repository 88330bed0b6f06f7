//! A store together with the positions in its file, for messages that name a place in it.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Store, read_text};
use crate::yaml::{Node, Place};

/// A store, and its text.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// The store.
    pub(crate) store: Store,
    /// Its path.
    pub(crate) file: PathBuf,
    text: String,
    /// Parsed only when a position is needed: a store may be large.
    node: OnceCell<Option<Node>>,
}

impl Located {
    /// Reads a store.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = read_text(file)?;
        let store = Store::parse(&text).with_context(|| format!("invalid key store {}", file.display()))?;
        Ok(Self::new(store, file, text))
    }

    /// Puts a store and its text together.
    pub(crate) fn new(store: Store, file: &Path, text: String) -> Self {
        Self { store, file: file.to_owned(), text, node: OnceCell::new() }
    }

    /// The place of what these steps lead to, or of the nearest value around it.
    pub(crate) fn place(&self, path: &[&str]) -> Place {
        let node = self.node.get_or_init(|| Node::parse(&self.text).ok()).as_ref();
        let mut at = None;
        let mut here = node;
        for step in path {
            here = here.and_then(|node| node.get(step).or_else(|| node.items().get(step.parse::<usize>().ok()?)));
            at = here.and_then(|node| node.at).or(at);
        }
        Place::new(&self.file, at)
    }
}
