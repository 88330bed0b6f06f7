//! Scans a path once and records its features. Most paths have no relevant feature, and need no second pass.

use bitflags::bitflags;
use memchr::{memchr_iter, memmem};

bitflags! {
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
        /// A `?` or `#`.
        const CUT = 1 << 4;
        /// A blank or control character of ASCII.
        const BLANK = 1 << 5;
        /// A tab, carriage return or line feed.
        const LINE = 1 << 6;
        /// A byte over 0x7F.
        const NON_ASCII = 1 << 7;
        const DOT = 1 << 8;
        const DOLLAR = 1 << 9;
        /// A `,`, `|` or `@`.
        const LIST = 1 << 10;
        /// A slash after a slash.
        const EMPTY_SEGMENT = 1 << 11;
        /// A slash at the end of a longer path than `/`.
        const SLASH_LAST = 1 << 12;
        /// A dot at the beginning of a segment.
        const DOT_FIRST = 1 << 13;
        /// A dot or a colon at the end of a segment.
        const DOT_LAST = 1 << 14;
        /// A segment with more than [`MAX_DOTS`] dots.
        const MANY_DOTS = 1 << 15;
        /// A possible [alias](super::alias): a `~`, a `$` after a `:`, a `(` or `VirtualHost` at the beginning of a segment.
        const ALIAS = 1 << 16;
        /// A segment that begins with `++`.
        const NAMESPACE = 1 << 17;
        /// The folder in which Next.js serves the data of pages.
        const NEXT_DATA = 1 << 18;
        /// The folder below which Jakarta Faces also serves all pages.
        const FACES = 1 << 19;
        /// The folder of Astro's actions.
        const ACTIONS = 1 << 20;
        /// The features that a [simple](PathScan::is_simple) path may have.
        const SIMPLE = Self::UPPER_CASE.bits() | Self::DOT.bits() | Self::DOLLAR.bits() | Self::LIST.bits()
            | Self::SLASH_LAST.bits() | Self::DOT_FIRST.bits() | Self::MANY_DOTS.bits() | Self::NAMESPACE.bits();
    }
}

/// The maximum number of dots in one segment that are treated as the beginning of a suffix.
const MAX_DOTS: usize = 16;

/// The features of each byte alone.
static FEATURES: [Feature; 256] = {
    let mut table = [Feature::empty(); 256];
    let (mut rest, mut byte): (&mut [Feature], u8) = (&mut table, 0);
    while let [features, others @ ..] = rest {
        *features = match byte {
            b'%' => Feature::ESCAPE,
            b';' => Feature::PARAMETER,
            b'\\' => Feature::FORBIDDEN,
            b'A'..=b'Z' => Feature::UPPER_CASE,
            b'?' | b'#' => Feature::CUT,
            b'.' => Feature::DOT,
            b'$' => Feature::DOLLAR,
            b'~' => Feature::ALIAS,
            b',' | b'|' | b'@' => Feature::LIST,
            b'\t' | b'\r' | b'\n' => Feature::LINE.union(Feature::BLANK),
            0 => Feature::FORBIDDEN.union(Feature::BLANK),
            ..=b' ' | 0x7F => Feature::BLANK,
            0x80.. => Feature::NON_ASCII,
            _ => Feature::empty(),
        };
        (rest, byte) = (others, byte.wrapping_add(1));
    }
    table
};

impl Feature {
    /// The feature of a segment by its beginning, and by what follows.
    #[inline(never)]
    fn of_beginning(rest: Option<&[u8]>) -> Self {
        const BEGINNINGS: [(&[u8], Feature); 7] = [
            (b".", Feature::DOT_FIRST),
            (b"(", Feature::ALIAS),
            (b"++", Feature::NAMESPACE),
            (b"VirtualHost", Feature::ALIAS),
            (b"_next/data/", Feature::NEXT_DATA),
            (b"_actions/", Feature::ACTIONS),
            (b"faces/", Feature::FACES),
        ];
        let found = BEGINNINGS.iter().find(|(beginning, _)| rest.is_some_and(|rest| rest.starts_with(beginning)));
        found.map_or(Self::empty(), |(_, feature)| *feature)
    }
}

