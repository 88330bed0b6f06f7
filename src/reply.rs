//! What a denied caller hears: one function from a denial to the reply. Fixed text, made when the policy is loaded;
//! nothing of the request is echoed, and the four ways in which a key can be wrong sound the same.

use serde_json::json;

use crate::decision::Denial;
use crate::document::{KeySource, Reply as Texts};

/// A local reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'p> {
    /// The HTTP status. For gRPC, Envoy makes it 200 and a `grpc-status`.
    pub status: u16,
    /// Headers, in order.
    pub headers: Vec<(&'static str, &'p str)>,
    /// The body; Envoy drops it for HEAD, and sends it as `grpc-message` for gRPC.
    pub body: &'p str,
}

/// Every reply of a policy.
#[derive(Debug)]
pub(crate) struct Replies {
    /// A challenge for each key source.
    challenges: Vec<Challenge>,
    unauthenticated: Body,
    missing_role: Body,
    several: Body,
    bad_target: Body,
    named: Body,
}

/// A challenge (RFC 9110, section 11.6.1), alone and with each `error` of RFC 6750, section 3.1.
#[derive(Debug)]
struct Challenge {
    plain: String,
    invalid_token: String,
    insufficient_scope: String,
    invalid_request: String,
}

/// One explanation, as problem details (RFC 9457) and as plain text.
#[derive(Debug)]
struct Body {
    problem: String,
    text: String,
}

impl Replies {
    pub(crate) fn new(texts: &Texts, sources: &[KeySource]) -> Self {
        let realm = texts.realm.as_str();
        let challenge = |source: &KeySource| {
            let scheme = if *source == KeySource::Bearer { "Bearer" } else { "ApiKey" };
            let plain = format!("{scheme} realm=\"{realm}\"");
            Challenge {
                invalid_token: format!("{plain}, error=\"invalid_token\""),
                insufficient_scope: format!("{plain}, error=\"insufficient_scope\""),
                invalid_request: format!("{plain}, error=\"invalid_request\""),
                plain,
            }
        };
        Self {
            challenges: sources.iter().map(challenge).collect(),
            unauthenticated: Body::new(401, "Unauthorized", texts.detail.as_str()),
            missing_role: Body::new(
                403,
                "Forbidden",
                "The API key is valid, but has no role that this request asks for.",
            ),
            several: Body::new(
                400,
                "Bad Request",
                "Several credentials were sent. Please send one API key, in one place.",
            ),
            bad_target: Body::new(400, "Bad Request", "The path of this request is not one that is accepted here."),
            named: Body::new(400, "Bad Request", "The Connection header names a header that callers may not name."),
        }
    }

    /// The reply to a denial.
    pub(crate) fn to(&self, denial: &Denial<'_>, is_grpc: bool) -> Reply<'_> {
        let (status, body, used) = match denial {
            Denial::BadRequestTarget => (400, &self.bad_target, None),
            Denial::IdentityHeaderNamed => (400, &self.named, None),
            Denial::MultipleCredentials => (400, &self.several, None),
            Denial::NoCredential => (401, &self.unauthenticated, None),
            Denial::MalformedCredential { source } | Denial::UnknownKey { source } => {
                (401, &self.unauthenticated, Some(*source))
            }
            Denial::DisabledKey(caller) | Denial::KeyNotYetValid(caller) | Denial::ExpiredKey(caller) => {
                (401, &self.unauthenticated, Some(caller.source))
            }
            Denial::MissingRole(caller) => (403, &self.missing_role, Some(caller.source)),
        };
        let mut headers = Vec::with_capacity(self.challenges.len().saturating_add(2));
        headers.push(("cache-control", "no-store"));
        for (source, challenge) in self.challenges.iter().enumerate() {
            let value = match denial {
                Denial::BadRequestTarget | Denial::IdentityHeaderNamed => continue,
                Denial::MultipleCredentials => &challenge.invalid_request,
                Denial::MissingRole(_) if used == Some(source) => &challenge.insufficient_scope,
                Denial::MissingRole(_) => continue,
                _ if used == Some(source) => &challenge.invalid_token,
                _ => &challenge.plain,
            };
            headers.push(("www-authenticate", value));
        }
        if !is_grpc {
            headers.push(("content-type", "application/problem+json"));
        } else if status == 400 {
            // Envoy makes INTERNAL (13) of a 400; what is meant is INVALID_ARGUMENT.
            headers.push(("grpc-status", "3"));
        }
        Reply { status, headers, body: if is_grpc { &body.text } else { &body.problem } }
    }
}

impl Body {
    fn new(status: u16, title: &str, detail: &str) -> Self {
        let problem = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
        Self { problem: problem.to_string(), text: detail.to_owned() }
    }
}
