//! The local replies: the answers of endpoints, and those to denied requests. The latter are built when the policy is loaded:
//!
//! * They contain nothing of the request.
//! * An unknown, a disabled, a not yet valid and an expired key get the same reply.

use core::fmt;
use std::borrow::Cow;

use super::answer::{Answer, Endpoint};
use super::reason::{Decision, Reason};
use crate::document::reply::ReplyTexts;
use crate::keys::keyring::Key;
use crate::keys::token::IssuedToken;
use crate::request::headers::{HeaderBlock, NO_HEADERS};
use crate::request::key_source::KeySource;
use crate::value::names::RoleName;
use crate::value::timestamp::Timestamp;

/// A local reply. `Debug` does not show the body: it may contain a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply<'p> {
    /// The HTTP status. For gRPC, Envoy sends 200 and a `grpc-status` instead.
    pub status: u16,
    /// Envoy's response code details, for access logs: `portcullis_` and the reason's name. They are not sent to the
    /// caller.
    pub details: &'p str,
    /// The headers, in the serialized form that the host expects.
    pub headers: &'p HeaderBlock,
    /// The body. Envoy omits it for HEAD, and sends it as `grpc-message` for gRPC.
    pub body: Cow<'p, str>,
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {})", self.status, self.details)
    }
}

/// Every reply of a policy.
#[derive(Debug)]
pub(crate) struct Replies {
    /// The first headers are for a missing credential. The others are for a wrong key, by its key source.
    unauthenticated: ProblemReply,
    /// The headers, by the key source that contains the key.
    missing_role: ProblemReply,
    several: ProblemReply,
    bad_target: ProblemReply,
    identity_header_named: ProblemReply,
    token_needs_key: ProblemReply,
    token_unavailable: ProblemReply,
    /// The first headers are for `whoami`, the others for `token`.
    method_not_allowed: ProblemReply,
    /// The headers of an answer.
    answer: HeaderBlock,
    /// The response code details by reason.
    details: Vec<String>,
}

/// A problem that is sent to a caller, as JSON or for gRPC.
#[derive(Debug)]
struct ProblemReply {
    /// Problem details (RFC 9457).
    json: String,
    /// Plain text, for gRPC.
    text: String,
    headers: Vec<ReplyHeaders>,
}

/// What the endpoint `whoami` answers.
#[derive(serde::Serialize)]
struct WhoamiAnswer<'a> {
    consumer: Option<&'a str>,
    key_id: Option<&'a str>,
    roles: &'a [RoleName],
    expires: Option<String>,
    via: &'static str,
}

/// What the endpoint `token` answers (RFC 6749, section 5.1). `token` repeats the access token.
#[derive(serde::Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    scope: &'a str,
    token: &'a str,
}

/// The members of a problem (RFC 9457, section 3.1).
#[derive(serde::Serialize)]
struct ProblemDetails<'t> {
    detail: &'t str,
    status: u16,
    title: &'t str,
    r#type: &'static str,
}

#[derive(Debug)]
struct ReplyHeaders {
    http: HeaderBlock,
    grpc: HeaderBlock,
}

impl Replies {
    pub(crate) fn new(texts: &ReplyTexts, sources: &[KeySource]) -> Self {
        // A challenge (RFC 9110, section 11.6.1), with or without an `error` (RFC 6750, section 3.1).
        let challenge = |source: &KeySource, error: &str| {
            let scheme = if *source == KeySource::Bearer { "Bearer" } else { "ApiKey" };
            let error = if error.is_empty() { String::new() } else { format!(", error=\"{error}\"") };
            format!("{scheme} realm=\"{}\"{error}", texts.realm.as_str())
        };
        let all = |error: &str| sources.iter().map(|source| challenge(source, error)).collect::<Vec<_>>();
        let for_wrong_key = |wrong: &KeySource| {
            let error = |source| if source == wrong { "invalid_token" } else { "" };
            sources.iter().map(|source| challenge(source, error(source))).collect()
        };
        let for_missing_role = |source| vec![challenge(source, "insufficient_scope")];
        let bad_request = |detail, challenges| ProblemReply::new(400, "Bad Request", detail, vec![challenges]);
        Self {
            unauthenticated: ProblemReply::new(
                401,
                "Unauthorized",
                texts.detail.as_str(),
                core::iter::once(all("")).chain(sources.iter().map(for_wrong_key)).collect(),
            ),
            missing_role: ProblemReply::new(
                403,
                "Forbidden",
                "The API key is valid, but has no role that this request asks for.",
                sources.iter().map(for_missing_role).collect(),
            ),
            several: bad_request(
                "Several credentials were sent. Please send one API key, in one place.",
                all("invalid_request"),
            ),
            bad_target: bad_request("The path of this request is not one that is accepted here.", Vec::new()),
            identity_header_named: bad_request(
                "The Connection header names a header that callers may not name.",
                Vec::new(),
            ),
            token_needs_key: ProblemReply::new(
                403,
                "Forbidden",
                "A token is issued only to a caller that sends an API key.",
                vec![Vec::new()],
            ),
            token_unavailable: ProblemReply::new(
                503,
                "Service Unavailable",
                "Tokens cannot be issued at the moment.",
                vec![Vec::new()],
            ),
            method_not_allowed: ProblemReply::with_headers(
                405,
                "Method Not Allowed",
                "This path has other methods.",
                [Endpoint::Whoami, Endpoint::Token]
                    .map(|endpoint| vec![("allow", endpoint.methods().to_owned())])
                    .into(),
            ),
            answer: HeaderBlock::new(&[("cache-control", "no-store"), ("content-type", "application/json")]),
            details: Reason::ALL.iter().map(|reason| format!("portcullis_{}", reason.name())).collect(),
        }
    }

