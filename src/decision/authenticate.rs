//! Steps 6 and 7: finds the one credential of a request, and the key that it is or stands for.

use super::host::Host;
use super::policy::Policy;
use super::reason::{Caller, Decision, Reason};
use super::trace::{Event, Observer};
use crate::keys::digest::Digest;
use crate::keys::token::{MAX_TOKEN_LENGTH, TokenProblem};
use crate::path::target::Target;
use crate::request::credential::{self, MAX_KEY_LENGTH, Presented};
use crate::request::key_source::KeySource;
use crate::request::message::Request;
use crate::value::timestamp::Timestamp;

/// A caller with a credential that is valid now.
pub(super) struct Authenticated<'p> {
    pub(super) caller: Caller<'p>,
    /// The index of the key source that contains the credential.
    pub(super) source: usize,
    /// [`Reason::Key`] or [`Reason::Token`].
    pub(super) via: Reason,
    /// When the token expires, if it is one.
    pub(super) token_expires: Option<Timestamp>,
}

impl Policy {
    /// Finds the caller.
    ///
    /// # Errors
    /// The decision, if the request does not have exactly one credential that is valid now.
    // Always inlined: each return of a decision copies it.
    #[inline(always)]
    pub(super) fn authenticate<'p>(
        &'p self,
        request: &Request<'_>,
        target: &Target<'_>,
        host: &impl Host,
        observer: &mut impl Observer,
    ) -> Result<Authenticated<'p>, Decision<'p>> {
        // 6. Exactly one credential.
        let max_bearer = if self.tokens.is_some() { MAX_TOKEN_LENGTH } else { MAX_KEY_LENGTH };
        let (source, presented) = match credential::find(request, target.query, &self.key_sources, max_bearer) {
            Presented::Nothing => return Err(Decision::without_credential(Reason::NoCredential)),
            Presented::Several => return Err(Decision::without_credential(Reason::MultipleCredentials)),
            Presented::Empty(source) | Presented::Malformed(source) => {
                return Err(Decision::of_credential(Reason::MalformedCredential, source));
            }
            Presented::Key(source, key) => (source, key),
        };
        observer.observe(|| Event::Credential(source));
        // 7. A key of the policy that is valid now, or a token for one. A key may have the form of a token, so it comes first.
        let digest = Digest::of(&presented);
        let (caller, via, token_expires) = match self.find_caller(&digest) {
            Some(caller) => (caller, Reason::Key, None),
            None => match self.find_caller_by_token(source, &presented, digest, host) {
                Ok((caller, expires)) => (caller, Reason::Token, Some(expires)),
                Err(unknown) => return Err(Decision::of_credential(unknown, source)),
            },
        };
        if let Some(invalid) = why_invalid(&caller, host) {
            return Err(Decision::of_caller(invalid, source, caller));
        }
        observer.observe(|| if via == Reason::Key { Event::Key } else { Event::Token });
        Ok(Authenticated { caller, source, via, token_expires })
    }

    /// Finds the key that a token was issued for, and when the token expires. A token counts only as `bearer`.
    #[cold]
    #[inline(never)]
    fn find_caller_by_token(
        &self,
        source: usize,
        presented: &[u8],
        digest: Digest,
        host: &impl Host,
    ) -> Result<(Caller<'_>, Timestamp), Reason> {
        let is_bearer = self.key_sources.get(source) == Some(&KeySource::Bearer) || !defence!("tokens-as-bearer-alone");
        let tokens = self.tokens.as_ref().filter(|_| is_bearer).ok_or(Reason::UnknownKey)?;
        match tokens.verify(presented, digest, &self.keyring, || host.now()) {
            Ok((consumer, key, expires)) => Ok((Caller { consumer, key }, expires)),
            Err(TokenProblem::NoToken) => Err(Reason::UnknownKey),
            Err(TokenProblem::Unknown) => Err(Reason::UnknownToken),
            Err(TokenProblem::Expired) => Err(Reason::ExpiredToken),
        }
    }

    #[inline(never)]
    fn find_caller(&self, digest: &Digest) -> Option<Caller<'_>> {
        self.keyring.find(digest).map(|(consumer, key)| Caller { consumer, key })
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
    use super::*;
    use crate::decision::host::Clock;
    use crate::request::headers::HeaderBlock;

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
