//! How much work one request may cause.

use super::ambiguity::Ambiguity;

/// The most variants of the paths of one request, before normalization. A path in use has a handful.
pub(crate) const MOST_VARIANTS: usize = 32;

/// The most bytes of all these variants together.
const MOST_BYTES: usize = 3 << 10;

/// The most segments that are read, and trie nodes that are visited. A usual request needs about ten.
const MOST_VISITS: usize = 1 << 10;

/// What is left of the work that one request may cause. A path that needs more "may be anything": no request takes long,
/// whatever its sender makes up.
#[derive(Debug)]
pub(crate) struct Budget {
    variants: usize,
    bytes: usize,
    visits: usize,
}

impl Budget {
    /// The budget of one request.
    pub(crate) const fn new() -> Self {
        Self { variants: MOST_VARIANTS, bytes: MOST_BYTES, visits: MOST_VISITS }
    }

    /// Charges for segments that are read and nodes that are visited.
    #[inline]
    pub(crate) fn visit(&mut self, visits: usize) -> Result<(), Ambiguity> {
        self.visits = self.visits.checked_sub(visits).ok_or(Ambiguity::TooWide)?;
        Ok(())
    }

    /// Charges for one variant of this length.
    pub(crate) fn variant(&mut self, bytes: usize) -> Result<(), Ambiguity> {
        let left = (self.variants.checked_sub(1), self.bytes.checked_sub(bytes));
        let (Some(variants), Some(bytes)) = left else { return Err(Ambiguity::TooManyVariants) };
        (self.variants, self.bytes) = (variants, bytes);
        Ok(())
    }
}