    /// Returns the reply to a denied request, or an endpoint's answer; `None` if the request is forwarded.
    pub(crate) fn to(&self, decision: &Decision<'_>, is_grpc: bool) -> Option<Reply<'_>> {
        let status = decision.reason.status()?;
        let after_source = decision.source.map_or(0, |source| source.saturating_add(1));
        let (problem, headers) = match decision.reason {
            Reason::MissingRole => (&self.missing_role, decision.source.unwrap_or_default()),
            Reason::MultipleCredentials => (&self.several, 0),
            Reason::BadRequestTarget => (&self.bad_target, 0),
            Reason::IdentityHeaderNamed => (&self.identity_header_named, 0),
            Reason::TokenNeedsKey => (&self.token_needs_key, 0),
            Reason::TokenUnavailable => (&self.token_unavailable, 0),
            Reason::MethodNotAllowed => {
                let is_token = decision.answer.as_ref().is_some_and(|answer| answer.endpoint == Endpoint::Token);
                (&self.method_not_allowed, usize::from(is_token))
            }
            Reason::DisabledKey | Reason::KeyNotYetValid | Reason::ExpiredKey
                if !defence!("one-answer-for-wrong-keys") =>
            {
                (&self.missing_role, decision.source.unwrap_or_default())
            }
            Reason::NoCredential
            | Reason::MalformedCredential
            | Reason::UnknownKey
            | Reason::UnknownToken
            | Reason::ExpiredToken
            | Reason::DisabledKey
            | Reason::KeyNotYetValid
            | Reason::ExpiredKey => (&self.unauthenticated, after_source),
            Reason::Disabled
            | Reason::CorsPreflight
            | Reason::PublicPath
            | Reason::TrustedNetwork
            | Reason::TrustedIdentity
            | Reason::Key
            | Reason::Token => return None,
            Reason::Whoami | Reason::TokenIssued => return self.answer(decision, status),
        };
        let headers = problem.headers.get(headers).map(|one| if is_grpc { &one.grpc } else { &one.http });
        Some(Reply {
            status,
            details: self.details(decision.reason),
            headers: headers.unwrap_or(&NO_HEADERS),
            body: if is_grpc { problem.text.as_str() } else { problem.json.as_str() }.into(),
        })
    }

    fn details(&self, reason: Reason) -> &str {
        self.details.get(reason as usize).map_or("", String::as_str)
    }

    /// Returns the answer of an endpoint.
    #[cold]
    fn answer(&self, decision: &Decision<'_>, status: u16) -> Option<Reply<'_>> {
        let Answer { via, expires, token, .. } = decision.answer.as_deref()?;
        // Text and numbers can always be serialized.
        let body = match token {
            Some(IssuedToken { text, scope, expires_in }) => {
                let (token, token_type) = (text.as_str(), "Bearer");
                serde_json::to_string(&TokenAnswer {
                    access_token: token,
                    token_type,
                    expires_in: *expires_in,
                    scope,
                    token,
                })
            }
            None => {
                let (consumer, key) = decision.caller.as_ref().map(|caller| (&caller.consumer, &caller.key)).unzip();
                serde_json::to_string(&WhoamiAnswer {
                    consumer: consumer.map(|consumer| consumer.name),
                    key_id: key.map(Key::id),
                    roles: consumer.map_or(&[], |consumer| consumer.roles),
                    expires: expires.and_then(Timestamp::to_rfc3339),
                    via,
                })
            }
        };
        Some(Reply {
            status,
            details: self.details(decision.reason),
            headers: &self.answer,
            body: body.unwrap_or_default().into(),
        })
    }
}

impl ProblemReply {
    /// Creates a problem with headers for each list of challenges.
    fn new(status: u16, title: &str, detail: &str, challenges: Vec<Vec<String>>) -> Self {
        let named = |challenges: Vec<String>| challenges.into_iter().map(|value| ("www-authenticate", value)).collect();
        Self::with_headers(status, title, detail, challenges.into_iter().map(named).collect())
    }

    /// Creates a problem with each list of headers.
    fn with_headers(status: u16, title: &str, detail: &str, lists: Vec<Vec<(&str, String)>>) -> Self {
        let headers = |own: Vec<(&str, String)>| {
            let own = own.iter().map(|(name, value)| (*name, value.as_str()));
            let mut http: Vec<_> = core::iter::once(("cache-control", "no-store")).chain(own).collect();
            let mut grpc = http.clone();
            http.push(("content-type", "application/problem+json"));
            match status {
                // Envoy converts 400 to INTERNAL (13), but INVALID_ARGUMENT (3) is correct.
                400 => grpc.push(("grpc-status", "3")),
                // Envoy converts 405 to UNKNOWN (2), but UNIMPLEMENTED (12) is correct.
                405 => grpc.push(("grpc-status", "12")),
                _ => {}
            }
            ReplyHeaders { http: HeaderBlock::new(&http), grpc: HeaderBlock::new(&grpc) }
        };
        let json = ProblemDetails { detail, status, title, r#type: "about:blank" };
        // Text and numbers can always be serialized.
        let json = serde_json::to_string(&json).unwrap_or_default();
        Self { json, text: detail.to_owned(), headers: lists.into_iter().map(headers).collect() }
    }
}
