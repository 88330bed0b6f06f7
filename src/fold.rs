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

    /// Folds a path, segment by segment.
    pub(crate) fn path(self, path: &[u8]) -> Vec<u8> {
        let mut folded = Vec::with_capacity(path.len());
        for segment in path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/') {
            let name = self.segment(segment);
            // A segment of dots and blanks alone is dropped whole.
            if segment.is_empty() || !name.is_empty() {
                folded.push(b'/');
                folded.extend_from_slice(&name);
            }
        }
        while self.trailing && folded.last() == Some(&b'/') {
            folded.pop();
        }
        if folded.is_empty() {
            folded.push(b'/');
        }
        folded
    }
}

/// Lower case. Text beyond ASCII goes by way of upper case, which joins letters such as ſ and s or ẞ and ss; an İ loses its
/// dot, as it does in a Turkish locale, and full-width letters become the ASCII ones that a best-fit conversion makes of them.
fn fold_case(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.is_ascii() {
        let narrow = |letter: char| match letter {
            '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(letter).saturating_sub(0xFEE0)).unwrap_or(letter),
            other => other,
        };
        let text: String = String::from_utf8_lossy(bytes).chars().map(narrow).collect();
        text.to_lowercase().to_uppercase().to_lowercase().replace('\u{307}', "").into_bytes().into()
    } else if bytes.iter().any(u8::is_ascii_uppercase) {
        bytes.to_ascii_lowercase().into()
    } else {
        bytes.into()
    }
}
