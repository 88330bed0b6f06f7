//! The request target. Parsing rejects an invalid or suspicious one before any decision about it.

use std::borrow::Cow;

use memchr::memchr;

use super::alias;
use super::ambiguity::Ambiguity;
use super::escape::{decode, decode_well_formed, escaped_bytes};
use super::normalization::{is_blank, trim_blanks, trim_dots};
use super::scan::{Feature, PathScan, last_action};

/// The maximum number of rounds of percent-decoding that may change a path. No usual resource needs more.
const MAX_ROUNDS: usize = 4;

/// The maximum length of a path whose variants are inspected, in bytes, unless it is simple. Escaped, names of 110 CJK
/// letters or 170 Cyrillic ones are as long.
pub(crate) const MAX_LENGTH: usize = 1 << 10;

/// The maximum length of a path that is decoded more than once, in bytes.
const MAX_LENGTH_TO_DECODE: usize = 3 << 10;

/// The maximum length of a path, in bytes. Common servers accept no request line that is as long.
const MAX_LENGTH_TO_READ: usize = 8 << 10;

/// Why a request target is invalid or suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTarget {
    /// The target does not begin with `/`, has a byte that is not visible ASCII, or has a `#`.
    Bytes,
    /// The path has a `%` without two hex digits.
    MalformedEscape,
    /// The path has, at some depth of decoding, a NUL, a backslash or a dot segment.
    ForbiddenPart,
    /// The path still changes after several rounds of decoding, or is too long for more than one round.
    EndlessEscapes,
    /// The path is longer than servers accept.
    TooLong,
    /// The authority has a user, or names no host: then an upstream may read a host from the path.
    Authority,
}

/// A valid request target (RFC 9110, section 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path as sent, up to the first `?`.
    pub path: &'a [u8],
    /// The query as sent, without its `?`.
    pub query: Option<&'a [u8]>,
    /// The path after one round of percent-decoding, after two rounds, and so on, as long as it changes. Empty for a path
    /// that is [too long](MAX_LENGTH) to be compared decoded.
    pub(crate) decoded: Vec<Vec<u8>>,
    pub(crate) scan: PathScan,
}

impl<'a> Target<'a> {
    /// Parses a `:path`.
    ///
    /// # Errors
    /// The target is invalid or suspicious (`bad_request_target`) if:
    ///
    /// * it does not begin with `/`, or has a byte outside 0x21 to 0x7E or a `#` anywhere;
    /// * its path has a malformed escape;
    /// * its path has, at any depth of decoding, a NUL, a backslash or a dot segment (also with `;parameters`:
    ///   CVE-2020-5902, CVE-2021-41773);
    /// * its path has escapes that still change after four rounds;
    /// * its path has more than 3072 bytes and escapes of escapes, or more than 8192 bytes: decoding would exceed the
    ///   bound.
    pub fn parse(target: &'a [u8]) -> Result<Self, BadTarget> {
        let (path, query) = split_query(target);
        if defence!("longest-paths") && path.len() > MAX_LENGTH_TO_READ {
            return Err(BadTarget::TooLong);
        }
        let scan = PathScan::of(path);
        if (defence!("path-without-slash") && path.first() != Some(&b'/'))
            || !scan.is_visible()
            || !is_visible(query.unwrap_or_default())
        {
            return Err(BadTarget::Bytes);
        }
        if has_forbidden_part(path, scan) {
            return Err(BadTarget::ForbiddenPart);
        }
        let decoded = if scan.has(Feature::ESCAPE) { decode_rounds(path)? } else { Vec::new() };
        Ok(Self { path, query, decoded, scan })
    }

    /// Returns the decoded form of an *unambiguous* path: decoding cannot change its structure, and no upstream interprets
    /// it as another path. An unambiguous path:
    ///
    /// * has no empty segment, no parameter, no segment of only dots and blanks, and no [alias];
    /// * has nothing after a script;
    /// * has no escape for one of the structural characters `/ \ . ; % ? #`;
    /// * decodes to UTF-8 without control characters;
    /// * decodes to no character that becomes a structural one by Unicode normalization (NFKC) or by best fit.
    ///
    /// # Errors
    /// Why the path is ambiguous.
    pub(crate) fn unambiguous(&self) -> Result<&[u8], Ambiguity> {
        if self.scan.is_simple() { Ok(self.path) } else { self.unambiguous_at_a_closer_look() }
    }

    #[inline(never)]
    fn unambiguous_at_a_closer_look(&self) -> Result<&[u8], Ambiguity> {
        if defence!("public-long-paths") && self.path.len() > MAX_LENGTH {
            return Err(Ambiguity::TooLong);
        }
        let has_parameter = defence!("public-parameters") && self.scan.has(Feature::PARAMETER);
        let has_empty_segment = defence!("public-empty-segments") && self.scan.has(Feature::EMPTY_SEGMENT);
        let (decoded, scan) = match self.decoded.as_slice() {
            [] => (self.path, self.scan),
            [decoded, ..] => (decoded.as_slice(), PathScan::of(decoded)),
        };
        let has_folder = scan.has(Feature::FACES) || last_action(decoded, scan).is_some();
        if has_parameter || has_empty_segment || has_folder {
            return Err(Ambiguity::Structure);
        }
        alias::check(self.path, self.scan)?;
        alias::check(decoded, scan)?;
        let is_followed = |scan: PathScan, path: &[u8]| scan.script.is_some_and(|script| script.cut < path.len());
        let is_structural = |byte: u8| matches!(byte, b'/' | b'\\' | b'.' | b';' | b'%' | b'?' | b'#');
        if has_segment_of_dots(decoded)
            || (defence!("public-scripts") && (is_followed(self.scan, self.path) || is_followed(scan, decoded)))
            || (defence!("public-escaped-structure") && escaped_bytes(self.path).any(is_structural))
            || (defence!("public-unstable-letters")
                && !scan.is_visible()
                && String::from_utf8_lossy(decoded).chars().any(is_unstable))
        {
            return Err(Ambiguity::Structure);
        }
        Ok(decoded)
    }
}

