//! Scans a path once and records its features. Most paths have no relevant feature, and need no second pass.

use arrayvec::ArrayVec;
use bitflags::bitflags;

bitflags! {
    /// The features of a path.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Feature: u32 {
        /// A `%`.
        const ESCAPE = 1;
        /// A `;`.
        const PARAMETER = 1 << 1;
        /// A backslash or a NUL.
        const FORBIDDEN = 1 << 2;
        /// An upper-case letter of ASCII.
        const UPPER_CASE = 1 << 3;
        /// A slash after a slash.
        const EMPTY_SEGMENT = 1 << 4;
        /// A dot after a slash.
        const DOT_FIRST = 1 << 5;
        /// A dot or a colon before a slash, or at the end.
        const DOT_LAST = 1 << 6;
        /// A slash at the end of a longer path than `/`.
        const SLASH_LAST = 1 << 7;
        /// A `?` or `#`.
        const CUT = 1 << 8;
        /// A blank or control character of ASCII.
        const BLANK = 1 << 9;
        /// A tab, carriage return or line feed.
        const LINE = 1 << 10;
        /// A byte over 0x7F.
        const NON_ASCII = 1 << 11;
        /// A possible beginning of an [alias](super::alias): a `~`, a `$` after a `:`, a `(` or `VirtualHost` after a slash.
        const ALIAS = 1 << 12;
        /// A last segment that is the index of its folder.
        const INDEX = 1 << 13;
        /// A segment with more than [`MAX_DOTS`] dots.
        const MANY_DOTS = 1 << 14;
        /// The folder in which Next.js serves the data of pages.
        const NEXT_DATA = 1 << 15;
        /// A dot.
        const DOT = 1 << 16;
        /// The folder below which Jakarta Faces also serves all pages.
        const FACES = 1 << 17;
        /// A `,` or `@`.
        const LIST = 1 << 18;
        /// A segment that begins with `++`.
        const NAMESPACE = 1 << 19;
        /// A byte that is inspected together with the byte before it.
        const NEIGHBOUR = 1 << 31;
    }
}

/// The maximum number of dots in one segment that are treated as the beginning of a suffix.
const MAX_DOTS: usize = 16;

/// The features of each byte alone.
static FEATURES: [u32; 256] = {
    let mut table = [0; 256];
    let (mut rest, mut byte): (&mut [u32], u8) = (&mut table, 0);
    while let [features, others @ ..] = rest {
        *features = match byte {
            b'%' => Feature::ESCAPE,
            b';' => Feature::PARAMETER,
            b'\\' => Feature::FORBIDDEN,
            b'/' | b'.' | b'(' | b'$' | b'_' | b'+' => Feature::NEIGHBOUR,
            b'V' => Feature::NEIGHBOUR.union(Feature::UPPER_CASE),
            b'A'..=b'Z' => Feature::UPPER_CASE,
            b'?' | b'#' => Feature::CUT,
            b'~' => Feature::ALIAS,
            b',' | b'@' => Feature::LIST,
            b'\t' | b'\r' | b'\n' => Feature::LINE.union(Feature::BLANK),
            0 => Feature::FORBIDDEN.union(Feature::BLANK),
            ..=b' ' | 0x7F => Feature::BLANK,
            0x80.. => Feature::NON_ASCII,
            _ => Feature::empty(),
        }
        .bits();
        (rest, byte) = (others, byte.wrapping_add(1));
    }
    table
};

/// A segment that some server treats as a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script {
    /// The index of its first byte.
    pub(crate) start: usize,
    /// The index after its last byte.
    pub(crate) end: usize,
    /// The index after its first `.php`, where some servers cut the path, whatever follows (Symfony, Caddy); otherwise
    /// `end`.
    pub(crate) cut: usize,
}

/// The result of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathScan {
    features: Feature,
    /// The first script.
    pub(crate) script: Option<Script>,
    /// The index where the last non-empty segment begins.
    last_name: usize,
}

/// The number of bytes that are inspected together.
const CHUNK: usize = 8;

