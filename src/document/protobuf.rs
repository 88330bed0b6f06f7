//! An Envoy `Struct` (`google.protobuf.Struct`), token by token: the same tokens as those of JSON text.
//!
//! YAML that stands in an Envoy configuration reaches the filter so, with every number a double. Each field is read where
//! protobuf's own writers put it: a name before its value, and of the kinds of a value just one.

use super::source::{Broken, Kind};
use super::window::Window;

/// The tags that occur: the number of the field, and the kind of what follows.
mod tag {
    /// `Struct.fields` (an entry of the map), the name in an entry, `ListValue.values`.
    pub(super) const FIRST: u8 = 1 << 3 | 2;
    /// The value in an entry.
    pub(super) const VALUE: u8 = 2 << 3 | 2;
    pub(super) const NULL: u8 = 1 << 3;
    pub(super) const NUMBER: u8 = 2 << 3 | 1;
    pub(super) const TEXT: u8 = 3 << 3 | 2;
    pub(super) const BOOLEAN: u8 = 4 << 3;
    pub(super) const OBJECT: u8 = 5 << 3 | 2;
    pub(super) const LIST: u8 = 6 << 3 | 2;
}

/// Up to 2^53 a double holds whole numbers exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether a configuration that is still to be read is a serialized `Struct` and not JSON text. A `Struct` begins with the
/// tag of its first field (0x0A, which JSON text may begin with too: a line feed), and each field has a value, whose tag 0x12
/// is a control character that JSON text never holds.
pub(super) fn is_struct(window: &mut Window<'_>) -> bool {
    window.peek() == Some(tag::FIRST) && window.is_ahead(tag::VALUE)
}

/// A serialized `Struct`, and where it stands.
pub(super) struct Struct<'s> {
    window: Window<'s>,
    /// The last text or number.
    pub(super) text: Vec<u8>,
    /// Where each list and object ends that has begun; that of the whole is not known.
    ends: Vec<usize>,
    /// Where the next value ends.
    value: usize,
    /// Whether the whole has begun.
    has_begun: bool,
}

impl<'s> Struct<'s> {
    pub(super) fn new(window: Window<'s>) -> Self {
        Self { window, text: Vec::new(), ends: Vec::new(), value: usize::MAX, has_begun: false }
    }

    /// A value, or the beginning of one.
    pub(super) fn value(&mut self) -> Result<Kind, Broken> {
        if !core::mem::replace(&mut self.has_begun, true) {
            return Ok(Kind::Object);
        }
        if self.window.position() == self.value {
            return Ok(Kind::Null);
        }
        let kind = match self.byte()? {
            tag::NULL => self.varint().map(|_| Kind::Null)?,
            tag::NUMBER => self.number().map(|()| Kind::Number)?,
            tag::TEXT => self.text().map(|()| Kind::Text)?,
            tag::BOOLEAN => self.varint().map(|truth| Kind::Boolean(truth != 0))?,
            tag::OBJECT => return self.begin(Kind::Object),
            tag::LIST => return self.begin(Kind::List),
            _ => return Err(Broken),
        };
        if self.window.position() == self.value { Ok(kind) } else { Err(Broken) }
    }

    /// Whether a list goes on: then an item comes next.
    pub(super) fn item(&mut self) -> Result<bool, Broken> {
        let goes_on = self.goes_on()?;
        if goes_on {
            self.value = self.end_of_field(tag::FIRST)?;
        }
        Ok(goes_on)
    }

    /// Whether an object goes on: then the name of the member was read, and [`colon`](Self::colon) comes next.
    pub(super) fn member(&mut self) -> Result<bool, Broken> {
        let goes_on = self.goes_on()?;
        if goes_on {
            let entry = self.end_of_field(tag::FIRST)?;
            self.expect(tag::FIRST)?;
            self.text()?;
            self.value = entry;
        }
        Ok(goes_on)
    }

    /// What stands between the name and the value of a member.
    pub(super) fn colon(&mut self) -> Result<(), Broken> {
        if self.end_of_field(tag::VALUE)? == self.value { Ok(()) } else { Err(Broken) }
    }

    /// The end of the whole.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        if self.window.peek().is_some() || self.window.has_failed() { Err(Broken) } else { Ok(()) }
    }

    fn begin(&mut self, kind: Kind) -> Result<Kind, Broken> {
        let end = self.length_end()?;
        if end != self.value {
            return Err(Broken);
        }
        self.ends.push(end);
        Ok(kind)
    }

    fn goes_on(&mut self) -> Result<bool, Broken> {
        let position = self.window.position();
        let Some(end) = self.ends.last() else { return Ok(self.window.peek().is_some()) };
        if position > *end {
            return Err(Broken);
        }
        if position == *end {
            self.ends.pop();
            return Ok(false);
        }
        Ok(true)
    }

    /// Where a field ends that has this tag and a length.
    fn end_of_field(&mut self, tag: u8) -> Result<usize, Broken> {
        self.expect(tag)?;
        self.length_end()
    }

    /// Where what begins with its length ends.
    fn length_end(&mut self) -> Result<usize, Broken> {
        let length = usize::try_from(self.varint()?).map_err(|_| Broken)?;
        self.window.position().checked_add(length).ok_or(Broken)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.byte()? == byte { Ok(()) } else { Err(Broken) }
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let byte = self.window.peek().ok_or(Broken)?;
        self.window.skip(1);
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F).checked_shl(shift).ok_or(Broken)?;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    fn text(&mut self) -> Result<(), Broken> {
        let end = self.length_end()?;
        self.text.clear();
        loop {
            let missing = end.saturating_sub(self.window.position());
            if missing == 0 {
                return Ok(());
            }
            let rest = self.window.rest();
            let piece = rest.get(..missing).unwrap_or(rest);
            let read = piece.len();
            if read == 0 {
                return Err(Broken);
            }
            self.text.extend_from_slice(piece);
            self.window.skip(read);
        }
    }

    /// A double as JSON text has a whole number; of any other, what a message may show.
    fn number(&mut self) -> Result<(), Broken> {
        let mut bytes = [0; 8];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        let number = f64::from_le_bytes(bytes);
        let whole = number as i64;
        let text = if !number.is_finite() {
            return Err(Broken);
        } else if number.abs() >= EXACT {
            String::from(if number > 0.0 { "more than 2^53" } else { "less than -2^53" })
        } else if whole as f64 == number {
            whole.to_string()
        } else {
            let sign = if number < 0.0 { "-" } else { "" };
            let text = format!("{sign}{}.{:06}", whole.unsigned_abs(), millionths(number));
            text.trim_end_matches('0').to_owned()
        };
        self.text = text.into_bytes();
        Ok(())
    }
}

