//! JSON text (RFC 8259), token by token. Nothing is kept but the last text or number, and nothing is read over: the reader
//! of the document asks for what may stand there, and refuses the rest. So it can nest no deeper than a document does.

use super::source::{Broken, Kind};
use super::window::Window;

/// JSON text, and where it stands.
pub(super) struct Json<'s> {
    window: Window<'s>,
    /// The last text or number.
    pub(super) text: Vec<u8>,
    /// Whether a list or an object has just begun.
    has_begun: bool,
    /// The number of lines before this one, and where it begins.
    lines: usize,
    line: usize,
}

impl<'s> Json<'s> {
    pub(super) fn new(window: Window<'s>) -> Self {
        Self { window, text: Vec::new(), has_begun: false, lines: 0, line: 0 }
    }

    /// A value, or the beginning of one.
    pub(super) fn value(&mut self) -> Result<Kind, Broken> {
        match self.significant() {
            Some(b'"') => self.string().map(|()| Kind::Text),
            Some(b'{') => Ok(self.begin(Kind::Object)),
            Some(b'[') => Ok(self.begin(Kind::List)),
            Some(b't') => self.word(b"true").map(|()| Kind::Boolean(true)),
            Some(b'f') => self.word(b"false").map(|()| Kind::Boolean(false)),
            Some(b'n') => self.word(b"null").map(|()| Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            _ => Err(Broken),
        }
    }

    /// Whether a list goes on: then an item comes next.
    pub(super) fn item(&mut self) -> Result<bool, Broken> {
        self.goes_on(b']')
    }

    /// Whether an object goes on: then the name of the member was read, and [`colon`](Self::colon) comes next.
    pub(super) fn member(&mut self) -> Result<bool, Broken> {
        if !self.goes_on(b'}')? {
            return Ok(false);
        }
        match self.significant() {
            Some(b'"') => self.string().map(|()| true),
            _ => Err(Broken),
        }
    }

    /// What stands between the name and the value of a member.
    pub(super) fn colon(&mut self) -> Result<(), Broken> {
        self.significant();
        self.expect(b':')
    }

    /// The end of the text.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        if self.significant().is_some() || self.window.has_failed() { Err(Broken) } else { Ok(()) }
    }

    /// Where the text is broken: the place of the byte that should not be there, or of the last one.
    pub(super) fn place(&mut self) -> String {
        let next = usize::from(self.window.peek().is_some());
        let column = self.window.position().saturating_add(next).saturating_sub(self.line);
        format!("not valid JSON (line {}, column {column})", self.lines.saturating_add(1))
    }

    fn begin(&mut self, kind: Kind) -> Kind {
        self.window.skip(1);
        self.has_begun = true;
        kind
    }

    fn goes_on(&mut self, end: u8) -> Result<bool, Broken> {
        let has_begun = core::mem::take(&mut self.has_begun);
        match self.significant() {
            Some(byte) if byte == end => {
                self.window.skip(1);
                Ok(false)
            }
            Some(_) if has_begun => Ok(true),
            Some(b',') => {
                self.window.skip(1);
                Ok(true)
            }
            _ => Err(Broken),
        }
    }