impl PathScan {
    /// Scans a path that begins with a slash.
    pub(crate) fn of(path: &[u8]) -> Self {
        let mut pass =
            Pass { path, found: Feature::empty(), script: None, segment: 0, before: 0, name: (0, 0), dots: Dots::NONE };
        for (chunk, first) in path.chunks(CHUNK).zip((0_usize..).step_by(CHUNK)) {
            let features = chunk.iter().map(features_of).fold(Feature::empty(), Feature::union);
            pass.found |= features;
            if !features.contains(Feature::NEIGHBOUR) {
                pass.before = chunk.last().copied().unwrap_or(pass.before);
                continue;
            }
            for (at, byte) in (first..).zip(chunk) {
                if features_of(byte).contains(Feature::NEIGHBOUR) {
                    pass.look_at(at, *byte);
                }
                pass.before = *byte;
            }
        }
        pass.end()
    }

    /// Whether the path has any of these features.
    pub(crate) fn has(self, any: Feature) -> bool {
        self.features.intersects(any)
    }

    /// Whether all bytes are allowed in a request target: visible ASCII, and no fragment.
    pub(crate) fn is_visible(self) -> bool {
        let cut = if defence!("fragments") { Feature::CUT } else { Feature::empty() };
        !self.has(Feature::BLANK | Feature::NON_ASCII | cut)
    }

    /// Whether the path may have a part for which the request is denied: a backslash, a NUL, or a dot that begins a
    /// segment, even after blanks.
    pub(crate) fn may_have_forbidden_part(self) -> bool {
        self.has(Feature::FORBIDDEN | Feature::DOT_FIRST)
            || (self.has(Feature::DOT) && self.has(Feature::BLANK | Feature::NON_ASCII))
    }

    /// Returns where the last segment begins, if it is the index of its folder.
    pub(crate) fn index(self) -> Option<usize> {
        self.has(Feature::INDEX).then_some(self.last_name)
    }

    /// Whether the path has no other variant, apart from letter case and a slash at its end. It is then true that:
    ///
    /// * No step of [`variant`](super::variant) changes the path.
    /// * No segment is an alias.
    /// * No segment has a dot or a colon at its end.
    ///
    /// Blanks, and letters that fold to others, are not visible ASCII: these occur only escaped. A dot that begins a
    /// segment is allowed: a segment of only dots also ends with one.
    pub(crate) fn is_simple(self) -> bool {
        const OTHERS: Feature = Feature::ESCAPE
            .union(Feature::PARAMETER)
            .union(Feature::FORBIDDEN)
            .union(Feature::EMPTY_SEGMENT)
            .union(Feature::DOT_LAST)
            .union(Feature::CUT)
            .union(Feature::BLANK)
            .union(Feature::NON_ASCII)
            .union(Feature::ALIAS)
            .union(Feature::INDEX)
            .union(Feature::NEXT_DATA)
            .union(Feature::FACES);
        self.script.is_none() && !self.has(OTHERS)
    }

    /// Whether folding letter case does not change the path.
    pub(crate) fn is_lower_case(self) -> bool {
        !self.has(Feature::UPPER_CASE | Feature::NON_ASCII)
    }

    /// Whether no segment has blanks around it, or dots or colons at its end.
    pub(crate) fn is_trimmed(self) -> bool {
        !self.has(Feature::DOT_LAST | Feature::BLANK | Feature::NON_ASCII)
    }

    /// Whether no normalization changes the path.
    pub(crate) fn is_normalized(self) -> bool {
        self.is_lower_case() && self.is_trimmed() && !self.has(Feature::SLASH_LAST)
    }
}

fn features_of(byte: &u8) -> Feature {
    Feature::from_bits_retain(FEATURES.get(usize::from(*byte)).copied().unwrap_or_default())
}

/// The state of a scan. Code for rare bytes is out of line, since a path is mostly letters.
struct Pass<'p> {
    path: &'p [u8],
    found: Feature,
    script: Option<Script>,
    /// The index where the current segment begins.
    segment: usize,
    /// The previous byte.
    before: u8,
    /// Start and end of the last non-empty segment.
    name: (usize, usize),
    /// The dots of the current segment.
    dots: Dots,
}

