//! What a source holds: keys, settings, and what cannot be taken over. Of a key, only its digest is kept.

use portcullis::document::Problem;
use portcullis::keys::Digest;
use portcullis::request::{is_presentable, is_token68};
use portcullis::{Document, Timestamp};

use crate::yaml::{Node, Position, Tree};

/// A role that nobody has, of a rule that somebody must write.
pub(super) const PLACEHOLDER_ROLE: &str = "nobody-write-this-rule";

/// All that a source holds.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// Its keys, those that will be left out too.
    pub(super) keys: Vec<DiscoveredKey>,
    /// What belongs into the policy.
    pub(super) settings: Vec<Setting>,
    /// What is not the same here as it was there.
    pub(super) notes: Vec<Remark>,
    /// What is not taken, and why.
    pub(super) left_out: Vec<Remark>,
}

/// A key of a source.
#[derive(Debug)]
pub(super) struct DiscoveredKey {
    /// Where it stands.
    pub(super) at: Option<Position>,
    /// The SHA-256 of the key.
    pub(super) digest: Digest,
    /// Where a request could carry it.
    pub(super) fits: Fits,
    /// Whose it is.
    pub(super) consumer: String,
    /// Whether that name, or a role, holds the key itself.
    pub(super) named_after: bool,
    /// What its consumer may do; none where the source knows no roles.
    pub(super) roles: Option<Vec<String>>,
    /// The id that the source has for it.
    pub(super) id: Option<String>,
    /// A remark of the source.
    pub(super) description: Option<String>,
    /// When it was made.
    pub(super) created: Option<Timestamp>,
    /// When it ends.
    pub(super) expires: Option<Timestamp>,
    /// Whether it is switched off.
    pub(super) disabled: bool,
}

/// Where a request could carry a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    /// Anywhere.
    Anywhere,
    /// Anywhere but in `Authorization: Bearer`.
    NoBearer,
    /// Nowhere.
    Nowhere,
    /// Nobody knows: the source has only its digest.
    Unknown,
}

/// A member of the policy.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Its name.
    pub(super) member: &'static str,
    /// Its value.
    pub(super) value: Node,
    /// Where it came from, for the reader of the policy.
    pub(super) comment: String,
}

/// Something to say about one place of a source. It holds no text of the source that could be a key.
#[derive(Debug, Clone)]
pub(super) struct Remark {
    /// Where it stands.
    pub(super) at: Option<Position>,
    /// What is to be said.
    pub(super) message: String,
}

impl DiscoveredKey {
    /// A key of that text.
    pub(super) fn of(text: &str, at: Option<Position>, consumer: impl Into<String>) -> Self {
        let fits = match text.as_bytes() {
            key if !is_presentable(key) => Fits::Nowhere,
            key if !is_token68(key) => Fits::NoBearer,
            _ => Fits::Anywhere,
        };
        Self::of_digest(Digest::of(text.as_bytes()), fits, at, consumer)
    }

    /// A key of that digest.
    pub(super) fn of_digest(digest: Digest, fits: Fits, at: Option<Position>, consumer: impl Into<String>) -> Self {
        Self {
            at,
            digest,
            fits,
            consumer: consumer.into(),
            named_after: false,
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
    /// Adds a key of that text. An id or a remark that holds the key itself is dropped.
    pub(super) fn push(&mut self, text: &str, mut key: DiscoveredKey) {
        // Short ones stand in any text by chance; that a name is the key is found out later, by its digest.
        let holds = |other: &str| text.len() >= 8 && other.contains(text);
        key.named_after = holds(&key.consumer) || key.roles.iter().flatten().any(|role| holds(role));
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

    /// Says what is not the same here.
    pub(super) fn note(&mut self, at: Option<Position>, message: impl Into<String>) {
        self.notes.push(Remark { at, message: message.into() });
    }

    /// Says what is not taken.
    pub(super) fn leave(&mut self, at: Option<Position>, message: impl Into<String>) {
        self.left_out.push(Remark { at, message: message.into() });
    }

    /// Says of every member but the known ones that it is not taken.
    pub(super) fn leave_unknown(&mut self, node: &Node, place: &str, known: &[&str]) {
        for (name, value) in node.members() {
            if !known.contains(&name.text.as_str()) {
                let message = format!("{}: unknown setting", path(place, &shown(&name.text)));
                self.leave(name.at.or(value.at), message);
            }
        }
    }
}

/// `a.b`, or `b` where there is no `a`.
pub(super) fn path(place: &str, member: &str) -> String {
    if place.is_empty() { member.to_owned() } else { format!("{place}.{member}") }
}

/// A name of a source, where it looks like a name and not like a key that stands in its place.
pub(super) fn shown(name: &str) -> String {
    let like_a_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-';
    if (1..=24).contains(&name.len()) && name.bytes().all(like_a_word) {
        name.to_owned()
    } else {
        "(name not shown, it may be a key)".to_owned()
    }
}

/// Whether some text of a value is this key, or holds it.
pub(super) fn holds(node: &Node, is_key: &impl Fn(&str) -> bool) -> bool {
    match &node.tree {
        Tree::Text(text) => is_key(text),
        Tree::List(items) => items.iter().any(|item| holds(item, is_key)),
        Tree::Map(members) => members.iter().any(|(name, value)| is_key(&name.text) || holds(value, is_key)),
        _ => false,
    }
}

/// Why the gate would refuse a policy with this member, without the value.
pub(super) fn refused(member: &str, value: &Node) -> Option<String> {
    let json = Node::map([(member, value.clone())]).to_json().unwrap_or_default();
    Document::read(&json).err().map(|refusal| match refusal.problem {
        Problem::Invalid { invalid, .. } => format!("{}: {}", invalid.what, invalid.help),
        Problem::WrongType { expected, .. } => format!("expected {expected}"),
        _ => "the gate does not accept it".to_owned(),
    })
}

/// A list of texts, where it is one.
pub(super) fn texts(node: &Node) -> Option<Vec<String>> {
    match &node.tree {
        Tree::List(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// A list of texts of the policy.
pub(super) fn list(items: impl IntoIterator<Item = impl Into<String>>) -> Node {
    Node::list(items.into_iter().map(|item| Node::from(item.into())))
}
