//! New entries of the store: their consumer and properties, and the check that the gate accepts them.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use portcullis::keys::Digest;
use portcullis::{Document, Timestamp};
use serde_json::json;

use super::key_format::is_generated;
use super::known::AllKeys;
use crate::files::EffectivePolicy;
use crate::output::YELLOW;
use crate::similar::similar;
use crate::store::journal::user;
use crate::store::{Store, StoredKey};
use crate::when::{When, rfc3339};
use crate::yaml::Node;

/// The options of `generate` and `add` for the keys that they add to the store.
#[derive(Debug, Args)]
pub(crate) struct Entry {
    /// The consumer that the key belongs to; created if it does not exist
    #[arg(long, value_name = "NAME")]
    pub(crate) consumer: String,
    /// A role to add to the consumer, for all of its keys, if the policy does not define the consumer; may be repeated
    #[arg(long = "role", alias = "roles", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// The public id of the key [default: the first 16 hex digits of the key's SHA-256]
    #[arg(long)]
    id: Option<String>,
    /// A description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A note for the store and its log, such as the number of a ticket
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// When the key expires: 90d, 2027-02-01, or a date-time [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
    /// When the key becomes valid [default: now]
    #[arg(long, value_name = "WHEN")]
    not_before: Option<When>,
}

impl Entry {
    /// Adds keys to the store. Each digest comes with the place where it was given, for messages.
    ///
    /// # Errors
    /// If a key already exists, or if the gate would refuse the entry. Do not save the store in that case.
    pub(crate) fn put(
        &self,
        store: &mut Store,
        policy: Option<&EffectivePolicy>,
        digests: Vec<(String, Digest)>,
        now: Timestamp,
    ) -> Result<Added> {
        if self.id.is_some() && digests.len() != 1 {
            bail!("--id: expected a single key: the ids of several keys come from their digests");
        }
        let expires = self.expires.map(|when| when.from(now));
        if expires.is_some_and(|expires| expires <= now) {
            bail!("--expires is in the past: the key would never be valid");
        }
        let given: HashSet<Digest> = digests.iter().map(|(_, digest)| *digest).collect();
        let is_given = |text: &str| given.contains(&Digest::of(text.as_bytes()));
        if let Some((option, _)) = self.names().find(|(_, text)| is_given(text)) {
            bail!("{option} is the key itself, which is now in the shell's history: `generate` another key");
        }
        let all = AllKeys::of(store, policy)?;
        check_no_key(self.names(), &all)?;
        let notes = self.put_roles(store, policy)?;
        let time = |at: Option<Timestamp>| at.map(rfc3339);
        let blueprint = StoredKey {
            description: self.description.clone(),
            note: self.note.clone(),
            created: Some(rfc3339(now)),
            created_by: Some(user()),
            not_before: time(self.not_before.map(|when| when.from(now))),
            expires: time(expires),
            ..StoredKey::default()
        };
        let new = |(place, digest)| NewEntry::new(&self.consumer, place, digest, self.id.as_deref(), &blueprint);
        let keys: Vec<_> = digests.into_iter().map(new).collect();
        // The entries differ only in key and id, so checking one is enough.
        for new in keys.iter().take(1) {
            check(&self.consumer, &self.roles, &new.key)?;
        }
        add_unique(store, &all, &keys)?;
        Ok(Added { keys, notes })
    }

    /// The options whose values are not secret.
    fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let options = [("--id", &self.id), ("--description", &self.description), ("--note", &self.note)];
        let options = options.into_iter().filter_map(|(option, text)| Some((option, text.as_deref()?)));
        let roles = self.roles.iter().map(|role| ("--role", role.as_str()));
        options.chain(roles).chain([("--consumer", self.consumer.as_str())])
    }

    /// Adds the roles of the consumer to the store, unless the policy defines them. Returns notes for the user.
    fn put_roles(&self, store: &mut Store, policy: Option<&EffectivePolicy>) -> Result<Vec<String>> {
        let name = &self.consumer;
        let in_policy = policy.and_then(|policy| policy.place_of_consumer(name));
        let is_new = !store.consumers.contains_key(name);
        if let Some(place) = in_policy.as_ref().filter(|_| !self.roles.is_empty()) {
            bail!("--role: the policy defines the consumer {name}: write its roles there ({place})");
        }
        let mut notes = Vec::new();
        if is_new && in_policy.is_none() {
            notes.push(format!("{name} is a new consumer"));
            let named = policy.iter().flat_map(|policy| policy.node.items_of("consumers"));
            let named = named.filter_map(|one| one.get("name").and_then(Node::text));
            if let Some(like) = similar(name, named.chain(store.consumers.keys().map(String::as_str)))
                && !differ_in_digits(name, like)
            {
                notes.push(format!(
                    "{YELLOW}warning:{YELLOW:#} there is a consumer {like} already: if that was meant, `portcullis \
                     consumers remove {name}`, and start again"
                ));
            }
        }
        let stored = store.consumers.entry(name.clone()).or_default();
        let before = stored.roles.len();
        for role in &self.roles {
            if !stored.roles.contains(role) {
                stored.roles.push(role.clone());
            }
        }
        if !is_new && stored.roles.len() > before {
            notes.push(format!("every key of {name} now has these roles: {}", stored.roles.join(", ")));
        }
        Ok(notes)
    }
}

