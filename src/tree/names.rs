//! The names of a path, folded one by one while somebody asks for them: most paths part from all patterns after a name or two.

use std::borrow::Cow;

use memchr::memchr;

use crate::fold::{Ending, Fold, fold_case};

/// The segments of a path in a fold. A segment that folds to nothing is dropped, and so are empty ones at the end, but where
/// endings are exact. There is always one: that of `/` is empty.
pub(crate) struct Names<'p> {
    rest: Option<&'p [u8]>,
    fold: Fold,
    /// Empty segments that were read, and count only if a name follows, or if endings are exact.
    empty: usize,
    /// The name that follows them.
    behind: Option<Name<'p>>,
    has_begun: bool,
}

/// One folded segment.
pub(crate) struct Name<'p> {
    text: Cow<'p, [u8]>,
    /// Whether its ASCII letters are yet to be made lower case.
    in_any_case: bool,
}

impl<'p> Names<'p> {
    pub(crate) fn of(path: &'p [u8], fold: Fold) -> Self {
        Self { rest: Some(path.strip_prefix(b"/").unwrap_or(path)), fold, empty: 0, behind: None, has_begun: false }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<Name<'p>> {
        loop {
            let is_over = self.rest.is_none() && self.behind.is_none();
            let is_kept = self.fold.ending == Ending::Exact || !defence!("slash-behind-a-name");
            if self.empty > 0 && (self.behind.is_some() || (is_over && is_kept)) {
                self.empty = self.empty.saturating_sub(1);
                self.has_begun = true;
                return Some(Name::EMPTY);
            }
            if let Some(name) = self.behind.take() {
                self.has_begun = true;
                return Some(name);
            }
            let Some(rest) = self.rest else {
                let is_first = !self.has_begun;
                self.has_begun = true;
                return is_first.then_some(Name::EMPTY);
            };
            let length = memchr(b'/', rest);
            self.rest = length.and_then(|length| rest.get(length.saturating_add(1)..));
            let segment = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
            if segment.is_empty() {
                self.empty = self.empty.saturating_add(1);
            } else {
                self.behind = Some(Name::of(segment, self.fold)).filter(|name| !name.is_empty());
            }
        }
    }
}

impl<'p> Name<'p> {
    const EMPTY: Self = Self { text: Cow::Borrowed(b""), in_any_case: false };

    fn of(segment: &'p [u8], fold: Fold) -> Self {
        let text = fold.trimmed(segment);
        if fold.case && !text.is_ascii() {
            Self { text: fold_case(text), in_any_case: false }
        } else {
            Self { text: Cow::Borrowed(text), in_any_case: fold.case }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether a folded text is the same.
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        if self.in_any_case { self.text.eq_ignore_ascii_case(text) } else { *self.text == *text }
    }

    /// Its bytes, one by one.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> {
        self.text.iter().map(|byte| if self.in_any_case { byte.to_ascii_lowercase() } else { *byte })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.bytes().collect()
    }

    /// Where its dots are.
    pub(crate) fn dots(&self) -> impl Iterator<Item = usize> {
        self.text.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at)
    }

    /// What stands before a dot.
    pub(crate) fn until(&self, dot: usize) -> Name<'_> {
        Name { text: Cow::Borrowed(self.text.get(..dot).unwrap_or_default()), in_any_case: self.in_any_case }
    }
}
