//! Path equivalences: what some upstreams treat as the same path. Paths and patterns are normalized in the same way.

use std::borrow::Cow;

use super::scan::{Feature, PathScan};

/// The differences between paths that an upstream ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Normalization {
    pub(crate) ending: Ending,
    /// Whether letter case is ignored, by Unicode's rules: the Kelvin sign equals k.
    pub(crate) case: bool,
}

/// The ends of paths and segments that are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing is ignored.
    Exact,
    /// A slash at the end of the path is ignored.
    Slash,
    /// A slash at the end of the path, blanks and control characters around a segment, and dots and colons at its end. A
    /// segment of nothing else is unchanged.
    ///
    /// * Windows drops dots and blanks.
    /// * The `$` of a regular expression allows a line feed.
    /// * Some routers trim segments (CVE-2016-5007).
    Segments,
    /// As `Segments`, but a segment of nothing else is dropped.
    DroppedSegments,
}

impl Normalization {
    /// The normalization that ignores no difference.
    pub(crate) const EXACT: Self = Self { ending: Ending::Exact, case: false };

    /// Every combination. The exact one is last.
    pub(crate) const ALL: [Self; 8] = [
        Self { ending: Ending::Exact, case: true },
        Self { ending: Ending::Slash, case: false },
        Self { ending: Ending::Slash, case: true },
        Self { ending: Ending::Segments, case: false },
        Self { ending: Ending::Segments, case: true },
        Self { ending: Ending::DroppedSegments, case: false },
        Self { ending: Ending::DroppedSegments, case: true },
        Self::EXACT,
    ];

    /// Returns the part of this normalization that changes a path with these features.
    pub(crate) fn of(self, scan: PathScan) -> Self {
        let ending = match self.ending {
            Ending::Exact => Ending::Exact,
            ending if !scan.is_trimmed() => ending,
            _ if scan.has(Feature::SLASH_LAST) => Ending::Slash,
            _ => Ending::Exact,
        };
        Self { ending, case: defence!("letter-case") && self.case && !scan.is_lower_case() }
    }

    pub(crate) fn segment(self, segment: &[u8]) -> Cow<'_, [u8]> {
        match if self.case { fold_case(segment) } else { Cow::Borrowed(segment) } {
            Cow::Borrowed(segment) => Cow::Borrowed(self.ending.trimmed(segment)),
            Cow::Owned(segment) => Cow::Owned(self.ending.trimmed(&segment).to_vec()),
        }
    }
}

impl Ending {
    /// Returns the segment without what is ignored.
    pub(crate) fn trimmed(self, segment: &[u8]) -> &[u8] {
        match self {
            Self::Exact | Self::Slash => segment,
            Self::Segments => Some(trim_segment(segment)).filter(|rest| !rest.is_empty()).unwrap_or(segment),
            Self::DroppedSegments => trim_segment(segment),
        }
    }
}

/// Removes blanks around a segment, and dots and colons at its end. A `:` begins the verb of a gRPC method, and an empty
/// verb counts as none (grpc-gateway).
pub(crate) fn trim_segment(segment: &[u8]) -> &[u8] {
    let is_end = |letter| is_dropped(letter) || (letter == ':' && defence!("colons-behind-names"));
    if defence!("trimmed-names") { trim(segment, is_end) } else { segment }
}

/// Removes blanks around a segment, and dots at its end.
pub(crate) fn trim_dots(segment: &[u8]) -> &[u8] {
    trim(segment, is_dropped)
}

pub(crate) fn trim_blanks(segment: &[u8]) -> &[u8] {
    trim(segment, is_blank)
}

fn is_dropped(letter: char) -> bool {
    letter == '.' || is_blank(letter)
}

/// Removes blanks at the beginning, and the characters of `is_end` at the end. Bytes that are not UTF-8 are treated as
/// Latin-1.
fn trim(segment: &[u8], is_end: fn(char) -> bool) -> &[u8] {
    if let Ok(text) = core::str::from_utf8(segment) {
        return text.trim_end_matches(is_end).trim_start_matches(is_blank).as_bytes();
    }
    let start = segment.iter().position(|byte| !is_blank(char::from(*byte))).unwrap_or(segment.len());
    let end = segment.iter().rposition(|byte| !is_end(char::from(*byte))).map_or(0, |last| last.saturating_add(1));
    segment.get(start..end).unwrap_or_default()
}

/// Whether some upstream trims or ignores a character: white space, control characters, and characters of zero width
/// (CVE-2014-9390).
pub(crate) fn is_blank(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(letter, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Folds letter case by the Unicode tables of the standard library: to lower case, to upper case, and to lower case again.
/// The conversion to upper case joins letters such as ſ and s, or ẞ and ss. An İ also loses its dot, as in a Turkish
/// locale.
pub(crate) fn fold_case(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.is_ascii() {
        let is_lower = !bytes.iter().any(u8::is_ascii_uppercase);
        return if is_lower { bytes.into() } else { bytes.to_ascii_lowercase().into() };
    }
    let text = String::from_utf8_lossy(bytes);
    let lower = text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    lower.filter(|letter| *letter != '\u{307}').collect::<String>().into_bytes().into()
}
