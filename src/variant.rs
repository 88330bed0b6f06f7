//! Every variant of a path: what some backend may understand it as. Whatever any of them is restricted to, the path is
//! restricted to.

use core::cell::OnceCell;
use std::borrow::Cow;

use arrayvec::ArrayVec;
use memchr::{memchr, memmem, memrchr};

use crate::alias;
use crate::fold::fold_case;
use crate::scan::{Scan, is_data_of_page};
use crate::target::{LONGEST, Target, decode, decode_but, has_forbidden_part};
use crate::trail::Ambiguity;
use crate::tree::Matching;

/// The most variants of the paths of one request, before normalization: somebody's resource has a handful.
const MOST: usize = 32;

/// The most bytes of all variants of the paths of one request, before normalization.
const LARGEST: usize = 3 << 10;

/// The most names that are looked at, and nodes of pattern trees that are visited. A usual request needs some ten.
const VISITS: usize = 1 << 10;

/// How much of a request is read with care: beyond, it may be anything. So no request takes long, whatever its sender thinks up.
#[derive(Debug)]
pub(crate) struct Budget {
    variants: usize,
    bytes: usize,
    /// How many more names may be looked at, and nodes of pattern trees visited.
    visits: usize,
}

impl Budget {
    /// For one request.
    pub(crate) const fn new() -> Self {
        Self { variants: MOST, bytes: LARGEST, visits: VISITS }
    }

    /// Takes visits.
    #[inline]
    pub(crate) fn visit(&mut self, visits: usize) -> Result<(), Ambiguity> {
        self.visits = self.visits.checked_sub(visits).ok_or(Ambiguity::TooWide)?;
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), Ambiguity> {
        let left = (self.variants.checked_sub(1), self.bytes.checked_sub(bytes));
        let (Some(variants), Some(bytes)) = left else { return Err(Ambiguity::TooManyVariants) };
        (self.variants, self.bytes) = (variants, bytes);
        Ok(())
    }
}

/// One variant, before normalization.
#[derive(Debug)]
pub(crate) struct Variant<'a> {
    pub(crate) path: Cow<'a, [u8]>,
    pub(crate) scan: Scan,
    lower_case: OnceCell<Vec<u8>>,
}

impl<'a> Variant<'a> {
    pub(crate) fn new(path: Cow<'a, [u8]>) -> Self {
        let scan = Scan::of(&path);
        Self { path, scan, lower_case: OnceCell::new() }
    }

    /// Refuses a name in one of Zope's namespaces, which may stand for a view, or for nothing: `++view++admin`, `++skin++x`.
    /// Nothing is public by that, and what is public below a pattern stays so.
    fn check_namespaces(&self) -> Result<(), Ambiguity> {
        let mut names = self.path.split(|byte| *byte == b'/').filter_map(|name| name.strip_prefix(b"++"));
        if defence!("namespaces") && self.scan.has_namespace() && names.any(|name| memmem::find(name, b"++").is_some())
        {
            return Err(Ambiguity::Alias);
        }
        Ok(())
    }

    /// How it is compared with what a path may be restricted to.
    pub(crate) fn matching(&self) -> Matching {
        if self.scan.may_have_other_names() { Matching::Wider } else { Matching::Wide }
    }

    /// The path [without letter case](crate::letters).
    pub(crate) fn lower_case(&self) -> &[u8] {
        self.lower_case.get_or_init(|| fold_case(&self.path).into_owned())
    }
}

/// Every variant of one path: the path itself, and what the steps make of it, in any order.
#[derive(Debug, Default)]
pub(crate) struct Variants<'a>(ArrayVec<Variant<'a>, MOST>);

