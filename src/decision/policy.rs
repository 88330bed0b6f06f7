//! The compiled form of a [`Document`](crate::document::Document), which decides about requests.

use super::public::PublicPaths;
use super::reply::Replies;
use super::rules::Rules;
use crate::document::access::{ClientAddress, TrustedNetworks};
use crate::document::root::{CorsPreflight, Mode};
use crate::document::tokens::Endpoints;
use crate::document::upstream::Upstream;
use crate::keys::digest::Digest;
use crate::keys::keyring::Keyring;
use crate::keys::token::Tokens;
use crate::path::ambiguity::Ambiguity;
use crate::path::budget::Budget;
use crate::path::restricted::RestrictedPatterns;
use crate::path::target::Target;
use crate::request::key_source::KeySource;
use crate::request::spiffe::SpiffeIdPattern;
use crate::value::names::GateName;

/// A compiled policy. It is immutable; a new document is compiled to a new policy.
#[derive(Debug)]
pub struct Policy {
    pub(super) name: GateName,
    pub(super) mode: Mode,
    pub(super) access_log: bool,
    pub(super) key_metrics: bool,
    pub(super) digest: Digest,
    pub(super) key_sources: Vec<KeySource>,
    pub(super) keyring: Keyring,
    pub(super) public_paths: PublicPaths,
    pub(super) protected_paths: Option<RestrictedPatterns>,
    pub(super) trusted_networks: TrustedNetworks,
    pub(super) trusted_identities: Vec<SpiffeIdPattern>,
    pub(super) cors_preflight: CorsPreflight,
    pub(super) rules: Rules,
    pub(super) replies: Replies,
    pub(super) upstream: Upstream,
    /// `None` if there is none.
    pub(super) endpoints: Option<Endpoints>,
    pub(super) tokens: Option<Tokens>,
}

impl Policy {
    /// Returns the gate's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the mode: whether the gate denies requests, only reports them, or is disabled.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the uses of each key are counted.
    #[must_use]
    pub fn key_metrics(&self) -> bool {
        self.key_metrics
    }

    /// Whether each decision is written to filter state.
    #[must_use]
    pub fn access_log(&self) -> bool {
        self.access_log
    }

    /// Returns why matching a path against the patterns exceeds the budget, if it does. For authors of policies:
    /// [`Ambiguity`] describes how the gate treats such a path.
    #[must_use]
    pub fn ambiguity(&self, path: &[u8]) -> Option<Ambiguity> {
        let target = Target::parse(path).ok()?;
        let public = self.public_paths.find(target.path, None, &mut Budget::new()).err();
        let protected = || self.protected_paths.as_ref()?.ambiguity(&target);
        public.or_else(protected).or_else(|| self.rules.patterns.ambiguity(&target))
    }

    /// Returns the consumers for which no token is issued, because it would be too long to be accepted.
    #[must_use]
    pub fn consumers_without_tokens(&self) -> Vec<&str> {
        let tokens = self.tokens.as_ref();
        let too_long = self.keyring.iter().filter(|(consumer, key)| tokens.is_some_and(|all| !all.fits(consumer, key)));
        let mut names: Vec<_> = too_long.map(|(consumer, _)| consumer.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns the digest of the document's canonical form: defaults filled in, members in a fixed order, keys as digests.
    /// Two documents with the same digest make the same decisions, given the same environment.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the places in a request that may contain a key.
    #[must_use]
    pub fn key_sources(&self) -> &[KeySource] {
        &self.key_sources
    }

    /// Returns which address is compared with the trusted ranges; `None` if no range is trusted.
    #[must_use]
    pub fn client_address(&self) -> Option<&ClientAddress> {
        (!self.trusted_networks.ranges.is_empty()).then_some(&self.trusted_networks.client_address)
    }

    /// Returns the names of the headers that only the gate may set.
    pub(super) fn identity_headers(&self) -> [&str; 3] {
        let Upstream { consumer_header, roles_header, key_id_header, .. } = &self.upstream;
        [consumer_header.as_str(), roles_header.as_str(), key_id_header.as_str()]
    }
}