impl Pass<'_> {
    /// Inspects a byte together with the byte before it.
    fn look_at(&mut self, at: usize, byte: u8) {
        match byte {
            b'/' => self.slash(at),
            b'.' => self.dot(at),
            _ => self.other(at, byte),
        }
    }

    fn add_if(&mut self, condition: bool, feature: Feature) {
        self.found |= if condition { feature } else { Feature::empty() };
    }

    fn slash(&mut self, at: usize) {
        self.add_if(self.before == b'/', Feature::EMPTY_SEGMENT);
        self.end_segment(at);
        self.add_if(starts_with(self.path, at, b"/faces/"), Feature::FACES);
        self.segment = at.saturating_add(1);
    }

    #[inline(never)]
    fn dot(&mut self, at: usize) {
        self.found |= Feature::DOT;
        self.add_if(self.before == b'/', Feature::DOT_FIRST);
        let count = self.dots.add(self.path, at);
        self.add_if(count > MAX_DOTS, Feature::MANY_DOTS);
    }

    #[inline(never)]
    fn other(&mut self, at: usize, byte: u8) {
        let begins = self.before == b'/';
        self.found |= match byte {
            b'(' if begins => Feature::ALIAS,
            b'+' if begins && starts_with(self.path, at, b"++") => Feature::NAMESPACE,
            b'$' if self.before == b':' => Feature::ALIAS,
            b'V' if begins && starts_with(self.path, at, b"VirtualHost") => Feature::ALIAS,
            b'_' if begins && starts_with(self.path, at, b"_next/data/") => Feature::NEXT_DATA,
            _ => Feature::empty(),
        };
    }

    fn end_segment(&mut self, at: usize) {
        self.add_if(matches!(self.before, b'.' | b':'), Feature::DOT_LAST);
        if let Some(dot) = self.dots.last {
            self.end_dots(dot, at);
        }
        if self.segment < at {
            self.name = (self.segment, at);
        }
    }

    #[inline(never)]
    fn end_dots(&mut self, dot: usize, at: usize) {
        self.script = self.script.or_else(|| self.dots.script(self.path, self.segment, dot, at));
        self.dots = Dots::NONE;
    }

    #[inline(never)]
    fn end(mut self) -> PathScan {
        self.end_segment(self.path.len());
        let (start, end) = self.name;
        self.add_if(self.path.get(start..end).is_some_and(is_index), Feature::INDEX);
        self.add_if(self.before == b'/' && self.path.len() > 1, Feature::SLASH_LAST);
        PathScan { features: self.found, script: self.script, last_name: start }
    }
}

/// The dots of a segment.
#[derive(Clone, Copy)]
struct Dots {
    last: Option<usize>,
    count: usize,
    /// The index where the first `.php` ends.
    php: Option<usize>,
}

impl Dots {
    const NONE: Self = Self { last: None, count: 0, php: None };

