//! Consumers and keys that are in two files. The gate would skip both entries of a key, so that one team could take away
//! the keys of another.

use std::collections::HashMap;

use portcullis::keys::Digest;
use portcullis::value::Plaintext;

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
                things.extend(of_key(key).into_iter().map(|thing| (thing, format!("{path}.keys[{index}]"))));
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
    let variable = text("env");
    let value = variable.and_then(environment).map(|value| value.strip_suffix(b"\n").unwrap_or(&value).to_vec());
    let plaintext = text("plaintext").and_then(|text| text.parse::<Plaintext>().ok());
    let digest = text("sha256").and_then(Digest::from_hex);
    let digest = digest.or_else(|| plaintext.and_then(|key| key.digest().ok()));
    let digest = digest.or_else(|| value.filter(|value| !value.is_empty()).map(|value| Digest::of(&value)));
    let id = text("id").map(str::to_owned).or_else(|| digest.map(|digest| digest.handle()));
    let things = [digest.map(Thing::Key), variable.map(|name| Thing::Variable(name.to_owned())), id.map(Thing::Id)];
    things.into_iter().flatten().collect()
}
