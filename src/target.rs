//! The request target: what no API sends is refused here, before anything is decided about it.

use std::borrow::Cow;

use memchr::memchr;

use crate::alias;
use crate::fold::{is_blank, trim_blanks, trim_dots};
use crate::scan::{Scan, is_visible};
use crate::trail::{Ambiguity, BadTarget, NotPublic};

/// How many rounds of percent-decoding a path may take to come to rest. A path that still changes after that is
/// nobody's name for a resource.
const ROUNDS: usize = 4;

/// The longest path, in bytes, that is looked at in each variant, unless it is a simple one. Names of 110 CJK letters or 170
/// Cyrillic ones are as long in escapes.
pub(crate) const LONGEST: usize = 1 << 10;

/// The longest path, in bytes, that is decoded more than once.
const LONGEST_TO_DECODE: usize = 3 << 10;

/// The longest path, in bytes. Common servers take no request line that is as long.
const LONGEST_TO_READ: usize = 8 << 10;

/// A request target (RFC 9110, section 7.1) that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path as sent, up to the first `?`.
    pub path: &'a [u8],
    /// The query as sent, without its `?`.
    pub query: Option<&'a [u8]>,
    /// The path after one round of percent-decoding, after two, ... as long as it changes. Empty for a path that is
    /// [too long](LONGEST) to be compared decoded.
    pub(crate) decoded: Vec<Vec<u8>>,
    /// What stands in the path.
    pub(crate) scan: Scan,
}

impl<'a> Target<'a> {
    /// Takes a `:path` apart.
    ///
    /// # Errors
    /// Where no API sends this (`bad_request_target`). That is
    ///
    /// * one that does not begin with `/`, or has a byte outside 0x21 to 0x7E or a `#` anywhere;
    /// * in the path, a malformed escape, and, at any depth of decoding, a NUL, a backslash or a dot segment (with
    ///   `;parameters` too: CVE-2020-5902, CVE-2021-41773), or escapes that still change after four rounds;
    /// * a path of more than 3072 bytes with escapes of escapes, and one of more than 8192 bytes: to read them would take long.
    pub fn parse(target: &'a [u8]) -> Result<Self, BadTarget> {
        let (path, query) = split_query(target);
        if defence!("longest-paths") && path.len() > LONGEST_TO_READ {
            return Err(BadTarget::TooLong);
        }
        let scan = Scan::of(path);
        if (defence!("path-without-slash") && path.first() != Some(&b'/'))
            || !scan.is_visible()
            || !query.is_none_or(|query| query.iter().copied().all(is_visible))
        {
            return Err(BadTarget::Bytes);
        }
        let decoded = decode_all(path, scan)?;
        Ok(Self { path, query, decoded, scan })
    }

    /// The decoded form of a *plain* path: one whose decoding cannot change its structure, and that cannot be taken for
    /// another one. It has no empty segment, no parameter, no name of dots and blanks alone, no [alias](crate::alias), and
    /// nothing behind a script; its escapes stand for none of `/ \\ . ; % ? #`; and it decodes to UTF-8 without control
    /// characters, and without characters that become one of those where text is normalized (Unicode NFKC) or converted by
    /// best fit.
    ///
    /// # Errors
    /// Why it is not plain, so that nothing may be concluded from a narrow reading of it.
    pub(crate) fn plain(&self) -> Result<&[u8], NotPublic> {
        if self.scan.is_simple() { Ok(self.path) } else { self.plain_at_a_closer_look() }
    }

