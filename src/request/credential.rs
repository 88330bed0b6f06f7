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
const MAX_KEY_LENGTH: usize = 1024;

/// The maximum number of comma-separated parts of `Authorization` that are inspected.
const MAX_PARTS: usize = 64;

/// The credential that a request presents, if any.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No credential.
    Nothing,
    /// More than one credential, in one key source or in several.
    Several,
    /// One credential that is not a well-formed key.
    Malformed {
        /// The index of the key source that contains it.
        source: usize,
    },
    /// One well-formed key, not yet looked up in the keyring.
    Key {
        /// The index of the key source that contains it.
        source: usize,
        /// The key.
        key: Cow<'a, [u8]>,
    },
}

/// Does not show the key.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Several => f.write_str("Several"),
            Self::Malformed { source } => write!(f, "Malformed({source})"),
            Self::Key { source, .. } => write!(f, "Key({source}, ...)"),
        }
    }
}

/// Finds the credential in all key sources. Two credentials are always an error, even in different places (RFC 6750,
/// section 2).
#[inline(never)]
pub fn find<'a>(request: &Request<'a>, query: Option<&'a [u8]>, sources: &[KeySource]) -> Presented<'a> {
    let mut found = Presented::Nothing;
    for (source, place) in sources.iter().enumerate() {
        let more = match place {
            KeySource::Bearer if request.may_have("authorization") => in_authorization(request, source),
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
        (Some(Some(value)), None) if value.len() > MAX_KEY_LENGTH.saturating_mul(3) => Presented::Malformed { source },
        (Some(Some(value)), None) => key_or_malformed(source, read(value)),
        (Some(Some(value)), _) if !defence!("second-parameter-or-cookie") => key_or_malformed(source, read(value)),
        _ => Presented::Several,
    }
}

fn key_or_malformed(source: usize, key: Option<Cow<'_, [u8]>>) -> Presented<'_> {
    match key {
        Some(key) if is_presentable(&key) => Presented::Key { source, key },
        _ => Presented::Malformed { source },
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
fn in_authorization<'a>(request: &Request<'a>, source: usize) -> Presented<'a> {
    let mut values = request.values("authorization");
    let Some(first) = values.next() else { return Presented::Nothing };
    let is_alone = values.next().is_none();
    match bearer(first) {
        // A token68 contains no comma.
        Some(key) if is_alone && key.len() <= MAX_KEY_LENGTH && is_token68(key) => {
            Presented::Key { source, key: Cow::Borrowed(key) }
        }
        Some(_) if is_alone && !first.contains(&b',') => Presented::Malformed { source },
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
    !body.is_empty() && body.iter().all(|byte| TOKEN68.get(usize::from(*byte)).is_some_and(|fits| *fits))
}

/// The bytes that are allowed in the body of a token68. A table, since every byte of a key is checked.
static TOKEN68: [bool; 256] = {
    let mut table = [false; 256];
    let (mut rest, mut byte): (&mut [bool], u8) = (&mut table, 0);
    while let [fits, others @ ..] = rest {
        *fits = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        (rest, byte) = (others, byte.wrapping_add(1));
    }
    table
};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::headers::HeaderBlock;
    use crate::request::query::without_parameter;
    use crate::value::names::{HeaderName, ParameterName};

    fn present(headers: &[(&str, &str)], query: Option<&str>) -> String {
        let sources = [
            KeySource::Bearer,
            KeySource::Header(HeaderName::fixed("x-api-key")),
            KeySource::Query(ParameterName::fixed("api_key")),
            KeySource::Cookie(ParameterName::fixed("session")),
        ];
        match find(&Request::new(HeaderBlock::new(headers).headers()), query.map(str::as_bytes), &sources) {
            Presented::Nothing => "nothing".into(),
            Presented::Several => "several".into(),
            Presented::Malformed { source } => format!("malformed in {source}"),
            Presented::Key { source, key } => format!("{source}: {}", String::from_utf8_lossy(&key)),
        }
    }

    #[test]
    fn a_credential_is_found_in_its_source() {
        assert_eq!(present(&[], None), "nothing");
        assert_eq!(present(&[("authorization", "bEARER   a-._~+/b==")], None), "0: a-._~+/b==");
        assert_eq!(present(&[("x-api-key", " a,b ")], None), "1: a,b");
        assert_eq!(present(&[], Some("x=1&api_key=a%2Bb+c&y")), "2: a+b+c");
        assert_eq!(present(&[("cookie", "a=b; session=abc;c=d")], None), "3: abc");
        assert_eq!(present(&[("authorization", "Digest a=\"b\", c=\"d\""), ("x-api-key", "abc")], None), "1: abc");
        for other in ["Basic YTpi", "BearerX abc", "Bear abc", "", "\u{ff}Bearer abc"] {
            assert_eq!(present(&[("authorization", other)], None), "nothing", "{other}");
        }
    }

    #[test]
    fn two_credentials_are_several() {
        for value in ["Bearer a,Bearer b", "Bearer a,b", "Basic YTpi, Bearer a", "Bearer a,", ",Bearer a"] {
            assert_eq!(present(&[("authorization", value)], None), "several", "{value}");
        }
        assert_eq!(present(&[("authorization", "Bearer"), ("x-api-key", "a")], None), "several");
        assert_eq!(present(&[("x-api-key", "a"), ("x_api_key", "b")], None), "several");
        assert_eq!(present(&[("x_api_key", "b")], None), "nothing");
        assert_eq!(present(&[], Some("api_key=a&api%5Fkey=b")), "several");
        assert_eq!(present(&[("cookie", "session=a"), ("cookie", "session=b")], None), "several");
    }

    #[test]
    fn a_credential_that_is_not_well_formed_is_malformed() {
        let long = "a".repeat(MAX_KEY_LENGTH + 1);
        for value in ["Bearer", "Bearer a b", "Bearer \u{ff}", "Bearer =", "Bearer a=b", "Bearer\ta", "Bearer\"a\""] {
            assert_eq!(present(&[("authorization", value)], None), "malformed in 0", "{value}");
        }
        assert_eq!(present(&[("authorization", &format!("Bearer {long}"))], None), "malformed in 0");
        for value in ["", "a b", "\u{ff}", "a\u{7f}", &long] {
            assert_eq!(present(&[("x-api-key", value)], None), "malformed in 1", "{value}");
        }
        for query in ["api_key", "api_key=%", "api_key=%zz", "api_key=%20", "api_key=%ff"] {
            assert_eq!(present(&[], Some(query)), "malformed in 2", "{query}");
        }
    }

    #[test]
    fn a_credential_is_removed_and_the_rest_stays() {
        let path = |query: &str| String::from_utf8(without_parameter(b"/a", query.as_bytes(), "api_key")).unwrap();
        assert_eq!(path("api_key=x"), "/a");
        assert_eq!(path("a=%zz&api_key=x&b&&c=1"), "/a?a=%zz&b&&c=1");
        assert_eq!(path("api%5fkey=x&a=1"), "/a?a=1");
        let block = HeaderBlock::new(&[("cookie", "a=b; session=x;; c=d"), ("cookie", "e=f")]);
        assert_eq!(without_cookie(&Request::new(block.headers()), "session"), b"a=b; c=d; e=f");
    }
}
