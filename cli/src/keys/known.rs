//! All keys, wherever they stand: in the store, and in the policy that it belongs to.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;
use portcullis::Timestamp;
use portcullis::digest::Digest;
use portcullis::document::{Consumer, KeyEntry};
use portcullis::refusal::EntryProblem;

use crate::files::{Merged, environment};
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
    disabled: bool,
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
            Self::ValidIn(span) => write!(f, "not yet: in {span}"),
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

/// All keys, by consumer, and what finds one of them.
#[derive(Debug)]
pub(crate) struct AllKeys {
    /// Sorted by consumer and id.
    pub(crate) keys: Vec<Known>,
    by_id: HashMap<String, usize>,
    by_digest: HashMap<Digest, usize>,
}

impl AllKeys {
    /// Those of a store, and of the policy that it belongs to.
    ///
    /// # Errors
    /// Where the gate would refuse the policy.
    pub(crate) fn of(store: &Store, policy: Option<&Merged>) -> Result<Self> {
        let document = policy.map(Merged::document).transpose()?;
        let mut keys = Vec::new();
        let mut in_policy = HashMap::new();
        let consumers: &[Consumer] = document.as_ref().map_or(&[], |document| &document.consumers);
        for (number, consumer) in consumers.iter().enumerate() {
            let name: Rc<str> = consumer.name.as_str().into();
            let roles: Rc<[String]> = consumer.roles.iter().map(|role| role.as_str().to_owned()).collect();
            in_policy.insert(Rc::clone(&name), Rc::clone(&roles));
            for (index, key) in consumer.keys.iter().enumerate() {
                let path = format!("consumers[{number}].keys[{index}]");
                let place = policy.map(|policy| policy.place(&path)).unwrap_or_default();
                keys.push(Known::in_policy(&name, &roles, key, place));
            }
        }
        for (name, stored) in &store.consumers {
            let name: Rc<str> = name.as_str().into();
            let roles = in_policy.get(&name).cloned().unwrap_or_else(|| stored.roles.clone().into());
            keys.extend(stored.keys.iter().map(|key| Known::stored(&name, &roles, key)));
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
        Ok(Self { keys, by_id, by_digest })
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
