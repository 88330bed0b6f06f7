//! Path patterns, similar to Envoy's URI templates:
//!
//! * A literal segment matches itself.
//! * `*` or `{name}` matches one segment that is not empty.
//! * `**` as the last segment matches the path before it and everything below.
//!
//! There are no regular expressions, and a match always ends at the end of a segment.

use std::borrow::Cow;

use percent_encoding::{CONTROLS, percent_encode};

use super::normalization::{Ending, Normalization, trim_segment};
use super::scan::{PathScan, is_index};
use crate::value::text::{Invalid, Text, read_text};

const MAX_SEGMENTS: usize = 64;

/// A path pattern in canonical form: it has no dot segment, empty segment, parameter, backslash or query.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PathPattern(String);

/// A normalized segment of a pattern.
#[derive(PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Any,
    /// This text. `encoded` is its percent-encoded form, if it is not ASCII (RFC 3986, section 2.1).
    Literal {
        text: Cow<'a, [u8]>,
        encoded: Option<Cow<'a, [u8]>>,
    },
}

impl PathPattern {
    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this pattern matches every path that `other` matches, in each normalization. Only segments are compared: the
    /// result is `false` for more complex cases, such as a path that several patterns cover together.
    pub fn includes(&self, other: &Self) -> bool {
        Normalization::ALL.into_iter().all(|normalization| {
            let (mut wide, mut narrow) = (self.segments(normalization), other.segments(normalization));
            loop {
                match (wide.next(), narrow.next()) {
                    (Some(wide), Some(narrow)) if wide.includes(&narrow) => {}
                    (None, Some(_)) => return self.goes_below(),
                    (None, None) => return self.goes_below() || !other.goes_below(),
                    _ => return false,
                }
            }
        })
    }

    /// Returns the segments before a `**`, as written: a name, or `None` for `*` and `{name}`.
    pub fn names(&self) -> impl Iterator<Item = Option<&str>> {
        let path = self.0.strip_suffix("/**").unwrap_or(&self.0);
        path.split('/').skip(1).map(|name| Some(name).filter(|name| *name != "*" && !name.starts_with('{')))
    }

    /// Whether the pattern ends with `**`.
    pub fn goes_below(&self) -> bool {
        self.0.ends_with("/**")
    }

    /// Whether the pattern is the same in both normalizations.
    pub(crate) fn is_alike(&self, one: Normalization, other: Normalization) -> bool {
        let scan = PathScan::of(self.0.as_bytes());
        one.of(scan) == other.of(scan) || self.segments(one).eq(self.segments(other))
    }

    /// Returns the other paths by which some servers find the file of this pattern, or resources below it. Empty if the
    /// last segment is not a file with an extension. The paths are:
    ///
    /// * without the extension (Apache's MultiViews, `try_files $uri.html`)
    /// * with more segments after it (`php -S` and others)
    /// * its folder, if it is the folder's index
    pub fn of_file(&self) -> Vec<Self> {
        let (file, below) = self.0.strip_suffix("/**").map_or((self.as_str(), ""), |file| (file, "/**"));
        let (folder, name) = file.rsplit_once('/').unwrap_or_default();
        let is_extension =
            |dot: &usize| name.as_bytes().get(dot.saturating_add(1)).is_some_and(u8::is_ascii_alphabetic);
        let dots = name.match_indices('.').map(|(dot, _)| dot).filter(|dot| *dot > 0).filter(is_extension);
        let mut others: Vec<Self> =
            dots.filter_map(|dot| name.get(..dot)).map(|name| Self(format!("{folder}/{name}{below}"))).collect();
        if !others.is_empty() {
            if below.is_empty() {
                others.push(Self(format!("{file}/**")));
            }
            if is_index(name.as_bytes()) {
                others.push(Self(format!("{folder}/")));
            }
        }
        others
    }

    /// Returns the segments before a `**`, for comparison with paths that were normalized in the same way.
    pub(crate) fn segments(&self, normalization: Normalization) -> impl Iterator<Item = Segment<'_>> {
        let path = self.0.strip_prefix('/').unwrap_or_default();
        let path = if self.goes_below() {
            path.strip_suffix("/**")
        } else {
            // `/v2/` and `/v2` are the same if a slash at the end is ignored; `/` is unchanged.
            let is_ignored =
                |last: &str| normalization.ending != Ending::Exact && normalization.segment(last.as_bytes()).is_empty();
            Some(path.rsplit_once('/').filter(|(_, last)| is_ignored(last)).map_or(path, |(path, _)| path))
        };
        path.into_iter().flat_map(|path| path.split('/')).map(move |text| Segment::of(text, normalization))
    }
}

impl<'a> Segment<'a> {
    fn of(text: &'a str, normalization: Normalization) -> Self {
        if text == "*" || text.starts_with('{') {
            return Self::Any;
        }
        // A pattern has no control characters, so only bytes that are not ASCII are encoded.
        let encode = || percent_encode(text.as_bytes(), CONTROLS).to_string().into_bytes();
        let encoded = (!text.is_ascii()).then(|| normalization.segment(&encode()).into_owned().into());
        Self::Literal { text: normalization.segment(text.as_bytes()), encoded }
    }

    fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Literal { text, .. }) => !text.is_empty(),
            _ => self == other,
        }
    }
}

