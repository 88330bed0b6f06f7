//! All keys: those of the store, and those of its policy.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use anyhow::Result;
use portcullis::Timestamp;
use portcullis::document::Document;
use portcullis::keys::Digest;
use portcullis::keys::EntryProblem;
use portcullis::keys::KeyEntry;

use crate::files::{EffectivePolicy, environment};
use crate::store::{Store, StoredKey};
use crate::when::Span;

/// One key.
#[derive(Debug)]
pub(crate) struct KnownKey {
    /// Its consumer.
    pub(crate) consumer: Rc<str>,
    /// The consumer's roles.
    pub(crate) roles: Rc<[String]>,
    /// Its public id.
    pub(crate) id: String,
    /// A description.
    pub(crate) description: Option<String>,
    /// A note.
    pub(crate) note: Option<String>,
    /// When it was added to the store.
    pub(crate) created: Option<String>,
    /// Who added it.
    pub(crate) created_by: Option<String>,
    /// Not valid before.
    pub(crate) not_before: Option<Timestamp>,
    /// Not valid from this time on.
    pub(crate) expires: Option<Timestamp>,
    /// Its place in the policy; `None` for a key of the store.
    pub(crate) place: Option<String>,
    /// Whether it is disabled.
    pub(crate) disabled: bool,
    /// `None` for an invalid digest or an unset variable.
    digest: Option<Digest>,
    /// Why it does not work at any time.
    problem: Option<State>,
}

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Valid.
    Active,
    /// Valid, but expires soon.
    ExpiresIn(Span),
    /// Not yet valid.
    ValidIn(Span),
    /// No longer valid.
    Expired,
    /// Whether it is disabled.
    Disabled,
    /// The gate refuses the entry, or the whole policy because of it: `lint` shows the reason.
    Refused,
    /// The key is in a variable that is not set here; it may be set for Envoy.
    Unset,
}

impl State {
    /// The name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ExpiresIn(_) => "expires_soon",
            Self::ValidIn(_) => "not_yet_valid",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Refused => "refused",
            Self::Unset => "unset_variable",
        }
    }

    /// Whether a request with the key passes the gate's look-up.
    pub(crate) fn is_valid(self) -> bool {
        matches!(self, Self::Active | Self::ExpiresIn(_))
    }
}

/// The state as text.
impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ExpiresIn(span) => write!(f, "expires in {span}"),
            Self::ValidIn(span) => write!(f, "valid in {span}"),
            Self::Unset => f.write_str("unset here"),
            _ => f.write_str(self.name()),
        }
    }
}

impl KnownKey {
    /// The state at `now`. A key that expires within `soon` expires soon.
    pub(crate) fn state(&self, now: Timestamp, soon: Span) -> State {
        let until = |at: Timestamp| Span::between(now, at);
        if let Some(problem) = self.problem {
            return problem;
        }
        match (self.not_before, self.expires) {
            _ if self.disabled => State::Disabled,
            (Some(from), _) if now < from => State::ValidIn(until(from)),
            (_, Some(at)) if at <= now => State::Expired,
            (_, Some(at)) if at < soon.after(now) => State::ExpiresIn(until(at)),
            _ => State::Active,
        }
    }

    fn stored(consumer: &Rc<str>, roles: &Rc<[String]>, key: &StoredKey) -> Self {
        let time = |text: &Option<String>| text.as_deref().map(Timestamp::from_rfc3339);
        let (not_before, expires) = (time(&key.not_before), time(&key.expires));
        let digest = key.digest();
        let is_refused = digest.is_none() || not_before == Some(None) || expires == Some(None);
        Self {
            consumer: Rc::clone(consumer),
            roles: Rc::clone(roles),
            id: key.id.clone(),
            description: key.description.clone(),
            note: key.note.clone(),
            created: key.created.clone(),
            created_by: key.created_by.clone(),
            not_before: not_before.flatten(),
            expires: expires.flatten(),
            place: None,
            disabled: key.disabled,
            problem: is_refused.then_some(State::Refused),
            digest,
        }
    }

    fn in_policy(consumer: &Rc<str>, roles: &Rc<[String]>, key: &KeyEntry, place: String) -> Self {
        let (digest, problem) = match key.secret.resolve(&environment) {
            Ok(digest) => (Some(digest), None),
            Err(EntryProblem::UnsetVariable(_)) => (None, Some(State::Unset)),
            Err(_) => (None, Some(State::Refused)),
        };
        Self {
            consumer: Rc::clone(consumer),
            roles: Rc::clone(roles),
            id: match (&key.id, digest) {
                (Some(id), _) => id.as_str().to_owned(),
                (None, Some(digest)) => digest.handle(),
                (None, None) => String::from("?"),
            },
            description: key.description.as_ref().map(|text| text.as_str().to_owned()),
            note: None,
            created: None,
            created_by: None,
            not_before: key.not_before,
            expires: key.expires,
            place: Some(place),
            disabled: key.disabled,
            problem,
            digest,
        }
    }
}