    #[inline(never)]
    fn plain_at_a_closer_look(&self) -> Result<&[u8], NotPublic> {
        if defence!("public-long-paths") && self.path.len() > LONGEST {
            return Err(NotPublic::Ambiguous(Ambiguity::TooLong));
        }
        let has_parameter = defence!("public-parameters") && self.scan.has_parameter();
        let has_empty_segment = defence!("public-empty-segments") && self.scan.has_empty_segment();
        if has_parameter || has_empty_segment || self.scan.has_faces() {
            return Err(NotPublic::NotPlain);
        }
        let (decoded, scan) = match self.decoded.as_slice() {
            [] => (self.path, self.scan),
            [decoded, ..] => (decoded.as_slice(), Scan::of(decoded)),
        };
        alias::check(self.path, self.scan).and_then(|()| alias::check(decoded, scan)).map_err(NotPublic::Ambiguous)?;
        let is_followed = |scan: Scan, path: &[u8]| scan.script().is_some_and(|script| script.cut < path.len());
        let structural = |byte: &u8| matches!(byte, b'/' | b'\\' | b'.' | b';' | b'%' | b'?' | b'#');
        if (!self.scan.has_only_names() && has_no_name(decoded))
            || (defence!("public-scripts") && (is_followed(self.scan, self.path) || is_followed(scan, decoded)))
            || (defence!("public-escaped-structure")
                && self.scan.has_escape()
                && escaped_bytes(self.path).any(|byte| structural(&byte)))
            || (defence!("public-unstable-letters")
                && !scan.is_visible()
                && String::from_utf8_lossy(decoded).chars().any(is_unstable))
        {
            return Err(NotPublic::NotPlain);
        }
        Ok(decoded)
    }
}

/// Path and query of a target, at the first `?`.
pub(crate) fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, query) = target.split_at_checked(memchr(b'?', target).unwrap_or(target.len())).unwrap_or_default();
    (path, query.get(1..))
}

/// Control characters and what has no shape; what Unicode normalization (NFKC, UAX #15) turns into text with one of
/// `/ \ . ; % ? #`; and what best-fit conversions take for a slash or a backslash: the fraction and division slashes, set
/// minus, yen and won signs.
fn is_unstable(letter: char) -> bool {
    (is_blank(letter) && letter != ' ' && letter != '\u{A0}')
        || matches!(letter,
            '\u{37E}' | '\u{2024}'..='\u{2026}' | '\u{2047}'..='\u{2049}' | '\u{2100}'..='\u{2106}' | '\u{2488}'..='\u{249B}'
            | '\u{33C2}'..='\u{33D8}' | '\u{FE10}'..='\u{FE19}' | '\u{FE30}' | '\u{FE50}'..='\u{FE6F}' | '\u{FF00}'..='\u{FFEF}'
            | '\u{1F100}' | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{A5}' | '\u{20A9}')
}

/// A path after each round of decoding, as long as it changes; what no API sends is refused.
fn decode_all(path: &[u8], scan: Scan) -> Result<Vec<Vec<u8>>, BadTarget> {
    if has_forbidden_part(path, scan) {
        return Err(BadTarget::ForbiddenPart);
    }
    if scan.has_escape() { decode_rounds(path) } else { Ok(Vec::new()) }
}

#[inline(never)]
fn decode_rounds(path: &[u8]) -> Result<Vec<Vec<u8>>, BadTarget> {
    let mut decoded: Vec<Vec<u8>> = Vec::new();
    let mut next = decode_well_formed(path).ok_or(BadTarget::MalformedEscape)?;
    loop {
        let scan = Scan::of(&next);
        if defence!("escapes-of-escapes") && has_forbidden_part(&next, scan) {
            return Err(BadTarget::ForbiddenPart);
        }
        if scan.has_escape() && path.len() > LONGEST_TO_DECODE {
            return Err(BadTarget::EndlessEscapes);
        }
        let more = if scan.has_escape() { decode(&next) } else { None };
        decoded.push(next);
        match more {
            None => break,
            Some(_) if decoded.len() == ROUNDS => return Err(BadTarget::EndlessEscapes),
            Some(more) => next = more,
        }
    }
    if path.len() > LONGEST {
        decoded.clear();
    }
    Ok(decoded)
}

/// The byte that the two hex digits at the beginning of `rest` stand for.
fn escape(rest: &[u8]) -> Option<u8> {
    let [high, low, ..] = rest else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? << 4) | digit(low)?)
}

/// The bytes that stand in escapes.
fn escaped_bytes(path: &[u8]) -> impl Iterator<Item = u8> {
    path.split(|byte| *byte == b'%').skip(1).filter_map(escape)
}