/// Returns the error in a segment of a pattern, if any.
fn segment_error(text: &str) -> Option<Cow<'static, str>> {
    if text == "*" {
        return None;
    }
    if let Some(name) = text.strip_prefix('{') {
        let is_plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return (!name.strip_suffix('}').is_some_and(is_plain))
            .then(|| "malformed variable; write {name} with letters, digits and _, or *".into());
    }
    if text.contains(['*', '{', '}']) {
        return Some("wildcard inside a segment; `*` and {name} stand for a whole segment, and ** stands last".into());
    }
    if matches!(text, "." | "..") {
        return Some("dot segment; write the path resolved".into());
    }
    if let Some(character) = text.chars().find(|c| matches!(c, '\\' | ';' | '?' | '#' | '%' | ' ') || c.is_control()) {
        return Some(Cow::Owned(format!(
            "'{}' is not allowed; write the segment decoded (é, not %C3%A9), without query and parameters, or use *",
            character.escape_debug()
        )));
    }
    let is_bare = !text.is_empty() && trim_segment(text.as_bytes()).is_empty();
    is_bare.then(|| "segment of dots, colons or blanks alone; use * for it".into())
}

impl Text for PathPattern {
    const EXPECTED: &'static str = "a path pattern such as /v2/models/{model}/predict or /docs/**";
    const PATTERN: &'static str = r"^/((\*|\{[A-Za-z0-9_]+\}|[^*{}\\;?#%/ \x00-\x1f\x7f-\x9f]+)(/|$))*(\*\*)?$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        let invalid = |help: Cow<'static, str>| Invalid::new("invalid path pattern", help);
        let path = text.strip_prefix('/').ok_or_else(|| invalid("expected a path that begins with /".into()))?;
        let mut segments: Vec<&str> = path.split('/').collect();
        // At the end, `**` matches everything below, and an empty segment is a trailing slash.
        if matches!(segments.last(), Some(&("**" | ""))) {
            segments.pop();
        }
        for segment in &segments {
            let error = match *segment {
                "" => Some("empty segment; write single slashes".into()),
                "**" => Some("** may only be the last segment".into()),
                segment => segment_error(segment),
            };
            error.map_or(Ok(()), |error| Err(invalid(error)))?;
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(invalid("more than 64 segments; shorten it with ** or *".into()));
        }
        Ok(Self(text.to_owned()))
    }
}

read_text!(PathPattern);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse::<PathPattern>().unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
    }

    #[test]
    fn a_pattern_includes_another_if_it_matches_all_of_its_paths() {
        for (wide, inside, outside) in [
            ("/**", &["/", "/a", "/a/", "/a/**", "/*/b"][..], &[][..]),
            ("/a/**", &["/a", "/a/", "/a/*", "/a/b/{c}", "/a/b/**"], &["/", "/**", "/*", "/b", "/ab"]),
            ("/a/*", &["/a/b", "/a/{c}", "/a/caf\u{e9}"], &["/a", "/a/", "/a/b/", "/a/b/c", "/a/**", "/*/b"]),
            ("/a", &["/a"], &["/a/", "/a/**", "/*", "/A"]),
            ("/a/", &["/a/"], &["/a", "/a/b", "/a/**"]),
        ] {
            for narrow in inside {
                assert!(pattern(wide).includes(&pattern(narrow)), "{wide} includes {narrow}");
            }
            for narrow in outside {
                assert!(!pattern(wide).includes(&pattern(narrow)), "{wide} does not include {narrow}");
            }
        }
    }

    #[test]
    fn a_pattern_has_the_names_that_are_written() {
        for (text, expected, below) in [
            ("/", &[Some("")][..], false),
            ("/v2/", &[Some("v2"), Some("")], false),
            ("/**", &[], true),
            ("/v2/{model}/*/**", &[Some("v2"), None, None], true),
        ] {
            assert!(pattern(text).names().eq(expected.iter().copied()), "{text}");
            assert_eq!(pattern(text).goes_below(), below, "{text}");
        }
    }

    #[test]
    fn a_file_is_found_by_other_paths_too() {
        for (text, others) in [
            ("/report.html", &["/report", "/report.html/**"][..]),
            ("/a/b.tar.gz", &["/a/b.tar", "/a/b", "/a/b.tar.gz/**"]),
            ("/admin/index.html", &["/admin/index", "/admin/index.html/**", "/admin/"]),
            ("/a.b/**", &["/a/**"]),
        ] {
            let found: BTreeSet<String> = pattern(text).of_file().into_iter().map(|other| other.0).collect();
            assert_eq!(found, others.iter().map(|other| (*other).to_owned()).collect(), "{text}");
        }
        for text in ["/v1.0", "/.htaccess", "/v1.0/**", "/a.b/*", "/a.b/", "/"] {
            assert_eq!(pattern(text).of_file(), [], "{text}");
        }
    }

    #[test]
    fn a_pattern_that_is_not_canonical_is_refused() {
        for text in [
            "", "v2", "//", "/a//b", "//**", "/a//**", "/./a", "/a/..", "/a/%2e", "/a;b", "/a?b", "/a#b", "/a\\b",
            "/a b", "/a*", "/**/a", "/{}", "/{a", "/{a=**}", "/a{b}", "/a/***", "/a\u{0}", "/.../a", "/**/**",
        ] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
        let long = "/a".repeat(MAX_SEGMENTS);
        assert!(format!("{long}/**").parse::<PathPattern>().is_ok() && long.parse::<PathPattern>().is_ok());
        assert!(format!("{long}/a").parse::<PathPattern>().is_err());
    }
}