impl<'a> Variants<'a> {
    /// Finds those of the path of a target. Each step makes a path shorter, so this ends.
    ///
    /// # Errors
    /// Where the path may be anything.
    #[inline]
    pub(crate) fn find(&mut self, target: &Target<'a>, budget: &mut Budget) -> Result<&[Variant<'a>], Ambiguity> {
        self.0.clear();
        let first = Variant { path: Cow::Borrowed(target.path), scan: target.scan, lower_case: OnceCell::new() };
        first.check_namespaces()?;
        if first.scan.is_simple() && !first.scan.has_many_dots() {
            self.0.try_push(first).map_err(|_| Ambiguity::TooManyVariants)?;
        } else {
            self.find_all(first, budget)?;
        }
        Ok(&self.0)
    }

    fn find_all(&mut self, first: Variant<'a>, budget: &mut Budget) -> Result<(), Ambiguity> {
        if defence!("long-paths") && first.path.len() > LONGEST {
            return Err(Ambiguity::TooLong);
        }
        self.add(first, budget)?;
        let mut next = 0_usize;
        while let Some(variant) = self.0.get(next) {
            for path in variant.more().into_iter().flatten() {
                // Two steps may come to the same.
                if !self.0.iter().any(|variant| variant.path == path) {
                    match self.add(Variant::new(path), budget) {
                        Err(Ambiguity::TooManyVariants) if !defence!("too-many-variants") => return Ok(()),
                        result => result?,
                    }
                }
            }
            next = next.saturating_add(1);
        }
        Ok(())
    }

    fn add(&mut self, variant: Variant<'a>, budget: &mut Budget) -> Result<(), Ambiguity> {
        alias::check(&variant.path, variant.scan)?;
        if defence!("dot-segments-in-variants") && has_forbidden_part(&variant.path, variant.scan) {
            return Err(Ambiguity::DotSegment);
        }
        variant.check_namespaces()?;
        if defence!("many-suffixes") && variant.scan.has_many_dots() {
            return Err(Ambiguity::ManySuffixes);
        }
        budget.take(variant.path.len())?;
        self.0.try_push(variant).map_err(|_| Ambiguity::TooManyVariants)
    }
}

/// What one backend or another does to a path before it looks for a resource, in whatever order, as often as it likes.
impl<'a> Variant<'a> {
    /// What each step makes of the path; `None` where it changes nothing.
    fn more(&self) -> [Option<Cow<'a, [u8]>>; 20] {
        let Self { path, scan, .. } = self;
        let owned = |step: Option<Vec<u8>>| step.map(Cow::Owned);
        let behind_script = scan.script().filter(|_| defence!("behind-a-script"));
        let script_itself = scan.script().filter(|_| defence!("script-itself"));
        let without_script = scan.script().filter(|_| defence!("without-the-script"));
        [
            owned(if defence!("escapes-decoded") && scan.has_escape() { decode(path) } else { None }),
            // Decoding after the path was split: a `%2F` stays within its segment.
            owned(if scan.has_escape() { decode_but(path, Some(b'/')) } else { None }),
            // Up to a decoded `?` or `#`.
            (defence!("cut-paths") && scan.has_cut()).then(|| part(path, 0, cut(path))),
            // A servlet container drops what follows a `;` (RFC 3986, section 3.3).
            owned((defence!("dropped-parameters") && scan.has_parameter()).then(|| without_parameters(path))),
            // Fastify 4 and restify take all that follows for a query.
            (defence!("cut-parameters") && scan.has_parameter()).then(|| part(path, 0, first(path, b';'))),
            owned((defence!("merged-slashes") && scan.has_empty_segment()).then(|| with_slashes_merged(path))),
            // `http.server` and others merge only the slashes at the beginning.
            behind_slashes(path).map(|start| part(path, start.saturating_sub(1), path.len())),
            // Whoever takes the path for a URL finds a host behind two slashes (RFC 3986, section 4.2) or more (the URL
            // standard of browsers and Node).
            behind_slashes(path).filter(|_| defence!("host-in-the-path")).map(|start| behind_host(path, start)),
            // The URL standard and Python's urlsplit drop these anywhere.
            owned((defence!("dropped-lines") && scan.has_line()).then(|| without_lines(path))),
            // What a script, such as a front controller, finds its resource by, and the script itself.
            behind_script.map(|script| path_info(path, script.end)),
            behind_script.map(|script| path_info(path, script.cut)),
            script_itself.map(|script| part(path, 0, script.end)),
            script_itself.map(|script| part(path, 0, script.cut)),
            // The script's own name may be left out, and a name that stands for its folder.
            without_script.map(|script| without(path, script.start, script.end)),
            without_script.map(|script| without(path, script.start, script.cut)),
            scan.index().filter(|_| defence!("index-names")).map(|start| part(path, 0, start)),
            // Jakarta Faces has all pages below that folder too.
            owned(if defence!("faces") && scan.has_faces() { without_faces(path, true) } else { None }),
            owned(if defence!("behind-faces") && scan.has_faces() { without_faces(path, false) } else { None }),
            // Next.js keeps there what a page is made of.
            owned(if defence!("data-of-pages") && scan.has_next_data() { page_of_data(path) } else { None }),
            owned(if defence!("best-fit-letters") && !scan.is_ascii() { best_fit(path) } else { None }),
        ]
    }
}

