//! The widest reading of a path: every way in which some backend may understand it. A role that any of them demands is
//! demanded.

use std::borrow::Cow;

use crate::pattern::PathPattern;
use crate::target::Target;

/// What a backend may not tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fold {
    /// A slash at the end of the path, and dots and blanks at the end of a segment (Windows drops those).
    pub(crate) trailing: bool,
    /// Letter case (Unicode's, so that the Kelvin sign is a k).
    pub(crate) case: bool,
}

impl Fold {
    /// Every combination, the exact one first.
    pub(crate) const ALL: [Self; 4] = [
        Self { trailing: false, case: false },
        Self { trailing: false, case: true },
        Self { trailing: true, case: false },
        Self { trailing: true, case: true },
    ];

    /// Folds one segment.
    pub(crate) fn segment(self, segment: &[u8]) -> Cow<'_, [u8]> {
        let end = match segment.iter().rposition(|byte| !matches!(byte, b'.' | b' ' | b'\t')) {
            _ if !self.trailing => segment.len(),
            Some(last) => last.saturating_add(1),
            None => 0,
        };
        let segment = segment.get(..end).unwrap_or_default();
        if self.case { fold_case(segment) } else { Cow::Borrowed(segment) }
    }

    /// Folds a path.
    fn path(self, path: &[u8]) -> Cow<'_, [u8]> {
        if !self.trailing {
            return if self.case { fold_case(path) } else { Cow::Borrowed(path) };
        }
        let mut folded = Vec::with_capacity(path.len());
        for segment in path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/') {
            let name = self.segment(segment);
            // A segment of dots and blanks alone is dropped whole.
            if segment.is_empty() || !name.is_empty() {
                folded.push(b'/');
                folded.extend_from_slice(&name);
            }
        }
        while folded.len() > 1 && folded.last() == Some(&b'/') {
            folded.pop();
        }
        if folded == path { Cow::Borrowed(path) } else { Cow::Owned(folded) }
    }
}

/// Lower case. Text in other scripts goes by way of upper case, which joins letters such as ſ and s. Bytes that are no
/// UTF-8 are folded in ASCII only.
fn fold_case(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.is_ascii() {
        if bytes.iter().any(u8::is_ascii_uppercase) { bytes.to_ascii_lowercase().into() } else { bytes.into() }
    } else {
        match core::str::from_utf8(bytes) {
            Ok(text) => text.to_uppercase().to_lowercase().into_bytes().into(),
            Err(_) => bytes.to_ascii_lowercase().into(),
        }
    }
}

/// Every reading of one path.
#[derive(Debug)]
pub(crate) struct Readings<'a>(Vec<(usize, Cow<'a, [u8]>)>);

impl<'a> Readings<'a> {
    /// Of the path of a target: raw and decoded, at each depth; cut at a decoded `?` or `#`; parameters dropped; slashes
    /// merged; each of these folded in every way; and all combinations.
    pub(crate) fn of(target: &'a Target<'_>) -> Self {
        let mut bases: Vec<Cow<'a, [u8]>> = vec![Cow::Borrowed(target.path)];
        bases.extend(target.decoded.iter().map(|path| Cow::Borrowed(path.as_slice())));
        for step in [cut, without_parameters, with_slashes_merged] {
            let more: Vec<Vec<u8>> = bases.iter().filter_map(|path| step(path)).collect();
            for path in more {
                if !bases.iter().any(|base| **base == *path) {
                    bases.push(Cow::Owned(path));
                }
            }
        }
        let mut readings = Vec::with_capacity(bases.len().saturating_mul(Fold::ALL.len()));
        for base in bases {
            for (index, fold) in Fold::ALL.iter().enumerate().skip(1) {
                readings.push((index, Cow::Owned(fold.path(&base).into_owned())));
            }
            readings.push((0, base));
        }
        Self(readings)
    }

    /// Each reading, with the index in [`Fold::ALL`] of the fold that a pattern must be in to compare with it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.0.iter().map(|(fold, path)| (*fold, path.as_ref()))
    }
}

/// A pattern, in each fold.
#[derive(Debug)]
pub(crate) struct FoldedPattern([PathPattern; 4]);

impl FoldedPattern {
    pub(crate) fn new(pattern: &PathPattern) -> Self {
        Self(Fold::ALL.map(|fold| pattern.fold(fold)))
    }

    /// Whether a reading, with its fold, falls under the pattern.
    pub(crate) fn matches(&self, fold: usize, path: &[u8]) -> bool {
        self.0.get(fold).is_some_and(|pattern| pattern.matches(path))
    }
}

/// Up to a decoded `?` or `#`.
fn cut(path: &[u8]) -> Option<Vec<u8>> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'))?;
    path.get(..end).map(<[u8]>::to_vec)
}

/// Each segment up to its first `;` (RFC 3986, section 3.3; a servlet container drops what follows).
fn without_parameters(path: &[u8]) -> Option<Vec<u8>> {
    path.contains(&b';').then(|| {
        let name = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
        path.split(|byte| *byte == b'/').map(name).collect::<Vec<_>>().join(&b'/')
    })
}

/// Runs of slashes as one.
fn with_slashes_merged(path: &[u8]) -> Option<Vec<u8>> {
    path.windows(2).any(|pair| pair == b"//").then(|| {
        let mut merged = path.to_vec();
        merged.dedup_by(|next, previous| *next == b'/' && *previous == b'/');
        merged
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::read::Text as _;

    /// Whether any reading of the path falls under the pattern.
    fn reaches(path: &str, pattern: &str) -> bool {
        let target = Target::parse(path.as_bytes()).unwrap_or_else(|| panic!("{path} is refused"));
        let pattern = FoldedPattern::new(&PathPattern::read(pattern).unwrap());
        Readings::of(&target).iter().any(|(fold, path)| pattern.matches(fold, path))
    }

    #[test]
    fn each_way_of_writing_a_path_reaches_the_pattern() {
        for path in [
            "/admin",
            "/admin/",
            "/ADMIN",
            "//admin",
            "/admin;x",
            "/%61dmin",
            "/%2561dmin",
            "/admin.",
            "/admin%20",
            "/admin%3Fx",
            "/admin%23x",
            "/;x/admin",
            "//AdMiN;a;b//",
            "/%41DMIN%2f",
            "/admin...%20.",
            "/admin/%2f",
            "/admin;%2f",
            "/admin/...",
        ] {
            assert!(reaches(path, "/admin"), "{path}");
            assert!(reaches(path, "/Admin/"), "{path} against another case and a slash");
        }
        for path in ["/to%E2%84%AAen%C5%BF", "/TOKENS"] {
            assert!(reaches(path, "/tokens"), "{path}");
        }
        assert!(reaches("/CAF%c3%89", "/caf\u{e9}"));
        assert!(reaches("/caf%C3%A9", "/caf\u{e9}"));
    }

    #[test]
    fn another_path_does_not() {
        for path in ["/adminx", "/admi", "/admin/x", "/x/admin", "/ad/min", "/%2561dmi", "/"] {
            assert!(!reaches(path, "/admin"), "{path}");
        }
        assert!(!reaches("/v2", "/"));
        assert!(reaches("//", "/"));
    }
}
