//! Finds the credential of a request. There must be exactly one, in one of the key sources of the policy.

use core::fmt;
use std::borrow::Cow;

use super::headers::trim;
use super::key_source::KeySource;
use super::message::Request;
use super::query::{items, named, parameters, split_pair};
use crate::path::escape::decode_well_formed;
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
    /// One credential that is not a well-formed key, in the key source with this index.
    Malformed(usize),
    /// One well-formed key, not yet looked up in the keyring, and the index of its key source.
    Key(usize, Cow<'a, [u8]>),
}

/// Does not show the key.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Several => f.write_str("Several"),
            Self::Malformed(source) => write!(f, "Malformed({source})"),
            Self::Key(source, _) => write!(f, "Key({source}, ...)"),
        }
    }
}

/// Finds the credential in all key sources. `max_bearer` is the maximum length of a bearer credential, in bytes: a token is
/// longer than a key. Two credentials are always an error, even in different places (RFC 6750,
/// section 2).
#[inline(never)]
pub fn find<'a>(
    request: &Request<'a>,
    query: Option<&'a [u8]>,
    sources: &[KeySource],
    max_bearer: usize,
) -> Presented<'a> {
    let mut found = Presented::Nothing;
    for (source, place) in sources.iter().enumerate() {
        let more = match place {
            KeySource::Bearer if request.may_have("authorization") => in_authorization(request, source, max_bearer),
            KeySource::Header(name) if request.may_have(name.as_str()) => in_header(request, name.as_str(), source),
            KeySource::Bearer | KeySource::Header(_) => Presented::Nothing,
            KeySource::Query(name) => in_query(query, name.as_str(), source),
            KeySource::Cookie(name) => in_cookies(request, name.as_str(), source),
        };
        found = match (found, more) {
            (found, Presented::Nothing) => found,
            (Presented::Nothing, more) => more,
            (found, _) if !defence!("credentials-in-two-places") => found,
            _ => return Presented::Several,
        };
    }
    found
}

#[inline(never)]
fn in_query<'a>(query: Option<&'a [u8]>, name: &str, source: usize) -> Presented<'a> {
    only_one(source, parameters(query, name), decode_well_formed)
}

#[inline(never)]
fn in_cookies<'a>(request: &Request<'a>, name: &str, source: usize) -> Presented<'a> {
    only_one(source, cookies(request, name), |value| Some(trim(value).into()))
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

/// Returns the cookies of a request without the cookie `name`; empty if there are no others.
pub(crate) fn without_cookie(request: &Request<'_>, name: &str) -> Vec<u8> {
    let pairs = request.values("cookie").flat_map(|value| value.split(|byte| *byte == b';')).map(trim);
    let kept = pairs.filter(|pair| !pair.is_empty() && trim(split_pair(pair).0) != name.as_bytes());
    kept.collect::<Vec<_>>().join(&b"; "[..])
}
