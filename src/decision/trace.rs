//! The trace of a decision: the result of each step. `portcullis check` prints it; the filter observes nothing.

use super::answer::Endpoint;
use crate::document::root::Mode;
use crate::path::ambiguity::Ambiguity;
use crate::path::target::BadTarget;

/// Observes the steps of a decision, in order. `()` observes nothing and costs nothing: no event is built.
pub trait Observer {
    /// Receives an event. The closure builds it only if it is needed.
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

/// The result of one step. Numbers are indexes into the document's lists. No event contains a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Step 1: the mode.
    Mode(Mode),
    /// Step 2: whether the request target is valid.
    Target(Result<(), BadTarget>),
    /// Step 2: whether a `Connection` header names an identity header, or one that names the client.
    Connection {
        /// It does, so the request is denied.
        names_identity: bool,
    },
    /// Steps 3 and 4 are skipped: an upstream may interpret this request as another method or path.
    Overridden,
    /// Steps 3 and 4 are skipped: the gate itself answers this path.
    Endpoint(Endpoint),
    /// Step 3: whether this is a CORS preflight that is allowed.
    CorsPreflight(Preflight),
    /// Step 4: whether the path is public.
    PublicPath(Result<Public, NotPublic>),
    /// Step 5: the trusted range that the peer is in.
    TrustedNetwork(Result<usize, Untrusted>),
    /// Step 5: the trusted identity that the peer has.
    TrustedIdentity(Result<usize, Unidentified>),
    /// Step 6: the key source that contains the only credential.
    Credential(usize),
    /// Step 7: the key is known, and valid now.
    Key,
    /// Step 7: the credential is a token of this policy, and its key is valid now.
    Token,
    /// Step 8: one variant of the path. The same variant may appear several times.
    Variant {
        /// The path, as some upstream may interpret it.
        path: Vec<u8>,
        /// The rule that applies to it; `None` if any valid key is enough.
        rule: Option<usize>,
        /// Whether the consumer has a role that the rule requires.
        permitted: bool,
    },
    /// Step 8: the path may be anything, so every rule applies.
    AnyPath {
        /// Why it may be anything.
        why: Ambiguity,
        /// Whether the consumer has a role for every rule.
        permitted: bool,
    },
}

/// The result of the CORS step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflight {
    /// The policy requires a key for preflights.
    NotAllowed,
    /// The request is not a preflight.
    None,
    /// The request is a preflight, and is allowed.
    Allowed,
}

/// Why a path is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Public {
    /// A public pattern matches it. The number is the pattern's index.
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
    Ambiguous(Ambiguity),
    /// No public pattern matches it with this method, and it is not unprotected.
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
    /// A browser sends the request on behalf of a page of another site.
    CrossSite,
    /// A header names another client.
    Forwarded,
    /// A header contains a client address that is in no trusted range.
    ClientOutside,
    /// The peer's address is missing or cannot be parsed.
    NoPeer,
    /// The address is used on behalf of other callers: 127.0.0.6 or ::6.
    StandsForAnother,
    /// The address is in no trusted range.
    Outside,
    /// Envoy took the address from a header: its port is 0.
    FromHeader,
    /// The listener recorded a different address, or none.
    NotRecorded,
}

/// Why a peer's mTLS identity is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unidentified {
    /// The policy trusts no identity.
    NoneTrusted,
    /// The peer has no mTLS identity.
    NoIdentity,
    /// The identity is not a trusted one.
    Outside,
}
