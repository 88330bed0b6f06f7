//! The trail of a decision: what each step saw before it passed the request on, or answered. The filter keeps none.

use crate::document::Mode;

/// Hears the steps of a decision, in their order. `()` hears nothing and costs nothing: no event is even made.
pub trait Recorder {
    /// Takes an event, which is made only if somebody listens.
    fn record(&mut self, event: impl FnOnce() -> Event);
}

impl Recorder for () {
    #[inline(always)]
    fn record(&mut self, _: impl FnOnce() -> Event) {}
}

impl Recorder for Vec<Event> {
    fn record(&mut self, event: impl FnOnce() -> Event) {
        self.push(event());
    }
}

/// What one step saw. Numbers are places in the document's lists. No event holds a credential.
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
    /// Steps 3 and 4 are left out: a backend may take this request for another method or path than it shows.
    Overridden,
    /// Step 3: whether this is a CORS preflight that is let through.
    CorsPreflight(Preflight),
    /// Step 4: whether the path is public.
    PublicPath(Result<Public, NotPublic>),
    /// Step 5: the trusted range that the peer is in.
    TrustedNetwork(Result<usize, Untrusted>),
    /// Step 5: the trusted identity that the peer has.
    TrustedIdentity(Result<usize, Unidentified>),
    /// Step 6: the key source where the one credential stands.
    Credential(usize),
    /// Step 7: the key is known, and valid now.
    Key,
    /// Step 8: one variant of the path. The same variant may be here several times.
    Variant {
        /// The path, as some backend may understand it.
        path: Vec<u8>,
        /// The rule that counts for it; without one, any valid key will do.
        rule: Option<usize>,
        /// Whether the consumer has what it asks for.
        permitted: bool,
    },
    /// Step 8: the path may be anything, so every rule counts.
    AnyPath {
        /// Why it may.
        why: Ambiguity,
        /// Whether the consumer has what every rule asks for.
        permitted: bool,
    },
}

/// Why a path may be anything: what a backend makes of it cannot be told, or not at a bounded cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguity {
    /// It is long, and not a simple one.
    TooLong,
    /// It can be understood in too many ways.
    TooManyVariants,
    /// A name in it has many dots, and each may begin a suffix.
    ManySuffixes,
    /// It is not UTF-8.
    NotUtf8,
    /// A dot segment or a backslash forms in it where a backend drops or converts characters.
    DotSegment,
    /// A name in it stands for another one: a short name or a stream of Windows, a session of ASP.NET.
    Alias,
    /// The patterns of the policy mix names and wildcards so that comparing the path with all would take long.
    TooWide,
    /// A header holds another URL that cannot be read, or there are too many of them.
    OverrideUrl,
    /// A header moves the place that paths begin at, or names a second one.
    MovedRoot,
}

/// Why no API sends a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTarget {
    /// It does not begin with `/`, or has a byte that is not visible ASCII, or a `#`.
    Bytes,
    /// Its path has a `%` without two hex digits.
    MalformedEscape,
    /// Its path has, at some depth of decoding, a NUL, a backslash or a dot segment.
    ForbiddenPart,
    /// Its path still changes after several rounds of decoding, or is too long for more than one.
    EndlessEscapes,
    /// Its path is longer than servers take one.
    TooLong,
    /// It comes with an authority that names no host, so that a host may be read from the path; or with a user in it.
    Authority,
}

/// What a request is to the CORS step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflight {
    /// The policy lets none through.
    NotAllowed,
    /// It is none.
    None,
    /// It is one, and goes through.
    Allowed,
}

/// Why a path is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Public {
    /// A public pattern covers it.
    Pattern(usize),
    /// No variant of it is under a protected pattern.
    Unprotected,
}

/// Why a path is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPublic {
    /// The policy has neither public nor protected paths.
    Nothing,
    /// It is not plain: decoding could change its structure, or a script may be asked for what follows it.
    NotPlain,
    /// It may be anything.
    Ambiguous(Ambiguity),
    /// It is under no public pattern, with this method; nor is it unprotected.
    Outside {
        /// A pattern that covers the path, and does not have the method.
        other_method: Option<usize>,
    },
}

/// Why a peer's address is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrusted {
    /// The policy trusts no range.
    NoRange,
    /// A browser made the request for a page of another site.
    CrossSite,
    /// A header names another client.
    Forwarded,
    /// A header holds a client that is in no trusted range.
    ClientOutside,
    /// There is no address that could be read.
    NoPeer,
    /// The address stands for others: 127.0.0.6 or ::6.
    StandsForAnother,
    /// It is in no trusted range.
    Outside,
    /// Envoy took it from a header: its port is 0.
    FromHeader,
    /// The listener recorded another one, or none.
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
