//! What one pass over a path shows: enough to see that most paths need no second look.

/// What stands in a path, as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape(u8);

/// A `%`.
const ESCAPE: u8 = 1;
/// A `;`.
const PARAMETER: u8 = 1 << 1;
/// A backslash.
const BACKSLASH: u8 = 1 << 2;
/// A letter in upper case.
const UPPER_CASE: u8 = 1 << 3;
/// A slash behind a slash.
const EMPTY_SEGMENT: u8 = 1 << 4;
/// A dot behind a slash.
const DOT_FIRST: u8 = 1 << 5;
/// A dot before a slash, or at the end.
const DOT_LAST: u8 = 1 << 6;
/// A slash at the end, and not at the beginning.
const SLASH_LAST: u8 = 1 << 7;

impl Shape {
    /// Of the path in a target, with its length: what stands before the first `?`. `None` where the target does not begin
    /// with a slash, or its path has a `#` or a byte that is not visible ASCII.
    pub(crate) fn of(target: &[u8]) -> Option<(Self, usize)> {
        if target.first() != Some(&b'/') {
            return None;
        }
        let (mut seen, mut last, mut length) = (0, 0, 0_usize);
        for byte in target.iter().copied() {
            seen |= match byte {
                b'/' if last == b'/' => EMPTY_SEGMENT,
                b'/' if last == b'.' => DOT_LAST,
                b'.' if last == b'/' => DOT_FIRST,
                b'%' => ESCAPE,
                b';' => PARAMETER,
                b'\\' => BACKSLASH,
                b'A'..=b'Z' => UPPER_CASE,
                b'?' => break,
                other if is_visible(other) => 0,
                _ => return None,
            };
            last = byte;
            length = length.saturating_add(1);
        }
        seen |= match last {
            b'.' => DOT_LAST,
            b'/' if length > 1 => SLASH_LAST,
            _ => 0,
        };
        Some((Self(seen), length))
    }

    /// Whether the path has, as sent or decoded, no part for which a target is refused: nothing is to decode, there is no
    /// backslash, and a dot segment begins with a dot.
    pub(crate) fn has_no_forbidden_part(self) -> bool {
        self.0 & (ESCAPE | BACKSLASH | DOT_FIRST) == 0
    }

    /// Whether each name in the path is more than dots and blanks, decoded too.
    pub(crate) fn has_only_names(self) -> bool {
        self.0 & (ESCAPE | DOT_FIRST) == 0
    }

    /// Whether a segment has parameters.
    pub(crate) fn has_parameter(self) -> bool {
        self.0 & PARAMETER != 0
    }

    /// Whether there is an empty segment, other than the last one.
    pub(crate) fn has_empty_segment(self) -> bool {
        self.0 & EMPTY_SEGMENT != 0
    }

    /// Whether each reading of the path is the path itself, but for letter case and a slash at its end. That is so exactly
    /// where
    ///
    /// * no step changes it: there is no escape to decode, no `?` or `#` to cut it at, no parameter to drop, and no two
    ///   slashes that could be merged or begin a host;
    /// * and no fold trims a name: none has a dot at its end. Blanks, and letters that fold with others, are not visible
    ///   ASCII: only an escape can stand for them.
    ///
    /// A dot at the beginning of a name changes nothing: the names that are dots alone have one at their end too.
    pub(crate) fn keeps_its_names(self) -> bool {
        self.0 & (ESCAPE | PARAMETER | EMPTY_SEGMENT | DOT_LAST) == 0
    }

    /// Whether the only reading of the path is the path itself: it also has no letter in upper case, and no slash at the end
    /// but that of `/`.
    pub(crate) fn has_one_reading(self) -> bool {
        self.keeps_its_names() && self.0 & (UPPER_CASE | SLASH_LAST) == 0
    }
}

/// What may stand in a request target: visible ASCII, and no fragment.
pub(crate) fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E) && byte != b'#'
}

/// Each short path of what is special in one, and of what is not.
#[cfg(test)]
pub(crate) fn short_paths(look: &mut dyn FnMut(&[u8])) {
    const PARTS: [&str; 12] = ["a", "Z", "2", ".", "/", ";", "\\", "~", "%2F", "%2e", "%C3", "%25"];
    let mut paths = vec!["/".to_owned()];
    for _ in 0..4 {
        paths.iter().for_each(|path| look(path.as_bytes()));
        paths = paths.iter().flat_map(|path| PARTS.iter().map(move |part| format!("{path}{part}"))).collect();
    }
    paths.iter().for_each(|path| look(path.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_the_first_question_mark() {
        for (target, length) in [("/", 1), ("/a", 2), ("/a?", 2), ("/?a?/B", 1), ("/a/b.c?x=%zz", 6)] {
            assert_eq!(Shape::of(target.as_bytes()).map(|(_, length)| length), Some(length), "{target}");
        }
        for target in ["", "a", "?", "/a b", "/\t", "/#", "/caf\u{e9}", "/\u{7f}"] {
            assert_eq!(Shape::of(target.as_bytes()), None, "{target}");
        }
    }

    #[test]
    fn most_paths_have_one_reading() {
        let has_one = |path: &str| Shape::of(path.as_bytes()).unwrap().0.has_one_reading();
        for path in ["/", "/v2/models/m-1/predict", "/docs/a.html", "/.well-known/x", "/a?B;%41//"] {
            assert!(has_one(path), "{path}");
        }
        for path in ["/A", "/a/", "//", "/a//b", "/a.", "/a./b", "/...", "/a;b", "/%61"] {
            assert!(!has_one(path), "{path}");
        }
        for (path, keeps) in [("/A/", true), ("/a//", false), ("/a.", false), ("/a;b", false), ("/%61", false)] {
            assert_eq!(Shape::of(path.as_bytes()).unwrap().0.keeps_its_names(), keeps, "{path}");
        }
    }
}
