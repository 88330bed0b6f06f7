//! Decides about one request. The first step that has an answer decides.

use super::host::Host;
use super::policy::Policy;
use super::reason::{Caller, Decision, Reason};
use super::trace::{Event, NotPublic, Observer, Preflight, Public};
use super::{public, trusted};
use crate::document::root::{CorsPreflight, Mode};
use crate::keys::digest::Digest;
use crate::path::budget::Budget;
use crate::path::target::{BadTarget, Target};
use crate::request::credential::{self, Presented};
use crate::request::message::Request;

impl Policy {
    /// Decides about a request. The decision depends only on the policy, the request and the host's answers. No input
    /// causes a panic. `observer` receives each step; `&mut ()` observes nothing.
    #[must_use]
    pub fn decide<'p>(&'p self, request: &Request<'_>, host: &impl Host, observer: &mut impl Observer) -> Decision<'p> {
        let decided = Decision::without_credential;
        // 1. Disabled: every request is allowed, as without the gate.
        observer.observe(|| Event::Mode(self.mode));
        if self.mode == Mode::Disabled {
            return decided(Reason::Disabled);
        }
        // 2. An invalid or suspicious request target.
        let path =
            if request.names_a_host() { request.path.ok_or(BadTarget::Bytes) } else { Err(BadTarget::Authority) };
        let target = path.and_then(Target::parse);
        observer.observe(|| Event::Target(target.as_ref().map(|_| ()).map_err(|bad| *bad)));
        let Ok(target) = target else { return decided(Reason::BadRequestTarget) };
        let names_identity = defence!("names-in-connection") && request.connection_names(self.identity_headers());
        observer.observe(|| Event::Connection { names_identity });
        if names_identity {
            return decided(Reason::IdentityHeaderNamed);
        }
        let mut budget = Budget::new();
        // An upstream may interpret this request as another method or path. Then steps 3 and 4 do not apply.
        if request.is_overridden {
            observer.observe(|| Event::Overridden);
        } else {
            // 3. CORS preflights.
            let preflight = self.preflight(request);
            observer.observe(|| Event::CorsPreflight(preflight));
            if preflight == Preflight::Allowed {
                return decided(Reason::CorsPreflight);
            }
            // 4. Public paths.
            let (public_paths, protected_paths) = (&self.public_paths, self.protected_paths.as_ref());
            let public = public::decide(public_paths, protected_paths, request.method, &target, &mut budget);
            observer.observe(|| Event::PublicPath(self.with_other_method(public, &target)));
            if public.is_ok() {
                return decided(Reason::PublicPath);
            }
        }
        // 5. Trusted callers.
        let range = trusted::network(self, request, host);
        observer.observe(|| Event::TrustedNetwork(range));
        if range.is_ok() {
            return decided(Reason::TrustedNetwork);
        }
        let identity = trusted::identity(self, host);
        observer.observe(|| Event::TrustedIdentity(identity));
        if identity.is_ok() {
            return decided(Reason::TrustedIdentity);
        }
        self.decide_by_key(request, &target, &mut budget, host, observer)
    }

    fn preflight(&self, request: &Request<'_>) -> Preflight {
        match self.cors_preflight {
            CorsPreflight::Authenticate => Preflight::NotAllowed,
            CorsPreflight::Allow if request.is_cors_preflight() => Preflight::Allowed,
            CorsPreflight::Allow => Preflight::None,
        }
    }

    /// Adds the pattern that would make the path public with another method. Only for the trace.
    fn with_other_method(&self, public: Result<Public, NotPublic>, target: &Target<'_>) -> Result<Public, NotPublic> {
        public.map_err(|why| match why {
            NotPublic::Outside { .. } => {
                let other_method = self.public_paths.find(target.path, None, &mut Budget::new()).ok().flatten();
                NotPublic::Outside { other_method }
            }
            other => other,
        })
    }

    #[inline(never)]
    fn decide_by_key<'p>(
        &'p self,
        request: &Request<'_>,
        target: &Target<'_>,
        budget: &mut Budget,
        host: &impl Host,
        observer: &mut impl Observer,
    ) -> Decision<'p> {
        // 6. Exactly one credential.
        let (source, presented) = match credential::find(request, target.query, &self.key_sources) {
            Presented::Nothing => return Decision::without_credential(Reason::NoCredential),
            Presented::Several => return Decision::without_credential(Reason::MultipleCredentials),
            Presented::Malformed(source) => return Decision::of_credential(Reason::MalformedCredential, source),
            Presented::Key(source, key) => (source, key),
        };
        observer.observe(|| Event::Credential(source));
        // 7. A key of the policy that is valid now.
        let Some(caller) = self.find_caller(&presented) else {
            return Decision::of_credential(Reason::UnknownKey, source);
        };
        if let Some(invalid) = why_invalid(&caller, host) {
            return Decision::of_caller(invalid, source, caller);
        }
        observer.observe(|| Event::Key);
        // 8. The roles that the path requires.
        let permitted = self.rules.permit(&caller.consumer, request, target, budget, observer);
        Decision::of_caller(if permitted { Reason::Key } else { Reason::MissingRole }, source, caller)
    }

    #[inline(never)]
    fn find_caller(&self, presented: &[u8]) -> Option<Caller<'_>> {
        self.keyring.find(&Digest::of(presented)).map(|(consumer, key)| Caller { consumer, key })
    }
}

/// Returns why a key is not valid now; `None` if it is valid.
fn why_invalid(caller: &Caller<'_>, host: &impl Host) -> Option<Reason> {
    let key = caller.key;
    if key.is_disabled() {
        return Some(Reason::DisabledKey);
    }
    let (not_before, expires) = (key.not_before(), key.expires());
    if not_before.is_none() && expires.is_none() {
        return None;
    }
    // Without a clock, a key with `not_before` or `expires` is not valid.
    let now = host.now();
    if not_before.is_some_and(|from| now.is_none_or(|now| now < from)) {
        return Some(Reason::KeyNotYetValid);
    }
    let has_expired = defence!("expired-keys") && expires.is_some_and(|until| now.is_none_or(|now| now >= until));
    has_expired.then_some(Reason::ExpiredKey)
}

#[cfg(test)]
mod tests {
    use super::{Policy, Request};
    use crate::decision::host::Clock;
    use crate::request::headers::HeaderBlock;
    use crate::value::timestamp::Timestamp;

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
                policy.decide(&Request::new(block.headers()), &clock, &mut ()).reason.name()
            })
        };
        assert_eq!(reasons(Clock(Some(Timestamp(1_800_000_000)))), ["key"; 4]);
        assert_eq!(reasons(Clock(None)), ["key", "key_not_yet_valid", "expired_key", "key_not_yet_valid"]);
    }
}