/// What is behind the point, in millionths. Writing a double in full would bring large tables into the filter.
fn millionths(number: f64) -> u32 {
    (number.abs().fract() * 1e6) as u32
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::source::tests::{pieces, read_tokens, read_whole};
    use super::super::window::whole;
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn entry(name: &str, value: &[u8]) -> Vec<u8> {
        field(1, &[field(1, name.as_bytes()), field(2, value)].concat())
    }

    fn read(bytes: &[u8]) -> Option<Value> {
        read_whole(bytes, usize::MAX).filter(|_| is_packed(bytes))
    }

    fn is_packed(bytes: &[u8]) -> bool {
        is_struct(&mut Window::new(&mut whole(bytes)))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let number = |number: f64| [&[tag::NUMBER], &number.to_le_bytes()[..]].concat();
        let list = field(6, &[field(1, &number(1.5)), field(1, &[4 << 3, 1]), field(1, &[])].concat());
        let document = [
            entry("version", &number(1.0)),
            entry("ten", &number(-10.0)),
            entry("name", &field(3, "a\"\n\u{e9}".as_bytes())),
            entry("list", &list),
            entry("empty", &field(5, &[])),
            entry("nested", &field(5, &entry("a", &field(6, &[])))),
            entry("null", &[1 << 3, 0]),
        ]
        .concat();
        let expected = json!({
            "version": 1, "ten": -10, "name": "a\"\n\u{e9}", "list": [1.5, true, null], "empty": {}, "nested": {"a": []},
            "null": null,
        });
        assert_eq!(read(&document), Some(expected));
    }

    #[test]
    fn a_number_that_is_not_whole_is_never_taken_for_one() {
        for (number, text) in [
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (1e-9, "0."),
            (9_007_199_254_740_992.0, "more than 2^53"),
            (-1e300, "less than -2^53"),
        ] {
            let bytes = field(
                1,
                &[&field(1, b"n")[..], &field(2, &[&[tag::NUMBER], &f64::to_le_bytes(number)[..]].concat())].concat(),
            );
            let mut bytes = whole(&bytes);
            let mut tokens = Struct::new(Window::new(&mut bytes));
            assert!(matches!(tokens.value(), Ok(Kind::Object)) && tokens.member().is_ok() && tokens.colon().is_ok());
            assert_eq!(tokens.value().ok(), Some(Kind::Number));
            assert_eq!(String::from_utf8_lossy(&tokens.text), text);
            assert!(text.parse::<i64>().is_err());
        }
    }

    #[test]
    fn json_text_is_no_struct() {
        for text in ["", "{}", "\n{\"version\": 1}", "\n{\n}"] {
            assert!(!is_packed(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn broken_bytes_are_refused_and_never_followed_past_their_end() {
        let nested = field(5, &entry("a", &field(6, &field(1, &field(3, b"gate")))));
        let good = entry("name", &nested);
        assert!(read(&good).is_some());
        for end in 1..good.len() {
            assert_eq!(read(&good[..end]), None, "cut at {end}");
        }
        // Each length, too long and too short.
        for place in 0..good.len() {
            for byte in [good[place].wrapping_add(1), good[place].wrapping_sub(1)] {
                let mut bytes = good.clone();
                bytes[place] = byte;
                let is_text = good[place].is_ascii_lowercase();
                assert!(is_text || read(&bytes).is_none(), "{byte} at {place}: {:?}", read(&bytes));
            }
        }
        assert_eq!(read(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]), None);
        assert_eq!(read(&entry("n", &[tag::NUMBER, 0, 0, 0, 0, 0, 0, 0xF0, 0x7F])), None, "infinity");
        assert_eq!(read(&entry("n", &field(3, b"\xff"))), None, "no UTF-8");
        assert_eq!(read(&entry("n", &[field(3, b"a"), field(3, b"b")].concat())), None, "two values");
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let document = entry("name", &field(5, &entry("a", &field(6, &field(1, &field(3, "gate\u{e9}".as_bytes()))))));
        for piece in 1..document.len() {
            let read = read_tokens(Struct::new(Window::new(&mut pieces(&document, piece))).into());
            assert_eq!(read, Some(json!({"name": {"a": ["gate\u{e9}"]}})), "{piece}");
        }
    }
}
