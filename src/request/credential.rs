//! Finds the credential of a request. There must be exactly one, in one of the key sources of the policy.

use core::fmt;
use std::borrow::Cow;

use super::headers::trim;
use super::key_source::KeySource;
use super::message::Request;
use super::query::{MAX_ITEMS, items, named, parameters, split_pair};
use crate::path::escape::decode_well_formed;
use crate::path::target::split_query;
use crate::value::names::is_token_byte;

/// The maximum length of a key, in bytes.
pub const MAX_KEY_LENGTH: usize = 1024;

/// The maximum number of comma-separated parts of `Authorization` that are inspected.
const MAX_PARTS: usize = 64;

/// The credential that a request presents, if any.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No credential.
    Nothing,
    /// More than one credential, in one key source or in several.
    Several,
    /// An empty credential in the key source with this index, and no other.
    Empty(usize),
    /// One credential that is not a well-formed key, in the key source with this index.
    Malformed(usize),
    /// One well-formed key, not yet looked up in the keyring, and the index of the first key source that contains it.
    Key(usize, Cow<'a, [u8]>),
}

/// Does not show the key.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Several => f.write_str("Several"),
            Self::Empty(source) => write!(f, "Empty({source})"),
            Self::Malformed(source) => write!(f, "Malformed({source})"),
            Self::Key(source, _) => write!(f, "Key({source}, ...)"),
        }
    }
}

/// Finds the credential in all key sources. `max_bearer` is the maximum length of a bearer credential, in bytes: a token is
/// longer than a key.
///
/// Two credentials are an error, even in different places (RFC 6750, section 2). Clients for AI services send the same key
/// in two places, or leave one of them empty: neither is a second credential.
#[inline(never)]
pub fn find<'a>(
    request: &Request<'a>,
    query: Option<&'a [u8]>,
    sources: &[KeySource],
    max_bearer: usize,
) -> Presented<'a> {
    let mut found = Presented::Nothing;
    for (source, place) in sources.iter().enumerate() {
        if !is_absent(request, place) {
            found = either(found, in_source(request, query, place, source, max_bearer));
        }
    }
    found
}

/// Returns the one of two credentials that counts.
#[inline(never)]
fn either<'a>(found: Presented<'a>, more: Presented<'a>) -> Presented<'a> {
    match (found, more) {
        (one, Presented::Nothing) | (Presented::Nothing, one) => one,
        (Presented::Several, _) | (_, Presented::Several) => Presented::Several,
        (one, Presented::Empty(_)) | (Presented::Empty(_), one) => one,
        (Presented::Key(first, key), Presented::Key(_, same)) if key == same => Presented::Key(first, key),
        (found, _) if !defence!("credentials-in-two-places") => found,
        _ => Presented::Several,
    }
}

/// Whether a key source contains a credential, even an empty one.
pub(crate) fn is_in(request: &Request<'_>, place: &KeySource) -> bool {
    if is_absent(request, place) {
        return false;
    }
    // Also outside of a handshake: nobody else may read it there.
    if let KeySource::WebsocketProtocol(marker) = place {
        return keys_and_others(request, &[marker.as_str()]).any(|protocol| protocol.is_ok());
    }
    let query = request.path.and_then(|path| split_query(path).1);
    !matches!(in_source(request, query, place, 0, MAX_KEY_LENGTH), Presented::Nothing)
}

/// Whether the header of a key source is absent. Most requests have only one of them.
fn is_absent(request: &Request<'_>, place: &KeySource) -> bool {
    let may_be_there = match place {
        KeySource::Bearer => request.may_have("authorization"),
        KeySource::Header(name) => request.may_have(name.as_str()),
        KeySource::Cookie(_) => request.may_have("cookie"),
        KeySource::WebsocketProtocol(_) => request.may_have(PROTOCOL),
        KeySource::Query(_) => true,
    };
    !may_be_there
}

