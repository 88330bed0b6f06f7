//! The decision about a request, and its reason.

use strum::{IntoStaticStr, VariantArray};

use super::answer::Answer;
use crate::keys::keyring::{Consumer, Key};

/// The reason why a request is allowed or denied. The [names](Self::name) are stable. They appear in metrics, access logs
/// and the output of `portcullis check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// Allowed: the gate is disabled.
    Disabled,
    /// Allowed: a CORS preflight, if the policy allows preflights.
    CorsPreflight,
    /// Allowed: the path is public.
    PublicPath,
    /// Allowed: the peer's address is trusted.
    TrustedNetwork,
    /// Allowed: the peer's mTLS identity is trusted.
    TrustedIdentity,
    /// Allowed: the key is valid, and its consumer has one of the roles that the path requires.
    Key,
    /// Allowed: the token is valid, and its consumer has one of the roles that the path requires.
    Token,
    /// Allowed, and answered by the gate: who the caller is.
    Whoami,
    /// Allowed, and answered by the gate: a new token.
    TokenIssued,
    /// Denied: the request target is invalid or suspicious.
    BadRequestTarget,
    /// Denied: a `Connection` header names an identity header, or one that names the client.
    IdentityHeaderNamed,
    /// Denied: more than one credential.
    MultipleCredentials,
    /// Denied: no credential.
    NoCredential,
    /// Denied: the credential is not well formed.
    MalformedCredential,
    /// Denied: the key is not found in the policy.
    UnknownKey,
    /// Denied: the token is not one of this policy, or its key is no longer the same.
    UnknownToken,
    /// Denied: the token has expired.
    ExpiredToken,
    /// Denied: the key is disabled.
    DisabledKey,
    /// Denied: the key is not valid yet.
    KeyNotYetValid,
    /// Denied: the key has expired.
    ExpiredKey,
    /// Denied: the key is valid, but its consumer has none of the roles that the path requires.
    MissingRole,
    /// Denied: a token is issued only for a key, and the caller came without one.
    TokenNeedsKey,
    /// Denied: the endpoint has other methods.
    MethodNotAllowed,
    /// Denied: the gate has no secret to sign a token with, no clock, or the token would be too long.
    TokenUnavailable,
}

impl Reason {
    /// Every reason. The reasons of allowed requests come first.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Returns the stable name, in snake case.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the HTTP status of the local reply; `None` if the request is forwarded.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Disabled
            | Self::CorsPreflight
            | Self::PublicPath
            | Self::TrustedNetwork
            | Self::TrustedIdentity
            | Self::Key
            | Self::Token => None,
            Self::Whoami | Self::TokenIssued => Some(200),
            Self::BadRequestTarget | Self::IdentityHeaderNamed | Self::MultipleCredentials => Some(400),
            Self::NoCredential
            | Self::MalformedCredential
            | Self::UnknownKey
            | Self::UnknownToken
            | Self::ExpiredToken
            | Self::DisabledKey
            | Self::KeyNotYetValid
            | Self::ExpiredKey => Some(401),
            Self::MissingRole | Self::TokenNeedsKey => Some(403),
            Self::MethodNotAllowed => Some(405),
            Self::TokenUnavailable => Some(503),
        }
    }

    /// Whether the request is allowed.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self.status(), None | Some(200))
    }
}

/// The decision about one request.
#[derive(Debug, Clone)]
pub struct Decision<'p> {
    /// Why the request is allowed or denied.
    pub reason: Reason,
    /// The index of the key source that contains the credential, if there is exactly one credential.
    pub source: Option<usize>,
    /// The owner of the key and the key, if the policy has it.
    pub caller: Option<Caller<'p>>,
    /// What an endpoint answers; `None` for all other paths.
    pub(crate) answer: Option<Box<Answer>>,
}

/// A key of the policy that a request presents, and its owner.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'p> {
    /// The owner of the key.
    pub consumer: Consumer<'p>,
    /// The key.
    pub key: Key<'p>,
}

impl<'p> Decision<'p> {
    /// Creates a decision that depends on no credential, or on several.
    pub(crate) fn without_credential(reason: Reason) -> Self {
        Self { reason, source: None, caller: None, answer: None }
    }

    /// Creates a decision about a credential that is not a key of the policy.
    pub(crate) fn of_credential(reason: Reason, source: usize) -> Self {
        Self { reason, source: Some(source), caller: None, answer: None }
    }

    /// Creates a decision about a key of the policy.
    pub(crate) fn of_caller(reason: Reason, source: usize, caller: Caller<'p>) -> Self {
        Self { reason, source: Some(source), caller: Some(caller), answer: None }
    }

    /// Whether the request is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.reason.is_allowed()
    }
}