/// A part of a path; `/` where it is empty.
fn part<'a>(path: &Cow<'a, [u8]>, start: usize, end: usize) -> Cow<'a, [u8]> {
    let root: Cow<'a, [u8]> = Cow::Borrowed(b"/");
    let part = match path {
        Cow::Borrowed(path) => path.get(start..end).map(Cow::Borrowed),
        Cow::Owned(path) => path.get(start..end).map(|part| Cow::Owned(part.to_vec())),
    };
    part.filter(|part| !part.is_empty()).unwrap_or(root)
}

/// What a script that ends at `end` finds behind itself.
fn path_info<'a>(path: &Cow<'a, [u8]>, end: usize) -> Cow<'a, [u8]> {
    let rest = part(path, end, path.len());
    if rest.starts_with(b"/") { rest } else { Cow::Owned([b"/", &*rest].concat()) }
}

/// A path without the script from `start` to `end`, and the slash before it.
fn without<'a>(path: &Cow<'a, [u8]>, start: usize, end: usize) -> Cow<'a, [u8]> {
    let before = part(path, 0, start.saturating_sub(1));
    if end >= path.len() {
        before
    } else if start <= 1 {
        path_info(path, end)
    } else {
        Cow::Owned([&*before, &*path_info(path, end)].concat())
    }
}

/// A path without the folder of Jakarta Faces: with what stands before it, which may be the place of an application, or not.
fn without_faces(path: &[u8], with_front: bool) -> Option<Vec<u8>> {
    const FOLDER: &[u8] = b"/faces";
    let start = memmem::find(path, b"/faces/")?;
    let front = if with_front { path.get(..start)? } else { b"" };
    Some([front, path.get(start.checked_add(FOLDER.len())?..)?].concat())
}

/// The pages whose data a path has.
pub(crate) fn pages_of_data(path: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let start = memrchr(b'/', path).map_or(0, |slash| slash.saturating_add(1));
    let folder =
        path.split_at_checked(start).filter(|(_, name)| is_data_of_page(name)).map(|(folder, _)| folder.into());
    folder.into_iter().chain(page_of_data(path).map(Cow::Owned))
}

/// The page whose data a path asks Next.js for: `/_next/data/BUILD/admin.json` is `/admin.json`.
fn page_of_data(path: &[u8]) -> Option<Vec<u8>> {
    const FOLDER: &[u8] = b"/_next/data/";
    let start = memmem::find(path, FOLDER)?;
    let behind = path.get(start.saturating_add(FOLDER.len())..)?;
    let page = behind.get(behind.iter().position(|byte| *byte == b'/')?..)?;
    Some([path.get(..start)?, page].concat())
}

