//! Decides which paths need no key.

use super::trace::{NotPublic, Public};
use crate::document::access::{ProtectedPath, PublicPath};
use crate::path::ambiguity::Ambiguity;
use crate::path::budget::Budget;
use crate::path::normalization::Normalization;
use crate::path::pattern::PathPattern;
use crate::path::target::{AmbiguousPath, Target};
use crate::path::trie::nodes::PatternTrie;
use crate::path::trie::normalized::NormalizedTries;
use crate::path::trie::walk::Matching;
use crate::path::variant::{Variant, Variants, pages_of_data};
use crate::value::names::Methods;

/// The patterns of public paths. They match exactly, without normalization.
#[derive(Debug)]
pub(super) struct PublicPaths {
    trie: PatternTrie,
    methods: Vec<Option<Methods>>,
}

impl PublicPaths {
    pub(super) fn new(paths: Vec<PublicPath>) -> Self {
        let trie = PatternTrie::new(&paths.iter().map(|public| &public.path).collect::<Vec<_>>(), Normalization::EXACT);
        Self { trie, methods: paths.into_iter().map(|public| public.methods).collect() }
    }

    /// Finds the first pattern that matches a path with this method, or with any method if it is `None`.
    ///
    /// # Errors
    /// If the budget is exceeded.
    pub(super) fn find(
        &self,
        path: &[u8],
        method: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Option<usize>, Ambiguity> {
        let includes = |methods: &Methods| method.is_none_or(|method| methods.include(method));
        let accept =
            |number: usize| self.methods.get(number).is_some_and(|methods| methods.as_ref().is_none_or(includes));
        self.trie.first(path, budget, accept)
    }
}

/// The only paths that need a key, if the policy has `protected_paths`.
#[derive(Debug)]
pub(super) struct ProtectedPaths {
    pub(super) tries: NormalizedTries,
    /// The [other paths](PathPattern::of_file) by which servers find protected files.
    pub(super) of_files: NormalizedTries,
}

impl ProtectedPaths {
    pub(super) fn new(paths: &[ProtectedPath]) -> Self {
        let paths: Vec<&PathPattern> = paths.iter().map(|protected| &protected.path).collect();
        let of_files: Vec<PathPattern> = paths.iter().flat_map(|path| path.of_file()).collect();
        Self {
            tries: NormalizedTries::new(&paths),
            of_files: NormalizedTries::new(&of_files.iter().collect::<Vec<_>>()),
        }
    }

    /// Whether a protected pattern matches a variant of the path, with or without a suffix. Also true if the path may be
    /// anything.
    fn cover(&self, target: &Target<'_>, budget: &mut Budget) -> bool {
        let mut variants = Variants::default();
        let is_free = variants.find(target, budget).is_ok_and(|variants| {
            variants.iter().all(|variant| {
                let matching = if defence!("protected-suffixes") { matching(variant) } else { Matching::Exact };
                let files = Some(&self.of_files).filter(|files| defence!("protected-files") && !files.is_empty());
                let files = files.map(|files| (files, matching.of_files()));
                [Some((&self.tries, matching)), files].into_iter().flatten().all(|(tries, matching)| {
                    let matches_none = |trie: &PatternTrie, path: &[u8], ending| {
                        trie.check(path, ending, matching, budget, &|_| true, &mut |found, _| found.is_none())
                    };
                    tries.all(variant, matches_none).unwrap_or(false)
                })
            })
        });
        !is_free
    }
}

/// Decides whether a path is public. It is public in two cases:
///
/// * It is unambiguous, and a public pattern matches both its raw and its decoded form.
/// * The policy has protected paths, and no variant of this path is one of them. The path must be unambiguous, and visible
///   ASCII after decoding.
// Always inlined, so that building a reason that is not observed costs nothing.
#[inline(always)]
pub(super) fn decide(
    public: &PublicPaths,
    protected: Option<&ProtectedPaths>,
    method: &[u8],
    target: &Target<'_>,
    budget: &mut Budget,
) -> Result<Public, NotPublic> {
    if public.methods.is_empty() && protected.is_none() {
        return Err(NotPublic::Nothing);
    }
    let decoded = target.unambiguous().map_err(NotPublic::Ambiguous)?;
    let mut find = |path: &[u8]| {
        let found = public.find(path, Some(method), budget);
        found.map_err(|why| NotPublic::Ambiguous(AmbiguousPath::Anything(why)))
    };
    if let Some(pattern) = find(target.path)?
        && (target.decoded.is_empty() || find(decoded)?.is_some())
    {
        // The data of a page is public only if the page is.
        for path in [target.path, decoded].into_iter().filter(|_| !target.scan.is_simple()) {
            for page in pages_of_data(path) {
                let bare = page.strip_suffix(b"/").filter(|bare| !bare.is_empty()).unwrap_or(&page);
                if defence!("public-data-of-pages") && find(&page)?.is_none() && find(bare)?.is_none() {
                    return Err(NotPublic::Ambiguous(AmbiguousPath::Structure));
                }
            }
        }
        return Ok(Public::Pattern(pattern));
    }
    // A path that no pattern protects is public only if it is ASCII: other letters may look like, or fold to, protected
    // ones.
    let is_unprotected = |protected: &ProtectedPaths| {
        (target.scan.is_simple() || decoded.iter().all(u8::is_ascii_graphic)) && !protected.cover(target, budget)
    };
    if protected.is_some_and(is_unprotected) {
        return Ok(Public::Unprotected);
    }
    Err(NotPublic::Outside { other_method: None })
}

/// Returns how protected paths and rules match a variant.
pub(super) fn matching(variant: &Variant<'_>) -> Matching {
    if variant.may_have_other_names() { Matching::LenientNames } else { Matching::Lenient }
}

/// Matches a path against all patterns, which is the most expensive case.
///
/// # Errors
/// Why the path may be anything.
pub(super) fn match_all(tries: &[&NormalizedTries], target: &Target<'_>) -> Result<(), Ambiguity> {
    let (mut variants, mut budget) = (Variants::default(), Budget::new());
    for variant in variants.find(target, &mut budget)? {
        for tries in tries {
            tries.all(variant, |trie, path, ending| {
                trie.check(path, ending, matching(variant), &mut budget, &|_| false, &mut |_, _| true)
            })?;
        }
    }
    Ok(())
}
