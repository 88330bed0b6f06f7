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
        self.end = 0;
        self.read_on();
    }

    /// Reads more behind what is there. Says whether there was more, and room for it.
    fn read_on(&mut self) -> bool {
        let Some(room @ [_, ..]) = self.piece.get_mut(self.end..) else { return false };
        let length = (self.source)(room);
        self.has_failed |= length.is_none();
        self.end = self.end.saturating_add(length.unwrap_or_default());
        length.is_some_and(|length| length > 0)
    }

    /// Whether a byte is among those that come next, without reading them. Asked at the start, it looks at the first
    /// 64 KiB: the answer does not depend on how much the source hands over at once.
    pub(super) fn is_ahead(&mut self, byte: u8) -> bool {
        let mut seen = self.at;
        loop {
            if self.piece.get(seen..self.end).is_some_and(|new| new.contains(&byte)) {
                return true;
            }
            seen = self.end;
            if !self.read_on() {
                return false;
            }
        }
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