#[inline(never)]
fn in_source<'a>(
    request: &Request<'a>,
    query: Option<&'a [u8]>,
    place: &KeySource,
    source: usize,
    max_bearer: usize,
) -> Presented<'a> {
    match place {
        KeySource::Bearer => in_authorization(request, source, max_bearer),
        KeySource::Header(name) => in_header(request, name.as_str(), source),
        KeySource::Query(name) => in_query(query, name.as_str(), source),
        KeySource::Cookie(name) => in_cookies(request, name.as_str(), source),
        KeySource::WebsocketProtocol(marker) => in_protocols(request, marker.as_str(), source),
    }
}

#[inline(never)]
fn in_query<'a>(query: Option<&'a [u8]>, name: &str, source: usize) -> Presented<'a> {
    only_one(source, parameters(query, name), decode_well_formed)
}

#[inline(never)]
fn in_cookies<'a>(request: &Request<'a>, name: &str, source: usize) -> Presented<'a> {
    only_one(source, cookies(request, name), |value| Some(trim(value).into()))
}

/// Reads the subprotocols of a WebSocket handshake: with `new WebSocket(url, protocols)` a web page can set no other header.
/// Envoy converts a handshake over HTTP/2 (RFC 8441) to this form.
#[inline(never)]
fn in_protocols<'a>(request: &Request<'a>, marker: &str, source: usize) -> Presented<'a> {
    if defence!("protocols-of-websocket-alone") && !request.is_websocket() {
        return Presented::Nothing;
    }
    if defence!("many-protocols") && protocols(request).nth(MAX_ITEMS).is_some() {
        return Presented::Several;
    }
    let marker = [marker];
    let keys = keys_and_others(request, &marker).filter_map(Result::ok).map(Some);
    let is_alone = request.values_alike(PROTOCOL).all(|(is_exact, _)| is_exact);
    match only_one(source, keys, |key| Some(key.into())) {
        Presented::Nothing => Presented::Nothing,
        // As for a header: another spelling is a second credential.
        _ if defence!("second-protocol-header") && !is_alone => Presented::Several,
        found => found,
    }
}

/// Returns the only value of a source. If not all values were inspected, the result is [`Presented::Several`].
fn only_one<'a>(
    source: usize,
    mut values: impl Iterator<Item = Option<&'a [u8]>>,
    read: impl Fn(&'a [u8]) -> Option<Cow<'a, [u8]>>,
) -> Presented<'a> {
    match (values.next(), values.next()) {
        (None, _) => Presented::Nothing,
        // Percent-encoding makes a key at most three times as long.
        (Some(Some(value)), None) if value.len() > MAX_KEY_LENGTH.saturating_mul(3) => Presented::Malformed(source),
        (Some(Some(value)), None) => key_or_malformed(source, read(value)),
        (Some(Some(value)), _) if !defence!("second-parameter-or-cookie") => key_or_malformed(source, read(value)),
        _ => Presented::Several,
    }
}

fn key_or_malformed(source: usize, key: Option<Cow<'_, [u8]>>) -> Presented<'_> {
    match key {
        Some(key) if key.is_empty() => Presented::Empty(source),
        Some(key) if is_presentable(&key) => Presented::Key(source, key),
        _ => Presented::Malformed(source),
    }
}

/// Returns the value of a header. Another header that an upstream may treat as the same one is a second credential. Without
/// the exact header, it is no credential.
#[inline(never)]
fn in_header<'a>(request: &Request<'a>, name: &str, source: usize) -> Presented<'a> {
    let (mut own, mut has_others) = (None, false);
    for (is_exact, value) in request.values_alike(name) {
        if is_exact && own.is_none() {
            own = Some(value);
        } else {
            has_others = true;
        }
    }
    match own {
        None => Presented::Nothing,
        Some(_) if defence!("second-key-header") && has_others => Presented::Several,
        Some(key) => key_or_malformed(source, Some(Cow::Borrowed(key))),
    }
}

