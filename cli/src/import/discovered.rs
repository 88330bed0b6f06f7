//! What was discovered in a source: keys, settings, and what cannot be imported. Of a key, only the digest is kept.

use portcullis::document::Problem;
use portcullis::keys::{Digest, NotAKey};
use portcullis::request::{is_presentable, is_token68};
use portcullis::{Document, Timestamp};

use crate::keys::key_format::weakness;
use crate::yaml::{Node, Position, Tree};

/// The role of rules that the user must complete. No consumer has it, so such a rule blocks its paths.
pub(super) const PLACEHOLDER_ROLE: &str = "nobody-write-this-rule";

/// Everything that was discovered in a source.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// Its keys, including those that will be left out.
    pub(super) keys: Vec<DiscoveredKey>,
    /// Settings for the policy.
    pub(super) settings: Vec<Setting>,
    /// Differences to the behaviour of the source.
    pub(super) notes: Vec<Remark>,
    /// What is not imported, and why.
    pub(super) left_out: Vec<Remark>,
}

/// A key of a source.
#[derive(Debug)]
pub(super) struct DiscoveredKey {
    /// Its position.
    pub(super) at: Option<Position>,
    /// The SHA-256 of the key.
    pub(super) digest: Digest,
    /// Where a request can present it.
    pub(super) fits: Fits,
    /// Why it could be guessed, as the end of a sentence about it.
    pub(super) weakness: Option<String>,
    /// Its consumer.
    pub(super) consumer: String,
    /// The names of the consumer and of roles that contain the key.
    pub(super) named_after: Vec<String>,
    /// The roles of its consumer; `None` if the source has no roles.
    pub(super) roles: Option<Vec<String>>,
    /// Its id in the source.
    pub(super) id: Option<String>,
    /// Its description in the source.
    pub(super) description: Option<String>,
    /// When it was created.
    pub(super) created: Option<Timestamp>,
    /// When it expires.
    pub(super) expires: Option<Timestamp>,
    /// Whether it is disabled.
    pub(super) disabled: bool,
}

/// Where a request can present a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    /// Anywhere.
    Anywhere,
    /// Anywhere but in `Authorization: Bearer`.
    NoBearer,
    /// Nowhere.
    Nowhere,
    /// Nowhere: it is not a key.
    NotAKey(NotAKey),
    /// Unknown: the source has only the digest.
    Unknown,
}

/// A member of the policy.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Its name.
    pub(super) member: &'static str,
    /// Its value.
    pub(super) value: Node,
    /// A comment for the reader of the policy: where the setting comes from.
    pub(super) comment: String,
}

/// A description about a place in a source. It contains no text of the source that may be a key.
#[derive(Debug, Clone)]
pub(super) struct Remark {
    /// Its position.
    pub(super) at: Option<Position>,
    /// The message.
    pub(super) message: String,
}

impl DiscoveredKey {
    /// Creates a key from its text.
    pub(super) fn of(text: &str, at: Option<Position>, consumer: impl Into<String>) -> Self {
        let fits = match text.as_bytes() {
            key if let Some(why) = NotAKey::of(key) => Fits::NotAKey(why),
            key if !is_presentable(key) => Fits::Nowhere,
            key if !is_token68(key) => Fits::NoBearer,
            _ => Fits::Anywhere,
        };
        let weakness = weakness(text.as_bytes());
        Self { weakness, ..Self::of_digest(Digest::of(text.as_bytes()), fits, at, consumer) }
    }

    /// Creates a key from its digest.
    pub(super) fn of_digest(digest: Digest, fits: Fits, at: Option<Position>, consumer: impl Into<String>) -> Self {
        Self {
            at,
            digest,
            fits,
            weakness: None,
            consumer: consumer.into(),
            named_after: Vec::new(),
            roles: None,
            id: None,
            description: None,
            created: None,
            expires: None,
            disabled: false,
        }
    }
}

impl Discovered {
    /// Adds a key. An id or a description that contains the key is dropped.
    pub(super) fn push(&mut self, text: &str, mut key: DiscoveredKey) {
        // A short key is part of other texts by chance. A name that equals the key is found later, by its digest.
        let holds = |other: &str| text.len() >= 8 && other.contains(text);
        let names = key.roles.iter().flatten().chain([&key.consumer]);
        key.named_after = names.filter(|name| holds(name)).cloned().collect();
        if key.id.take_if(|id| holds(id)).is_some() {
            self.note(key.at, "id not imported: it contains the key");
        }
        if key.description.take_if(|description| holds(description)).is_some() {
            self.note(key.at, "description not imported: it contains the key");
        }
        self.keys.push(key);
    }

    /// Adds a setting.
    pub(super) fn set(&mut self, member: &'static str, value: Node, comment: impl Into<String>) {
        self.settings.push(Setting { member, value, comment: comment.into() });
    }

    /// Adds a note.
    pub(super) fn note(&mut self, at: Option<Position>, message: impl Into<String>) {
        self.notes.push(Remark { at, message: message.into() });
    }

    /// Adds something that is not imported.
    pub(super) fn leave(&mut self, at: Option<Position>, message: impl Into<String>) {
        self.left_out.push(Remark { at, message: message.into() });
    }

    /// Reports every unknown member as not imported.
    pub(super) fn leave_unknown(&mut self, node: &Node, place: &str, known: &[&str]) {
        for (name, value) in node.members() {
            if !known.contains(&name.text.as_str()) {
                let message = format!("{}: unknown setting", path(place, &shown(&name.text)));
                self.leave(name.at.or(value.at), message);
            }
        }
    }
}

/// Joins `a` and `b` to `a.b`, or to `b` if `a` is empty.
pub(super) fn path(place: &str, member: &str) -> String {
    if place.is_empty() { member.to_owned() } else { format!("{place}.{member}") }
}

/// A name in a source, unless it may be a key.
pub(super) fn shown(name: &str) -> String {
    let like_a_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-';
    if (1..=24).contains(&name.len()) && name.bytes().all(like_a_word) {
        name.to_owned()
    } else {
        "(name not shown, it may be a key)".to_owned()
    }
}

/// Whether a text in a value is a key.
pub(super) fn holds(node: &Node, is_key: &impl Fn(&str) -> bool) -> bool {
    match &node.tree {
        Tree::Text(text) => is_key(text),
        Tree::List(items) => items.iter().any(|item| holds(item, is_key)),
        Tree::Map(members) => members.iter().any(|(name, value)| is_key(&name.text) || holds(value, is_key)),
        _ => false,
    }
}

/// Why the gate would refuse a policy with this member, if it would. The text does not show the value.
pub(super) fn refused(member: &str, value: &Node) -> Option<String> {
    let json = Node::map([(member, value.clone())]).to_json().unwrap_or_default();
    Document::read(&json).err().map(|refusal| match refusal.problem {
        Problem::Invalid { invalid, .. } => format!("{}: {}", invalid.what, invalid.help),
        Problem::WrongType { expected, .. } => format!("expected {expected}"),
        _ => "the gate does not accept it".to_owned(),
    })
}

/// The texts of a list of texts.
pub(super) fn texts(node: &Node) -> Option<Vec<String>> {
    match &node.tree {
        Tree::List(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Creates a list of texts.
pub(super) fn list(items: impl IntoIterator<Item = impl Into<String>>) -> Node {
    Node::list(items.into_iter().map(|item| Node::from(item.into())))
}