/// Splits a target at the first `?` into path and query.
pub(crate) fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, query) = target.split_at_checked(memchr(b'?', target).unwrap_or(target.len())).unwrap_or_default();
    (path, query.get(1..))
}

/// Whether a query has only visible ASCII, and no fragment. A query may be long, so several bytes are compared at once.
fn is_visible(query: &[u8]) -> bool {
    let is_visible = |byte: &u8| byte.is_ascii_graphic() & !(defence!("fragments-in-queries") && *byte == b'#');
    query.chunks(16).all(|chunk| chunk.iter().fold(true, |all, byte| all & is_visible(byte)))
}

/// Whether a character may change the structure of a path:
///
/// * It is a control character, or has no width.
/// * Unicode normalization (NFKC, UAX #15) converts it to text with one of `/ \ . ; % ? #`.
/// * A best-fit conversion converts it to a slash or a backslash: the fraction and division slashes, set minus, yen and won
///   signs.
fn is_unstable(letter: char) -> bool {
    (is_blank(letter) && letter != ' ' && letter != '\u{A0}')
        || matches!(letter,
            '\u{37E}' | '\u{2024}'..='\u{2026}' | '\u{2047}'..='\u{2049}' | '\u{2100}'..='\u{2106}' | '\u{2488}'..='\u{249B}'
            | '\u{33C2}'..='\u{33D8}' | '\u{FE10}'..='\u{FE19}' | '\u{FE30}' | '\u{FE50}'..='\u{FE6F}' | '\u{FF00}'..='\u{FFEF}'
            | '\u{1F100}' | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{A5}' | '\u{20A9}')
}

/// Returns the path after each round of decoding, as long as it changes.
#[inline(never)]
fn decode_rounds(path: &[u8]) -> Result<Vec<Vec<u8>>, BadTarget> {
    let mut rounds: Vec<Vec<u8>> = Vec::new();
    let mut next = decode_well_formed(path).ok_or(BadTarget::MalformedEscape)?.into_owned();
    loop {
        let scan = PathScan::of(&next);
        if defence!("escapes-of-escapes") && has_forbidden_part(&next, scan) {
            return Err(BadTarget::ForbiddenPart);
        }
        if scan.has(Feature::ESCAPE) && path.len() > MAX_LENGTH_TO_DECODE {
            return Err(BadTarget::EndlessEscapes);
        }
        let again = if let Cow::Owned(again) = decode(&next) { Some(again) } else { None };
        rounds.push(next);
        match again {
            None => break,
            Some(_) if rounds.len() == MAX_ROUNDS => return Err(BadTarget::EndlessEscapes),
            Some(again) => next = again,
        }
    }
    if path.len() > MAX_LENGTH {
        rounds.clear();
    }
    Ok(rounds)
}

/// Whether a path has a NUL, a backslash, or a dot segment: a segment that is `.` or `..` before its parameters or a
/// decoded `?` or `#`. Blanks around the dots are ignored.
pub(crate) fn has_forbidden_part(path: &[u8], scan: PathScan) -> bool {
    scan.may_have_forbidden_part() && find_forbidden_part(path)
}

#[inline(never)]
fn find_forbidden_part(path: &[u8]) -> bool {
    let is_forbidden = |byte: &u8| (*byte == 0 && defence!("nul")) | (*byte == b'\\' && defence!("backslashes"));
    path.iter().any(is_forbidden) || (defence!("dot-segments") && path.split(|byte| *byte == b'/').any(is_dot_segment))
}

fn is_dot_segment(segment: &[u8]) -> bool {
    let is_dot_or_blank = |byte: &u8| *byte == b'.' || !byte.is_ascii_graphic();
    let length = segment.iter().position(|byte| !is_dot_or_blank(byte)).unwrap_or(segment.len());
    let (name, rest) = segment.split_at_checked(length).unwrap_or_default();
    let is_whole = match rest {
        [b';', ..] => defence!("dot-segments-with-parameters"),
        rest => matches!(rest, [] | [b'?' | b'#', ..]),
    };
    is_whole && matches!(trim_blanks(name), b"." | b"..")
}

/// Whether any segment consists only of dots and blanks.
fn has_segment_of_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| !segment.is_empty() && trim_dots(segment).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests every short path that is built from these parts, special and usual ones.
    #[test]
    fn a_scan_misses_no_forbidden_part() {
        const PARTS: [&str; 12] = ["a", "Z", "2", ".", "/", ";", "\\", "~", "%2F", "%2e", "%C3", "%25"];
        let (mut paths, mut passed) = (vec!["/".to_owned()], 0);
        for _ in 0..5 {
            for path in &paths {
                let (path, scan) = (path.as_bytes(), PathScan::of(path.as_bytes()));
                if !scan.has(Feature::ESCAPE) && !scan.may_have_forbidden_part() {
                    passed += 1;
                    assert!(!find_forbidden_part(path), "{}", path.escape_ascii());
                }
                assert_eq!(scan.has(Feature::PARAMETER), path.contains(&b';'), "{}", path.escape_ascii());
                let has_empty = path.windows(2).any(|two| two == b"//");
                assert_eq!(scan.has(Feature::EMPTY_SEGMENT), has_empty, "{}", path.escape_ascii());
            }
            paths = paths.iter().flat_map(|path| PARTS.iter().map(move |part| format!("{path}{part}"))).collect();
        }
        assert!(passed > 1_000, "{passed} paths needed no second look");
    }
}
