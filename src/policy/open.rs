//! Which paths need no key.

use crate::document::{Methods, ProtectedPath, PublicPath};
use crate::fold::Fold;
use crate::reading::{Readings, without_suffix};
use crate::target::Target;
use crate::tree::{FoldedTrees, Tree};

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
    pub(crate) fn find(&self, path: &[u8], method: Option<&[u8]>) -> Option<usize> {
        let includes = |methods: &Methods| method.is_none_or(|method| methods.include(method));
        self.paths
            .first(path, |number| self.methods.get(number).is_some_and(|methods| methods.as_ref().is_none_or(includes)))
    }
}

/// The paths that need a key, where all others do not.
#[derive(Debug)]
pub(crate) struct Protected(FoldedTrees);

impl Protected {
    pub(crate) fn new(paths: &[ProtectedPath]) -> Self {
        Self(FoldedTrees::new(&paths.iter().map(|protected| &protected.path).collect::<Vec<_>>()))
    }

    /// Whether any reading of the path falls under a protected one, with or without a suffix.
    pub(crate) fn covers(&self, target: &Target<'_>) -> bool {
        let Some(readings) = Readings::of(target) else { return true };
        !readings.all(&self.0, |tree, path| {
            let mut all = core::iter::once(path).chain(without_suffix(path));
            !all.any(|path| tree.covers(path))
        })
    }
}
