//! What paths and patterns have in common once a backend does not tell some things apart.

use std::borrow::Cow;

/// What a backend may not tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fold {
    /// How paths and names end.
    pub(crate) ending: Ending,
    /// Letter case (Unicode's, so that the Kelvin sign is a k).
    pub(crate) case: bool,
}

/// How paths and names end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As they do.
    Exact,
    /// A slash at the end of the path does not count.
    Slash,
    /// Nor do blanks and control characters around a name, and dots at its end. Windows drops dots and blanks, the `$` of
    /// a regular expression allows a line feed, some routers trim (CVE-2016-5007).
    Names,
}

impl Fold {
    /// Every combination, the exact one first.
    pub(crate) const ALL: [Self; 6] = [
        Self { ending: Ending::Exact, case: false },
        Self { ending: Ending::Exact, case: true },
        Self { ending: Ending::Slash, case: false },
        Self { ending: Ending::Slash, case: true },
        Self { ending: Ending::Names, case: false },
        Self { ending: Ending::Names, case: true },
    ];

    /// Folds one segment.
    pub(crate) fn segment(self, segment: &[u8]) -> Cow<'_, [u8]> {
        let segment = if self.ending == Ending::Names { trim_name(segment) } else { segment };
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
        while self.ending != Ending::Exact && folded.last() == Some(&b'/') {
            folded.pop();
        }
        if folded.is_empty() {
            folded.push(b'/');
        }
        folded
    }
}

/// A name without blanks around it and dots at its end; empty where it is nothing else.
pub(crate) fn trim_name(name: &[u8]) -> &[u8] {
    let blank = |letter: char| {
        letter.is_whitespace()
            || letter.is_control()
            || matches!(letter, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
    };
    match core::str::from_utf8(name) {
        Ok(text) => text.trim_end_matches(|letter| letter == '.' || blank(letter)).trim_start_matches(blank).as_bytes(),
        Err(_) => name.trim_ascii(),
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
