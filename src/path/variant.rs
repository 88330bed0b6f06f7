//! Every variant of a path: every way in which some upstream may interpret it. A restriction of any variant applies to the
//! path.

use core::cell::OnceCell;
use std::borrow::Cow;

use arrayvec::ArrayVec;
use memchr::{memchr, memchr2, memmem, memrchr};

use super::alias;
use super::ambiguity::Ambiguity;
use super::budget::{Budget, MAX_VARIANTS};
use super::escape::{decode, decode_segments};
use super::normalization::fold_case;
use super::scan::{Feature, PathScan, is_data_of_page, last_action};
use super::target::{MAX_LENGTH, Target, has_forbidden_part};

/// One variant, before normalization.
#[derive(Debug)]
pub(crate) struct Variant<'a> {
    pub(crate) path: Cow<'a, [u8]>,
    pub(crate) scan: PathScan,
    case_folded: OnceCell<Vec<u8>>,
}

impl<'a> Variant<'a> {
    pub(crate) fn new(path: Cow<'a, [u8]>) -> Self {
        let scan = PathScan::of(&path);
        Self { path, scan, case_folded: OnceCell::new() }
    }

    pub(crate) fn case_folded(&self) -> &[u8] {
        self.case_folded.get_or_init(|| fold_case(&self.path).into_owned())
    }

    /// Applies each step that some upstream applies to a path before it looks for a resource; `None` if a step does not
    /// apply.
    #[inline(never)]
    fn steps(&self) -> [Option<Cow<'a, [u8]>>; 21] {
        let Self { path, scan, .. } = self;
        let has = |feature: Feature| scan.has(feature);
        let behind_script = scan.script.filter(|_| defence!("behind-a-script"));
        let script_itself = scan.script.filter(|_| defence!("script-itself"));
        let without_script = scan.script.filter(|_| defence!("without-the-script"));
        [
            (defence!("escapes-decoded") && has(Feature::ESCAPE)).then(|| decode(path).into_owned().into()),
            // Decodes after splitting: a `%2F` remains inside its segment.
            has(Feature::ESCAPE).then(|| decode_segments(path).into()),
            // Cuts the path at a decoded `?` or `#`.
            memchr2(b'?', b'#', path).filter(|_| defence!("cut-paths")).map(|end| part(path, 0, end)),
            // A servlet container drops the parameters after a `;` (RFC 3986, section 3.3).
            (defence!("dropped-parameters") && has(Feature::PARAMETER)).then(|| without_parameters(path).into()),
            // Fastify 4 and restify treat everything after it as a query.
            memchr(b';', path).filter(|_| defence!("cut-parameters")).map(|end| part(path, 0, end)),
            (defence!("merged-slashes") && has(Feature::EMPTY_SEGMENT)).then(|| with_slashes_merged(path).into()),
            // `http.server` and others merge only the slashes at the beginning.
            behind_slashes(path).map(|start| part(path, start.saturating_sub(1), path.len())),
            // A URL parser finds a host after two slashes (RFC 3986, section 4.2) or more (the URL standard).
            behind_slashes(path).filter(|_| defence!("host-in-the-path")).map(|start| behind_host(path, start)),
            // The URL standard and Python's urlsplit drop tabs and line breaks anywhere.
            (defence!("dropped-lines") && has(Feature::LINE)).then(|| without_lines(path).into()),
            // The path that a script receives, such as a front controller; and the script itself.
            behind_script.map(|script| without(path, 0, script.end).into()),
            behind_script.map(|script| without(path, 0, script.cut).into()),
            script_itself.map(|script| part(path, 0, script.end)),
            script_itself.map(|script| part(path, 0, script.cut)),
            // The path without the script's name, and without the name of an index.
            without_script.map(|script| without(path, script.start, script.end).into()),
            without_script.map(|script| without(path, script.start, script.cut).into()),
            scan.index.filter(|_| defence!("index-names")).map(|start| part(path, 0, start)),
            // Jakarta Faces also serves all pages below the folder `/faces/`.
            without_faces(path, true).filter(|_| defence!("faces")).map(Cow::Owned),
            without_faces(path, false).filter(|_| defence!("behind-faces")).map(Cow::Owned),
            last_action(path, *scan).filter(|_| defence!("last-of-actions")).map(Cow::Owned),
            // Next.js serves the data of pages below `/_next/data/`.
            page_of_data(path).filter(|_| defence!("data-of-pages")).map(Cow::Owned),
            (defence!("best-fit-letters") && has(Feature::NON_ASCII)).then(|| best_fit(path).into()),
        ]
    }
}

/// Every variant of one path: the path itself, and the results of all steps, in any order.
#[derive(Debug, Default)]
pub(crate) struct Variants<'a>(ArrayVec<Variant<'a>, MAX_VARIANTS>);

impl<'a> Variants<'a> {
    /// Finds the variants of a target's path. Each step makes a path shorter, so this terminates.
    ///
    /// # Errors
    /// If the path may be anything.
    #[inline]
    pub(crate) fn find(&mut self, target: &Target<'a>, budget: &mut Budget) -> Result<&[Variant<'a>], Ambiguity> {
        let first = Variant { path: Cow::Borrowed(target.path), scan: target.scan, case_folded: OnceCell::new() };
        alias::check_namespaces(&first.path, first.scan)?;
        if first.scan.is_simple() && !first.scan.has(Feature::MANY_DOTS) {
            self.0.try_push(first).map_err(|_| Ambiguity::TooManyVariants)?;
        } else {
            self.find_all(first, budget)?;
        }
        Ok(&self.0)
    }

