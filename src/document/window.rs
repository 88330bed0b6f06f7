//! The configuration, as it comes piece by piece.

use std::io::Read as _;

/// Reads some of what comes next of a configuration, and says how much: nothing only at the end, `None` where it cannot be
/// had. `std::io::Read` would bring every way of reading into the filter.
pub type Pieces<'s> = dyn FnMut(&mut [u8]) -> Option<usize> + 's;

/// A configuration that is there as a whole.
pub(crate) fn whole(mut bytes: &[u8]) -> impl FnMut(&mut [u8]) -> Option<usize> {
    move |into| bytes.read(into).ok()
}

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// The piece that is read, and where it stands in the whole.
pub(crate) struct Window<'s> {
    source: &'s mut Pieces<'s>,
    piece: Vec<u8>,
    /// What was read of the piece, and where it ends.
    at: usize,
    end: usize,
    /// How many bytes there were before this piece.
    before: usize,
    /// Whether the source failed. Then there seems to be nothing more.
    has_failed: bool,
}

impl<'s> Window<'s> {
    pub(crate) fn new(source: &'s mut Pieces<'s>) -> Self {
        Self { source, piece: vec![0; PIECE], at: 0, end: 0, before: 0, has_failed: false }
    }

    /// What is there to be read next, some of it: nothing only at the end.
    pub(super) fn rest(&mut self) -> &[u8] {
        if self.at >= self.end {
            self.fill();
        }
        self.piece.get(self.at..self.end).unwrap_or_default()
    }

    #[cold]
    fn fill(&mut self) {
        self.before = self.before.saturating_add(self.end);
        self.at = 0;
        let length = (self.source)(&mut self.piece);
        self.has_failed |= length.is_none();
        self.end = length.unwrap_or_default();
    }

    /// The next byte, without reading it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Has read some of the [`rest`](Self::rest).
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// Where it stands, in bytes from the start.
    pub(super) fn position(&self) -> usize {
        self.before.saturating_add(self.at)
    }

    /// Whether the source failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }
}
