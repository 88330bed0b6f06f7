//! The decision about one request: each step the first that can answer.

use super::Policy;
use super::open::Protected;
use crate::credential::{self, Presented};
use crate::decision::{Caller, Decision, Denial, Grant};
use crate::digest::Digest;
use crate::document::{ClientAddress, CorsPreflight, Mode};
use crate::network::{Peer, parse_address};
use crate::request::Request;
use crate::target::Target;
use crate::timestamp::Timestamp;
use crate::trail::{BadTarget, Event, NotPublic, Preflight, Public, Recorder, Unidentified, Untrusted};
use crate::variant::{Budget, pages_of_data};

/// What a decision may ask its host for. Each question costs a call out of the VM, so each is asked only when a step
/// needs the answer.
pub trait Host {
    /// Bytes as the host hands them over.
    type Bytes: AsRef<[u8]>;
    /// The time now; none without a clock.
    fn now(&self) -> Option<Timestamp>;
    /// Envoy's `source.address`: `ip:port`, with port 0 where it comes from a header.
    fn source_address(&self) -> Option<Self::Bytes>;
    /// A filter state object that the listener recorded before the gate.
    fn filter_state(&self, key: &str) -> Option<Self::Bytes>;
    /// The first URI SAN of the certificate that the peer presented in mutual TLS. That it was verified is the listener's
    /// business.
    fn mtls_identity(&self) -> Option<Self::Bytes>;
}

/// A host that knows nothing: for what is decided by the request alone.
impl Host for () {
    type Bytes = [u8; 0];

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn source_address(&self) -> Option<Self::Bytes> {
        None
    }

    fn filter_state(&self, _: &str) -> Option<Self::Bytes> {
        None
    }

    fn mtls_identity(&self) -> Option<Self::Bytes> {
        None
    }
}

impl Policy {
    /// Decides about a request. Pure but for what it asks the host, and total: no input panics. `trail` hears each step;
    /// who wants none gives `&mut ()`.
    #[must_use]
    pub fn decide<'p>(&'p self, request: &Request<'_>, host: &impl Host, trail: &mut impl Recorder) -> Decision<'p> {
        // 1. Disabled: nothing that worked without the gate stops working.
        trail.record(|| Event::Mode(self.mode));
        if self.mode == Mode::Disabled {
            return Decision::Allow(Grant::Disabled);
        }
        // 2. What no API sends.
        let path =
            if request.names_a_host() { request.path.ok_or(BadTarget::Bytes) } else { Err(BadTarget::Authority) };
        let target = path.and_then(Target::parse);
        trail.record(|| Event::Target(target.as_ref().map(|_| ()).map_err(|bad| *bad)));
        let Ok(target) = target else { return Decision::Deny(Denial::BadRequestTarget) };
        let mut budget = Budget::new();
        let names_identity = defence!("names-in-connection") && request.connection_names(self.identity_headers());
        trail.record(|| Event::Connection { names_identity });
        if names_identity {
            return Decision::Deny(Denial::IdentityHeaderNamed);
        }
        // A backend may take this request for another method or path than it shows: then 3 and 4 cannot be answered.
        if request.is_overridden {
            trail.record(|| Event::Overridden);
        } else {
            // 3. CORS preflight.
            let preflight = self.preflight(request);
            trail.record(|| Event::CorsPreflight(preflight));
            if preflight == Preflight::Allowed {
                return Decision::Allow(Grant::CorsPreflight);
            }
            // 4. Public paths.
            let public = self.public(request, &target, &mut budget);
            trail.record(|| Event::PublicPath(self.with_other_method(public, &target)));
            if public.is_ok() {
                return Decision::Allow(Grant::PublicPath);
            }
        }
        // 5. Trusted callers.
        let range = self.trusted_range(request, host);
        trail.record(|| Event::TrustedNetwork(range));
        if range.is_ok() {
            return Decision::Allow(Grant::TrustedNetwork);
        }
        let identity = self.trusted_identity(host);
        trail.record(|| Event::TrustedIdentity(identity));
        if identity.is_ok() {
            return Decision::Allow(Grant::TrustedIdentity);
        }
        // 6. to 9. The key.
        match self.caller(request, &target, &mut budget, host, trail) {
            Ok(caller) => Decision::Allow(Grant::Key(caller)),
            Err(denial) => Decision::Deny(denial),
        }
    }

