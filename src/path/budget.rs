//! The budget: a bound on the work that one request may cause.

use super::ambiguity::Ambiguity;

/// The maximum number of variants of the paths of one request, before normalization. A usual path has a handful.
pub(crate) const MAX_VARIANTS: usize = 32;

/// The maximum length of all these variants together, in bytes.
const MAX_BYTES: usize = 2 << 10;

/// The maximum number of segments that are read and trie nodes that are visited. A usual request needs about ten.
const MAX_VISITS: usize = 1 << 10;

/// The remaining work that one request may cause. If the budget is exceeded, the path may be anything. So the processing
/// time of a request is bounded, whatever its sender chooses.
#[derive(Debug)]
pub(crate) struct Budget {
    variants: usize,
    bytes: usize,
    visits: usize,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self { variants: MAX_VARIANTS, bytes: MAX_BYTES, visits: MAX_VISITS }
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
