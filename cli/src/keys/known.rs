//! All keys, wherever they stand: in the store, and in the policy that it belongs to.

use std::collections::HashMap;
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
pub(crate) struct Known {
    /// Whose it is.
    pub(crate) consumer: Rc<str>,
    /// The consumer's roles.
    pub(crate) roles: Rc<[String]>,
    /// Its public handle.
    pub(crate) id: String,
    /// A remark.
    pub(crate) description: Option<String>,
    /// When it came into the store.
    pub(crate) created: Option<String>,
    /// Not valid before.
    pub(crate) not_before: Option<Timestamp>,
    /// Not valid from then on.
    pub(crate) expires: Option<Timestamp>,
    /// Where it stands in the policy; none for a key of the store.
    pub(crate) place: Option<String>,
    /// Switched off.
    pub(crate) disabled: bool,
    /// None where it is no digest, or an unset variable.
    digest: Option<Digest>,
    /// Why it opens nothing whatever the time is.
    problem: Option<State>,
}

/// What the gate would say of a key now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Valid.
    Active,
    /// Valid, and not for long.
    ExpiresIn(Span),
    /// Not yet valid.
    ValidIn(Span),
    /// No more valid.
    Expired,
    /// Switched off.
    Disabled,
    /// The gate refuses the entry, or the whole policy for it: `lint` says why.
    Refused,
    /// It stands in a variable that is not set here; Envoy may have it.
    Unset,
}

impl State {
    /// The word for programs.
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

/// For people.
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

impl Known {
    /// What the gate would say of it at `now`; it expires soon where it does so within `soon`.
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
            created: key.created.clone(),
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
            created: None,
            not_before: key.not_before,
            expires: key.expires,
            place: Some(place),
            disabled: key.disabled,
            problem,
            digest,
        }
    }
}

/// All keys, and what finds one of them, or the roles of a consumer.
#[derive(Debug)]
pub(crate) struct AllKeys {
    /// Sorted by consumer and id; behind them those that were [added](Self::add).
    pub(crate) keys: Vec<Known>,
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
    /// Those of a store, and of the policy that it belongs to.
    ///
    /// # Errors
    /// If the gate would refuse the policy.
    pub(crate) fn of(store: &Store, policy: Option<&EffectivePolicy>) -> Result<Self> {
        let document = policy.map(EffectivePolicy::document).transpose()?;
        let place = |path: &str| policy.map(|policy| policy.place(path)).unwrap_or_default();
        Ok(Self::of_document(store, document.as_ref(), &place))
    }

    /// Those of a store, and of a document that was read. `place` tells where a path of the document stands.
    pub(crate) fn of_document(store: &Store, document: Option<&Document>, place: &dyn Fn(&str) -> String) -> Self {
        let mut keys = Vec::new();
        let mut owners = HashMap::new();
        for (number, consumer) in document.iter().flat_map(|document| &document.consumers).enumerate() {
            let name: Rc<str> = consumer.name.as_str().into();
            let roles: Rc<[String]> = consumer.roles.iter().map(|role| role.as_str().to_owned()).collect();
            owners.insert(Rc::clone(&name), Owner { roles: Rc::clone(&roles), in_policy: true });
            for (index, key) in consumer.keys.iter().enumerate() {
                let place = place(&format!("consumers[{number}].keys[{index}]"));
                keys.push(Known::in_policy(&name, &roles, key, place));
            }
        }
        for (name, stored) in &store.consumers {
            let name: Rc<str> = name.as_str().into();
            let own = || Owner { roles: stored.roles.clone().into(), in_policy: false };
            let roles = &owners.entry(Rc::clone(&name)).or_insert_with(own).roles;
            keys.extend(stored.keys.iter().map(|key| Known::stored(&name, roles, key)));
        }
        keys.sort_by(|one, other| (&one.consumer, &one.id).cmp(&(&other.consumer, &other.id)));
        let (mut by_id, mut by_digest) = (HashMap::new(), HashMap::new());
        // The gate refuses both of two entries with one key, and a policy with two of one id: which would count?
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

    /// Adds a key that came into the store, and the roles of its consumer, where they were given with it.
    pub(crate) fn add(&mut self, consumer: &str, roles: Option<&[String]>, key: &StoredKey) {
        let consumer: Rc<str> = consumer.into();
        if let Some(roles) = roles.filter(|_| !self.is_in_policy(&consumer)) {
            self.consumers.insert(Rc::clone(&consumer), Owner { roles: roles.into(), in_policy: false });
        }
        let roles = self.consumers.get(&consumer).map_or_else(|| Rc::from([]), |owner| Rc::clone(&owner.roles));
        let known = Known::stored(&consumer, &roles, key);
        self.by_id.insert(known.id.clone(), self.keys.len());
        self.by_digest.extend(known.digest.map(|digest| (digest, self.keys.len())));
        self.keys.push(known);
    }

    /// The roles of a consumer, where there is one of that name.
    pub(crate) fn roles(&self, consumer: &str) -> Option<&[String]> {
        self.consumers.get(consumer).map(|owner| &*owner.roles)
    }

    /// Whether the policy names a consumer.
    pub(crate) fn is_in_policy(&self, consumer: &str) -> bool {
        self.consumers.get(consumer).is_some_and(|owner| owner.in_policy)
    }

    /// The key of that id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Known> {
        self.by_id.get(id).and_then(|index| self.keys.get(*index))
    }

    /// The key of that digest.
    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<&Known> {
        self.by_digest.get(digest).and_then(|index| self.keys.get(*index))
    }
}
