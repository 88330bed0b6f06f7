//! What a denied caller hears: one function from a denial to the reply. Fixed text, made when the policy is loaded;
//! nothing of the request is echoed, and the four ways in which a key can be wrong sound the same.

use crate::decision::{DENIALS, Denial};
use crate::document::{KeySource, Reply as Texts};
use crate::headers::{HeaderBlock, NO_HEADERS};

/// A local reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'p> {
    /// The HTTP status. For gRPC, Envoy makes it 200 and a `grpc-status`.
    pub status: u16,
    /// Why, for access logs: `portcullis_` and the denial's name, as Envoy's response code details. Callers do not see it.
    pub details: &'p str,
    /// Headers, in order, as the host takes them.
    pub headers: &'p HeaderBlock,
    /// The body; Envoy drops it for HEAD, and sends it as `grpc-message` for gRPC.
    pub body: &'p str,
}

/// Every reply of a policy.
#[derive(Debug)]
pub(crate) struct Replies {
    /// Where no key is known: the first for no credential, then one for each key source in which a wrong one stands.
    unauthenticated: Explained,
    /// One for each key source in which the key stands.
    missing_role: Explained,
    several: Explained,
    bad_target: Explained,
    named: Explained,
    /// The response code details of each denial, in the order of [`DENIALS`].
    details: [String; DENIALS.len()],
}

/// One explanation, with what may stand above it.
#[derive(Debug)]
struct Explained {
    status: u16,
    /// As problem details (RFC 9457).
    problem: String,
    /// As plain text, for gRPC.
    text: String,
    variants: Vec<Variant>,
}

/// The headers of a reply, as the host takes them.
#[derive(Debug)]
struct Variant {
    http: HeaderBlock,
    grpc: HeaderBlock,
}

impl Replies {
    pub(crate) fn new(texts: &Texts, sources: &[KeySource]) -> Self {
        // A challenge (RFC 9110, section 11.6.1), plain or with an `error` of RFC 6750, section 3.1.
        let challenge = |source: &KeySource, error: &str| {
            let scheme = if *source == KeySource::Bearer { "Bearer" } else { "ApiKey" };
            let error = if error.is_empty() { String::new() } else { format!(", error=\"{error}\"") };
            format!("{scheme} realm=\"{}\"{error}", texts.realm.as_str())
        };
        let all = |error: &str| sources.iter().map(|source| challenge(source, error)).collect::<Vec<_>>();
        let with_a_wrong_key = |wrong: &KeySource| {
            let error = |source| if source == wrong { "invalid_token" } else { "" };
            sources.iter().map(|source| challenge(source, error(source))).collect()
        };
        let unauthenticated = core::iter::once(all("")).chain(sources.iter().map(with_a_wrong_key));
        let missing_role = sources.iter().map(|source| vec![challenge(source, "insufficient_scope")]);
        let bad_request = |detail, challenges| Explained::new(400, "Bad Request", detail, core::iter::once(challenges));
        Self {
            unauthenticated: Explained::new(401, "Unauthorized", texts.detail.as_str(), unauthenticated),
            missing_role: Explained::new(
                403,
                "Forbidden",
                "The API key is valid, but has no role that this request asks for.",
                missing_role,
            ),
            several: bad_request(
                "Several credentials were sent. Please send one API key, in one place.",
                all("invalid_request"),
            ),
            bad_target: bad_request("The path of this request is not one that is accepted here.", Vec::new()),
            named: bad_request("The Connection header names a header that callers may not name.", Vec::new()),
            details: DENIALS.map(|reason| format!("portcullis_{reason}")),
        }
    }

    /// The reply to a denial.
    pub(crate) fn to(&self, denial: &Denial<'_>, is_grpc: bool) -> Reply<'_> {
        let (explained, variant) = match denial {
            Denial::BadRequestTarget => (&self.bad_target, 0),
            Denial::IdentityHeaderNamed => (&self.named, 0),
            Denial::MultipleCredentials => (&self.several, 0),
            Denial::NoCredential => (&self.unauthenticated, 0),
            Denial::MalformedCredential { source } | Denial::UnknownKey { source } => {
                (&self.unauthenticated, source.saturating_add(1))
            }
            Denial::DisabledKey(caller) | Denial::KeyNotYetValid(caller) | Denial::ExpiredKey(caller) => {
                let as_unknown = defence!("one-answer-for-wrong-keys");
                let explained = if as_unknown { &self.unauthenticated } else { &self.missing_role };
                (explained, caller.source.saturating_add(1))
            }
            Denial::MissingRole(caller) => (&self.missing_role, caller.source),
        };
        let variant = explained.variants.get(variant).map(|one| if is_grpc { &one.grpc } else { &one.http });
        let headers = variant.unwrap_or(&NO_HEADERS);
        let body = if is_grpc { &explained.text } else { &explained.problem };
        let details = self.details.get(denial.index()).map_or("", String::as_str);
        Reply { status: explained.status, details, headers, body }
    }
}

impl Explained {
    /// One variant for each list of challenges.
    fn new(status: u16, title: &str, detail: &str, challenges: impl Iterator<Item = Vec<String>>) -> Self {
        let variant = |challenges: Vec<String>| {
            let challenges = challenges.iter().map(|value| ("www-authenticate", value.as_str()));
            let mut headers: Vec<_> = core::iter::once(("cache-control", "no-store")).chain(challenges).collect();
            let mut grpc = headers.clone();
            headers.push(("content-type", "application/problem+json"));
            if status == 400 {
                // Envoy makes INTERNAL (13) of a 400; what is meant is INVALID_ARGUMENT.
                grpc.push(("grpc-status", "3"));
            }
            Variant { http: HeaderBlock::new(&headers), grpc: HeaderBlock::new(&grpc) }
        };
        // There are no control characters in it, so this is all that JSON wants escaped.
        let escaped = detail.replace('\\', "\\\\").replace('"', "\\\"");
        let problem = format!(r#"{{"detail":"{escaped}","status":{status},"title":"{title}","type":"about:blank"}}"#);
        Self { status, problem, text: detail.to_owned(), variants: challenges.map(variant).collect() }
    }
}
