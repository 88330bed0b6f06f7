//! The widest reading of a path: every way in which some backend may understand it. A role that any of them demands is
//! demanded.

use crate::fold::Fold;
use crate::pattern::Segments;
use crate::target::{Target, decode, decode_but};

/// The most readings of one path, before folding: somebody's resource has a handful.
const MOST: usize = 32;

/// The most bytes of all readings of one path, before folding.
const LARGEST: usize = 128 << 10;

/// What one backend or another does to a path; `None` where it changes nothing.
type Step = fn(&[u8]) -> Option<Vec<u8>>;

/// What one backend or another does to a path before it looks for a resource, in whatever order, as often as it likes.
const STEPS: [Step; 6] =
    [decode, decode_segments, cut, without_parameters, with_slashes_merged, with_leading_slashes_merged];

/// Every reading of one path.
#[derive(Debug)]
pub(crate) struct Readings(Vec<Reading>);

/// A path, folded.
#[derive(Debug)]
struct Reading {
    /// The index in [`Fold::ALL`] of the fold that a pattern must be in to compare with it.
    fold: usize,
    path: Vec<u8>,
}

impl Readings {
    /// Of the path of a target, and of what follows the host that some find in it: everything that the steps make of it,
    /// in every order, and each of that folded in every way. Each step makes a path shorter, so this ends. `None`: more than
    /// [`MOST`] or [`LARGEST`], so the path may be anything.
    pub(crate) fn of(target: &Target<'_>) -> Option<Self> {
        let mut bases = vec![target.path.to_vec()];
        bases.extend(without_host(target.path));
        let mut next = 0_usize;
        while let Some(path) = bases.get(next) {
            let more: Vec<Vec<u8>> = STEPS.iter().filter_map(|step| step(path)).collect();
            for path in more {
                // Two steps may come to the same.
                if !bases.contains(&path) {
                    bases.push(path);
                }
            }
            let bytes = bases.iter().fold(0_usize, |sum, path| sum.saturating_add(path.len()));
            if bases.len() > MOST || bytes > LARGEST {
                return None;
            }
            next = next.saturating_add(1);
        }
        let mut readings = Vec::with_capacity(bases.len().saturating_mul(Fold::ALL.len()));
        for base in bases {
            for (index, fold) in Fold::ALL.iter().enumerate().skip(1) {
                readings.push(Reading { fold: index, path: fold.path(&base) });
            }
            readings.push(Reading { fold: 0, path: base });
        }
        Some(Self(readings))
    }

    /// Each reading, with the index of its fold.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Segments<'_>)> {
        self.0.iter().map(|reading| (reading.fold, Segments::of(&reading.path)))
    }

    /// Those whose last segment has dots, cut at each: routers that serve several formats find `/a` in `/a.json`.
    pub(crate) fn without_suffix(&self) -> impl Iterator<Item = (usize, Segments<'_>)> {
        self.0.iter().flat_map(|Reading { fold, path }| {
            let name = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
            let dots = path.iter().enumerate().skip(name).filter(|(_, byte)| **byte == b'.').take(MOST);
            dots.filter_map(|(dot, _)| Some((*fold, Segments::of(path.get(..dot)?))))
        })
    }
}

/// One round of percent-decoding after the path was split: a `%2F` stays within its segment.
fn decode_segments(path: &[u8]) -> Option<Vec<u8>> {
    decode_but(path, Some(b'/'))
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

/// Without the host that whoever takes the path for a URL finds behind two slashes (RFC 3986, section 4.2) or more (the
/// URL standard of browsers and Node).
fn without_host(path: &[u8]) -> Option<Vec<u8>> {
    let host = path.strip_prefix(b"//")?;
    let start = host.iter().position(|byte| *byte != b'/')?;
    let path = host.iter().skip(start).skip_while(|byte| **byte != b'/').copied().collect::<Vec<u8>>();
    Some(if path.is_empty() { b"/".to_vec() } else { path })
}

/// Slashes at the beginning as one: `http.server` and others merge only these.
fn with_leading_slashes_merged(path: &[u8]) -> Option<Vec<u8>> {
    let second = path.strip_prefix(b"/")?;
    let rest = second.iter().position(|byte| *byte != b'/').unwrap_or(second.len());
    (rest > 0).then(|| [b"/", second.get(rest..).unwrap_or_default()].concat())
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
    use crate::pattern::{FoldedPattern, PathPattern};

    /// Whether any reading of the path falls under the pattern.
    fn reaches(path: &str, pattern: &str) -> bool {
        let target = Target::parse(path.as_bytes()).unwrap_or_else(|bad| panic!("{path} is refused: {bad:?}"));
        let pattern = FoldedPattern::new(&PathPattern::read(pattern).unwrap());
        Readings::of(&target).expect("a handful").iter().any(|(fold, path)| pattern.covers(fold, &path))
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
        for path in ["/to%E2%84%AAen%C5%BF", "/TOKENS", "/%EF%BC%B4okens"] {
            assert!(reaches(path, "/tokens"), "{path}");
        }
        assert!(reaches("/CAF%c3%89", "/caf\u{e9}"));
        assert!(reaches("/caf%C3%A9", "/caf\u{e9}"));
    }

    #[test]
    fn segments_may_be_decoded_before_or_after_they_are_split() {
        for path in ["/v%61ult/a%2Fb", "/vault/a%2Fb", "/vault/a%252Fb", "/vaul%74;x/a%2fb//"] {
            assert!(reaches(path, "/vault/{name}"), "{path}");
        }
        assert!(reaches("/vault/a%2Fb", "/vault/a/b"));
        assert!(!reaches("/vault/a/b", "/vault/{name}"));
    }

    #[test]
    fn a_path_with_too_many_readings_may_be_anything() {
        let path = "//%25252f;%25252f%25253b%25253fx/%2525252f//%2561;%25253b";
        assert!(Readings::of(&Target::parse(path.as_bytes()).unwrap()).is_none());
    }

    #[test]
    fn leading_slashes_are_merged_alone_or_with_all_others() {
        for path in ["///x//y", "//x//y"] {
            assert!(reaches(path, "/x/y"), "{path}");
        }
        let target = Target::parse(b"///x//y").unwrap();
        let readings = Readings::of(&target).expect("a handful");
        assert!(readings.0.iter().any(|reading| reading.path == b"/x//y"));
    }

    #[test]
    fn a_name_of_dots_stays_where_another_is_trimmed() {
        assert!(reaches("/users/.../wipe%0A", "/users/{id}/wipe"));
    }

    #[test]
    fn a_slash_may_be_dropped_and_dots_kept() {
        assert!(reaches("/files/.../", "/files/*"));
        assert!(reaches("/files/.../", "/files"));
    }

    #[test]
    fn a_long_path_has_few_readings_or_may_be_anything() {
        let long = "a".repeat(60_000);
        assert!(Readings::of(&Target::parse(format!("/{long}").as_bytes()).unwrap()).is_some());
        assert!(Readings::of(&Target::parse(format!("/{long}%252541;//x").as_bytes()).unwrap()).is_none());
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