/// Where a byte stands first.
fn first(path: &[u8], byte: u8) -> usize {
    memchr(byte, path).unwrap_or(path.len())
}

/// Where the first `?` or `#` is.
fn cut(path: &[u8]) -> usize {
    path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len())
}

/// Each segment up to its first `;`.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut is_parameter = false;
    let keeps = |byte: &u8| {
        is_parameter = *byte == b';' || (is_parameter && *byte != b'/');
        !is_parameter
    };
    path.iter().copied().filter(keeps).collect()
}

/// Where the first name begins behind several slashes.
fn behind_slashes(path: &[u8]) -> Option<usize> {
    path.starts_with(b"//").then(|| path.iter().position(|byte| *byte != b'/'))?
}

/// What follows a host that begins at `start`.
fn behind_host<'a>(path: &Cow<'a, [u8]>, start: usize) -> Cow<'a, [u8]> {
    let end =
        path.iter().skip(start).position(|byte| *byte == b'/').map_or(path.len(), |end| start.saturating_add(end));
    part(path, end, path.len())
}

/// Runs of slashes as one.
fn with_slashes_merged(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|next, previous| *next == b'/' && *previous == b'/');
    merged
}

/// Text as a best-fit conversion makes ASCII of it (CVE-2024-4577): full-width letters, and what looks like a slash. A
/// backslash is a slash to whoever converts.
fn best_fit(path: &[u8]) -> Option<Vec<u8>> {
    let text = core::str::from_utf8(path).ok()?;
    let ascii = |letter| match letter {
        '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{A5}' | '\u{20A9}' | '\u{FF3C}' => '/',
        '\u{FF01}'..='\u{FF5E}' => u32::from(letter).checked_sub(0xFEE0).and_then(char::from_u32).unwrap_or(letter),
        other => other,
    };
    let fitted: String = text.chars().map(ascii).collect();
    (fitted != text).then(|| fitted.into_bytes())
}

