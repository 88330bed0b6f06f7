//! The widest reading of a path: every way in which some backend may understand it. A role that any of them demands is
//! demanded.

use std::borrow::Cow;

use crate::fold::{Ending, Fold, fold_case};
use crate::target::{Target, decode, decode_but};
use crate::tree::{FoldedTrees, Tree};

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
pub(crate) enum Readings<'a> {
    /// The path itself, in each fold ([`Shape::has_one_reading`](crate::shape::Shape::has_one_reading)): most paths.
    One(&'a [u8]),
    /// The path as sent and in lower case, each with and without a slash at its end
    /// ([`Shape::keeps_its_names`](crate::shape::Shape::keeps_its_names)).
    Cased(&'a [u8], Cow<'a, [u8]>),
    /// Several, before folding.
    Several(Vec<Vec<u8>>),
}

impl<'a> Readings<'a> {
    /// Of the path of a target, and of what follows the host that some find in it: everything that the steps make of it,
    /// in every order, and each of that folded in every way. Each step makes a path shorter, so this ends. `None`: more than
    /// [`MOST`] or [`LARGEST`], so the path may be anything.
    pub(crate) fn of(target: &Target<'a>) -> Option<Self> {
        let Target { path, shape, .. } = *target;
        if path.len() > LARGEST {
            return None;
        }
        if shape.has_one_reading() {
            return Some(Self::One(path));
        }
        if shape.keeps_its_names() {
            return Some(Self::Cased(path, fold_case(path)));
        }
        several(path).map(Self::Several)
    }

    /// Whether `holds` for each reading, and each tree that it must be compared with. Where both are the same as before,
    /// it is not asked again.
    pub(crate) fn all(&self, trees: &FoldedTrees, mut holds: impl FnMut(&Tree, &[u8]) -> bool) -> bool {
        match self {
            Self::One(path) => trees.distinct().iter().all(|tree| holds(tree, path)),
            Self::Cased(sent, lower) => in_each_fold(trees, &in_four_ways(sent, lower), &mut holds),
            Self::Several(bases) => {
                bases.iter().all(|base| in_each_fold(trees, &Fold::ALL.map(|fold| fold.path(base)), &mut holds))
            }
        }
    }
}

/// Whether `holds` for a path, as it is in each fold of [`Fold::ALL`].
fn in_each_fold<P: AsRef<[u8]>>(
    trees: &FoldedTrees,
    folded: &[P; Fold::ALL.len()],
    holds: &mut impl FnMut(&Tree, &[u8]) -> bool,
) -> bool {
    let mut all = folded.iter().map(AsRef::as_ref).enumerate();
    all.all(|(fold, path)| {
        let tree = trees.number(fold);
        let mut before = folded.iter().map(AsRef::as_ref).enumerate().take(fold);
        before.any(|(other, same)| trees.number(other) == tree && same == path)
            || trees.distinct().get(tree).is_some_and(|tree| holds(tree, path))
    })
}

/// A path that keeps its names, in each fold.
fn in_four_ways<'a>(sent: &'a [u8], lower: &'a [u8]) -> [&'a [u8]; Fold::ALL.len()] {
    Fold::ALL.map(|fold| {
        let path = if fold.case { lower } else { sent };
        if fold.ending == Ending::Exact || path == b"/" { path } else { path.strip_suffix(b"/").unwrap_or(path) }
    })
}

/// What the steps make of a path, in every order; it is the first itself.
fn several(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut bases = vec![path.to_vec()];
    bases.extend(without_host(path));
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
    Some(bases)
}

/// A path whose last segment has dots, cut at each: routers that serve several formats find `/a` in `/a.json`.
pub(crate) fn without_suffix(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let name = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
    let dots = path.iter().enumerate().skip(name).filter(|(_, byte)| **byte == b'.').take(MOST);
    dots.filter_map(|(dot, _)| path.get(..dot))
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
        let mut is_parameter = false;
        let keeps = |byte: &u8| {
            is_parameter = *byte == b';' || (is_parameter && *byte != b'/');
            !is_parameter
        };
        path.iter().copied().filter(keeps).collect()
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
    use crate::pattern::PathPattern;

    /// Whether any reading of the path falls under the pattern.
    fn reaches(path: &str, pattern: &str) -> bool {
        let target = Target::parse(path.as_bytes()).unwrap_or_else(|bad| panic!("{path} is refused: {bad:?}"));
        let pattern = FoldedTrees::new(&[&PathPattern::read(pattern).unwrap()]);
        !Readings::of(&target).expect("a handful").all(&pattern, |tree, path| !tree.covers(path))
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
        let Some(Readings::Several(all)) = Readings::of(&target) else { panic!("several") };
        assert!(all.contains(&b"/x//y".to_vec()));
    }

    #[test]
    fn what_one_pass_says_of_the_readings_is_what_they_are() {
        let (mut single, mut kept) = (0, 0);
        crate::shape::short_paths(&mut |path| {
            let Ok(Target { shape, .. }) = Target::parse(path) else { return };
            let bases = several(path).expect("a handful");
            let folded = Fold::ALL.map(|fold| fold.path(path));
            let is_single = bases == [path] && folded.iter().all(|folded| folded == path);
            assert_eq!(shape.has_one_reading(), is_single, "{}", path.escape_ascii());
            let keeps = bases == [path] && in_four_ways(path, &fold_case(path)).into_iter().eq(&folded);
            assert_eq!(shape.keeps_its_names(), keeps, "{}", path.escape_ascii());
            single += usize::from(is_single);
            kept += usize::from(keeps);
        });
        assert!(single > 100 && kept > single, "{single} paths have one reading, {kept} keep their names");
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