/// All keys, with indexes by id and digest, and the roles of their consumers.
#[derive(Debug)]
pub(crate) struct AllKeys {
    /// Sorted by consumer and id, followed by the [added](Self::add) ones.
    pub(crate) keys: Vec<KnownKey>,
    consumers: HashMap<Rc<str>, Owner>,
    by_id: HashMap<String, usize>,
    by_digest: HashMap<Digest, usize>,
}

/// A consumer, which may have no key.
#[derive(Debug)]
struct Owner {
    roles: Rc<[String]>,
    in_policy: bool,
}

impl AllKeys {
    /// Collects the keys of a store and its policy.
    ///
    /// # Errors
    /// If the gate would refuse the policy.
    pub(crate) fn of(store: &Store, policy: Option<&EffectivePolicy>) -> Result<Self> {
        let document = policy.map(EffectivePolicy::document).transpose()?;
        let place = |path: &str| policy.map(|policy| policy.place(path)).unwrap_or_default();
        Ok(Self::of_document(store, document.as_ref(), &place))
    }

    /// Collects the keys of a store and a document. `place` returns the place of a path of the document.
    pub(crate) fn of_document(store: &Store, document: Option<&Document>, place: &dyn Fn(&str) -> String) -> Self {
        let mut keys = Vec::new();
        let mut owners = HashMap::new();
        for (number, consumer) in document.iter().flat_map(|document| &document.consumers).enumerate() {
            let name: Rc<str> = consumer.name.as_str().into();
            let roles: Rc<[String]> = consumer.roles.iter().map(|role| role.as_str().to_owned()).collect();
            owners.insert(Rc::clone(&name), Owner { roles: Rc::clone(&roles), in_policy: true });
            for (index, key) in consumer.keys.iter().enumerate() {
                let place = place(&format!("consumers[{number}].keys[{index}]"));
                keys.push(KnownKey::in_policy(&name, &roles, key, place));
            }
        }
        for (name, stored) in &store.consumers {
            let name: Rc<str> = name.as_str().into();
            let own = || Owner { roles: stored.roles.clone().into(), in_policy: false };
            let roles = &owners.entry(Rc::clone(&name)).or_insert_with(own).roles;
            keys.extend(stored.keys.iter().map(|key| KnownKey::stored(&name, roles, key)));
        }
        keys.sort_by(|one, other| (&one.consumer, &one.id).cmp(&(&other.consumer, &other.id)));
        let (mut by_id, mut by_digest) = (HashMap::new(), HashMap::new());
        // The gate refuses both of two entries with the same key, and a policy with a duplicate id.
        let mut twice = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            if let Some(other) = by_id.insert(key.id.clone(), index).filter(|_| key.digest.is_some()) {
                twice.extend([index, other]);
            }
            if let Some(other) = key.digest.and_then(|digest| by_digest.insert(digest, index)) {
                twice.extend([index, other]);
            }
        }
        for index in twice {
            if let Some(key) = keys.get_mut(index) {
                key.problem = Some(State::Refused);
            }
        }
        Self { keys, consumers: owners, by_id, by_digest }
    }

    /// Adds a key that was added to the store, and the roles of its consumer, if given.
    pub(crate) fn add(&mut self, consumer: &str, roles: Option<&[String]>, key: &StoredKey) {
        let consumer: Rc<str> = consumer.into();
        if let Some(roles) = roles.filter(|_| !self.is_in_policy(&consumer)) {
            self.consumers.insert(Rc::clone(&consumer), Owner { roles: roles.into(), in_policy: false });
        }
        let roles = self.consumers.get(&consumer).map_or_else(|| Rc::from([]), |owner| Rc::clone(&owner.roles));
        let known = KnownKey::stored(&consumer, &roles, key);
        self.by_id.insert(known.id.clone(), self.keys.len());
        self.by_digest.extend(known.digest.map(|digest| (digest, self.keys.len())));
        self.keys.push(known);
    }

    /// The roles of a consumer, if it exists.
    pub(crate) fn roles(&self, consumer: &str) -> Option<&[String]> {
        self.consumers.get(consumer).map(|owner| &*owner.roles)
    }

    /// All consumers by name, with their roles, and whether the policy defines them.
    pub(crate) fn consumers(&self) -> BTreeMap<&str, (&[String], bool)> {
        self.consumers.iter().map(|(name, owner)| (&**name, (&*owner.roles, owner.in_policy))).collect()
    }

    /// Whether the policy defines a consumer.
    pub(crate) fn is_in_policy(&self, consumer: &str) -> bool {
        self.consumers.get(consumer).is_some_and(|owner| owner.in_policy)
    }

    /// The key with this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&KnownKey> {
        self.by_id.get(id).and_then(|index| self.keys.get(*index))
    }

    /// The key with this digest.
    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<&KnownKey> {
        self.by_digest.get(digest).and_then(|index| self.keys.get(*index))
    }
}
