//! Decides about one request. The first step that has an answer decides.

use super::authenticate::Authenticated;
use super::host::Host;
use super::policy::Policy;
use super::reason::{Decision, Reason};
use super::trace::{Event, NotPublic, Observer, Preflight, Public};
use super::{public, trusted};
use crate::document::root::{CorsPreflight, Mode};
use crate::path::budget::Budget;
use crate::path::target::{BadTarget, Target};
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
        if let Some(endpoint) = self.endpoints.as_ref().and_then(|endpoints| endpoints.at(target.path))
            && defence!("endpoints-are-never-public")
        {
            return self.decide_at_endpoint(endpoint, request, &target, host, observer);
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
        if let Some(reason) = trusted::caller(self, request, host, observer) {
            return decided(reason);
        }
        self.decide_by_credential(request, &target, &mut budget, host, observer)
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
    fn decide_by_credential<'p>(
        &'p self,
        request: &Request<'_>,
        target: &Target<'_>,
        budget: &mut Budget,
        host: &impl Host,
        observer: &mut impl Observer,
    ) -> Decision<'p> {
        // 6. and 7. Exactly one credential, which is valid now.
        let Authenticated { caller, source, via, .. } = match self.authenticate(request, target, host, observer) {
            Ok(authenticated) => authenticated,
            Err(denied) => return denied,
        };
        // 8. The roles that the path requires.
        let permitted = self.rules.permit(&caller.consumer, request, target, budget, observer);
        Decision::of_caller(if permitted { via } else { Reason::MissingRole }, source, caller)
    }
}
