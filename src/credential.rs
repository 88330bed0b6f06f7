//! The credential of a request: exactly one, in one of the places where the policy says that a key may stand.

use core::fmt;
use std::borrow::Cow;

use crate::document::KeySource;
use crate::document::names::is_token_byte;
use crate::query::{items, joined, named, parameters, split_pair};
use crate::request::{Request, trim};
use crate::target::decode_strictly;

/// The longest key, in bytes.
pub(crate) const LONGEST: usize = 1024;

/// The most parts between commas in `Authorization` that are looked at.
const MOST_PARTS: usize = 64;

/// What a request presents.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No credential.
    Nothing,
    /// More than one, in one place or in several.
    Several,
    /// One that can be no key.
    Malformed {
        /// The index of the key source where it stands.
        source: usize,
    },
    /// One, not yet looked up.
    Key {
        /// The index of the key source where it stands.
        source: usize,
        /// Its bytes.
        key: Cow<'a, [u8]>,
    },
}

/// Without the key.
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

/// Looks in every key source. Never "the first that is there": a second credential is refused, whichever it is
/// (RFC 6750, section 2).
#[must_use]
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
    one_of(source, parameters(query, name), decode_strictly)
}

#[inline(never)]
fn in_cookies<'a>(request: &Request<'a>, name: &str, source: usize) -> Presented<'a> {
    one_of(source, cookies(request, name), |value| Some(trim(value).into()))
}

/// The one value that a source has. Where not all was looked through, there may be another.
fn one_of<'a>(
    source: usize,
    mut values: impl Iterator<Item = Option<&'a [u8]>>,
    read: impl Fn(&'a [u8]) -> Option<Cow<'a, [u8]>>,
) -> Presented<'a> {
    match (values.next(), values.next()) {
        (None, _) => Presented::Nothing,
        // Escapes make a key three times as long at most.
        (Some(Some(value)), None) if value.len() > LONGEST.saturating_mul(3) => Presented::Malformed { source },
        (Some(Some(value)), None) => presented(source, read(value)),
        (Some(Some(value)), _) if !defence!("second-parameter-or-cookie") => presented(source, read(value)),
        _ => Presented::Several,
    }
}

/// One value, if it can be a key.
fn presented(source: usize, key: Option<Cow<'_, [u8]>>) -> Presented<'_> {
    match key {
        Some(key) if is_presentable(&key) => Presented::Key { source, key },
        _ => Presented::Malformed { source },
    }
}

/// The value of a header of that name. Beside it, another one that a backend may take for it is a second credential;
/// alone, that is none.
#[inline(never)]
fn in_header<'a>(request: &Request<'a>, name: &str, source: usize) -> Presented<'a> {
    let (mut own, mut others) = (None, false);
    for (is_exact, value) in request.values_alike(name) {
        if is_exact && own.is_none() {
            own = Some(value);
        } else {
            others = true;
        }
    }
    match own {
        None => Presented::Nothing,
        Some(_) if defence!("second-key-header") && others => Presented::Several,
        Some(key) => presented(source, Some(Cow::Borrowed(key))),
    }
}

/// `Authorization: Bearer KEY`, the scheme in any case (RFC 9110, section 11.1). Another scheme is not ours. Envoy joins
/// two lines with a comma, so a comma beside a Bearer credential is a second credential.
#[inline(never)]
fn in_authorization<'a>(request: &Request<'a>, source: usize) -> Presented<'a> {
    let mut values = request.values("authorization");
    let Some(first) = values.next() else { return Presented::Nothing };
    of_authorization(request, source, first, values.next().is_none())
}

#[inline(never)]
fn of_authorization<'a>(request: &Request<'a>, source: usize, first: &'a [u8], is_alone: bool) -> Presented<'a> {
    match bearer(first) {
        // No comma is in a token68.
        Some(key) if is_alone && key.len() <= LONGEST && is_token68(key) => {
            Presented::Key { source, key: Cow::Borrowed(key) }
        }
        Some(_) if is_alone && !first.contains(&b',') => Presented::Malformed { source },
        _ => {
            let parts = request.values("authorization").flat_map(|value| value.split(|byte| *byte == b','));
            let mut parts = parts.enumerate();
            // What is not looked at may be a second credential.
            let is_ours = parts
                .any(|(index, part)| (defence!("many-credentials") && index == MOST_PARTS) || bearer(part).is_some());
            if is_ours { Presented::Several } else { Presented::Nothing }
        }
    }
}

/// What follows the scheme `Bearer`; `None` for another scheme.
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = trim(credentials).split_at_checked(b"bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first().is_some_and(|byte| is_token_byte(*byte)) {
        return None;
    }
    // Only a blank parts scheme and credential; with anything else between them it is no token68, which the caller sees.
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    rest.get(blanks..)
}

/// Whether bytes can be a bearer token: the token68 of RFC 9110, section 11.2.
#[must_use]
pub fn is_token68(key: &[u8]) -> bool {
    let body = key.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last.saturating_add(1));
    let body = key.get(..body).unwrap_or_default();
    !body.is_empty() && body.iter().all(|byte| TOKEN68.get(usize::from(*byte)).is_some_and(|fits| *fits))
}

/// The bytes that may stand in the body of a token68. A table, since every byte of a key is looked at.
static TOKEN68: [bool; 256] = {
    let mut table = [false; 256];
    let (mut rest, mut byte): (&mut [bool], u8) = (&mut table, 0);
    while let [fits, others @ ..] = rest {
        *fits = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        (rest, byte) = (others, byte.wrapping_add(1));
    }
    table
};