    /// The next byte that is no white space.
    fn significant(&mut self) -> Option<u8> {
        loop {
            let byte = self.window.peek()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.window.skip(1);
            if byte == b'\n' {
                self.lines = self.lines.saturating_add(1);
                self.line = self.window.position();
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.window.peek() != Some(byte) {
            return Err(Broken);
        }
        self.window.skip(1);
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Broken> {
        word.iter().try_for_each(|byte| self.expect(*byte))
    }

    /// A text in quotes (section 7). That it is UTF-8 is seen when it is taken.
    fn string(&mut self) -> Result<(), Broken> {
        self.window.skip(1);
        self.text.clear();
        loop {
            let rest = self.window.rest();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
            let (plain, after) = rest.split_at_checked(plain).ok_or(Broken)?;
            let (read, next) = (plain.len(), after.first().copied());
            self.text.extend_from_slice(plain);
            self.window.skip(read);
            match next {
                Some(b'"') => {
                    self.window.skip(1);
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                // A control character, or the end.
                None if read > 0 => {}
                _ => return Err(Broken),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Broken> {
        self.window.skip(1);
        let byte = match self.window.peek().ok_or(Broken)? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            _ => return Err(Broken),
        };
        self.window.skip(1);
        self.text.push(byte);
        Ok(())
    }

    /// A code point as four hex digits, or as two surrogates of four.
    fn unicode(&mut self) -> Result<(), Broken> {
        self.window.skip(1);
        let first = self.four_digits()?;
        let code = match first {
            0xD800..0xDC00 => {
                self.word(b"\\u")?;
                let second = self.four_digits()?.checked_sub(0xDC00).filter(|low| *low < 0x400).ok_or(Broken)?;
                ((first & 0x3FF) << 10 | second).checked_add(0x1_0000).ok_or(Broken)?
            }
            _ => first,
        };
        let character = char::from_u32(code).ok_or(Broken)?;
        self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn four_digits(&mut self) -> Result<u32, Broken> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.window.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or(Broken)?;
            self.window.skip(1);
            code = code << 4 | digit;
        }
        Ok(code)
    }

    /// A number (section 6), as it is written.
    fn number(&mut self) -> Result<(), Broken> {
        self.text.clear();
        self.sign(b"-");
        if !self.sign(b"0") {
            self.digits()?;
        }
        if self.sign(b".") {
            self.digits()?;
        }
        if self.sign(b"eE") {
            self.sign(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a byte of a number, if it is one of these.
    fn sign(&mut self, any: &[u8]) -> bool {
        let byte = self.window.peek().filter(|byte| any.contains(byte));
        self.text.extend(byte);
        self.window.skip(usize::from(byte.is_some()));
        byte.is_some()
    }

    fn digits(&mut self) -> Result<(), Broken> {
        if !self.sign(b"0123456789") {
            return Err(Broken);
        }
        while self.sign(b"0123456789") {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::source::tests::read_whole;

    /// What another reader makes of it.
    fn reference(text: &[u8]) -> Option<Value> {
        serde_json::from_slice(text).ok()
    }

    const TEXTS: &[&str] = &[
        "{}",
        " [ ] ",
        "null",
        "true",
        "\"\"",
        "-0.5e-3",
        "[0,-0,10,1e5,1E+5,123456789012345678901234567890]",
        r#"{"a": [1, {"b": null}, [[]], {}], "a": "twice", "": false}"#,
        r#""\" \\ \/ \b \f \n \r \t \u0041 \u00e9 \ud83d\ude00 \uFFFF \u0000""#,
        "\"plain \u{e9} \u{1F600} \u{7f}\"",
        "\r\n\t {\"a\"\n:\t1 ,\r\"b\": 2}\n",
        // And what is none.
        "",
        " ",
        "{",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{a:1}"#,
        r#"{"a":1 "b":2}"#,
        "{}}",
        "{} {}",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "nul",
        "nulll",
        "True",
        "NaN",
        "-Infinity",
        "'a'",
        "\"a",
        "\"\\",
        r#""\x""#,
        r#""\u12""#,
        r#""\u12G4""#,
        r#""\u+123""#,
        r#""\ud83d""#,
        r#""\ud83d\u0041""#,
        r#""\ud83dx""#,
        r#""\ude00""#,
        "\"a\nb\"",
        "\"a\u{0}b\"",
        "\u{feff}{}",
        "// a remark\n{}",
        "/**/{}",
        "{}\u{0}",
        "\u{b}{}",
    ];

    #[test]
    fn text_is_read_as_others_read_it_wherever_its_pieces_end() {
        for text in TEXTS {
            for piece in [1, 2, 3, 7, usize::MAX] {
                assert_eq!(
                    read_whole(text.as_bytes(), piece),
                    reference(text.as_bytes()),
                    "{text} in pieces of {piece}"
                );
            }
        }
        let invalid: [&[u8]; 4] = [b"\"\xff\"", b"\"\xc3\"", b"\xff", b"{\"\xed\xa0\x80\": 1}"];
        for bytes in invalid {
            assert_eq!((read_whole(bytes, 1), reference(bytes)), (None, None), "{bytes:?}");
        }
    }

    const OTHERS: &[u8] = b"{}[]:,\"\\ 0-9.eEu/ntb\n\x00\xc3\xa9d8";

    /// Texts that are changed in a place or two, always the same.
    #[test]
    fn broken_text_is_read_as_others_read_it() {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        let (mut taken, mut refused) = (0, 0);
        for text in TEXTS.iter().filter(|text| !text.is_empty()) {
            for _ in 0..400 {
                let mut bytes = text.as_bytes().to_vec();
                for _ in 0..=random(2) {
                    let at = random(bytes.len());
                    let other = OTHERS[random(OTHERS.len())];
                    match random(3) {
                        0 => bytes[at] = other,
                        1 => bytes.insert(at, other),
                        _ if bytes.len() > 1 => drop(bytes.remove(at)),
                        _ => {}
                    }
                }
                let (read, expected) = (read_whole(&bytes, 1 + random(9)), reference(&bytes));
                assert_eq!(read, expected, "{}", String::from_utf8_lossy(&bytes));
                *if read.is_some() { &mut taken } else { &mut refused } += 1;
            }
        }
        assert!(taken > 1000 && refused > 1000, "a control: {taken} were taken, and {refused} refused");
    }
}
