//! The local replies to denied requests. They are built when the policy is loaded:
//!
//! * They contain nothing of the request.
//! * An unknown, a disabled, a not yet valid and an expired key get the same reply.

use super::reason::{Decision, Reason};
use crate::document::reply::ReplyTexts;
use crate::request::headers::{HeaderBlock, NO_HEADERS};
use crate::request::key_source::KeySource;

/// A local reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'p> {
    /// The HTTP status. For gRPC, Envoy sends 200 and a `grpc-status` instead.
    pub status: u16,
    /// Envoy's response code details, for access logs: `portcullis_` and the reason's name. They are not sent to the
    /// caller.
    pub details: &'p str,
    /// The headers, in the serialized form that the host expects.
    pub headers: &'p HeaderBlock,
    /// The body. Envoy omits it for HEAD, and sends it as `grpc-message` for gRPC.
    pub body: &'p str,
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
            details: Reason::ALL.iter().map(|reason| format!("portcullis_{}", reason.name())).collect(),
        }
    }

    /// Returns the reply to a denied request; `None` if the request is allowed.
    pub(crate) fn to(&self, decision: &Decision<'_>, is_grpc: bool) -> Option<Reply<'_>> {
        let status = decision.reason.status()?;
        let after_source = decision.source.map_or(0, |source| source.saturating_add(1));
        let (problem, headers) = match decision.reason {
            Reason::MissingRole => (&self.missing_role, decision.source.unwrap_or_default()),
            Reason::MultipleCredentials => (&self.several, 0),
            Reason::BadRequestTarget => (&self.bad_target, 0),
            Reason::IdentityHeaderNamed => (&self.identity_header_named, 0),
            Reason::DisabledKey | Reason::KeyNotYetValid | Reason::ExpiredKey
                if !defence!("one-answer-for-wrong-keys") =>
            {
                (&self.missing_role, decision.source.unwrap_or_default())
            }
            Reason::NoCredential
            | Reason::MalformedCredential
            | Reason::UnknownKey
            | Reason::DisabledKey
            | Reason::KeyNotYetValid
            | Reason::ExpiredKey => (&self.unauthenticated, after_source),
            Reason::Disabled
            | Reason::CorsPreflight
            | Reason::PublicPath
            | Reason::TrustedNetwork
            | Reason::TrustedIdentity
            | Reason::Key => return None,
        };
        let headers = problem.headers.get(headers).map(|one| if is_grpc { &one.grpc } else { &one.http });
        Some(Reply {
            status,
            details: self.details.get(decision.reason as usize).map_or("", String::as_str),
            headers: headers.unwrap_or(&NO_HEADERS),
            body: if is_grpc { &problem.text } else { &problem.json },
        })
    }
}

impl ProblemReply {
    /// Creates a problem with headers for each list of challenges.
    fn new(status: u16, title: &str, detail: &str, challenges: Vec<Vec<String>>) -> Self {
        let headers = |challenges: Vec<String>| {
            let challenges = challenges.iter().map(|value| ("www-authenticate", value.as_str()));
            let mut http: Vec<_> = core::iter::once(("cache-control", "no-store")).chain(challenges).collect();
            let mut grpc = http.clone();
            http.push(("content-type", "application/problem+json"));
            if status == 400 {
                // Envoy converts 400 to INTERNAL (13), but INVALID_ARGUMENT (3) is correct.
                grpc.push(("grpc-status", "3"));
            }
            ReplyHeaders { http: HeaderBlock::new(&http), grpc: HeaderBlock::new(&grpc) }
        };
        let json = ProblemDetails { detail, status, title, r#type: "about:blank" };
        // Text and numbers can always be serialized.
        let json = serde_json::to_string(&json).unwrap_or_default();
        Self { json, text: detail.to_owned(), headers: challenges.into_iter().map(headers).collect() }
    }
}
