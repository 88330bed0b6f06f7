//! Decides which paths need no key.

use super::trace::{NotPublic, Public};
use crate::document::access::PublicPath;
use crate::path::ambiguity::Ambiguity;
use crate::path::budget::Budget;
use crate::path::normalization::Normalization;
use crate::path::restricted::RestrictedPatterns;
use crate::path::target::Target;
use crate::path::trie::nodes::PatternTrie;
use crate::path::variant::pages_of_data;
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

/// Decides whether a path is public. It is public in two cases:
///
/// * It is unambiguous, and a public pattern matches both its raw and its decoded form.
/// * The policy has protected paths, and no variant of this path is one of them. The path must be unambiguous, and visible
///   ASCII after decoding.
// Always inlined, so that building a reason that is not observed costs nothing.
#[inline(always)]
pub(super) fn decide(
    public: &PublicPaths,
    protected: Option<&RestrictedPatterns>,
    method: &[u8],
    target: &Target<'_>,
    budget: &mut Budget,
) -> Result<Public, NotPublic> {
    if public.methods.is_empty() && protected.is_none() {
        return Err(NotPublic::Nothing);
    }
    let decoded = target.unambiguous().map_err(NotPublic::Ambiguous)?;
    let mut find = |path: &[u8]| public.find(path, Some(method), budget).map_err(NotPublic::Ambiguous);
    if let Some(pattern) = find(target.path)?
        && (target.decoded.is_empty() || find(decoded)?.is_some())
    {
        // The data of a page is public only if the page is.
        for path in [target.path, decoded].into_iter().filter(|_| !target.scan.is_simple()) {
            for page in pages_of_data(path) {
                let bare = page.strip_suffix(b"/").filter(|bare| !bare.is_empty()).unwrap_or(&page);
                if defence!("public-data-of-pages") && find(&page)?.is_none() && find(bare)?.is_none() {
                    return Err(NotPublic::Ambiguous(Ambiguity::Structure));
                }
            }
        }
        return Ok(Public::Pattern(pattern));
    }
    // A path that no pattern protects is public only if it is ASCII: other letters may look like, or fold to, protected
    // ones.
    let is_unprotected = |protected: &RestrictedPatterns| {
        (target.scan.is_simple() || decoded.iter().all(u8::is_ascii_graphic))
            && protected.check(target, budget, &|_| true, &mut |found, _| found.is_none()).unwrap_or(false)
    };
    if protected.is_some_and(is_unprotected) {
        return Ok(Public::Unprotected);
    }
    Err(NotPublic::Outside { other_method: None })
}