/// Checks that no name is a key: names are listed, logged, rendered and sent to the service.
///
/// # Errors
/// The first one that is. The message does not show it.
pub(crate) fn check_no_key<'a>(names: impl Iterator<Item = (&'static str, &'a str)>, all: &AllKeys) -> Result<()> {
    for (option, text) in names {
        if all.by_digest(&Digest::of(text.as_bytes())).is_some() || is_generated(text) {
            bail!("{option} is a key, which is now in the shell's history: rotate that key, and use another name");
        }
        if option == "--id" && text == "-" {
            bail!("--id: `-` stands for keys on standard input: use another id");
        }
    }
    Ok(())
}

/// Whether two names are those of a series, such as `edge-1` and `edge-2`.
fn differ_in_digits(one: &str, other: &str) -> bool {
    let letters = |name: &str| name.replace(|letter: char| letter.is_ascii_digit(), "");
    letters(one) == letters(other)
}

/// The keys that were added, and notes for the user.
#[derive(Debug)]
pub(crate) struct Added {
    /// The keys.
    pub(crate) keys: Vec<NewEntry>,
    /// Notes about what has changed.
    pub(crate) notes: Vec<String>,
}

/// A new key of the store.
#[derive(Debug)]
pub(crate) struct NewEntry {
    /// Its consumer.
    pub(crate) consumer: String,
    /// The entry.
    pub(crate) key: StoredKey,
    /// The id of the key that it replaces.
    pub(crate) replaces: Option<String>,
    /// Where it was given, for messages.
    place: String,
}

impl NewEntry {
    /// Creates a key like `blueprint`, with another digest and id.
    pub(crate) fn new(consumer: &str, place: String, digest: Digest, id: Option<&str>, blueprint: &StoredKey) -> Self {
        let id = id.map_or_else(|| digest.handle(), str::to_owned);
        let key = StoredKey { id, sha256: digest.to_hex(), ..blueprint.clone() };
        Self { consumer: consumer.to_owned(), key, replaces: None, place }
    }
}

/// Adds keys whose digests and ids are not among `all`, which are those of the store and the policy.
///
/// # Errors
/// The first key that already exists, with its consumer.
pub(crate) fn add_unique(store: &mut Store, all: &AllKeys, keys: &[NewEntry]) -> Result<()> {
    let mut given = HashMap::new();
    for NewEntry { consumer, key, place, .. } in keys {
        let digest = key.digest();
        if let Some(known) = digest.and_then(|digest| all.by_digest(&digest)) {
            let at = known.place.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
            bail!("{place}: duplicate key: it is {} of {}{at}", known.id, known.consumer);
        }
        if let Some(known) = all.by_id(&key.id) {
            bail!("--id {}: duplicate key id, already used by a key of {}: use another one", key.id, known.consumer);
        }
        if let Some(other) = given.insert(digest, place) {
            bail!("{place}: duplicate key, also in {other}: give it once");
        }
        store.consumers.entry(consumer.clone()).or_default().keys.push(key.clone());
    }
    Ok(())
}

/// Checks an entry with the parser of the gate.
///
/// # Errors
/// The refusal, in terms of the options of the command.
pub(crate) fn check(consumer: &str, roles: &[String], key: &StoredKey) -> Result<()> {
    let document = json!({"consumers": [{"name": consumer, "roles": roles, "keys": [key.to_node()]}]});
    Document::read(&serde_json::to_vec(&document)?).map(drop).map_err(|mut refusal| {
        let place = refusal.path.strip_prefix("consumers[0].").unwrap_or_default();
        refusal.path = match place.split(['[', '.']).next_back().unwrap_or_default() {
            _ if place.starts_with("name") => "--consumer".to_owned(),
            _ if place.starts_with("roles") => "--role".to_owned(),
            "id" => "--id".to_owned(),
            "description" => "--description".to_owned(),
            _ => format!("key {}", key.id),
        };
        anyhow!("{refusal}")
    })
}
