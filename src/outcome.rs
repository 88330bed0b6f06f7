//! What becomes of a request: edits of its headers on the way to the upstream, or a local reply.

use core::fmt;
use std::borrow::Cow;

use crate::credential::without_cookie;
use crate::decision::{Caller, Decision, Grant};
use crate::document::{KeySource, Mode};
use crate::policy::Policy;
use crate::query::without_parameter;
use crate::reply::Reply;
use crate::request::Request;
use crate::target::split_query;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "made once a request, and a box would be an allocation")]
pub enum Outcome<'a> {
    /// It goes on, with these edits, in order.
    Forward(Edits<'a>),
    /// It is answered here.
    Reply(Reply<'a>),
}

/// Edits, in order. Those that a request without forged headers takes need no allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits<'a> {
    few: [Option<Edit<'a>>; FEW],
    more: Vec<Edit<'a>>,
}

/// A cookie taken out and put back without its key, and three headers with the identity.
const FEW: usize = 5;

impl<'a> Edits<'a> {
    /// Each edit.
    pub fn iter(&self) -> impl Iterator<Item = &Edit<'a>> {
        self.few.iter().flatten().chain(&self.more)
    }

    /// Whether the request goes on as it came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn push(&mut self, edit: Edit<'a>) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(edit),
            None => self.more.push(edit),
        }
    }
}

/// An edit of the request's headers.
#[derive(Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Removes every value of a header.
    Remove(&'a str),
    /// Adds a header that is not there, or was removed before. Envoy need not look for it: to set one makes it sort all
    /// headers first, which costs 2.4 microseconds where there are 60.
    Add(&'a str, Cow<'a, [u8]>),
    /// Gives a header this one value.
    Set(&'a str, Cow<'a, [u8]>),
}

/// Without the value: what is left of a query or of cookies may hold other secrets.
impl fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove(name) => write!(f, "Remove({name})"),
            Self::Add(name, _) => write!(f, "Add({name}, ...)"),
            Self::Set(name, _) => write!(f, "Set({name}, ...)"),
        }
    }
}

impl Policy {
    /// What is done about a decision: `allow`, `deny`, or `report` where a denied request goes on all the same.
    #[must_use]
    pub fn verdict(&self, decision: &Decision<'_>) -> &'static str {
        match decision {
            Decision::Allow(_) => "allow",
            Decision::Deny(_) if self.mode() == Mode::Report => "report",
            Decision::Deny(_) => "deny",
        }
    }

    /// What becomes of a request that was decided so. In `report` mode every denied request goes on, with its
    /// credential. Forged identity headers, in every spelling, go on in no mode.
    #[must_use]
    pub fn outcome<'a>(&'a self, request: &Request<'a>, decision: &Decision<'a>) -> Outcome<'a> {
        if let Decision::Deny(denial) = decision
            && self.mode() != Mode::Report
        {
            return Outcome::Reply(self.replies().to(denial, request.is_grpc));
        }
        let mut edits = self.without_identity(request);
        if let Decision::Allow(Grant::Key(caller)) = decision {
            self.introduce(caller, request, &mut edits);
        }
        Outcome::Forward(edits)
    }

    /// Takes every identity header out, in every spelling: what there is came from the caller. For trailers too, which
    /// some services take for headers.
    #[must_use]
    pub fn without_identity<'a>(&self, request: &Request<'a>) -> Edits<'a> {
        let mut edits = Edits::default();
        for name in request.spellings(self.identity_headers()) {
            let forged = Edit::Remove(name);
            if !edits.iter().any(|edit| *edit == forged) {
                edits.push(forged);
            }
        }
        edits
    }

    /// Takes the credential out, and tells the upstream whose it was.
    fn introduce<'a>(&'a self, caller: &Caller<'a>, request: &Request<'a>, edits: &mut Edits<'a>) {
        let upstream = self.upstream();
        if !upstream.forward_credential {
            match self.key_sources().get(caller.source) {
                Some(KeySource::Bearer) => edits.push(Edit::Remove("authorization")),
                Some(KeySource::Header(name)) => edits.push(Edit::Remove(name.as_str())),
                Some(KeySource::Query(name)) => {
                    let (path, query) = split_query(request.path.unwrap_or_default());
                    edits.push(Edit::Set(
                        ":path",
                        without_parameter(path, query.unwrap_or_default(), name.as_str()).into(),
                    ));
                }
                Some(KeySource::Cookie(name)) => {
                    edits.push(Edit::Remove("cookie"));
                    let kept = without_cookie(request, name.as_str());
                    if !kept.is_empty() {
                        edits.push(Edit::Add("cookie", kept.into()));
                    }
                }
                None => {}
            }
        }
        // None of these is there: what the caller sent was removed first.
        let Caller { consumer, key, .. } = caller;
        edits.push(Edit::Add(upstream.consumer_header.as_str(), consumer.name.as_bytes().into()));
        if !consumer.roles_value.is_empty() {
            edits.push(Edit::Add(upstream.roles_header.as_str(), consumer.roles_value.as_bytes().into()));
        }
        edits.push(Edit::Add(upstream.key_id_header.as_str(), bytes(key.id())));
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}
