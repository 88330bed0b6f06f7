//! One pass over a path: what stands in it. Most paths need no second look.

/// A segment that some server takes for a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script {
    /// Its first byte.
    pub(crate) start: usize,
    /// Behind its last byte.
    pub(crate) end: usize,
    /// Behind its first `.php`, where some cut a path, whatever follows (Symfony, Caddy); otherwise its end.
    pub(crate) cut: usize,
}

/// What stands in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    marks: u32,
    /// The first script.
    script: Option<Script>,
    /// Where the last segment begins that is not empty.
    name: usize,
}

/// A `%`.
const ESCAPE: u32 = 1;
/// A `;`.
const PARAMETER: u32 = 1 << 1;
/// A backslash or a NUL.
const FORBIDDEN: u32 = 1 << 2;
/// An ASCII letter in upper case.
const UPPER_CASE: u32 = 1 << 3;
/// A slash behind a slash.
const EMPTY_SEGMENT: u32 = 1 << 4;
/// A dot behind a slash.
const DOT_FIRST: u32 = 1 << 5;
/// A dot or a colon before a slash, or at the end.
const DOT_LAST: u32 = 1 << 6;
/// A slash at the end, and not at the beginning.
const SLASH_LAST: u32 = 1 << 7;
/// A `?` or `#`.
const CUT: u32 = 1 << 8;
/// A blank or control character of ASCII.
const BLANK: u32 = 1 << 9;
/// A tab, carriage return or line feed.
const LINE: u32 = 1 << 10;
/// A byte over 0x7F.
const NON_ASCII: u32 = 1 << 11;
/// What may begin an [alias](crate::alias): a `~`, a `$` behind a `:`, a `(` or `VirtualHost` behind a slash.
const SPECIAL: u32 = 1 << 12;
/// A last segment that stands for its folder.
const INDEX: u32 = 1 << 13;
/// A dot.
const DOT: u32 = 1 << 16;
/// A `,` or `@`.
const LIST: u32 = 1 << 18;
/// A name that begins with `++`.
const NAMESPACE: u32 = 1 << 19;
/// The folder below which Jakarta Faces has all pages.
const FACES: u32 = 1 << 17;
/// The folder in which Next.js keeps the data of pages.
const NEXT_DATA: u32 = 1 << 15;
/// A segment with more than [`MOST_DOTS`].
const MANY_DOTS: u32 = 1 << 14;

/// The most dots of one name at each of which a suffix may begin.
const MOST_DOTS: usize = 16;

/// The mark that a byte has alone. Some are looked at together with the byte before them: they are `NEIGHBOUR`.
static MARKS: [u32; 256] = {
    let mut table = [0; 256];
    let (mut rest, mut byte): (&mut [u32], u8) = (&mut table, 0);
    while let [mark, others @ ..] = rest {
        *mark = match byte {
            b'%' => ESCAPE,
            b';' => PARAMETER,
            b'\\' => FORBIDDEN,
            b'/' | b'.' | b'(' | b'$' | b'_' | b'+' => NEIGHBOUR,
            b'V' => NEIGHBOUR | UPPER_CASE,
            b'A'..=b'Z' => UPPER_CASE,
            b'?' | b'#' => CUT,
            b'~' => SPECIAL,
            b',' | b'@' => LIST,
            b'\t' | b'\r' | b'\n' => LINE | BLANK,
            0 => FORBIDDEN | BLANK,
            ..=b' ' | 0x7F => BLANK,
            0x80.. => NON_ASCII,
            _ => 0,
        };
        (rest, byte) = (others, byte.wrapping_add(1));
    }
    table
};
const NEIGHBOUR: u32 = 1 << 31;

/// How many bytes are looked at together.
const CHUNK: usize = 8;

impl Scan {
    /// Of a path, which begins with a slash.
    pub(crate) fn of(path: &[u8]) -> Self {
        let mut pass = Pass { path, all: 0, script: None, last: 0, before: 0, name: (0, 0), dots: Dots::NONE };
        for (chunk, first) in path.chunks(CHUNK).zip((0_usize..).step_by(CHUNK)) {
            let marks = chunk.iter().map(marks_of).fold(0, |all, marks| all | marks);
            pass.all |= marks;
            if marks & NEIGHBOUR == 0 {
                pass.before = chunk.last().copied().unwrap_or(pass.before);
                continue;
            }
            for (at, byte) in (first..).zip(chunk) {
                if marks_of(byte) & NEIGHBOUR != 0 {
                    pass.look_at(at, *byte);
                }
                pass.before = *byte;
            }
        }
        pass.end()
    }

    fn has(self, marks: u32) -> bool {
        self.marks & marks != 0
    }