/// One round of percent-decoding; `None` for a malformed escape.
pub(crate) fn decode_strictly(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if text.contains(&b'%') { decode_well_formed(text).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) }
}

fn decode_well_formed(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, others @ ..] = rest {
        let (byte, behind) = if *first == b'%' { (escape(others)?, others.get(2..)?) } else { (*first, others) };
        decoded.push(byte);
        rest = behind;
    }
    Some(decoded)
}

/// As [`decode`], byte by byte, while somebody asks for them.
pub(crate) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let (first, others) = rest.split_first()?;
        let byte = if *first == b'%' { escape(others) } else { None };
        rest = if byte.is_some() { others.get(2..).unwrap_or_default() } else { others };
        Some(byte.unwrap_or(*first))
    })
}

/// One round of percent-decoding; `None` where nothing changes. What is no escape stays as it is.
pub(crate) fn decode(path: &[u8]) -> Option<Vec<u8>> {
    decode_but(path, None)
}

/// As [`decode`], but for escapes of the byte `kept`.
pub(crate) fn decode_but(path: &[u8], kept: Option<u8>) -> Option<Vec<u8>> {
    let (before, mut rest) = path.split_at_checked(path.iter().position(|byte| *byte == b'%')?)?;
    let mut decoded = Vec::with_capacity(path.len());
    decoded.extend_from_slice(before);
    let mut changed = false;
    while let [first, others @ ..] = rest {
        rest = match (first, escape(others), others.get(2..)) {
            (b'%', Some(byte), Some(behind)) if Some(byte) != kept => {
                decoded.push(byte);
                changed = true;
                behind
            }
            _ => {
                decoded.push(*first);
                others
            }
        };
    }
    changed.then_some(decoded)
}

/// A NUL, a backslash, or a segment that is `.` or `..` up to its parameters (or to a decoded `?` or `#`), blanks around
/// that not counted.
pub(crate) fn has_forbidden_part(path: &[u8], scan: Scan) -> bool {
    scan.may_have_forbidden_part() && has_one(path)
}

#[inline(never)]
fn has_one(path: &[u8]) -> bool {
    let is_forbidden = |byte: &u8| (*byte == 0 && defence!("nul")) | (*byte == b'\\' && defence!("backslashes"));
    path.iter().any(is_forbidden) || (defence!("dot-segments") && path.split(|byte| *byte == b'/').any(is_dot_segment))
}

/// A segment of dots and blanks alone.
fn has_no_name(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| !segment.is_empty() && trim_dots(segment).is_empty())
}

