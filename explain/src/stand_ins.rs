//! Presents a key of the policy by its id.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use portcullis::RefusedEntry;
use portcullis::document::Document;
use portcullis::keys::{Digest, EntryProblem, Secret};
use portcullis::request::KeySource;

use crate::request_spec::RequestSpec;
use crate::similar::did_you_mean;
use crate::yaml::{Node, Tree};

/// Keys of the policy that requests present by id. The keys themselves are unknown here, so such an entry gets the digest of
/// a substitute key. Everything else about the entry stays the same.
pub struct StandIns<'a> {
    policy: &'a mut Node,
    /// The position of the entry of each id: consumer and key.
    places: BTreeMap<String, (usize, usize)>,
    source: Option<KeySource>,
}

impl<'a> StandIns<'a> {
    /// Finds the entries of a policy that can be presented. `document` is `policy` parsed, and `refused` are the entries that
    /// the gate skips.
    pub fn new(policy: &'a mut Node, document: Document, refused: &[RefusedEntry]) -> Self {
        let Document { consumers, key_sources, .. } = document;
        // An invalid entry stays refused. Whether a variable is set depends on where Envoy runs.
        let unset = |problem: &EntryProblem| matches!(problem, EntryProblem::UnsetVariable(_));
        let refused: Vec<_> = refused.iter().filter(|one| !unset(&one.problem)).map(|one| one.path.as_str()).collect();
        let mut places = BTreeMap::new();
        for (index, consumer) in consumers.iter().enumerate() {
            for (number, key) in consumer.keys.iter().enumerate() {
                let handle = match &key.secret {
                    Secret::Sha256(digest) => digest.map(|digest| digest.handle()),
                    Secret::Plaintext(key) => Some(Digest::of(key.expose().as_bytes()).handle()),
                    Secret::Env(_) => None,
                };
                let id = key.id.as_ref().map(|id| id.as_str().to_owned()).or(handle);
                if let Some(id) =
                    id.filter(|_| !refused.contains(&format!("consumers[{index}].keys[{number}]").as_str()))
                {
                    places.insert(id, (index, number));
                }
            }
        }
        Self { policy, places, source: key_sources.into_iter().next() }
    }

    /// The key entry with this id, after the name of its consumer.
    pub fn entry(&self, id: &str) -> Option<(&str, &Node)> {
        let (consumer, number) = self.places.get(id)?;
        let consumer = self.policy.items_of("consumers").get(*consumer)?;
        Some((consumer.get("name")?.text()?, consumer.items_of("keys").get(*number)?))
    }

    /// Makes a request present the key with this id, in the first key source of the policy.
    ///
    /// # Errors
    /// If no valid entry has this id.
    pub fn present(&mut self, id: &str, spec: &mut RequestSpec) -> Result<()> {
        let Some((consumer, number)) = self.places.get(id) else {
            bail!(
                "unknown key id {id:?}: expected the id of a key (`portcullis keys list` shows all, `portcullis \
                 lint` shows invalid entries){}",
                did_you_mean(id, self.places.keys().map(String::as_str))
            )
        };
        let key = format!("stand-in-{}", Digest::of(id.as_bytes()).to_hex());
        let consumer = self.policy.get_mut("consumers").and_then(|list| item(list, *consumer));
        let entry = consumer.and_then(|consumer| consumer.get_mut("keys")).and_then(|keys| item(keys, *number));
        if let Some(Node { tree: Tree::Map(members), .. }) = entry {
            members.retain(|(name, _)| !matches!(name.text.as_str(), "sha256" | "plaintext" | "env" | "id"));
            members.push(("id".to_owned().into(), id.into()));
            members.push(("sha256".to_owned().into(), Digest::of(key.as_bytes()).to_hex().into()));
        }
        match &self.source {
            Some(KeySource::Header(name)) => spec.header(name.as_str(), &key)?,
            Some(KeySource::Cookie(name)) => spec.header("cookie", &format!("{}={key}", name.as_str()))?,
            Some(KeySource::Query(name)) => spec.query(name.as_str(), &key),
            Some(KeySource::WebsocketProtocol(marker)) => {
                spec.header("upgrade", "websocket")?;
                spec.header("connection", "upgrade")?;
                spec.header("sec-websocket-protocol", &format!("{}, {key}", marker.as_str()))?;
            }
            Some(KeySource::Bearer) | None => spec.header("authorization", &format!("Bearer {key}"))?,
        }
        Ok(())
    }
}

fn item(list: &mut Node, index: usize) -> Option<&mut Node> {
    match &mut list.tree {
        Tree::List(items) => items.get_mut(index),
        _ => None,
    }
}