    /// Whether all bytes may stand in a request target: visible ASCII, and no fragment.
    pub(crate) fn is_visible(self) -> bool {
        !self.has(if defence!("fragments") { CUT | BLANK | NON_ASCII } else { BLANK | NON_ASCII })
    }

    /// Whether there is something to decode.
    pub(crate) fn has_escape(self) -> bool {
        self.has(ESCAPE)
    }

    /// Whether the path may have a part for which a target is refused: there is a backslash or a NUL, or a dot that begins a
    /// name, be it behind blanks.
    pub(crate) fn may_have_forbidden_part(self) -> bool {
        self.has(FORBIDDEN | DOT_FIRST) || (self.has(DOT) && self.has(BLANK | NON_ASCII))
    }

    /// Whether each name in the path is more than dots and blanks, decoded too.
    pub(crate) fn has_only_names(self) -> bool {
        !self.has(ESCAPE | DOT_FIRST)
    }

    /// Whether a segment has parameters.
    pub(crate) fn has_parameter(self) -> bool {
        self.has(PARAMETER)
    }

    /// Whether there is an empty segment, other than the last one.
    pub(crate) fn has_empty_segment(self) -> bool {
        self.has(EMPTY_SEGMENT)
    }

    /// Whether there is a `?` or `#`.
    pub(crate) fn has_cut(self) -> bool {
        self.has(CUT)
    }

    /// Whether there is a tab, carriage return or line feed.
    pub(crate) fn has_line(self) -> bool {
        self.has(LINE)
    }

    /// Whether there is a byte beyond ASCII.
    pub(crate) fn is_ascii(self) -> bool {
        !self.has(NON_ASCII)
    }

    /// Whether there may be an [alias](crate::alias).
    pub(crate) fn may_have_alias(self) -> bool {
        self.has(SPECIAL)
    }

    /// Whether a name has too many dots to look at what stands before each.
    pub(crate) fn has_many_dots(self) -> bool {
        self.has(MANY_DOTS)
    }

    /// Whether some backend may take a name for another: there is a dot, a comma or an `@`.
    pub(crate) fn may_have_other_names(self) -> bool {
        self.has(DOT | LIST)
    }

    /// Whether a name begins with `++`.
    pub(crate) fn has_namespace(self) -> bool {
        self.has(NAMESPACE)
    }

    /// The first script.
    pub(crate) fn script(self) -> Option<Script> {
        self.script
    }

    /// Whether there is the folder below which Jakarta Faces has all pages.
    pub(crate) fn has_faces(self) -> bool {
        self.has(FACES)
    }

    /// Whether there is the folder in which Next.js keeps the data of pages.
    pub(crate) fn has_next_data(self) -> bool {
        self.has(NEXT_DATA)
    }

    /// Where a last name begins that stands for its folder.
    pub(crate) fn index(self) -> Option<usize> {
        self.has(INDEX).then_some(self.name)
    }

    /// Whether the only variant of the path is the path itself, but for letter case and a slash at its end. That is so
    /// where no step changes it, no name is an alias, and no name has a dot or a colon at its end. Blanks,
    /// and letters that are one with others, are not visible ASCII: only an escape can stand for them.
    ///
    /// A dot at the beginning of a name changes nothing: the names that are dots alone have one at their end too.
    pub(crate) fn is_simple(self) -> bool {
        self.script.is_none()
            && !self.has(
                ESCAPE
                    | PARAMETER
                    | FORBIDDEN
                    | EMPTY_SEGMENT
                    | DOT_LAST
                    | CUT
                    | BLANK
                    | NON_ASCII
                    | SPECIAL
                    | INDEX
                    | NEXT_DATA
                    | FACES,
            )
    }

    /// Whether letter case makes no difference.
    pub(crate) fn is_lower_case(self) -> bool {
        !self.has(UPPER_CASE | NON_ASCII)
    }

    /// Whether no name has blanks around it, or dots or colons at its end.
    pub(crate) fn is_trimmed(self) -> bool {
        !self.has(DOT_LAST | BLANK | NON_ASCII)
    }

    /// Whether there is no slash at the end, but that of `/`.
    pub(crate) fn ends_with_a_name(self) -> bool {
        !self.has(SLASH_LAST)
    }
}

fn marks_of(byte: &u8) -> u32 {
    MARKS.get(usize::from(*byte)).copied().unwrap_or_default()
}

/// What a pass has seen so far. What few paths have is out of line: a path is mostly letters.
struct Pass<'p> {
    path: &'p [u8],
    all: u32,
    script: Option<Script>,
    /// Where the segment begins.
    last: usize,
    /// The byte before.
    before: u8,
    /// The last segment that is not empty.
    name: (usize, usize),
    /// The dots of the segment.
    dots: Dots,
}