/// A segment that some server treats as a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The index after its first `.php`, where some servers cut the path, whatever follows (Symfony, Caddy); otherwise
    /// `end`.
    pub(crate) cut: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathScan {
    features: Feature,
    /// The first script.
    pub(crate) script: Option<Script>,
    /// The index where the last non-empty segment begins, if it is the index of its folder.
    pub(crate) index: Option<usize>,
}

impl PathScan {
    /// Scans a path that begins with a slash.
    pub(crate) fn of(path: &[u8]) -> Self {
        let of_byte = |byte: &u8| FEATURES.get(usize::from(*byte)).copied().unwrap_or(Feature::empty());
        let features = path.iter().map(of_byte).fold(Feature::empty(), Feature::union);
        let mut scan = Self { features, script: None, index: None };
        let mut start = 0_usize;
        for segment in path.split(|byte| *byte == b'/') {
            scan.add_segment(path, start, segment);
            start = start.saturating_add(segment.len()).saturating_add(1);
        }
        if scan.has(Feature::DOLLAR) && memmem::find(path, b":$").is_some() {
            scan.features |= Feature::ALIAS;
        }
        scan
    }

    fn add_segment(&mut self, path: &[u8], start: usize, segment: &[u8]) {
        self.features |= match segment.first() {
            None if start > 1 && start == path.len() => Feature::SLASH_LAST,
            None if start > 0 && start < path.len() => Feature::EMPTY_SEGMENT,
            Some(b'(' | b'+' | b'.' | b'V' | b'_' | b'f') => Feature::of_beginning(path.get(start..)),
            _ => Feature::empty(),
        };
        if let [.., b'.' | b':'] = segment {
            self.features |= Feature::DOT_LAST;
        }
        if !segment.is_empty() {
            self.index = is_index(segment).then_some(start);
        }
        if self.has(Feature::DOT) {
            self.add_dots(start, segment);
        }
    }

    #[inline(never)]
    fn add_dots(&mut self, start: usize, segment: &[u8]) {
        let count = memchr_iter(b'.', segment).count();
        if count > MAX_DOTS {
            self.features |= Feature::MANY_DOTS;
        }
        if count > 0 {
            self.script = self.script.or_else(|| Script::find(segment, start));
        }
    }

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

    /// Whether the path has no other variant, apart from letter case and a slash at its end. It is then true that:
    ///
    /// * No step of [`variant`](super::variant) changes the path.
    /// * No segment is an alias.
    /// * No segment has a dot or a colon at its end.
    ///
    /// Blanks, and letters that fold to others, are not visible ASCII: these occur only escaped. A dot that begins a
    /// segment is allowed: a segment of only dots also ends with one.
    pub(crate) fn is_simple(self) -> bool {
        self.script.is_none() && self.index.is_none() && Feature::SIMPLE.contains(self.features)
    }

    /// Whether folding letter case does not change the path.
    pub(crate) fn is_lower_case(self) -> bool {
        !self.has(Feature::UPPER_CASE | Feature::NON_ASCII)
    }

    /// Whether no segment has blanks around it, or dots or colons at its end.
    pub(crate) fn is_trimmed(self) -> bool {
        !self.has(Feature::DOT_LAST | Feature::BLANK | Feature::NON_ASCII)
    }
}

impl Script {
    /// Returns the script that a segment from `start` on is, or begins with. The segment has a dot.
    fn find(segment: &[u8], start: usize) -> Option<Self> {
        const PHP: &[u8] = b".php";
        let suffix = segment.rsplit(|byte| *byte == b'.').next()?;
        let is_script = (2..=6).contains(&suffix.len()) && SCRIPTS.binary_search(&packed(suffix)).is_ok();
        let dot = segment.windows(PHP.len()).position(|part| part.eq_ignore_ascii_case(PHP));
        let php = dot.map(|dot| start.saturating_add(dot).saturating_add(PHP.len()));
        let end = if is_script { start.saturating_add(segment.len()) } else { php? };
        Some(Self { start, end, cut: php.unwrap_or(end) })
    }
}