    fn preflight(&self, request: &Request<'_>) -> Preflight {
        match self.cors_preflight {
            CorsPreflight::Authenticate => Preflight::NotAllowed,
            CorsPreflight::Allow if request.is_cors_preflight() => Preflight::Allowed,
            CorsPreflight::Allow => Preflight::None,
        }
    }

    /// By the narrowest reading: the path is plain, and its raw and its decoded form are both under a public pattern. Or
    /// only some paths are protected, this one is plain and visible ASCII, and no variant of it is protected.
    // Always inlined: then a reason that nobody hears costs nothing.
    #[inline(always)]
    fn public(&self, request: &Request<'_>, target: &Target<'_>, budget: &mut Budget) -> Result<Public, NotPublic> {
        if self.public_paths.is_empty() && self.protected_paths.is_none() {
            return Err(NotPublic::Nothing);
        }
        let decoded = target.plain()?;
        let mut public =
            |path: &[u8]| self.public_paths.find(path, Some(request.method), budget).map_err(NotPublic::Ambiguous);
        if let Some(pattern) = public(target.path)?
            && (target.decoded.is_empty() || public(decoded)?.is_some())
        {
            // The data of a page is as public as the page.
            for path in [target.path, decoded].into_iter().filter(|_| !target.scan.is_simple()) {
                for page in pages_of_data(path) {
                    let bare = page.strip_suffix(b"/").filter(|bare| !bare.is_empty()).unwrap_or(&page);
                    if defence!("public-data-of-pages") && public(&page)?.is_none() && public(bare)?.is_none() {
                        return Err(NotPublic::NotPlain);
                    }
                }
            }
            return Ok(Public::Pattern(pattern));
        }
        // What is let through because nothing protects it must be beyond doubt: no letters that look or fold like others.
        let is_unprotected = |protected: &Protected| {
            (target.scan.is_simple() || decoded.iter().all(u8::is_ascii_graphic)) && !protected.covers(target, budget)
        };
        if self.protected_paths.as_ref().is_some_and(is_unprotected) {
            return Ok(Public::Unprotected);
        }
        Err(NotPublic::Outside { other_method: None })
    }

    /// For the trail alone: the pattern that would make the path public with another method.
    fn with_other_method(&self, public: Result<Public, NotPublic>, target: &Target<'_>) -> Result<Public, NotPublic> {
        public.map_err(|why| match why {
            NotPublic::Outside { .. } => {
                let other_method = self.public_paths.find(target.path, None, &mut Budget::new()).ok().flatten();
                NotPublic::Outside { other_method }
            }
            other => other,
        })
    }

    fn trusted_range(&self, request: &Request<'_>, host: &impl Host) -> Result<usize, Untrusted> {
        if self.trusted_networks.ranges.is_empty() {
            return Err(Untrusted::NoRange);
        }
        self.range_of_peer(request, host)
    }

    #[inline(never)]
    fn range_of_peer(&self, request: &Request<'_>, host: &impl Host) -> Result<usize, Untrusted> {
        let networks = &self.trusted_networks;
        let vouched_for = networks.client_address == ClientAddress::RemoteIp;
        // Any web page can make a trusted browser call.
        if defence!("cross-site-pages") && request.is_cross_site() {
            return Err(Untrusted::CrossSite);
        }
        if defence!("headers-that-name-a-client") && !vouched_for && request.names_a_client {
            return Err(Untrusted::Forwarded);
        }
        let in_range = |address| networks.ranges.iter().position(|range| range.contains(address));
        // The client must be the peer. Envoy writes it for callers from outside (X-Envoy-External-Address), so that these
        // do without the attribute, which costs as much as all edits together.
        let held = defence!("headers-that-hold-the-client");
        let client = if vouched_for || !held { None } else { request.held_client() };
        match client {
            Some(None) => return Err(Untrusted::Forwarded),
            Some(Some(client)) if in_range(&client).is_none() => return Err(Untrusted::ClientOutside),
            _ => {}
        }
        let peer = host.source_address().and_then(|address| Peer::parse(address.as_ref())).ok_or(Untrusted::NoPeer)?;
        if defence!("passthrough-addresses") && peer.stands_for_another() {
            return Err(Untrusted::StandsForAnother);
        }
        let range = in_range(&peer.address).ok_or(Untrusted::Outside)?;
        if defence!("client-is-the-peer") && client.is_some_and(|client| client != Some(peer.address)) {
            return Err(Untrusted::Forwarded);
        }
        match &networks.client_address {
            ClientAddress::RemoteIp => Ok(range),
            // Port 0: Envoy took the address from a header.
            ClientAddress::Direct => {
                (peer.port != 0 || !defence!("addresses-from-headers")).then_some(range).ok_or(Untrusted::FromHeader)
            }
            ClientAddress::FilterState(key) => {
                let recorded = host.filter_state(key.as_str()).and_then(|address| parse_address(address.as_ref()));
                (recorded == Some(peer.address)).then_some(range).ok_or(Untrusted::NotRecorded)
            }
        }
    }

