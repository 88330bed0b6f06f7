//! Which paths need no key.

use crate::document::{Methods, ProtectedPath, PublicPath};
use crate::fold::Fold;
use crate::pattern::PathPattern;
use crate::target::Target;
use crate::trail::Ambiguity;
use crate::tree::{FoldedTrees, Matching, Tree};
use crate::variant::{Budget, Variants};

/// The paths that need no key, as they are sent.
#[derive(Debug)]
pub(crate) struct PublicPaths {
    paths: Tree,
    methods: Vec<Option<Methods>>,
}

impl PublicPaths {
    pub(crate) fn new(paths: Vec<PublicPath>) -> Self {
        let tree = Tree::new(&paths.iter().map(|public| &public.path).collect::<Vec<_>>(), Fold::EXACT);
        Self { paths: tree, methods: paths.into_iter().map(|public| public.methods).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.methods.is_empty()
    }

    /// The first that covers a path, with this method; `None` for any.
    ///
    /// # Errors
    /// Where it takes long to find out.
    pub(crate) fn find(
        &self,
        path: &[u8],
        method: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Option<usize>, Ambiguity> {
        let includes = |methods: &Methods| method.is_none_or(|method| methods.include(method));
        let accept =
            |number: usize| self.methods.get(number).is_some_and(|methods| methods.as_ref().is_none_or(includes));
        self.paths.first(path, budget, accept)
    }
}

/// The paths that need a key, where all others do not.
#[derive(Debug)]
pub(crate) struct Protected {
    paths: FoldedTrees,
    /// Other paths by which files among them are found.
    of_files: FoldedTrees,
}

impl Protected {
    pub(crate) fn new(paths: &[ProtectedPath]) -> Self {
        let paths: Vec<&PathPattern> = paths.iter().map(|protected| &protected.path).collect();
        let of_files: Vec<PathPattern> = paths.iter().flat_map(|path| path.of_file()).collect();
        Self { paths: FoldedTrees::new(&paths), of_files: FoldedTrees::new(&of_files.iter().collect::<Vec<_>>()) }
    }

    /// Compares a path with all of them.
    pub(crate) fn compare(&self, target: &Target<'_>) -> Result<(), Ambiguity> {
        compare_all(&[&self.paths, &self.of_files], target)
    }

    /// Whether a variant of the path falls under a protected one, with or without a suffix; or the path may be anything.
    pub(crate) fn covers(&self, target: &Target<'_>, budget: &mut Budget) -> bool {
        let mut variants = Variants::default();
        let is_free = variants.find(target, budget).is_ok_and(|variants| {
            variants.iter().all(|variant| {
                let matching = if defence!("protected-suffixes") { variant.matching() } else { Matching::Strict };
                let files = Some(&self.of_files).filter(|files| defence!("protected-files") && !files.is_empty());
                let files = files.map(|files| (files, matching.of_files()));
                [Some((&self.paths, matching)), files].into_iter().flatten().all(|(trees, matching)| {
                    let covers_none = |tree: &Tree, path: &[u8], ending| {
                        tree.each(path, ending, matching, budget, &|_| true, &mut |found, _| found.is_none())
                    };
                    trees.all(variant, covers_none).unwrap_or(false)
                })
            })
        });
        !is_free
    }
}

/// Compares a path with all patterns, which takes as long as it ever can.
pub(super) fn compare_all(trees: &[&FoldedTrees], target: &Target<'_>) -> Result<(), Ambiguity> {
    let (mut variants, mut budget) = (Variants::default(), Budget::new());
    for variant in variants.find(target, &mut budget)? {
        for trees in trees {
            trees.all(variant, |tree, path, ending| {
                tree.each(path, ending, variant.matching(), &mut budget, &|_| false, &mut |_, _| true)
            })?;
        }
    }
    Ok(())
}
