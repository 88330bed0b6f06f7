//! Imports discovered keys into the store: each is added, already exists, or is left out for a reason.

use std::collections::{BTreeSet, HashMap, HashSet};

use portcullis::Timestamp;
use portcullis::document::Document;
use portcullis::keys::Digest;
use portcullis::request::KeySource;
use serde_json::{Value, json};

use super::discovered::{Discovered, DiscoveredKey, Fits, refused};
use super::rename::advice;
use crate::keys::key_format::is_generated;
use crate::keys::known::{AllKeys, KnownKey};
use crate::store::journal::user;
use crate::store::{Store, StoredKey};
use crate::when::rfc3339;
use crate::yaml::{Node, Position};

const NAMED_AFTER: &str =
    "the name of its consumer or a role contains a key, and names are not secret: use another name";

const MAY_LESS: &str = "the key already exists, but in the source it is disabled or expires sooner: use `portcullis \
                        keys disable` or `portcullis keys expire`";

/// The result of importing keys.
#[derive(Debug, Default)]
pub(super) struct Imported {
    /// The keys that were added to the store.
    pub(super) keys: Vec<ImportedKey>,
    /// How many already existed.
    pub(super) already: usize,
}

/// A key that was added.
#[derive(Debug)]
pub(super) struct ImportedKey {
    /// Its position in the source.
    pub(super) at: Option<Position>,
    /// Its consumer.
    pub(super) consumer: String,
    /// Its public id.
    pub(super) id: String,
}

/// Returns a function that tests whether a text is one of the keys of a source, or a generated key.
pub(super) fn is_key(discovered: &Discovered) -> impl Fn(&str) -> bool + use<> {
    let digests: HashSet<Digest> = discovered.keys.iter().map(|key| key.digest).collect();
    move |text: &str| is_generated(text) || digests.contains(&Digest::of(text.as_bytes()))
}

/// Adds the discovered keys to `store`, and reports why the others are left out.
pub(super) fn import(discovered: &mut Discovered, policy: &Document, store: &mut Store, now: Timestamp) -> Imported {
    let is_key = is_key(discovered);
    let mut present = AllKeys::of_document(store, Some(policy), &|_| String::new());
    let bearer_alone = policy.key_sources.iter().all(|source| matches!(source, KeySource::Bearer));
    let keys = std::mem::take(&mut discovered.keys);
    let claims = claims(&keys);
    let unfit = Unfit::of(&keys);
    let mut seen: HashMap<Digest, Option<Position>> = HashMap::new();
    let mut taken = Imported::default();
    let mut weak = Vec::new();
    let user = user();
    for key in keys {
        let at = key.at;
        let problem = unpresentable(key.fits, bearer_alone)
            .or_else(|| expired(key.expires, now))
            .or_else(|| contested(&key, &claims, &present))
            .or_else(|| (!key.named_after.is_empty()).then(|| NAMED_AFTER.to_owned()))
            .or_else(|| unfit.names(&key, &is_key))
            .or_else(|| other_roles(&key, &present));
        if let Some(problem) = problem {
            discovered.leave(at, format!("key not imported: {problem}"));
            continue;
        }
        let first = seen.insert(key.digest, at);
        if let Some(known) = present.by_digest(&key.digest) {
            match first {
                _ if may_less(&key, known) => discovered.leave(at, MAY_LESS),
                Some(first) => {
                    let line = first.map(|first| format!(" as in line {}", first.line)).unwrap_or_default();
                    discovered.note(at, format!("the same key{line}: imported once"));
                }
                None => taken.already = taken.already.saturating_add(1),
            }
            continue;
        }
        let id = id(&key, &present, &unfit, &is_key, discovered);
        let description = key.description.clone().filter(|text| {
            let fits = !is_key(text) && refused("description", &Node::from(text.as_str())).is_none();
            if !fits {
                discovered.note(at, "description not imported: it is the key itself, empty or too long");
            }
            fits
        });
        let stored = store.consumers.entry(key.consumer.clone()).or_default();
        if let (Some(roles), false) = (&key.roles, present.is_in_policy(&key.consumer)) {
            stored.roles.clone_from(roles);
        }
        let entry = StoredKey {
            id: id.clone(),
            sha256: key.digest.to_hex(),
            description,
            created: Some(rfc3339(key.created.unwrap_or(now))),
            created_by: Some(user.clone()),
            expires: key.expires.map(rfc3339),
            disabled: key.disabled,
            ..StoredKey::default()
        };
        present.add(&key.consumer, key.roles.as_deref(), &entry);
        stored.keys.push(entry);
        weak.extend(key.weakness.as_ref().map(|why| (at, why.clone())));
        taken.keys.push(ImportedKey { at, consumer: key.consumer, id });
    }
    if let Some((at, why)) = weak.first() {
        let others = match weak.len() {
            1 => String::new(),
            number => format!("; so can {} more", number.saturating_sub(1)),
        };
        let message = format!("this key {why}, so it can be guessed{others}: `portcullis keys rotate` replaces it");
        discovered.note(*at, message);
    }
    taken
}

