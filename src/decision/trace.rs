//! The trace of a decision: what each step found. `portcullis check` prints it; the filter observes nothing.

use crate::document::root::Mode;
use crate::path::ambiguity::Ambiguity;
use crate::path::target::{AmbiguousPath, BadTarget};

/// Observes the steps of a decision, in their order. `()` observes nothing and costs nothing: no event is even built.
pub trait Observer {
    /// Receives an event, which is built only if it is wanted.
    fn observe(&mut self, event: impl FnOnce() -> Event);
}

impl Observer for () {
    #[inline(always)]
    fn observe(&mut self, _: impl FnOnce() -> Event) {}
}

impl Observer for Vec<Event> {
    fn observe(&mut self, event: impl FnOnce() -> Event) {
        self.push(event());
    }
}

/// What one step found. Numbers are indexes in the document's lists. No event holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Step 1: the mode.
    Mode(Mode),
    /// Step 2: whether an API sends such a request target.
    Target(Result<(), BadTarget>),
    /// Step 2: whether a `Connection` header names an identity header.
    Connection {
        /// It does, and the request is refused.
        names_identity: bool,
    },
    /// Steps 3 and 4 are skipped: an upstream may take this request for another method or path than it shows.
    Overridden,
    /// Step 3: whether this is a CORS preflight that is allowed.
    CorsPreflight(Preflight),
    /// Step 4: whether the path is public.
    PublicPath(Result<Public, NotPublic>),
    /// Step 5: the trusted range that the peer is in.
    TrustedNetwork(Result<usize, Untrusted>),
    /// Step 5: the trusted identity that the peer has.
    TrustedIdentity(Result<usize, Unidentified>),
    /// Step 6: the key source where the only credential stands.
    Credential(usize),
    /// Step 7: the key is known, and valid now.
    Key,
    /// Step 8: one variant of the path. The same variant may appear several times.
    Variant {
        /// The path, as some upstream may understand it.
        path: Vec<u8>,
        /// The rule that applies to it; without one, any valid key will do.
        rule: Option<usize>,
        /// Whether the consumer has a role that the rule requires.
        permitted: bool,
    },
    /// Step 8: the path may be anything, so every rule applies.
    AnyPath {
        /// Why it may be anything.
        why: Ambiguity,
        /// Whether the consumer has a role that each rule requires.
        permitted: bool,
    },
}

/// What a request is to the CORS step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflight {
    /// The policy allows no preflight without a key.
    NotAllowed,
    /// The request is no preflight.
    None,
    /// It is one, and is allowed.
    Allowed,
}

/// Why a path is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Public {
    /// A public pattern matches it.
    Pattern(usize),
    /// No protected pattern matches any variant of it.
    Unprotected,
}

/// Why a path is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPublic {
    /// The policy has neither public nor protected paths.
    Nothing,
    /// The path is ambiguous.
    Ambiguous(AmbiguousPath),
    /// No public pattern matches it with this method, nor is it unprotected.
    Outside {
        /// A pattern that matches the path with another method.
        other_method: Option<usize>,
    },
}

/// Why a peer's address is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrusted {
    /// The policy trusts no range.
    NoRange,
    /// A browser sends the request for a page of another site.
    CrossSite,
    /// A header names another client.
    Forwarded,
    /// A header holds a client that is in no trusted range.
    ClientOutside,
    /// There is no address that can be read.
    NoPeer,
    /// The address stands for others: 127.0.0.6 or ::6.
    StandsForAnother,
    /// It is in no trusted range.
    Outside,
    /// Envoy took it from a header: its port is 0.
    FromHeader,
    /// The listener recorded another address, or none.
    NotRecorded,
}

/// Why a peer's mTLS identity is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unidentified {
    /// The policy trusts no identity.
    NoneTrusted,
    /// The peer has none.
    NoIdentity,
    /// It is none of the trusted ones.
    Outside,
}