/// The suffixes of scripts, sorted as [`packed`] numbers. The path after such a segment is passed to the script (RFC 3875,
/// section 4.1.5), and a front controller finds its resources by it.
const SCRIPTS: [u64; 36] = {
    const NAMES: [&[u8]; 36] = [
        b"do", b"pl", b"py", b"rb", b"asp", b"axd", b"cfc", b"cfm", b"cgi", b"dll", b"jsp", b"lua", b"nsf", b"php",
        b"pht", b"svc", b"ashx", b"asmx", b"aspx", b"cfml", b"fcgi", b"jspx", b"phar", b"php3", b"php4", b"php5",
        b"php7", b"php8", b"phps", b"psgi", b"wsgi", b"phtml", b"shtml", b"action", b"cshtml", b"vbhtml",
    ];
    let (mut packed_names, mut names): ([u64; 36], &[&[u8]]) = ([0; 36], &NAMES);
    let mut rest: &mut [u64] = &mut packed_names;
    while let ([number, others @ ..], [name, more @ ..]) = (rest, names) {
        *number = packed(name);
        (rest, names) = (others, more);
    }
    packed_names
};

/// Packs up to eight letters into a number, in lower case. Comparing numbers is much faster than comparing texts, and a path
/// may have thousands of suffixes.
const fn packed(mut letters: &[u8]) -> u64 {
    let mut number = 0;
    while let [letter, rest @ ..] = letters {
        number = number << 8 | letter.to_ascii_lowercase() as u64;
        letters = rest;
    }
    number
}

/// The names that JavaScript frameworks give to the data of a page: SvelteKit, React Router, Qwik.
const DATA_OF_PAGES: [&[u8]; 6] = [b"__data.json", b"__route.js", b"_.data", b"_.rsc", b"_root.rsc", b"q-data.json"];

/// Whether a segment is the index of its folder: `index.html`, `default.aspx`, `index`, `index_html` (Zope), `__data.json`.
pub(crate) fn is_index(segment: &[u8]) -> bool {
    let begins = |with: &[u8]| segment.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    match segment {
        [b'i' | b'I' | b'd' | b'D', ..] => {
            begins(b"index.")
                || begins(b"default.")
                || segment.eq_ignore_ascii_case(b"index")
                || segment.eq_ignore_ascii_case(b"index_html")
        }
        _ => is_data_of_page(segment),
    }
}

/// Whether a segment is a name that a JavaScript framework gives to the data of a page. Next.js has several such names when
/// it exports files: `__next._full.txt`, `__next.members.__PAGE__.txt`. So has Nuxt, which takes any byte for the dot:
/// `_payload.json`, `_payload-js`, `_payload.abc123.json`; and Qwik: `q-loader-ID.HASH.json`.
pub(crate) fn is_data_of_page(segment: &[u8]) -> bool {
    if !matches!(segment, [b'_' | b'q' | b'Q', ..]) {
        return false;
    }
    let name = segment.to_ascii_lowercase();
    let is_between = |start: &[u8], end: &[u8]| name.starts_with(start) && name.ends_with(end);
    DATA_OF_PAGES.contains(&name.as_slice())
        || is_between(b"__next.", b".txt")
        || is_between(b"_payload", b"json")
        || is_between(b"_payload", b"js")
        || is_between(b"q-loader-", b".json")
}

/// Returns the path of the action that Astro runs, if there are several: it ignores all but the last.
pub(crate) fn last_action(path: &[u8], scan: PathScan) -> Option<Vec<u8>> {
    const FOLDER: &[u8] = b"/_actions/";
    if !scan.has(Feature::ACTIONS) {
        return None;
    }
    let (first, last) = (memmem::find(path, FOLDER)?, memmem::rfind(path, FOLDER)?);
    (first < last).then_some([path.get(..first)?, path.get(last..)?].concat())
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
            let name = String::from_utf8_lossy(&suffix.to_be_bytes()).replace('\0', "");
            let path = format!("/a.{name}/b");
            assert!(PathScan::of(path.to_uppercase().as_bytes()).script.is_some(), "{path}");
        }
    }
}