/// Whether an existing key is disabled, or expires sooner, in the source.
fn may_less(key: &DiscoveredKey, there: &KnownKey) -> bool {
    let sooner = |end: Timestamp| there.expires.is_none_or(|expires| end < expires);
    (key.disabled && !there.disabled) || key.expires.is_some_and(sooner)
}

/// The consumers of each key of a source.
fn claims(keys: &[DiscoveredKey]) -> HashMap<Digest, BTreeSet<String>> {
    let mut claims: HashMap<Digest, BTreeSet<String>> = HashMap::new();
    for key in keys {
        claims.entry(key.digest).or_default().insert(key.consumer.clone());
    }
    claims
}

fn unpresentable(fits: Fits, bearer_alone: bool) -> Option<String> {
    match fits {
        Fits::NotAKey(why) => Some(format!("it is {why}: add the key itself with `portcullis keys add`")),
        Fits::Nowhere => Some(
            "no request can present it (expected 1 to 1024 visible ASCII characters without spaces): create another \
             key"
            .to_owned(),
        ),
        Fits::NoBearer if bearer_alone => Some(
            "no request can present it (it has characters that a bearer token cannot have, RFC 9110 section 11.2): \
             create another key"
                .to_owned(),
        ),
        _ => None,
    }
}

fn expired(expires: Option<Timestamp>, now: Timestamp) -> Option<String> {
    expires.filter(|end| *end <= now).map(|end| format!("it expired at {}", rfc3339(end)))
}

/// Refuses a key that two consumers have: the consumer of a call would be unclear.
fn contested(key: &DiscoveredKey, claims: &HashMap<Digest, BTreeSet<String>>, present: &AllKeys) -> Option<String> {
    if claims.get(&key.digest).is_some_and(|names| names.len() > 1) {
        return Some(
            "two consumers have it, so the consumer of a call is unclear: create a separate key for each".to_owned(),
        );
    }
    let owner =
        present.by_digest(&key.digest).map(|known| &known.consumer).filter(|owner| ***owner != *key.consumer)?;
    Some(format!("it is already a key of consumer {owner}: create a separate key for each consumer"))
}

/// The names and ids of a source that the gate refuses, and why.
struct Unfit {
    /// The reasons end with the option that renames.
    consumers: HashMap<String, String>,
    /// As `consumers`.
    roles: HashMap<String, String>,
    ids: HashMap<String, String>,
}