/// Whether bytes can be a key anywhere but in `Authorization`: 1 to 1024 visible ASCII characters.
#[must_use]
pub fn is_presentable(key: &[u8]) -> bool {
    (1..=LONGEST).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic)
}

/// The values of a cookie, as sent (RFC 6265, section 5.4), with blanks around them.
fn cookies<'a>(request: &Request<'a>, name: &str) -> impl Iterator<Item = Option<&'a [u8]>> {
    let pairs = request.values("cookie").flat_map(|value| items(value, b';'));
    named(pairs, move |key| trim(key) == name.as_bytes())
}

/// The cookies of a request without the cookie `name`; empty where no other is left.
pub(crate) fn without_cookie(request: &Request<'_>, name: &str) -> Vec<u8> {
    let pairs = request.values("cookie").flat_map(|value| value.split(|byte| *byte == b';')).map(trim);
    let kept = pairs.filter(|pair| !pair.is_empty() && trim(split_pair(pair).0) != name.as_bytes());
    joined(b"", b"", kept, b"; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderBlock;
    use crate::document::{HeaderName, ParameterName};
    use crate::query::without_parameter;

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
    fn one_credential_is_found_where_it_stands() {
        assert_eq!(present(&[], None), "nothing");
        assert_eq!(present(&[("authorization", "Bearer abc")], None), "0: abc");
        assert_eq!(present(&[("authorization", "bEARER   a-._~+/b==")], None), "0: a-._~+/b==");
        assert_eq!(present(&[("authorization", " Bearer abc\t")], None), "0: abc");
        assert_eq!(present(&[("x-api-key", " a,b ")], None), "1: a,b");
        assert_eq!(present(&[], Some("x=1&api_key=a%2Bb+c&y")), "2: a+b+c");
        assert_eq!(present(&[("cookie", "a=b; session=abc;c=d")], None), "3: abc");
        assert_eq!(present(&[("authorization", "Basic YTpi"), ("x-api-key", "abc")], None), "1: abc");
        assert_eq!(present(&[("authorization", "Digest a=\"b\", c=\"d\""), ("x-api-key", "abc")], None), "1: abc");
    }

    #[test]
    fn another_scheme_is_not_ours() {
        for value in ["Basic YTpi", "BearerX abc", "Bear abc", "", "Digest a=\"b\", c=\"d\"", "\u{ff}Bearer abc"] {
            assert_eq!(present(&[("authorization", value)], None), "nothing", "{value}");
        }
    }

    #[test]
    fn two_credentials_are_several() {
        for value in ["Bearer a,Bearer b", "Bearer a,b", "Basic YTpi, Bearer a", "Bearer a,", ",Bearer a"] {
            assert_eq!(present(&[("authorization", value)], None), "several", "{value}");
        }
        assert_eq!(present(&[("authorization", "Basic YTpi"), ("authorization", "Bearer a")], None), "several");
        assert_eq!(present(&[("authorization", "Bearer a"), ("x-api-key", "a")], None), "several");
        assert_eq!(present(&[("authorization", "Bearer"), ("x-api-key", "a")], None), "several");
        assert_eq!(present(&[("x-api-key", "a"), ("x-api-key", "a")], None), "several");
        assert_eq!(present(&[("x-api-key", "a"), ("x-api-key", "")], None), "several");
        assert_eq!(present(&[("x-api-key", "a"), ("x_api_key", "b")], None), "several");
        assert_eq!(present(&[("x_api_key", "b")], None), "nothing");
        assert_eq!(present(&[], Some("api_key=a&api%5Fkey=b")), "several");
        assert_eq!(present(&[("cookie", "session=a; session=b")], None), "several");
        assert_eq!(present(&[("cookie", "session=a"), ("cookie", "session=b")], None), "several");
        assert_eq!(present(&[("cookie", "session=a")], Some("api_key=a")), "several");
    }

    #[test]
    fn what_can_be_no_key_is_malformed() {
        let long = "a".repeat(LONGEST + 1);
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer \u{ff}",
            "Bearer =",
            "Bearer a=b",
            "Bearer\ta",
            "Bearer:a",
            "Bearer\"a\"",
        ] {
            assert_eq!(present(&[("authorization", value)], None), "malformed in 0", "{value}");
        }
        assert_eq!(present(&[("authorization", &format!("Bearer {long}"))], None), "malformed in 0");
        for value in ["", " ", "a b", "a\tb", "\u{ff}", "a\u{7f}", &long] {
            assert_eq!(present(&[("x-api-key", value)], None), "malformed in 1", "{value}");
        }
        for query in ["api_key", "api_key=", "api_key=%", "api_key=%zz", "api_key=%20", "api_key=%ff"] {
            assert_eq!(present(&[], Some(query)), "malformed in 2", "{query}");
        }
        assert_eq!(present(&[("cookie", "session=")], None), "malformed in 3");
        assert_eq!(present(&[("x-api-key", &"a".repeat(LONGEST))], None), format!("1: {}", "a".repeat(LONGEST)));
    }

    #[test]
    fn a_credential_is_taken_out_and_the_rest_stays() {
        let path = |query: &str| String::from_utf8(without_parameter(b"/a", query.as_bytes(), "api_key")).unwrap();
        assert_eq!(path("api_key=x"), "/a");
        assert_eq!(path("a=%zz&api_key=x&b&&c=1"), "/a?a=%zz&b&&c=1");
        assert_eq!(path("api%5fkey=x&a=1"), "/a?a=1");
        let block = HeaderBlock::new(&[("cookie", "a=b; session=x;; c=d"), ("cookie", "e=f")]);
        assert_eq!(without_cookie(&Request::new(block.headers()), "session"), b"a=b; c=d; e=f");
    }
}
