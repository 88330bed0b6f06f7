//! The key sources of another system, as key sources of the policy.

use portcullis::keys::NotAKey;

use super::discovered::{Discovered, refused};
use crate::yaml::{Node, Position};

/// How a system reads a header with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Without the word Bearer at the start of the value.
    WithoutBearer,
    /// The whole value, as the system of this name does.
    Whole(&'static str),
}

/// The key sources that were found so far, each once.
pub(super) struct KeySources {
    reads: Reads,
    items: Vec<Node>,
}

/// Where the gate looks for the keys of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    reads: Reads,
    /// In `Authorization: Bearer`.
    bearer: bool,
    /// In another header, or a query parameter or cookie.
    elsewhere: bool,
}

impl KeySources {
    /// None yet.
    pub(super) fn new(reads: Reads) -> Self {
        Self { reads, items: Vec::new() }
    }

    /// Adds one: its kind, the name of the header, parameter or cookie, and the position of the name.
    pub(super) fn add(&mut self, kind: &'static str, name: &str, at: Option<Position>, discovered: &mut Discovered) {
        let item = match kind {
            "header" if name.eq_ignore_ascii_case("authorization") => Node::from("bearer"),
            "header" => Node::map([(kind, Node::from(name.to_ascii_lowercase()))]),
            _ => Node::map([(kind, Node::from(name))]),
        };
        if let Some(why) = refused("key_sources", &Node::list([item.clone()])) {
            return discovered.leave(at, format!("key source not imported: {why}"));
        }
        if self.items.contains(&item) {
            return;
        }
        if item.text().is_some() {
            let becomes = "the header Authorization becomes the key source `bearer`";
            discovered.note(
                at,
                match self.reads {
                    Reads::WithoutBearer => format!("{becomes}: a key without the word Bearer is not accepted"),
                    Reads::Whole(system) => format!(
                        "{becomes}: {system} compares the whole value of the header, so what it knows as `Bearer KEY` \
                         is imported as the key KEY"
                    ),
                },
            );
        }
        self.items.push(item);
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether one is of this kind.
    pub(super) fn has(&self, kind: &str) -> bool {
        self.items.iter().any(|item| item.get(kind).is_some())
    }

    /// Adds the setting, if there are key sources.
    pub(super) fn set(self, comment: impl Into<String>, discovered: &mut Discovered) -> Places {
        let bearer = self.items.iter().any(|item| item.text().is_some());
        let places = Places {
            reads: self.reads,
            bearer,
            elsewhere: ["header", "query", "cookie"].iter().any(|kind| self.has(kind)),
        };
        if !self.is_empty() {
            discovered.set("key_sources", Node::list(self.items), comment);
        }
        places
    }
}

impl Places {
    /// The key for a text of the source: without the word Bearer, if the source compares the whole value of
    /// `Authorization`.
    ///
    /// # Errors
    /// Why the gate reads the key nowhere, if the source accepts it only in that header and without the word.
    pub(super) fn key_in<'a>(&self, text: &'a str) -> Result<&'a str, String> {
        let Reads::Whole(system) = self.reads else { return Ok(text) };
        if !self.bearer || NotAKey::of(text.as_bytes()).is_some() {
            return Ok(text);
        }
        match without_bearer(text) {
            Some(key) => Ok(key),
            None if self.elsewhere => Ok(text),
            None => Err(format!(
                "{system} accepts it as `Authorization: KEY`, without the word Bearer, which the gate does not read: \
                 add it with `portcullis keys add`, and let its callers send `Authorization: Bearer KEY`"
            )),
        }
    }
}

fn without_bearer(text: &str) -> Option<&str> {
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start_matches(' '))
}