impl Unfit {
    fn of(keys: &[DiscoveredKey]) -> Self {
        let consumer = |member: &str, items: Value| Node::from(json!([{"name": "x", member: items}]));
        let digest = Digest::of(b"x").to_hex();
        let consumers = || keys.iter().map(|key| &key.consumer);
        let roles = || keys.iter().flat_map(|key| key.roles.iter().flatten());
        let refused_consumers = refusals(consumers(), |names| {
            Node::from(names.iter().map(|name| json!({"name": name})).collect::<Value>())
        });
        let refused_roles = refusals(roles(), |roles| consumer("roles", json!(roles)));
        Self {
            consumers: with_advice(&refused_consumers, consumers()),
            roles: with_advice(&refused_roles, roles()),
            ids: refusals(keys.iter().filter_map(|key| key.id.as_ref()), |ids| {
                consumer("keys", ids.iter().map(|id| json!({"id": id, "sha256": digest})).collect())
            }),
        }
    }

    /// The problem with the name of a key's consumer or with its roles, if there is one.
    fn names(&self, key: &DiscoveredKey, is_key: &impl Fn(&str) -> bool) -> Option<String> {
        let mut names = key.roles.iter().flatten().chain([&key.consumer]);
        if names.any(|name| is_key(name)) {
            return Some(NAMED_AFTER.to_owned());
        }
        let consumer = self.consumers.get(&key.consumer).cloned();
        let role = || key.roles.iter().flatten().find_map(|role| self.roles.get(role));
        consumer.or_else(|| role().cloned())
    }
}

/// Adds to each reason the option that renames.
fn with_advice<'a>(
    reasons: &'a HashMap<String, String>,
    there: impl Iterator<Item = &'a String>,
) -> HashMap<String, String> {
    if reasons.is_empty() {
        return HashMap::new();
    }
    let advice = advice(reasons.keys(), there);
    let with = |(name, why): (&String, &String)| match advice.get(name.as_str()) {
        Some(option) => (name.clone(), format!("{why}: rename it with {option}")),
        _ => (name.clone(), why.clone()),
    };
    reasons.iter().map(with).collect()
}

/// The texts that the gate refuses in a list of consumers. First all are tried together, since usually all are valid.
fn refusals<'a>(
    texts: impl Iterator<Item = &'a String>,
    consumers: impl Fn(&[&str]) -> Node,
) -> HashMap<String, String> {
    let texts: HashSet<&str> = texts.map(String::as_str).collect();
    let texts: Vec<&str> = texts.into_iter().collect();
    let why = |texts: &[&str]| refused("consumers", &consumers(texts));
    if why(&texts).is_none() {
        return HashMap::new();
    }
    texts.into_iter().filter_map(|text| Some((text.to_owned(), why(&[text])?))).collect()
}

/// Refuses a key whose consumer has other roles here: the key would get more or fewer rights than before.
fn other_roles(key: &DiscoveredKey, present: &AllKeys) -> Option<String> {
    let wanted: BTreeSet<String> = key.roles.as_ref()?.iter().cloned().collect();
    let there: BTreeSet<String> = present.roles(&key.consumer)?.iter().cloned().collect();
    if there == wanted {
        return None;
    }
    let name = |roles: &BTreeSet<String>| match roles.len() {
        0 => "no role".to_owned(),
        _ => format!("the roles {}", roles.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    Some(format!(
        "consumer {} already has {}, but {} here: make them the same, or use another consumer",
        key.consumer,
        name(&there),
        name(&wanted)
    ))
}

/// The id in the source if it is valid, otherwise the first digits of the digest.
fn id(
    key: &DiscoveredKey,
    present: &AllKeys,
    unfit: &Unfit,
    is_key: &impl Fn(&str) -> bool,
    discovered: &mut Discovered,
) -> String {
    let handle = key.digest.handle();
    let Some(id) = &key.id else { return handle };
    let why = if is_key(id) {
        "it is a key".to_owned()
    } else if present.by_id(id).is_some() {
        "another key has this id".to_owned()
    } else if let Some(why) = unfit.ids.get(id) {
        why.clone()
    } else {
        return id.clone();
    };
    discovered.note(key.at, format!("id not imported ({why}): the new id is {handle}"));
    handle
}
