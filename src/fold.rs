//! What paths and patterns have in common once a backend does not tell some things apart.

use std::borrow::Cow;

/// What a backend may not tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fold {
    /// A slash at the end of the path, and dots, blanks and control characters at the end of a segment (Windows drops
    /// dots and blanks; the `$` of a regular expression allows a line feed).
    pub(crate) trailing: bool,
    /// Letter case (Unicode's, so that the Kelvin sign is a k).
    pub(crate) case: bool,
}

impl Fold {
    /// Every combination, the exact one first.
    pub(crate) const ALL: [Self; 4] = [
        Self { trailing: false, case: false },
        Self { trailing: false, case: true },
        Self { trailing: true, case: false },
        Self { trailing: true, case: true },
    ];

    /// Folds one segment.
    pub(crate) fn segment(self, segment: &[u8]) -> Cow<'_, [u8]> {
        let end = match segment.iter().rposition(|byte| !matches!(byte, b'.' | 0..=b' ')) {
            _ if !self.trailing => segment.len(),
            Some(last) => last.saturating_add(1),
            None => 0,
        };
        let segment = segment.get(..end).unwrap_or_default();
        if self.case { fold_case(segment) } else { Cow::Borrowed(segment) }
    }

    /// Folds a path.
    pub(crate) fn path(self, path: &[u8]) -> Cow<'_, [u8]> {
        if !self.trailing {
            return if self.case { fold_case(path) } else { Cow::Borrowed(path) };
        }
        let mut folded = Vec::with_capacity(path.len());
        for segment in path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/') {
            let name = self.segment(segment);
            // A segment of dots and blanks alone is dropped whole.
            if segment.is_empty() || !name.is_empty() {
                folded.push(b'/');
                folded.extend_from_slice(&name);
            }
        }
        while folded.last() == Some(&b'/') {
            folded.pop();
        }
        if folded.is_empty() {
            folded.push(b'/');
        }
        if folded == path { Cow::Borrowed(path) } else { Cow::Owned(folded) }
    }
}

/// Lower case. Text beyond ASCII goes by way of upper case, which joins letters such as ſ and s, and an İ loses its dot, as
/// it does in a Turkish locale. Bytes that are no UTF-8 are folded in ASCII only.
fn fold_case(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.is_ascii() {
        if bytes.iter().any(u8::is_ascii_uppercase) { bytes.to_ascii_lowercase().into() } else { bytes.into() }
    } else {
        match core::str::from_utf8(bytes) {
            Ok(text) => text.to_uppercase().to_lowercase().replace('\u{307}', "").into_bytes().into(),
            Err(_) => bytes.to_ascii_lowercase().into(),
        }
    }
}