    fn trusted_identity(&self, host: &impl Host) -> Result<usize, Unidentified> {
        if self.trusted_identities.is_empty() {
            return Err(Unidentified::NoneTrusted);
        }
        self.identity_of_peer(host)
    }

    #[inline(never)]
    fn identity_of_peer(&self, host: &impl Host) -> Result<usize, Unidentified> {
        let uri = host.mtls_identity().ok_or(Unidentified::NoIdentity)?;
        self.trusted_identities.iter().position(|one| one.matches(uri.as_ref())).ok_or(Unidentified::Outside)
    }

    #[inline(never)]
    fn caller<'p>(
        &'p self,
        request: &Request<'_>,
        target: &Target<'_>,
        budget: &mut Budget,
        host: &impl Host,
        trail: &mut impl Recorder,
    ) -> Result<Caller<'p>, Denial<'p>> {
        // 6. Exactly one credential.
        let (source, presented) = match credential::find(request, target.query, &self.key_sources) {
            Presented::Nothing => return Err(Denial::NoCredential),
            Presented::Several => return Err(Denial::MultipleCredentials),
            Presented::Malformed { source } => return Err(Denial::MalformedCredential { source }),
            Presented::Key { source, key } => (source, key),
        };
        trail.record(|| Event::Credential(source));
        let caller = self.holder(&presented, source, host)?;
        trail.record(|| Event::Key);
        // 8. What the path asks for.
        if !self.rules.permit(&caller.consumer, request, target, budget, trail) {
            return Err(Denial::MissingRole(caller));
        }
        Ok(caller)
    }

    /// Whose key it is, if it is one, and valid now.
    #[inline(never)]
    fn holder<'p>(&'p self, presented: &[u8], source: usize, host: &impl Host) -> Result<Caller<'p>, Denial<'p>> {
        // 7. The key that it is, and whether that is valid now.
        let (consumer, key) = self.keyring.find(&Digest::of(presented)).ok_or(Denial::UnknownKey { source })?;
        let caller = Caller { consumer, key, source };
        if key.is_disabled() {
            return Err(Denial::DisabledKey(caller));
        }
        let (not_before, expires) = (key.not_before(), key.expires());
        if not_before.is_some() || expires.is_some() {
            // Without a clock nothing is known to have begun, or to last.
            let now = host.now();
            if not_before.is_some_and(|from| now.is_none_or(|now| now < from)) {
                return Err(Denial::KeyNotYetValid(caller));
            }
            if defence!("expired-keys") && expires.is_some_and(|until| now.is_none_or(|now| now >= until)) {
                return Err(Denial::ExpiredKey(caller));
            }
        }
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::{Policy, Request, Timestamp};
    use crate::HeaderBlock;
    use crate::secrecy::Clock;

    #[test]
    fn without_a_clock_a_key_with_a_window_is_not_valid() {
        let document = r#"{"consumers": [{"name": "ci", "keys": [
            {"plaintext": "always"},
            {"plaintext": "begins", "not_before": "2000-01-01T00:00:00Z"},
            {"plaintext": "expires", "expires": "2100-01-01T00:00:00Z"},
            {"plaintext": "both", "not_before": "2000-01-01T00:00:00Z", "expires": "2100-01-01T00:00:00Z"}]}]}"#;
        let policy = Policy::load(document.as_bytes(), &|_| None).unwrap().policy;
        let reasons = |clock: Clock| {
            ["always", "begins", "expires", "both"].map(|key| {
                let headers = [(":path", "/"), (":authority", "gate"), ("x-api-key", key)];
                let block = HeaderBlock::new(&headers);
                policy.decide(&Request::new(block.headers()), &clock, &mut ()).reason()
            })
        };
        assert_eq!(reasons(Clock(Some(Timestamp(1_800_000_000)))), ["key"; 4]);
        assert_eq!(reasons(Clock(None)), ["key", "key_not_yet_valid", "expired_key", "key_not_yet_valid"]);
    }
}