/// Without tabs, carriage returns and line feeds.
fn without_lines(path: &[u8]) -> Vec<u8> {
    path.iter().copied().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::PathPattern;
    use crate::tree::{FoldedTrees, Tree};

    /// Whether any variant of the path falls under the pattern.
    fn reaches(path: &str, pattern: &str) -> bool {
        let target = Target::parse(path.as_bytes()).unwrap_or_else(|bad| panic!("{path} is refused: {bad:?}"));
        let trees = FoldedTrees::new(&[&pattern.parse::<PathPattern>().unwrap()]);
        let (mut variants, mut budget) = (Variants::default(), Budget::new());
        let variants = variants.find(&target, &mut budget).expect("a handful");
        !variants.iter().all(|variant| {
            let is_outside = |tree: &Tree, path: &[u8], ending| {
                tree.each(path, ending, Matching::Strict, &mut budget, &|_| true, &mut |found, _| found.is_none())
            };
            trees.all(variant, is_outside).unwrap()
        })
    }

    fn why(path: &[u8]) -> Option<Ambiguity> {
        let target = Target::parse(path).unwrap_or_else(|bad| panic!("{} is refused: {bad:?}", path.escape_ascii()));
        Variants::default().find(&target, &mut Budget::new()).err()
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
    fn a_path_with_too_many_variants_may_be_anything() {
        let path = "//%25252f;%25252f%25253b%25253fx/%2525252f//%2561;%25253b";
        assert_eq!(why(path.as_bytes()), Some(Ambiguity::TooManyVariants));
    }

    #[test]
    fn leading_slashes_are_merged_alone_or_with_all_others() {
        for path in ["///x//y", "//x//y"] {
            assert!(reaches(path, "/x/y"), "{path}");
        }
        let target = Target::parse(b"///x//y").unwrap();
        let mut variants = Variants::default();
        let all = variants.find(&target, &mut Budget::new()).unwrap();
        assert!(all.iter().any(|variant| *variant.path == *b"/x//y"));
    }

    #[test]
    fn a_simple_path_is_its_only_variant() {
        let (mut simple, mut alone) = (0, 0);
        crate::scan::short_paths(&mut |path| {
            let Ok(target) = Target::parse(path) else { return };
            let mut variants = Variants::default();
            let is_alone =
                variants.find_all(Variant::new(path.into()), &mut Budget::new()).is_ok() && variants.0.len() == 1;
            assert!(is_alone || !target.scan.is_simple(), "{}", path.escape_ascii());
            simple += usize::from(target.scan.is_simple());
            alone += usize::from(is_alone);
        });
        assert!(simple > 100 && alone >= simple, "{simple} paths are simple, {alone} have one variant");
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
    fn a_long_path_is_simple_or_may_be_anything() {
        let long = "a".repeat(8_000);
        assert_eq!(why(format!("/{long}").as_bytes()), None);
        for path in [format!("/{long}%41"), format!("/{long};//x"), format!("/{}%41", "a".repeat(1021))] {
            assert_eq!(why(path.as_bytes()), Some(Ambiguity::TooLong));
        }
        assert_eq!(why(format!("/{}%41", "a".repeat(1020)).as_bytes()), None);
    }

    #[test]
    fn what_cannot_be_told_may_be_anything() {
        for (path, ambiguity) in [
            ("/adm%ffin", Ambiguity::NotUtf8),
            ("/a;x%25ff", Ambiguity::NotUtf8),
            ("/ADMIN~1/x", Ambiguity::Alias),
            ("/ADMIN%7E1;x", Ambiguity::Alias),
            ("/admin%3A%3A$DATA", Ambiguity::Alias),
            ("/%28S(x))/admin", Ambiguity::Alias),
            ("/docs/.%09./admin", Ambiguity::DotSegment),
            ("/docs/%252%09e./admin", Ambiguity::DotSegment),
            ("/docs/%EF%BC%8E%EF%BC%8E/admin", Ambiguity::DotSegment),
            ("/a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r", Ambiguity::ManySuffixes),
        ] {
            assert_eq!(why(path.as_bytes()), Some(ambiguity), "{path}");
        }
    }

    #[test]
    fn a_script_is_asked_for_what_follows_it() {
        for path in [
            "/index.php/admin",
            "/INDEX.PHP/admin",
            "/app/x.cgi/admin",
            "/a.php/b.aspx/admin",
            "/admin/index.php",
            "/x.php;y/admin",
            "/x%2Ephp%2fadmin",
            "/admin/index.html",
            "/admin/Default.aspx",
            "/admin/index/",
            "/faces/admin",
            "/app/faces/admin",
        ] {
            assert!(reaches(path, "/admin"), "{path}");
        }
        assert!(reaches("/app/index.php/admin", "/app/admin"));
        assert!(reaches("/admin.php/x", "/admin.php"));
        for path in [
            "/index.php3/admin",
            "/index.phpadmin",
            "/x/index.phpx/index.Phpadmin",
            "/_next/data/B/admin",
            "/admin/__data.json",
        ] {
            assert!(reaches(path, "/admin"), "{path}");
        }
        assert!(reaches("/app/_next/data/B/admin", "/app/admin"));
        assert!(reaches("/index.phps/x", "/s/x") && reaches("/index.php3/x", "/x"));
        assert!(reaches("/index.php", "/"));
        assert!(!reaches("/index.text/admin", "/admin"));
    }

    #[test]
    fn a_url_may_be_read_after_decoding() {
        for path in
            ["/%2fh/admin", "//h%2fadmin", "//h@%2fadmin", "/%09/h/admin", "/ad%09min", "/ad%0Dm%0ain", "/%252fh/admin"]
        {
            assert!(reaches(path, "/admin"), "{path}");
        }
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
