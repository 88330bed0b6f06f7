//! One policy file, merged with its store.

use std::path::PathBuf;

use anyhow::Result;

use super::Part;
use crate::files::merge;
use crate::store::Located;
use crate::yaml::{Node, Place};

/// A policy file with its store.
#[derive(Debug, Clone)]
pub(super) struct Portion {
    /// The file.
    pub(super) file: PathBuf,
    /// The document as it is in the file.
    pub(super) own: Node,
    /// The same with the consumers and keys of the store.
    pub(super) merged: Node,
    /// The store, if there is one.
    pub(super) store: Option<Located>,
}

impl Portion {
    /// Merges a file with its store.
    ///
    /// # Errors
    /// If the two contradict each other.
    pub(super) fn of(part: Part) -> Result<Self> {
        let Part { file, policy, store } = part;
        let merged = merge(policy.clone(), store.as_ref().map(|stored| &stored.store), &file)?.node;
        Ok(Self { file, own: policy, merged, store })
    }

    /// The place of a path of the merged document: in the file, or in the store.
    pub(super) fn place(&self, path: &str) -> Place {
        self.in_store(path).unwrap_or_else(|| Place::new(&self.file, self.own.position(path)))
    }

    /// The place of the name of a field.
    pub(super) fn name_place(&self, name: &str) -> Place {
        Place::new(&self.file, self.own.name_position("", name))
    }

    fn in_store(&self, path: &str) -> Option<Place> {
        let (consumer, rest) = path.strip_prefix("consumers[")?.split_once(']')?;
        let index: usize = consumer.parse().ok()?;
        let name = self.merged.items_of("consumers").get(index)?.get("name").and_then(Node::text)?;
        let own = self.own.items_of("consumers").get(index);
        let own_keys = own.map_or(0, |consumer| consumer.items_of("keys").len());
        let key = rest
            .strip_prefix(".keys[")
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(key, _)| key.parse::<usize>().ok());
        let store = self.store.as_ref();
        match key.map(|key| key.checked_sub(own_keys)) {
            Some(Some(key)) => Some(store?.place(&["consumers", name, "keys", &key.to_string()])),
            None if own.is_none() => Some(store?.place(&["consumers", name])),
            _ => None,
        }
    }
}