    fn find_all(&mut self, first: Variant<'a>, budget: &mut Budget) -> Result<(), Ambiguity> {
        if defence!("long-paths") && first.path.len() > MAX_LENGTH {
            return Err(Ambiguity::TooLong);
        }
        self.add(first, budget)?;
        let mut next = 0_usize;
        while let Some(variant) = self.0.get(next) {
            for path in variant.steps().into_iter().flatten() {
                // Two steps may lead to the same path.
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
        let Variant { path, scan, .. } = &variant;
        alias::check(path, *scan)?;
        if defence!("dot-segments-in-variants") && has_forbidden_part(path, *scan) {
            return Err(Ambiguity::DotSegment);
        }
        alias::check_namespaces(path, *scan)?;
        if defence!("many-suffixes") && scan.has(Feature::MANY_DOTS) {
            return Err(Ambiguity::ManySuffixes);
        }
        budget.variant(path.len())?;
        self.0.try_push(variant).map_err(|_| Ambiguity::TooManyVariants)
    }
}

/// Returns a part of a path; `/` if it is empty.
fn part<'a>(path: &Cow<'a, [u8]>, start: usize, end: usize) -> Cow<'a, [u8]> {
    match path {
        _ if start >= end => b"/".into(),
        Cow::Borrowed(path) => path.get(start..end).unwrap_or_default().into(),
        Cow::Owned(path) => path.get(start..end).unwrap_or_default().to_vec().into(),
    }
}

/// Returns a path without the part from `start` to `end`, and without the slash before it.
fn without(path: &[u8], start: usize, end: usize) -> Vec<u8> {
    let before = path.get(..start.saturating_sub(1)).unwrap_or_default();
    let behind = path.get(end..).unwrap_or_default();
    let slash: &[u8] = if behind.starts_with(b"/") || (behind.is_empty() && !before.is_empty()) { b"" } else { b"/" };
    [before, slash, behind].concat()
}

/// Returns a path without the folder of Jakarta Faces. `with_front` keeps the part before it, which may be an application's
/// root.
fn without_faces(path: &[u8], with_front: bool) -> Option<Vec<u8>> {
    const FOLDER: &[u8] = b"/faces";
    let start = memmem::find(path, b"/faces/")?;
    let front = if with_front { path.get(..start)? } else { b"" };
    Some([front, path.get(start.checked_add(FOLDER.len())?..)?].concat())
}

/// Returns the pages whose data a path refers to.
pub(crate) fn pages_of_data(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let start = memrchr(b'/', path).map_or(0, |slash| slash.saturating_add(1));
    let folder = path.split_at_checked(start).filter(|(_, name)| is_data_of_page(name));
    folder.map(|(folder, _)| folder.to_vec()).into_iter().chain(page_of_data(path))
}

/// Returns the page whose data a path requests from Next.js: for `/_next/data/BUILD/admin.json`, that is `/admin.json`.
fn page_of_data(path: &[u8]) -> Option<Vec<u8>> {
    const FOLDER: &[u8] = b"/_next/data/";
    let start = memmem::find(path, FOLDER)?;
    let behind = path.get(start.saturating_add(FOLDER.len())..)?;
    let page = behind.get(memchr(b'/', behind)?..)?;
    Some([path.get(..start)?, page].concat())
}

/// Returns a path with each segment cut at its first `;`.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut is_parameter = false;
    let is_kept = |byte: &u8| {
        is_parameter = *byte == b';' || (is_parameter && *byte != b'/');
        !is_parameter
    };
    path.iter().copied().filter(is_kept).collect()
}

/// Returns where the first segment begins, if there are several slashes before it.
fn behind_slashes(path: &[u8]) -> Option<usize> {
    path.starts_with(b"//").then(|| path.iter().position(|byte| *byte != b'/'))?
}

/// Returns the path after a host that begins at `start`.
fn behind_host<'a>(path: &Cow<'a, [u8]>, start: usize) -> Cow<'a, [u8]> {
    let slash = path.get(start..).and_then(|host| memchr(b'/', host));
    part(path, slash.map_or(path.len(), |slash| start.saturating_add(slash)), path.len())
}

fn with_slashes_merged(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|next, previous| *next == b'/' && *previous == b'/');
    merged
}

/// Converts text to ASCII as a best-fit conversion does (CVE-2024-4577): full-width letters, and characters that look like
/// a slash or a backslash. Upstreams with such a conversion treat a backslash as a slash.
fn best_fit(path: &[u8]) -> Vec<u8> {
    let ascii = |letter| match letter {
        '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{A5}' | '\u{20A9}' | '\u{FF3C}' => '/',
        '\u{FF01}'..='\u{FF5E}' => u32::from(letter).checked_sub(0xFEE0).and_then(char::from_u32).unwrap_or(letter),
        other => other,
    };
    String::from_utf8_lossy(path).chars().map(ascii).collect::<String>().into_bytes()
}

fn without_lines(path: &[u8]) -> Vec<u8> {
    path.iter().copied().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')).collect()
}