    /// Adds a dot. Returns the number of dots.
    fn add(&mut self, path: &[u8], dot: usize) -> usize {
        let end = dot.saturating_add(b".php".len());
        if self.php.is_none() && path.get(dot..end).is_some_and(|name| name.eq_ignore_ascii_case(b".php")) {
            self.php = Some(end);
        }
        self.last = Some(dot);
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Returns the script that the segment from `start` to `end` is, or begins with.
    fn script(self, path: &[u8], start: usize, dot: usize, end: usize) -> Option<Script> {
        let suffix = path.get(dot.saturating_add(1)..end).unwrap_or_default();
        let lower = || suffix.iter().map(u8::to_ascii_lowercase).collect::<ArrayVec<u8, 6>>();
        let is_script = (2..=6).contains(&suffix.len()) && SCRIPTS.binary_search(&lower().as_slice()).is_ok();
        (is_script || self.php.is_some()).then(|| {
            let cut = self.php.unwrap_or(end);
            Script { start, end: if is_script { end } else { cut }, cut }
        })
    }
}

fn starts_with(path: &[u8], at: usize, name: &[u8]) -> bool {
    path.get(at..).is_some_and(|rest| rest.starts_with(name))
}

/// The suffixes of scripts, sorted. The path after such a segment is passed to the script (RFC 3875, section 4.1.5), and a
/// front controller finds its resources by it.
const SCRIPTS: [&[u8]; 36] = [
    b"action", b"ashx", b"asmx", b"asp", b"aspx", b"axd", b"cfc", b"cfm", b"cfml", b"cgi", b"cshtml", b"dll", b"do",
    b"fcgi", b"jsp", b"jspx", b"lua", b"nsf", b"phar", b"php", b"php3", b"php4", b"php5", b"php7", b"php8", b"phps",
    b"pht", b"phtml", b"pl", b"psgi", b"py", b"rb", b"shtml", b"svc", b"vbhtml", b"wsgi",
];

/// The names that JavaScript frameworks give to the data of a page: SvelteKit, Nuxt, React Router, Qwik.
const DATA_OF_PAGES: [&[u8]; 6] =
    [b"__data.json", b"__route.js", b"_payload.json", b"_payload.js", b"_.data", b"q-data.json"];

/// Whether a segment is the index of its folder: `index.html`, `default.aspx`, `index`, `__data.json`.
pub(crate) fn is_index(segment: &[u8]) -> bool {
    let begins = |with: &[u8]| segment.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    match segment {
        [b'i' | b'I' | b'd' | b'D', ..] => {
            begins(b"index.") || begins(b"default.") || segment.eq_ignore_ascii_case(b"index")
        }
        _ => is_data_of_page(segment),
    }
}

/// Whether a segment is a name that a JavaScript framework gives to the data of a page. Next.js has several such names when
/// it exports files: `__next._full.txt`, `__next.members.__PAGE__.txt`.
pub(crate) fn is_data_of_page(segment: &[u8]) -> bool {
    if !matches!(segment, [b'_' | b'q' | b'Q', ..]) {
        return false;
    }
    let name = segment.to_ascii_lowercase();
    DATA_OF_PAGES.contains(&name.as_slice()) || (name.starts_with(b"__next.") && name.ends_with(b".txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_paths_are_simple() {
        for path in
            ["/", "/v2/models/m-1/predict", "/docs/a.html", "/.well-known/x", "/A/", "/a.b/c", "/a(1)", "/a:b/$x"]
        {
            assert!(PathScan::of(path.as_bytes()).is_simple(), "{path}");
        }
        for path in
            "// /a//b /a. /a./b /... /a;b /%61 /a~1 /(S(x))/a /a::$DATA /index.php/a /a.PHP /docs/index.html".split(' ')
        {
            assert!(!PathScan::of(path.as_bytes()).is_simple(), "{path}");
        }
    }

    #[test]
    fn every_script_is_found() {
        for suffix in SCRIPTS {
            let path = format!("/a.{}/b", suffix.escape_ascii());
            assert!(PathScan::of(path.to_uppercase().as_bytes()).script.is_some(), "{path}");
        }
    }

    #[test]
    fn scripts_and_indexes_are_found_where_they_stand() {
        for (path, script) in [
            ("/index.php/admin", Some("index.php")),
            ("/a/b.FCGI", Some("b.FCGI")),
            ("/.do/x", Some(".do")),
            ("/a.php/b.cgi", Some("a.php")),
            ("/a.b/c.action/", Some("c.action")),
            ("/a.phpx/b", Some("a.php")),
            ("/a.PHP.txt", Some("a.PHP")),
            ("/php/a", None),
            ("/a.p/b", None),
            ("/a.documents/b", None),
            ("/a./php", None),
        ] {
            let found = PathScan::of(path.as_bytes()).script.and_then(|found| path.get(found.start..found.end));
            assert_eq!(found, script, "{path}");
        }
        for (path, index) in [
            ("/a/Index.html", Some(3)),
            ("/default.", Some(1)),
            ("/index.html/", Some(1)),
            ("/a/INDEX//", Some(3)),
            ("/indexes", None),
        ] {
            assert_eq!(PathScan::of(path.as_bytes()).index(), index, "{path}");
        }
    }
}
