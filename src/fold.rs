//! What paths and patterns have in common once a backend does not tell some things apart.

use std::borrow::Cow;

use crate::scan::Scan;
#[cfg(test)]
use crate::tree::Names;

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
    /// Nor do blanks and control characters around a name, and dots and colons at its end. Windows drops dots and blanks, the `$` of
    /// a regular expression allows a line feed, some routers trim (CVE-2016-5007). A name of nothing else stays.
    Names,
    /// The same, and a name of nothing else is dropped.
    Dropped,
}

impl Fold {
    /// Nothing: each byte counts.
    pub(crate) const EXACT: Self = Self { ending: Ending::Exact, case: false };

    /// Every combination, the exact one last.
    pub(crate) const ALL: [Self; 8] = [
        Self { ending: Ending::Exact, case: true },
        Self { ending: Ending::Slash, case: false },
        Self { ending: Ending::Slash, case: true },
        Self { ending: Ending::Names, case: false },
        Self { ending: Ending::Names, case: true },
        Self { ending: Ending::Dropped, case: false },
        Self { ending: Ending::Dropped, case: true },
        Self::EXACT,
    ];

    /// What is left of the fold for a path in which nothing else makes a difference.
    pub(crate) fn of(self, scan: Scan) -> Self {
        let ending = match self.ending {
            Ending::Exact => Ending::Exact,
            ending if !scan.is_trimmed() => ending,
            _ if scan.ends_with_a_name() => Ending::Exact,
            _ => Ending::Slash,
        };
        Self { ending, case: defence!("letter-case") && self.case && !scan.is_lower_case() }
    }

    /// Folds one segment.
    pub(crate) fn segment(self, segment: &[u8]) -> Cow<'_, [u8]> {
        let segment = if self.case { fold_case(segment) } else { Cow::Borrowed(segment) };
        match segment {
            Cow::Borrowed(segment) => Cow::Borrowed(self.ending.trimmed(segment)),
            Cow::Owned(segment) => Cow::Owned(self.ending.trimmed(&segment).to_vec()),
        }
    }

    /// Folds a path, segment by segment.
    #[cfg(test)]
    pub(crate) fn path(self, path: &[u8]) -> Vec<u8> {
        self.ending.path(&if self.case { fold_case(path) } else { Cow::Borrowed(path) })
    }
}

impl Ending {
    /// A segment with its end, and its beginning, as it counts.
    pub(crate) fn trimmed(self, segment: &[u8]) -> &[u8] {
        match self {
            Self::Exact | Self::Slash => segment,
            Self::Names => Some(trim_name(segment)).filter(|name| !name.is_empty()).unwrap_or(segment),
            Self::Dropped => trim_name(segment),
        }
    }

    /// A path as its [`Names`] have it.
    #[cfg(test)]
    pub(crate) fn path(self, path: &[u8]) -> Vec<u8> {
        Names::of(path, self).flat_map(|name| core::iter::once(b'/').chain(name.iter().copied())).collect()
    }
}

/// A name without blanks around it and dots or colons at its end; empty where it is nothing else. A `:` begins the verb of a
/// method of gRPC, and an empty verb is none (grpc-gateway).
pub(crate) fn trim_name(name: &[u8]) -> &[u8] {
    let is_end = |letter| is_dropped(letter) || (letter == ':' && defence!("colons-behind-names"));
    if defence!("trimmed-names") { trim(name, is_end) } else { name }
}

/// A name without blanks around it and dots at its end.
pub(crate) fn trim_dots(name: &[u8]) -> &[u8] {
    trim(name, is_dropped)
}

fn is_dropped(letter: char) -> bool {
    letter == '.' || is_blank(letter)
}

/// A name without blanks around it.
pub(crate) fn trim_blanks(name: &[u8]) -> &[u8] {
    trim(name, is_blank)
}

/// A name without blanks at its beginning and what `is_end` names at its end. Bytes that are no UTF-8 may be Latin-1.
fn trim(name: &[u8], is_end: fn(char) -> bool) -> &[u8] {
    if let Ok(text) = core::str::from_utf8(name) {
        return text.trim_end_matches(is_end).trim_start_matches(is_blank).as_bytes();
    }
    let start = name.iter().position(|byte| !is_blank(char::from(*byte))).unwrap_or(name.len());
    let end = name.iter().rposition(|byte| !is_end(char::from(*byte))).map_or(0, |last| last.saturating_add(1));
    name.get(start..end).unwrap_or_default()
}

/// What some backend trims or does not see: white space, control characters, and characters without a shape of their own
/// (CVE-2014-9390).
pub(crate) fn is_blank(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(letter, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Without letter case: lower case of upper case of lower case, since upper case joins letters such as ſ and s, or ẞ and ss. An
/// İ loses its dot on top of that, as it does in a Turkish locale.
fn folded(letter: char) -> impl Iterator<Item = char> {
    let cased = letter.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    cased.filter(|letter| *letter != '\u{307}')
}

/// Without letter case, by Unicode's tables as the standard library has them.
pub(crate) fn fold_case(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.is_ascii() {
        String::from_utf8_lossy(bytes).chars().flat_map(folded).collect::<String>().into_bytes().into()
    } else if bytes.iter().any(u8::is_ascii_uppercase) {
        bytes.to_ascii_lowercase().into()
    } else {
        bytes.into()
    }
}