impl Pass<'_> {
    /// A byte that is looked at together with the one before it.
    fn look_at(&mut self, at: usize, byte: u8) {
        match byte {
            b'/' => self.slash(at),
            b'.' => self.dot(at),
            _ => self.other(at, byte),
        }
    }

    fn slash(&mut self, at: usize) {
        if self.before == b'/' {
            self.all |= EMPTY_SEGMENT;
        }
        self.end_segment(at);
        if self.last < at {
            self.name = (self.last, at);
        }
        if starts_with(self.path, at, b"/faces/") {
            self.all |= FACES;
        }
        self.last = at.saturating_add(1);
    }

    #[inline(never)]
    fn dot(&mut self, at: usize) {
        self.all |= if self.before == b'/' { DOT | DOT_FIRST } else { DOT };
        self.all |= if self.dots.add(self.path, at) > MOST_DOTS { MANY_DOTS } else { 0 };
    }

    #[inline(never)]
    fn other(&mut self, at: usize, byte: u8) {
        let begins = self.before == b'/';
        self.all |= match byte {
            b'(' if begins => SPECIAL,
            b'+' if begins && starts_with(self.path, at, b"++") => NAMESPACE,
            b'$' if self.before == b':' => SPECIAL,
            b'V' if begins && starts_with(self.path, at, b"VirtualHost") => SPECIAL,
            b'_' if begins && starts_with(self.path, at, b"_next/data/") => NEXT_DATA,
            _ => 0,
        };
    }

    /// A segment ends: it may have had dots.
    fn end_segment(&mut self, at: usize) {
        self.all |= if matches!(self.before, b'.' | b':') { DOT_LAST } else { 0 };
        if let Some(dot) = self.dots.last {
            self.of_dots(dot, at);
        }
    }

    #[inline(never)]
    fn of_dots(&mut self, dot: usize, at: usize) {
        self.script = self.script.or_else(|| self.dots.script(self.path, self.last, dot, at));
        self.dots = Dots::NONE;
    }

    #[inline(never)]
    fn end(mut self) -> Scan {
        self.end_segment(self.path.len());
        if self.last < self.path.len() {
            self.name = (self.last, self.path.len());
        }
        let (start, end) = self.name;
        self.all |= if self.path.get(start..end).is_some_and(is_index) { INDEX } else { 0 };
        self.all |= if self.before == b'/' && self.path.len() > 1 { SLASH_LAST } else { 0 };
        Scan { marks: self.all, script: self.script, name: start }
    }
}

/// The dots of a segment.
#[derive(Clone, Copy)]
struct Dots {
    last: Option<usize>,
    count: usize,
    /// Where the first `.php` ends. Some cut a path there, whatever follows (Symfony, Caddy).
    php: Option<usize>,
}

impl Dots {
    const NONE: Self = Self { last: None, count: 0, php: None };

