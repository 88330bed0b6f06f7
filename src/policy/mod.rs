//! The policy as it decides: the compiled form of a [`Document`](crate::document::Document).

mod compile;
mod decide;
mod open;
mod rules;

pub use compile::Loaded;
pub use decide::Host;
use open::{Protected, PublicPaths};
use rules::Rules;

use crate::digest::Digest;
use crate::document::{ClientAddress, CorsPreflight, GateName, KeySource, Mode, TrustedNetworks, Upstream};
use crate::keyring::Keyring;
use crate::reply::Replies;
use crate::spiffe::IdentityPattern;
use crate::target::Target;
use crate::trail::Ambiguity;
use crate::variant::Budget;

/// A policy, ready to decide. It never changes; a new document makes a new one.
#[derive(Debug)]
pub struct Policy {
    name: GateName,
    mode: Mode,
    access_log: bool,
    key_metrics: bool,
    digest: Digest,
    key_sources: Vec<KeySource>,
    keyring: Keyring,
    public_paths: PublicPaths,
    protected_paths: Option<Protected>,
    trusted_networks: TrustedNetworks,
    trusted_identities: Vec<IdentityPattern>,
    cors_preflight: CorsPreflight,
    rules: Rules,
    replies: Replies,
    upstream: Upstream,
}

impl Policy {
    /// The gate's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What the gate does with its decisions.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the uses of each key are to be counted.
    #[must_use]
    pub fn key_metrics(&self) -> bool {
        self.key_metrics
    }

    /// Whether each decision is to be written to filter state.
    #[must_use]
    pub fn access_log(&self) -> bool {
        self.access_log
    }

    /// Why comparing a plain path with the patterns would take long, if so: for whoever writes a policy. What the gate then
    /// does is in [`Ambiguity`].
    #[must_use]
    pub fn ambiguity(&self, path: &[u8]) -> Option<Ambiguity> {
        let target = Target::parse(path).ok()?;
        let public = self.public_paths.find(target.path, None, &mut Budget::new()).map(|_| ());
        let protected = || self.protected_paths.as_ref().map_or(Ok(()), |protected| protected.compare(&target));
        public.and_then(|()| protected()).and_then(|()| self.rules.compare(&target)).err()
    }

    /// The digest of the document's canonical form: defaults filled in, members in a fixed order, keys as digests. Two
    /// documents with the same digest decide alike, given the same environment.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Where a key may stand.
    #[must_use]
    pub fn key_sources(&self) -> &[KeySource] {
        &self.key_sources
    }

    /// The replies to denied requests.
    #[must_use]
    pub(crate) fn replies(&self) -> &Replies {
        &self.replies
    }

    /// What the upstream is told.
    #[must_use]
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Whose address counts, where ranges are trusted at all.
    #[must_use]
    pub fn client_address(&self) -> Option<&ClientAddress> {
        (!self.trusted_networks.ranges.is_empty()).then_some(&self.trusted_networks.client_address)
    }

    /// The names of the headers that only the gate may set.
    #[must_use]
    pub(crate) fn identity_headers(&self) -> [&str; 3] {
        let Upstream { consumer_header, roles_header, key_id_header, .. } = &self.upstream;
        [consumer_header.as_str(), roles_header.as_str(), key_id_header.as_str()]
    }
}
