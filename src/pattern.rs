//! Path patterns, after Envoy's URI templates: literal segments, `*` or `{name}` for one segment that is not empty,
//! `**` last for the place itself and all below. No regular expressions, and each match ends on a segment.

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;

use crate::document::refusal::Invalid;
use crate::document::text::{Text, read_text};
use crate::fold::{Ending, Fold, trim_name};
use crate::scan::{Scan, is_index};

/// The most segments of a pattern.
const LONGEST: usize = 64;

/// A path pattern that is canonical itself: no dot segment, empty segment, parameter, backslash or query.
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern(String);

/// A segment of a pattern, in some fold.
#[derive(PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// One non-empty segment, whatever it is.
    Any,
    /// This text; `encoded` is its percent-encoded form, where that differs (RFC 3986, section 2.1).
    Literal { text: Cow<'a, [u8]>, encoded: Option<Cow<'a, [u8]>> },
}

impl PathPattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path` (no query, beginning with `/`) falls under the pattern, compared byte by byte.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        path.first() == Some(&b'/') && self.covers(Fold::EXACT, path)
    }

    /// Whether a path that was folded falls under the pattern. This is what a pattern means;
    /// [`Tree`](crate::tree::Tree) finds the same among many.
    pub(crate) fn covers(&self, fold: Fold, path: &[u8]) -> bool {
        let mut names = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/');
        let mut segments = self.segments(fold);
        segments.all(|segment| names.next().is_some_and(|name| segment.matches(name)))
            && (self.goes_below() || names.next().is_none())
    }

    /// Whether every path that falls under `other` falls under this pattern too, in each fold. What is not seen at once,
    /// such as a path that several patterns cover together, counts as no.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        Fold::ALL.into_iter().all(|fold| {
            let (mut wide, mut narrow) = (self.segments(fold), other.segments(fold));
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

    /// Whether the pattern ends with `**`.
    pub(crate) fn goes_below(&self) -> bool {
        self.0.ends_with("/**")
    }

    /// Whether the pattern is the same in two folds.
    pub(crate) fn is_alike(&self, one: Fold, other: Fold) -> bool {
        let scan = Scan::of(self.0.as_bytes());
        one.of(scan) == other.of(scan) || self.segments(one).eq(self.segments(other))
    }

    /// For a pattern whose last name is a file with an extension: by what other paths some servers find that file, or what is
    /// below it. That is without the extension (Apache's MultiViews, `try_files $uri.html`), with more behind it (`php -S` and
    /// others), and its folder, if it is the folder's index.
    #[must_use]
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

    /// The segments before a `**`, as they compare with paths that were folded in the same way.
    pub(crate) fn segments(&self, fold: Fold) -> impl Iterator<Item = Segment<'_>> {
        let path = self.0.strip_prefix('/').unwrap_or_default();
        let path = if self.goes_below() {
            path.strip_suffix("/**")
        } else {
            // `/v2/` and `/v2` are one place to whoever drops the last slash; `/` stays itself.
            let is_dropped = |last: &str| fold.ending != Ending::Exact && fold.segment(last.as_bytes()).is_empty();
            Some(path.rsplit_once('/').filter(|(_, last)| is_dropped(last)).map_or(path, |(path, _)| path))
        };
        path.into_iter().flat_map(|path| path.split('/')).map(move |text| Segment::of(text, fold))
    }
}

impl<'a> Segment<'a> {
    /// Of a text that was checked.
    fn of(text: &'a str, fold: Fold) -> Self {
        if text == "*" || text.starts_with('{') {
            return Self::Any;
        }
        let encoded = (!text.is_ascii()).then(|| fold.segment(&percent_encoded(text)).into_owned().into());
        Self::Literal { text: fold.segment(text.as_bytes()), encoded }
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => !name.is_empty(),
            Self::Literal { text, encoded } => name == &**text || encoded.as_deref() == Some(name),
        }
    }

    fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Literal { text, .. }) => !text.is_empty(),
            _ => self == other,
        }
    }
}

/// What is not ASCII in escapes.
fn percent_encoded(text: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    for byte in text.bytes() {
        if byte.is_ascii() {
            encoded.push(byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}

/// Whether a text can be a segment of a pattern.
fn check_segment(text: &str) -> Result<(), Invalid> {
    if text == "*" {
        return Ok(());
    }
    if let Some(name) = text.strip_prefix('{') {
        let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return match name.strip_suffix('}') {
            Some(name) if plain(name) => Ok(()),
            _ => Err(Invalid::new(
                "has a segment variable that is not {name}",
                "write {name} with letters, digits and _, or *",
            )),
        };
    }
    if text.contains(['*', '{', '}']) {
        return Err(Invalid::new(
            "has a wildcard inside a segment",
            "`*` and {name} stand for one whole segment, ** stands last and alone",
        ));
    }
    if text == "." || text == ".." {
        return Err(Invalid::new("has a dot segment, which no request that is let through has", "write it resolved"));
    }
    if let Some(character) = text.chars().find(|c| matches!(c, '\\' | ';' | '?' | '#' | '%' | ' ') || c.is_control()) {
        return Err(Invalid::new(
            format!("has '{}', which no canonical path has", character.escape_debug()),
            "write the segment decoded (é, not %C3%A9), without query and parameters, or use * for it",
        ));
    }
    if !text.is_empty() && trim_name(text.as_bytes()).is_empty() {
        return Err(Invalid::new("has a name of dots, colons or blanks alone", "use * for it"));
    }
    Ok(())
}

impl Text for PathPattern {
    const EXPECTED: &'static str = "a path pattern such as /v2/models/{model}/predict or /docs/**";

    #[cfg(feature = "schema")]
    const PATTERN: &'static str = r"^/((\*|\{[A-Za-z0-9_]+\}|[^*{}\\;?#%/ \x00-\x1f\x7f-\x9f]+)(/|$))*(\*\*)?$";
}

impl FromStr for PathPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(Invalid::new("is no path", "begin it with /"));
        };
        let (path, below) = match path {
            "**" => ("", true),
            _ => match path.strip_suffix("/**") {
                Some(path) => (path, true),
                None => (path, false),
            },
        };
        let mut segments = 0_usize;
        if !(below && path.is_empty()) || text == "//**" {
            let mut rest = path.split('/').peekable();
            while let Some(segment) = rest.next() {
                let trailing_slash = rest.peek().is_none() && !below;
                if segment.is_empty() && !trailing_slash {
                    return Err(Invalid::new("has an empty segment", "write single slashes"));
                }
                if segment == "**" {
                    return Err(Invalid::new("has ** in the middle", "** may only be the last segment"));
                }
                check_segment(segment)?;
                segments = segments.saturating_add(1);
            }
        }
        if segments > LONGEST {
            return Err(Invalid::new("has more than 64 segments", "cut it short with ** or *"));
        }
        Ok(Self(text.to_owned()))
    }
}

read_text!(PathPattern);

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for PathPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::from_str(text).unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
    }

    #[test]
    fn a_pattern_matches_whole_segments() {
        for (text, inside, outside) in [
            ("/", &["/"][..], &["/v2", "//", ""][..]),
            ("/v2/", &["/v2/"], &["/v2", "/v2//", "/v2/models", "/V2/"]),
            ("/docs/**", &["/docs", "/docs/", "/docs/a/b", "/docs//"], &["/docsx", "/doc", "/", "/Docs/a"]),
            ("/**", &["/", "/a", "//", "/a/b"], &[]),
            (
                "/v2/models/{model}/predict",
                &["/v2/models/m/predict"],
                &["/v2/models//predict", "/v2/models/a/b/predict"],
            ),
            ("/a/*", &["/a/b"], &["/a/", "/a", "/a/b/", "/a/b/c"]),
            ("/caf\u{e9}", &["/caf\u{e9}", "/caf%C3%A9"], &["/caf%c3%a9", "/cafe"]),
        ] {
            for path in inside {
                assert!(pattern(text).matches(path.as_bytes()), "{path} is under {text}");
            }
            for path in outside {
                assert!(!pattern(text).matches(path.as_bytes()), "{path} is not under {text}");
            }
        }
    }

    #[test]
    fn a_pattern_includes_another_if_no_path_of_that_is_outside() {
        for (wide, inside, outside) in [
            ("/**", &["/", "/a", "/a/", "/a/**", "/*/b"][..], &[][..]),
            ("/a/**", &["/a", "/a/", "/a/*", "/a/b/{c}", "/a/b/**"], &["/", "/**", "/*", "/b", "/ab"]),
            (
                "/a/*",
                &["/a/b", "/a/{c}", "/a/caf\u{e9}"],
                &["/a", "/a/", "/a/b/", "/a/b/c", "/a/**", "/a/b/**", "/*/b"],
            ),
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

    /// By trying: wherever one pattern includes another, every reading of every path that the other covers is under it.
    #[test]
    fn no_reading_of_a_path_escapes_a_pattern_that_includes_its_own() {
        let parts = ["", "a", "A", "b.", "*", "**", "\u{e9}"];
        let mut texts: Vec<String> = parts.iter().map(|part| format!("/{part}")).collect();
        texts.extend(parts.iter().flat_map(|one| parts.iter().map(move |two| format!("/{one}/{two}"))));
        let patterns: Vec<PathPattern> = texts.iter().filter_map(|text| PathPattern::from_str(text).ok()).collect();
        let names = ["", "a", "A", "a.", "b", "b.", "c", "%C3%A9", "\u{e9}", "...", " "];
        let mut paths: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
        paths.extend(names.iter().flat_map(|one| names.iter().map(move |two| format!("/{one}/{two}"))));
        paths.extend(names.iter().map(|name| format!("/a/{name}/c")));
        let mut seen = 0;
        for (wide, narrow) in patterns.iter().flat_map(|wide| patterns.iter().map(move |narrow| (wide, narrow))) {
            if wide == narrow || !wide.includes(narrow) {
                continue;
            }
            for fold in Fold::ALL {
                for path in &paths {
                    let folded = fold.path(path.as_bytes());
                    if narrow.covers(fold, &folded) {
                        seen += 1;
                        assert!(wide.covers(fold, &folded), "{path} of {narrow:?} is under {wide:?}");
                    }
                }
            }
        }
        assert!(seen > 1000, "paths were tried: {seen}");
    }

    #[test]
    fn a_file_is_found_by_other_paths_too() {
        for (text, others) in [
            ("/report.html", &["/report", "/report.html/**"][..]),
            ("/a/b.tar.gz", &["/a/b.tar", "/a/b", "/a/b.tar.gz/**"]),
            ("/admin/index.html", &["/admin/index", "/admin/index.html/**", "/admin/"]),
            ("/v1.0", &[]),
            ("/.htaccess", &[]),
            ("/a.b/**", &["/a/**"]),
            ("/v1.0/**", &[]),
            ("/a.b/*", &[]),
            ("/a.b/", &[]),
            ("/", &[]),
        ] {
            let found: Vec<String> = pattern(text).of_file().into_iter().map(|other| other.0).collect();
            assert_eq!(
                found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
                others.iter().copied().collect(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_pattern_has_64_segments_at_most() {
        let long = "/a".repeat(LONGEST);
        assert!(pattern(&long).matches(long.as_bytes()));
        assert!(!pattern(&long).matches(format!("{long}/a").as_bytes()));
        assert!(pattern(&format!("{long}/**")).matches(format!("{long}/a/a").as_bytes()));
        assert!(PathPattern::from_str(&format!("{long}/a")).is_err());
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for text in [
            "", "v2", "//", "/a//b", "//**", "/a//**", "/./a", "/a/..", "/a/%2e", "/a;b", "/a?b", "/a#b", "/a\\b",
            "/a b", "/a*", "/**/a", "/{}", "/{a", "/{a=**}", "/a{b}", "/a/***", "/a\u{0}", "/.../a",
        ] {
            assert!(PathPattern::from_str(text).is_err(), "{text}");
        }
    }
}
