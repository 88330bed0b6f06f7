//! Consumers and keys that are in two files. The gate would skip both entries of a key, so that one team could take away
//! the keys of another. And ids that may become that of another key: the gate would refuse the whole policy.

use std::collections::HashMap;

use portcullis::keys::{Digest, Secret};

use super::Conflict;
use super::portion::Portion;
use crate::files::environment;
use crate::yaml::Node;

/// Where something was met first: the number of the file, and the path there.
type Met = (usize, String);

/// What must not be in two files.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Thing {
    Consumer(String),
    Id(String),
    Key(Digest),
    Variable(String),
}

impl Thing {
    fn as_text(&self) -> (&'static str, &'static str) {
        match self {
            Self::Consumer(_) => ("this consumer is also in another file", "use another name, or remove one of them"),
            Self::Id(_) => ("a key in another file has the same id", "use another id"),
            Self::Key(_) => ("this key is also in another file", "remove one of them, or create another key"),
            Self::Variable(_) => ("a key in another file comes from the same variable", "use another variable"),
        }
    }
}

/// Compares all files.
pub(super) fn check(first: &Portion, teams: &[Portion], conflicts: &mut Vec<Conflict>) {
    let all: Vec<&Portion> = std::iter::once(first).chain(teams).collect();
    let mut met: HashMap<Thing, Met> = HashMap::new();
    for (number, portion) in all.iter().enumerate() {
        for (index, consumer) in portion.merged.items_of("consumers").iter().enumerate() {
            let path = format!("consumers[{index}]");
            let name = consumer.get("name").and_then(Node::text).map(|name| Thing::Consumer(name.to_owned()));
            let mut things: Vec<(Thing, String)> = name.into_iter().map(|name| (name, path.clone())).collect();
            for (index, key) in consumer.items_of("keys").iter().enumerate() {
                let path = format!("{path}.keys[{index}]");
                if !teams.is_empty() && has_id_of_another(key) {
                    let message = format!("{path}.id: 16 hex digits are the default id of another key");
                    conflicts.push(Conflict::new(portion.place(&path), message, "use another id"));
                }
                things.extend(of_key(key).into_iter().map(|thing| (thing, path.clone())));
            }
            let mut reported = None;
            for (thing, path) in things {
                let (message, fix) = thing.as_text();
                let (other, place) = met.entry(thing).or_insert_with(|| (number, path.clone()));
                // A key with the same digest also has the same default id.
                if *other == number || reported.as_ref() == Some(&path) {
                    continue;
                }
                let Some(place) = all.get(*other).map(|other| other.place(place)) else { continue };
                conflicts.push(Conflict::new(portion.place(&path), format!("{path}: {message}: {place}"), fix));
                reported = Some(path);
            }
        }
    }
}

/// What a key entry has that no other may have. An invalid entry is skipped by the gate.
fn of_key(key: &Node) -> Vec<Thing> {
    let text = |name: &str| key.get(name).and_then(Node::text);
    let digest = digest(key);
    let id = text("id").map(str::to_owned).or_else(|| digest.map(|digest| digest.handle()));
    let variable = text("env").map(|name| Thing::Variable(name.to_owned()));
    [digest.map(Thing::Key), variable, id.map(Thing::Id)].into_iter().flatten().collect()
}

/// The digest of a key entry, as the gate has it; `None` for an invalid entry, and if a variable is not set here.
fn digest(key: &Node) -> Option<Digest> {
    let text = |name: &str| key.get(name).and_then(Node::text);
    let secret = if let Some(digest) = text("sha256") {
        Secret::Sha256(Digest::from_hex(digest))
    } else if let Some(plaintext) = text("plaintext") {
        Secret::Plaintext(plaintext.parse().ok()?)
    } else {
        Secret::Env(text("env")?.parse().ok()?)
    };
    secret.resolve(&environment).ok()
}

/// Whether the id of an entry looks like the default id of a key, and is not its own. An `env` key whose variable is not
/// set here may have it.
fn has_id_of_another(key: &Node) -> bool {
    let is_handle = |id: &&str| id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = key.get("id").and_then(Node::text).filter(is_handle);
    id.is_some_and(|id| digest(key).is_none_or(|digest| digest.handle() != id))
}
