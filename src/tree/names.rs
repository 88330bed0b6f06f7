//! The names of a path, one by one while somebody asks for them: most paths part from all patterns after a name or two.

use memchr::memchr;

use crate::fold::Ending;

/// The segments of a path, with its end and theirs as an [`Ending`] has them. Empty ones at the end are dropped, but where
/// endings are exact. There is always one: that of `/` is empty.
#[derive(Clone)]
pub(crate) struct Names<'p> {
    rest: Option<&'p [u8]>,
    ending: Ending,
    /// Empty segments that were read, and count only if a name follows, or if endings are exact.
    empty: usize,
    /// The name that follows them.
    behind: Option<&'p [u8]>,
    has_begun: bool,
}

impl<'p> Names<'p> {
    pub(crate) fn of(path: &'p [u8], ending: Ending) -> Self {
        Self { rest: Some(path.strip_prefix(b"/").unwrap_or(path)), ending, empty: 0, behind: None, has_begun: false }
    }

    /// How many bytes are yet to be read.
    pub(crate) fn unread(&self) -> usize {
        self.rest.map_or(0, <[u8]>::len)
    }
}

impl<'p> Iterator for Names<'p> {
    type Item = &'p [u8];

    #[inline]
    fn next(&mut self) -> Option<&'p [u8]> {
        loop {
            let is_over = self.rest.is_none() && self.behind.is_none();
            let is_kept = self.ending == Ending::Exact || !defence!("slash-behind-a-name");
            if self.empty > 0 && (self.behind.is_some() || (is_over && is_kept)) {
                self.empty = self.empty.saturating_sub(1);
                self.has_begun = true;
                return Some(b"");
            }
            if let Some(name) = self.behind.take() {
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
                self.behind = Some(self.ending.trimmed(segment)).filter(|name| !name.is_empty());
            }
        }
    }
}
