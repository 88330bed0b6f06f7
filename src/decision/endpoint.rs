//! Decides about requests for the endpoints, which the gate itself answers.

use super::answer::{Answer, Endpoint};
use super::authenticate::Authenticated;
use super::host::Host;
use super::policy::Policy;
use super::reason::{Caller, Decision, Reason};
use super::trace::{Event, Observer};
use super::trusted;
use crate::document::tokens::Endpoints;
use crate::path::target::Target;
use crate::request::message::Request;

impl Endpoints {
    /// Returns the endpoint at a path. The path is compared as sent: any other form of it goes to the service.
    #[inline(never)]
    pub(super) fn at(&self, path: &[u8]) -> Option<Endpoint> {
        [(Endpoint::Whoami, &self.whoami), (Endpoint::Token, &self.token)]
            .into_iter()
            .find_map(|(endpoint, at)| at.as_ref().filter(|at| at.as_str().as_bytes() == path).map(|_| endpoint))
    }
}

impl Policy {
    /// Decides about a request for an endpoint. Steps 3, 4 and 8 do not apply: an endpoint is never public, and needs no role.
    #[cold]
    #[inline(never)]
    pub(super) fn decide_at_endpoint<'p>(
        &'p self,
        endpoint: Endpoint,
        request: &Request<'_>,
        target: &Target<'_>,
        host: &impl Host,
        observer: &mut impl Observer,
    ) -> Decision<'p> {
        observer.observe(|| Event::Endpoint(endpoint));
        let (allowed, token_expires) = match trusted::caller(self, request, host, observer) {
            Some(reason) => (Decision::without_credential(reason), None),
            None => match self.authenticate(request, target, host, observer) {
                Ok(Authenticated { caller, source, via, token_expires }) => {
                    (Decision::of_caller(via, source, caller), token_expires)
                }
                Err(denied) => return denied,
            },
        };
        let via = allowed.reason;
        let key = allowed.caller.filter(|_| via == Reason::Key || !defence!("tokens-renew-no-token"));
        let (reason, token) = match (endpoint, key) {
            _ if !endpoint.includes(request) => (Reason::MethodNotAllowed, None),
            (Endpoint::Whoami, _) => (Reason::Whoami, None),
            (Endpoint::Token, None) => (Reason::TokenNeedsKey, None),
            (Endpoint::Token, Some(Caller { consumer, key })) => {
                let parts = self.tokens.as_ref().zip(host.now()).zip(host.random());
                let token = parts.and_then(|((tokens, now), id)| tokens.issue(&consumer, &key, now, id));
                (if token.is_some() { Reason::TokenIssued } else { Reason::TokenUnavailable }, token)
            }
        };
        let key_expires = allowed.caller.and_then(|caller| caller.key.expires());
        let expires = token_expires.into_iter().chain(key_expires).min();
        Decision { reason, answer: Some(Box::new(Answer { endpoint, via: via.name(), expires, token })), ..allowed }
    }
}