fn is_dot_segment(segment: &[u8]) -> bool {
    // Most segments begin with something else, or go on behind a dot or two.
    let goes_on = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b'?' | b'#');
    match *segment {
        [b'.', b'.', third, ..] if goes_on(third) => return false,
        [b'.', second, ..] if second != b'.' && goes_on(second) => return false,
        [first, ..] if first != b'.' && goes_on(first) => return false,
        _ => {}
    }
    let ends_name = |byte: &u8| match byte {
        b';' => defence!("dot-segments-with-parameters"),
        byte => matches!(byte, b'?' | b'#'),
    };
    let name = segment.split(ends_name).next().unwrap_or_default();
    name.contains(&b'.') && matches!(trim_blanks(name), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_targets_are_taken_apart() {
        let target = Target::parse(b"/v2/models?a=%zz&b=..%2f").unwrap();
        assert_eq!((target.path, target.query), (&b"/v2/models"[..], Some(&b"a=%zz&b=..%2f"[..])));
        assert!(target.decoded.is_empty());
        assert_eq!(Target::parse(b"/a%20b").unwrap().decoded, [b"/a b".to_vec()]);
        assert_eq!(Target::parse(b"/a%2520b").unwrap().decoded, [b"/a%20b".to_vec(), b"/a b".to_vec()]);
        for path in
            ["/", "/a/...", "/.well-known/x", "/a..b", "/a/.../b", "/..a", "//", "/a;x=.", "/a?#".trim_end_matches('#')]
        {
            assert!(Target::parse(path.as_bytes()).is_ok(), "{path}");
        }
    }

    #[test]
    fn what_no_api_sends_is_refused() {
        for path in [
            "",
            "*",
            "a",
            "http://x/",
            "/a b",
            "/a\tb",
            "/a\u{7f}",
            "/caf\u{e9}",
            "/a#b",
            "/?a#b",
            "/?a b",
            "/%",
            "/%2",
            "/%zz",
            "/a%00",
            "/a%2500",
            "/a\\b",
            "/a%5cb",
            "/a%255Cb",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..;x/b",
            "/a/.;/b",
            "/%2e",
            "/a/%2E%2e/b",
            "/a/.%2e;x=1/b",
            "/a/%252e%252e/b",
            "/a/%25252e./b",
            "/..%2fb",
            "/a%2f..",
            "/a/..%3Fx",
            "/a/..%20/b",
            "/a/..%01/b",
            "/a/%20../b",
            "/a/..%7F/b",
            "/a/..%A0/b",
            "/a/..%C2%A0/b",
            "/%2525252525",
        ] {
            assert!(Target::parse(path.as_bytes()).is_err(), "{path}");
        }
        assert!(Target::parse(b"/%25252525").is_ok(), "four rounds come to rest");
        for (path, is_taken) in [
            (format!("/{}%2541", "a".repeat(3_066)), true),
            (format!("/{}%2541", "a".repeat(3_067)), false),
            (format!("/{}%41", "a".repeat(8_188)), true),
            (format!("/{}%41", "a".repeat(8_189)), false),
            (format!("/{}", "A".repeat(8_191)), true),
            (format!("/{}", "A".repeat(8_192)), false),
        ] {
            assert_eq!(Target::parse(path.as_bytes()).is_ok(), is_taken, "{}", path.len());
        }
    }

    #[test]
    fn a_plain_path_is_one_that_decoding_cannot_change_the_structure_of() {
        for (path, decoded) in
            [("/", "/"), ("/a.b/c", "/a.b/c"), ("/%64ocs", "/docs"), ("/caf%C3%A9", "/caf\u{e9}"), ("/a%20b", "/a b")]
        {
            assert_eq!(Target::parse(path.as_bytes()).unwrap().plain(), Ok(decoded.as_bytes()), "{path}");
        }
        for path in [
            "//",
            "/a//b",
            "/a;b",
            "/a%3bb",
            "/a%2fb",
            "/a%2eb",
            "/a%25b",
            "/a%2541",
            "/a%3fb",
            "/a%23b",
            "/%EF%BC%8E%EF%BC%8E/a",
            "/%E2%80%A5",
            "/%E2%81%84",
            "/%C2%A5",
            "/docs/..%20./admin",
            "/files/...",
            "/files/%20",
            "/%CD%BE",
            "/%E2%84%80",
            "/%ff",
            "/%0a",
            "/%c2%85",
        ] {
            assert!(Target::parse(path.as_bytes()).unwrap().plain().is_err(), "{path}");
        }
    }

    #[test]
    fn one_pass_over_a_path_sees_what_a_closer_look_sees() {
        let mut taken = 0;
        crate::scan::short_paths(&mut |path| {
            let scan = Scan::of(path);
            if !scan.has_escape() && !scan.may_have_forbidden_part() {
                taken += 1;
                assert!(
                    !path.contains(&b'\\') && !path.split(|byte| *byte == b'/').any(is_dot_segment),
                    "{}",
                    path.escape_ascii()
                );
            }
            assert!(!(scan.has_only_names() && has_no_name(path)), "{}", path.escape_ascii());
            assert_eq!(scan.has_parameter(), path.contains(&b';'), "{}", path.escape_ascii());
            assert_eq!(scan.has_empty_segment(), path.windows(2).any(|two| two == b"//"), "{}", path.escape_ascii());
        });
        assert!(taken > 1_000, "{taken} paths were taken at first sight");
    }
}
