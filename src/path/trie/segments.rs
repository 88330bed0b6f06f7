//! Iterates over the segments of a path. Segments are split lazily: most paths differ from all patterns after one or two
//! segments.

use memchr::memchr;

use crate::path::normalization::Ending;

/// The segments of a path, each trimmed as an [`Ending`] says. Unless endings are exact, empty segments at the end are left
/// out. There is always one segment: that of `/` is empty.
#[derive(Clone)]
pub(crate) struct Segments<'p> {
    rest: Option<&'p [u8]>,
    ending: Ending,
    /// How many empty segments were read. They count only if a name follows, or if endings are exact.
    empty: usize,
    /// The name after them.
    name: Option<&'p [u8]>,
    has_begun: bool,
    /// How many segments were left out, since trimming leaves nothing of them.
    dropped: usize,
}

impl<'p> Segments<'p> {
    pub(crate) fn of(path: &'p [u8], ending: Ending) -> Self {
        let rest = Some(path.strip_prefix(b"/").unwrap_or(path));
        Self { rest, ending, empty: 0, name: None, has_begun: false, dropped: 0 }
    }

    /// How many segments were left out so far.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped
    }

    /// How many bytes are yet to be read.
    pub(crate) fn unread(&self) -> usize {
        self.rest.map_or(0, <[u8]>::len)
    }
}

impl<'p> Iterator for Segments<'p> {
    type Item = &'p [u8];

    /// Reads no further than needed: most paths part from all patterns after a segment or two.
    #[inline]
    fn next(&mut self) -> Option<&'p [u8]> {
        loop {
            let is_over = self.rest.is_none() && self.name.is_none();
            let is_kept = self.ending == Ending::Exact || !defence!("slash-behind-a-name");
            if self.empty > 0 && (self.name.is_some() || (is_over && is_kept)) {
                self.empty = self.empty.saturating_sub(1);
                self.has_begun = true;
                return Some(b"");
            }
            if let Some(name) = self.name.take() {
                self.has_begun = true;
                return Some(name);
            }
            let Some(rest) = self.rest else {
                let is_first = !self.has_begun;
                self.has_begun = true;
                return is_first.then_some(b"");
            };
            // Each slash at the beginning is the end of an empty segment.
            let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
            if slashes > 0 {
                self.empty = self.empty.saturating_add(slashes);
                self.rest = rest.get(slashes..);
                continue;
            }
            let length = memchr(b'/', rest);
            self.rest = length.and_then(|length| rest.get(length.saturating_add(1)..));
            let segment = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
            if segment.is_empty() {
                self.empty = self.empty.saturating_add(1);
            } else {
                self.name = Some(self.ending.trimmed(segment)).filter(|name| !name.is_empty());
                self.dropped = self.dropped.saturating_add(usize::from(self.name.is_none()));
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn normalized(path: &[u8], normalization: crate::path::normalization::Normalization) -> Vec<u8> {
    let path = if normalization.case { crate::path::normalization::fold_case(path) } else { path.into() };
    Segments::of(&path, normalization.ending)
        .flat_map(|one| core::iter::once(b'/').chain(one.iter().copied()))
        .collect()
}
