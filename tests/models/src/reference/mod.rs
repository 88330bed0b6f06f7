//! A second implementation of the decision: slow, simple, and written only from the contract (`docs/policy/`,
//! `SECURITY.md`, and the order of a decision in `README.md`). It shares no code with the gate and uses no tricks. If
//! the two disagree, one of them has a bug.

pub mod address;
pub mod credential;
pub mod document;
pub mod forward;
pub mod path;
pub mod placeholder;
pub mod reply;
pub mod request;
pub mod rules;
pub mod variants;

use std::collections::BTreeMap;

use credential::Presented;
use document::{Document, Key, Owner};
use request::Request;

/// The attributes of the gate's host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Seconds since 1970.
    pub now: i64,
    /// `source.address`.
    pub source: Option<Vec<u8>>,
    /// Filter state, by key.
    pub state: BTreeMap<String, Vec<u8>>,
    /// The URI SAN of the peer's certificate.
    pub identity: Option<Vec<u8>>,
}

/// The environment of the VM.
pub type Environment = BTreeMap<String, Vec<u8>>;

/// A decision: its name, and the key that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The stable name.
    pub reason: &'static str,
    /// The key that was found, valid or not.
    pub owner: Option<Owner>,
    /// The index of the key source of the single credential.
    pub source: Option<usize>,
}

/// What the reference leaves open: its knowledge of Unicode letters and blanks is less exact than the gate's. For text
/// beyond ASCII the gate may be stricter, but never laxer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Nothing.
    None,
    /// The path may be equivalent to another one: it is not public.
    Public,
    /// It is not public, and every rule may apply.
    Rules,
    /// It may contain a disguised dot segment.
    Target,
}

/// The decisions that the gate may make about a request: one, and stricter ones if a path has text beyond ASCII, or
/// takes long to compare.
pub fn decisions(document: &Document, environment: &Environment, request: &Request, host: &Host) -> Vec<Decision> {
    let doubts = [Doubt::None].into_iter().chain(doubts(request));
    doubts.map(|doubt| decide(document, environment, request, host, doubt)).collect()
}

/// What is left open about a request. A path that is not UTF-8 is opaque, which leaves nothing open.
fn doubts(request: &Request) -> Vec<Doubt> {
    let is_ascii = |target: &[u8]| (0..=4).fold(target.to_vec(), |target, _| path::decode(&target)).is_ascii();
    let target = request.path().unwrap_or_default();
    let mut doubts = Vec::new();
    if !is_ascii(target) {
        doubts.push(Doubt::Target);
        if variants::is_text(path::path(target)) {
            doubts.extend([Doubt::Public, Doubt::Rules]);
        }
    }
    let urls = request.override_urls();
    if urls.iter().any(|url| !is_ascii(url) && variants::is_text(path::path(url))) {
        doubts.push(Doubt::Rules);
    }
    if rules::may_take_long(request, target) {
        doubts.extend([Doubt::Public, Doubt::Rules]);
    }
    doubts
}

fn decide(document: &Document, environment: &Environment, request: &Request, host: &Host, doubt: Doubt) -> Decision {
    let say = |reason| Decision { reason, owner: None, source: None };
    if document.mode == "disabled" {
        return say("disabled");
    }
    let Some(target) = request.path().filter(|target| path::is_a_target(target) && doubt != Doubt::Target) else {
        return say("bad_request_target");
    };
    if !request.names_a_host() {
        return say("bad_request_target");
    }
    if request.connection_names(&document.identity_headers()) {
        return say("identity_header_named");
    }
    if !request.is_overridden() {
        if document.cors_preflight == "allow" && request.is_cors_preflight() {
            return say("cors_preflight");
        }
        if doubt == Doubt::None && is_public(document, request, target) {
            return say("public_path");
        }
    }
    if address::is_trusted(&document.trusted_networks, request, host) {
        return say("trusted_network");
    }
    if host
        .identity
        .as_deref()
        .is_some_and(|identity| document.trusted_identities.iter().any(|one| is_identity(one, identity)))
    {
        return say("trusted_identity");
    }
    by_key(document, environment, request, target, host, doubt)
}

fn by_key(
    document: &Document,
    environment: &Environment,
    request: &Request,
    target: &[u8],
    host: &Host,
    doubt: Doubt,
) -> Decision {
    let say = |reason, source| Decision { reason, owner: None, source };
    let (source, presented) = match credential::present(&document.key_sources, request, path::query(target)) {
        Presented::Nothing => return say("no_credential", None),
        Presented::Several => return say("multiple_credentials", None),
        Presented::Malformed(source) => return say("malformed_credential", Some(source)),
        Presented::Key(source, key) => (source, key),
    };
    let usable = document.usable_keys(environment);
    let Some((owner, key)) = usable.into_iter().find(|(_, key)| key.is(&presented, environment)) else {
        return say("unknown_key", Some(source));
    };
    let reason = when(key, host.now).unwrap_or_else(|| {
        let permitted = rules::permit(document, &owner.roles, request, target);
        if permitted && (doubt != Doubt::Rules || document.rules.is_empty()) { "key" } else { "missing_role" }
    });
    Decision { reason, owner: Some(owner), source: Some(source) }
}

/// Why a key is invalid now.
fn when(key: &Key, now: i64) -> Option<&'static str> {
    if key.disabled {
        Some("disabled_key")
    } else if key.not_before.as_deref().is_some_and(|from| now < document::seconds(from)) {
        Some("key_not_yet_valid")
    } else if key.expires.as_deref().is_some_and(|until| now >= document::seconds(until)) {
        Some("expired_key")
    } else {
        None
    }
}

fn is_public(document: &Document, request: &Request, target: &[u8]) -> bool {
    let raw = path::path(target);
    if !path::is_plain(raw) {
        return false;
    }
    let decoded = path::decode(raw);
    let public = |path: &[u8]| is_public_as_it_is(document, request, path);
    let protected = |patterns: &[document::Place]| {
        !decoded.iter().all(|byte| (0x21..=0x7E).contains(byte)) || rules::is_protected(patterns, raw)
    };
    (public(raw) && public(&decoded)) || document.protected_paths.as_deref().is_some_and(|all| !protected(all))
}

/// The data of a page is public if the page is public too.
fn is_public_as_it_is(document: &Document, request: &Request, path: &[u8]) -> bool {
    let is_listed = document.public_paths.iter().any(|one| {
        path::matches(one.path(), path) && one.methods().is_none_or(|all| request::lists(all, &request.method(), false))
    });
    is_listed
        && variants::pages(path).iter().all(|page| {
            let bare = page.strip_suffix(b"/").filter(|bare| !bare.is_empty()).unwrap_or(page);
            is_public_as_it_is(document, request, page) || is_public_as_it_is(document, request, bare)
        })
}

/// Whether a SPIFFE id matches the pattern: `*` is one whole segment.
fn is_identity(pattern: &str, identity: &[u8]) -> bool {
    let (pattern, identity) = (request::split(pattern.as_bytes(), b'/'), request::split(identity, b'/'));
    pattern.len() == identity.len()
        && pattern.iter().zip(&identity).all(|(one, other)| one == other || (one == b"*" && !other.is_empty()))
}