    /// One more; how many there are now.
    fn add(&mut self, path: &[u8], dot: usize) -> usize {
        let end = dot.saturating_add(b".php".len());
        if matches!(path.get(dot.saturating_add(1)), Some(b'p' | b'P'))
            && self.php.is_none()
            && path.get(dot..end).is_some_and(|name| name.eq_ignore_ascii_case(b".php"))
        {
            self.php = Some(end);
        }
        self.last = Some(dot);
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// The script that the segment is, or begins with.
    fn script(self, path: &[u8], start: usize, dot: usize, end: usize) -> Option<Script> {
        let name = path.get(dot.saturating_add(1)..end).unwrap_or_default();
        let is_script = (2..=6).contains(&name.len()) && PACKED_SCRIPTS.binary_search(&packed(name)).is_ok();
        (is_script || self.php.is_some()).then(|| {
            let cut = self.php.unwrap_or(end);
            Script { start, end: if is_script { end } else { cut }, cut }
        })
    }
}

fn starts_with(path: &[u8], at: usize, name: &[u8]) -> bool {
    path.get(at..).is_some_and(|rest| rest.starts_with(name))
}

/// How the names of scripts end: what follows such a name is the path that the script sees (RFC 3875, section 4.1.5), and a
/// front controller finds its resources by that. In the order of their [`packed`] forms.
const SCRIPTS: [&[u8]; 36] = [
    b"do", b"pl", b"py", b"rb", b"asp", b"axd", b"cfc", b"cfm", b"cgi", b"dll", b"jsp", b"lua", b"nsf", b"php", b"pht",
    b"svc", b"ashx", b"asmx", b"aspx", b"cfml", b"fcgi", b"jspx", b"phar", b"php3", b"php4", b"php5", b"php7", b"php8",
    b"phps", b"psgi", b"wsgi", b"phtml", b"shtml", b"action", b"cshtml", b"vbhtml",
];

static PACKED_SCRIPTS: [u64; SCRIPTS.len()] = {
    let mut all = [0; SCRIPTS.len()];
    let (mut rest, mut names): (&mut [u64], &[&[u8]]) = (&mut all, &SCRIPTS);
    while let ([to, others @ ..], [name, more @ ..]) = (rest, names) {
        *to = packed(name);
        (rest, names) = (others, more);
    }
    all
};

/// Up to eight bytes as one number, ASCII letters in lower case.
const fn packed(mut name: &[u8]) -> u64 {
    let mut number = 0_u64;
    while let [byte, rest @ ..] = name {
        number = (number << 8) | byte.to_ascii_lowercase() as u64;
        name = rest;
    }
    number
}

/// What JavaScript frameworks call the data of a page: SvelteKit, Nuxt, React Router, Qwik.
const DATA_OF_PAGES: [&[u8]; 6] =
    [b"__data.json", b"__route.js", b"_payload.json", b"_payload.js", b"_.data", b"q-data.json"];

/// Whether a name stands for the folder that it is in: `index.html`, `default.aspx`, `index`, `__data.json`.
pub(crate) fn is_index(name: &[u8]) -> bool {
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    match name {
        [b'i' | b'I' | b'd' | b'D', ..] => {
            begins(b"index.") || begins(b"default.") || name.eq_ignore_ascii_case(b"index")
        }
        _ => is_data_of_page(name),
    }
}

/// Whether a name is what a JavaScript framework calls the data of a page. Next.js has several for one, when it writes files:
/// `__next._full.txt`, `__next.members.__PAGE__.txt`.
pub(crate) fn is_data_of_page(name: &[u8]) -> bool {
    let is_of_next = || {
        let (begins, ends) = (name.get(..7), name.last_chunk::<4>());
        begins.is_some_and(|begin| begin.eq_ignore_ascii_case(b"__next."))
            && ends.is_some_and(|end| end.eq_ignore_ascii_case(b".txt"))
    };
    matches!(name, [b'_' | b'q' | b'Q', ..])
        && (DATA_OF_PAGES.iter().any(|data| name.eq_ignore_ascii_case(data)) || is_of_next())
}

/// Whether all bytes may stand in a request target: visible ASCII, and no fragment.
pub(crate) fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E) && !(defence!("fragments-in-queries") && byte == b'#')
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
    fn most_paths_are_simple() {
        for path in
            ["/", "/v2/models/m-1/predict", "/docs/a.html", "/.well-known/x", "/A/", "/a.b/c", "/a(1)", "/a:b/$x"]
        {
            assert!(Scan::of(path.as_bytes()).is_simple(), "{path}");
        }
        for path in [
            "//",
            "/a//b",
            "/a.",
            "/a./b",
            "/...",
            "/a;b",
            "/%61",
            "/a~1",
            "/(S(x))/a",
            "/a::$DATA",
            "/index.php/a",
            "/a.PHP",
            "/docs/index.html",
        ] {
            assert!(!Scan::of(path.as_bytes()).is_simple(), "{path}");
        }
    }

    #[test]
    fn every_script_is_found() {
        assert!(PACKED_SCRIPTS.is_sorted());
        for name in SCRIPTS {
            let path = format!("/a.{}/b", name.escape_ascii());
            assert!(Scan::of(path.to_uppercase().as_bytes()).script().is_some(), "{path}");
        }
    }

    #[test]
    fn the_first_script_and_an_index_are_found_by_their_segments() {
        let script = |path: &str| {
            Scan::of(path.as_bytes()).script().map(|script| path.get(script.start..script.end).unwrap().to_owned())
        };
        for (path, name) in [
            ("/index.php/admin", "index.php"),
            ("/a/b.FCGI", "b.FCGI"),
            ("/.do/x", ".do"),
            ("/a.php/b.cgi", "a.php"),
            ("/a.b/c.action/", "c.action"),
        ] {
            assert_eq!(script(path).as_deref(), Some(name), "{path}");
        }
        assert_eq!(script("/a.phpx/b").as_deref(), Some("a.php"));
        assert_eq!(script("/a.PHP.txt").as_deref(), Some("a.PHP"));
        for path in ["/php/a", "/a.p/b", "/a.documents/b", "/a./php"] {
            assert_eq!(script(path), None, "{path}");
        }
        for (path, index) in
            [("/a/Index.html", Some(3)), ("/default.", Some(1)), ("/index.html/", Some(1)), ("/a/INDEX//", Some(3))]
        {
            assert_eq!(Scan::of(path.as_bytes()).index(), index, "{path}");
        }
    }
}
