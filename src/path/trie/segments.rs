//! Iterates over the segments of a path. Segments are split lazily: most paths differ from all patterns after one or two
//! segments.

use memchr::{memchr, memrchr};

use crate::path::normalization::Ending;

/// The segments of a path, each trimmed as an [`Ending`] specifies. Unless endings are exact, empty segments at the end are
/// omitted. There is always at least one segment: that of `/` is empty.
#[derive(Clone)]
pub(crate) struct Segments<'p> {
    rest: Option<&'p [u8]>,
    ending: Ending,
}

impl<'p> Segments<'p> {
    pub(crate) fn of(path: &'p [u8], ending: Ending) -> Self {
        let mut path = path.strip_prefix(b"/").unwrap_or(path);
        while ending != Ending::Exact
            && defence!("slash-behind-a-name")
            && let Some((before, last)) = memrchr(b'/', path).and_then(|slash| path.split_at_checked(slash))
            && ending.trimmed(last.get(1..).unwrap_or_default()).is_empty()
        {
            path = before;
        }
        Self { rest: Some(path), ending }
    }

    /// Returns the number of bytes that are not yet read.
    pub(crate) fn unread(&self) -> usize {
        self.rest.map_or(0, <[u8]>::len)
    }
}

impl<'p> Iterator for Segments<'p> {
    type Item = &'p [u8];

    #[inline]
    fn next(&mut self) -> Option<&'p [u8]> {
        loop {
            let rest = self.rest?;
            let (segment, behind) = rest.split_at_checked(memchr(b'/', rest).unwrap_or(rest.len()))?;
            self.rest = behind.get(1..);
            let trimmed = self.ending.trimmed(segment);
            // A segment of only dots and blanks is dropped, unless it is the only one.
            if !trimmed.is_empty() || segment.is_empty() || self.rest.is_none() {
                return Some(trimmed);
            }
        }
    }
}

/// Normalizes a whole path.
#[cfg(test)]
pub(crate) fn normalized(path: &[u8], normalization: crate::path::normalization::Normalization) -> Vec<u8> {
    let path = if normalization.case { crate::path::normalization::fold_case(path) } else { path.into() };
    Segments::of(&path, normalization.ending)
        .flat_map(|one| core::iter::once(b'/').chain(one.iter().copied()))
        .collect()
}