/// Reads `Authorization: Bearer KEY`. The scheme is case-insensitive (RFC 9110, section 11.1).
///
/// * Another scheme is ignored and forwarded to the upstream.
/// * Envoy joins two lines with a comma. So a comma next to a Bearer credential means a second credential.
#[inline(never)]
fn in_authorization<'a>(request: &Request<'a>, source: usize, max_length: usize) -> Presented<'a> {
    let mut values = request.values("authorization");
    let Some(first) = values.next() else { return Presented::Nothing };
    let is_alone = values.next().is_none();
    match bearer(first) {
        // A token68 contains no comma.
        Some(key) if is_alone && key.len() <= max_length && is_token68(key) => {
            Presented::Key(source, Cow::Borrowed(key))
        }
        Some([]) if is_alone => Presented::Empty(source),
        Some(_) if is_alone && !first.contains(&b',') => Presented::Malformed(source),
        _ => {
            let parts = request.values("authorization").flat_map(|value| value.split(|byte| *byte == b','));
            // A part that is not inspected may be a second credential.
            let has_bearer = parts
                .enumerate()
                .any(|(index, part)| (defence!("many-credentials") && index == MAX_PARTS) || bearer(part).is_some());
            if has_bearer { Presented::Several } else { Presented::Nothing }
        }
    }
}

/// Returns the text after the scheme `Bearer`; `None` for another scheme.
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = trim(credentials).split_at_checked(b"bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first().is_some_and(|byte| is_token_byte(*byte)) {
        return None;
    }
    // Only spaces may separate scheme and credential. With anything else between them, the rest is not a token68.
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    rest.get(blanks..)
}

/// Whether bytes are well formed as a bearer token: a token68 (RFC 9110, section 11.2).
pub fn is_token68(key: &[u8]) -> bool {
    let body = key.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last.saturating_add(1));
    let body = key.get(..body).unwrap_or_default();
    !body.is_empty() && body.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

/// Whether bytes are well formed as a key outside `Authorization`: 1 to 1024 visible ASCII characters.
pub fn is_presentable(key: &[u8]) -> bool {
    (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic)
}

/// Returns the values of a cookie, as sent (RFC 6265, section 5.4), with surrounding blanks.
fn cookies<'a>(request: &Request<'a>, name: &str) -> impl Iterator<Item = Option<&'a [u8]>> {
    let pairs = request.values("cookie").flat_map(|value| items(value, b';'));
    named(pairs, move |key| trim(key) == name.as_bytes())
}

/// Returns the cookies of a request without those with one of `names`; empty if there are no others.
pub(crate) fn without_cookies(request: &Request<'_>, names: &[&str]) -> Vec<u8> {
    let pairs = request.values("cookie").flat_map(|value| value.split(|byte| *byte == b';')).map(trim);
    let is_key = |pair: &[u8]| names.iter().any(|name| trim(split_pair(pair).0) == name.as_bytes());
    let kept = pairs.filter(|pair| !pair.is_empty() && !is_key(pair));
    kept.collect::<Vec<_>>().join(&b"; "[..])
}

/// Returns the subprotocols of a request without keys and their markers; empty if there are no others.
pub(crate) fn without_protocols(request: &Request<'_>, markers: &[&str]) -> Vec<u8> {
    let kept = keys_and_others(request, markers).filter_map(Result::err);
    kept.collect::<Vec<_>>().join(&b", "[..])
}

/// The header with the subprotocols of a WebSocket handshake (RFC 6455, section 11.3.4).
pub(crate) const PROTOCOL: &str = "sec-websocket-protocol";

fn protocols<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a [u8]> {
    request.values(PROTOCOL).flat_map(|value| items(value, b',')).map(trim)
}

/// Splits the subprotocols into keys (`Ok`) and others (`Err`). The form of a key is `MARKER, KEY` or `MARKER.KEY`. A marker
/// at the end has an empty key.
fn keys_and_others<'a>(request: &Request<'a>, markers: &[&str]) -> impl Iterator<Item = Result<&'a [u8], &'a [u8]>> {
    let mut protocols = protocols(request).filter(|protocol| !protocol.is_empty());
    core::iter::from_fn(move || {
        let protocol = protocols.next()?;
        if markers.iter().any(|marker| protocol == marker.as_bytes()) {
            return Some(Ok(protocols.next().unwrap_or_default()));
        }
        let key = |marker: &&str| protocol.strip_prefix(marker.as_bytes())?.strip_prefix(b".");
        Some(markers.iter().find_map(key).ok_or(protocol))
    })
}
