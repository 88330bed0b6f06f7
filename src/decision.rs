//! What the gate decides, as closed enums. Their names are stable: they are the names of metrics, the values in access
//! logs, and what `portcullis check` prints.

use crate::keyring::{Consumer, Key};

/// The decision about one request.
#[derive(Debug, Clone, Copy)]
pub enum Decision<'p> {
    /// The request goes on.
    Allow(Grant<'p>),
    /// The request is answered here (in mode `report`: counted, and goes on).
    Deny(Denial<'p>),
}

/// Why a request goes on.
#[derive(Debug, Clone, Copy)]
pub enum Grant<'p> {
    /// The gate is disabled.
    Disabled,
    /// A CORS preflight, where the policy lets those through.
    CorsPreflight,
    /// The path is public.
    PublicPath,
    /// The peer's address is trusted.
    TrustedNetwork,
    /// The peer's mTLS identity is trusted.
    TrustedIdentity,
    /// The key is valid, and has the roles.
    Key(Caller<'p>),
}

/// Why a request does not go on.
#[derive(Debug, Clone, Copy)]
pub enum Denial<'p> {
    /// A request target that no API sends.
    BadRequestTarget,
    /// A `Connection` header that names an identity header.
    IdentityHeaderNamed,
    /// More than one credential.
    MultipleCredentials,
    /// No credential.
    NoCredential,
    /// A credential that can be no key.
    MalformedCredential {
        /// The index of the key source where it stands.
        source: usize,
    },
    /// A key that nobody has.
    UnknownKey {
        /// The index of the key source where it stands.
        source: usize,
    },
    /// A key that is switched off.
    DisabledKey(Caller<'p>),
    /// A key whose time has not come.
    KeyNotYetValid(Caller<'p>),
    /// A key whose time is over.
    ExpiredKey(Caller<'p>),
    /// A valid key, without any of the roles that the path asks for.
    MissingRole(Caller<'p>),
}

/// Whose key a request presents.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'p> {
    /// Who the key belongs to.
    pub consumer: Consumer<'p>,
    /// The key.
    pub key: Key<'p>,
    /// The index of the key source where it stands.
    pub source: usize,
}

/// The stable names of all grants.
pub const GRANTS: [&str; 6] =
    ["disabled", "cors_preflight", "public_path", "trusted_network", "trusted_identity", "key"];

/// The stable names of all denials.
pub const DENIALS: [&str; 10] = [
    "bad_request_target",
    "identity_header_named",
    "multiple_credentials",
    "no_credential",
    "malformed_credential",
    "unknown_key",
    "disabled_key",
    "key_not_yet_valid",
    "expired_key",
    "missing_role",
];

impl<'p> Decision<'p> {
    /// The stable name of the grant or denial.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Allow(grant) => GRANTS.get(grant.index()).copied().unwrap_or_default(),
            Self::Deny(denial) => DENIALS.get(denial.index()).copied().unwrap_or_default(),
        }
    }

    /// Whose key was presented, where one was found.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller<'p>> {
        match self {
            Self::Allow(Grant::Key(caller))
            | Self::Deny(
                Denial::DisabledKey(caller)
                | Denial::KeyNotYetValid(caller)
                | Denial::ExpiredKey(caller)
                | Denial::MissingRole(caller),
            ) => Some(caller),
            _ => None,
        }
    }
}

impl Grant<'_> {
    /// The place of its name in [`GRANTS`].
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Disabled => 0,
            Self::CorsPreflight => 1,
            Self::PublicPath => 2,
            Self::TrustedNetwork => 3,
            Self::TrustedIdentity => 4,
            Self::Key(_) => 5,
        }
    }
}

impl Denial<'_> {
    /// The place of its name in [`DENIALS`].
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::BadRequestTarget => 0,
            Self::IdentityHeaderNamed => 1,
            Self::MultipleCredentials => 2,
            Self::NoCredential => 3,
            Self::MalformedCredential { .. } => 4,
            Self::UnknownKey { .. } => 5,
            Self::DisabledKey(_) => 6,
            Self::KeyNotYetValid(_) => 7,
            Self::ExpiredKey(_) => 8,
            Self::MissingRole(_) => 9,
        }
    }
}
