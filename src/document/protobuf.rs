//! An Envoy `Struct` (`google.protobuf.Struct`) as JSON text.
//!
//! YAML that stands in an Envoy configuration reaches the filter as serialized protobuf, with every number a double.
//! Written as JSON text again, there is one reader of documents and not two.

/// How deep lists and objects may nest: the document itself needs 6.
const DEPTH: u8 = 32;

/// Whether `bytes` are a serialized `Struct` and not JSON text. A `Struct` begins with the tag of its first field
/// (0x0A, which JSON text may begin with too: a line feed), and each field has a value, whose tag 0x12 is a control
/// character that JSON text never holds.
pub(crate) fn is_struct(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x0A) && bytes.contains(&0x12)
}

/// Writes a serialized `Struct` as JSON text. `None` where the bytes are none.
pub(crate) fn struct_to_json(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut json = Vec::with_capacity(bytes.len());
    object(bytes, &mut json, DEPTH)?;
    Some(json)
}

/// `Struct`: field 1, repeated, is an entry of the map: field 1 the name, field 2 the value.
fn object(bytes: &[u8], json: &mut Vec<u8>, depth: u8) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    json.push(b'{');
    for (count, field) in Fields(bytes).enumerate() {
        let (1, Wire::Bytes(entry)) = field? else { return None };
        let (mut name, mut content): (&[u8], &[u8]) = (b"", b"");
        for field in Fields(entry) {
            match field? {
                (1, Wire::Bytes(bytes)) => name = bytes,
                (2, Wire::Bytes(bytes)) => content = bytes,
                _ => return None,
            }
        }
        if count > 0 {
            json.push(b',');
        }
        text(name, json)?;
        json.push(b':');
        value(content, json, depth)?;
    }
    json.push(b'}');
    Some(())
}

/// `Value`: null (1), number (2), text (3), boolean (4), object (5) or list (6); none at all is null.
fn value(bytes: &[u8], json: &mut Vec<u8>, depth: u8) -> Option<()> {
    let Some(field) = Fields(bytes).last() else {
        json.extend(b"null");
        return Some(());
    };
    match field? {
        (1, Wire::Varint(_)) => json.extend(b"null"),
        (2, Wire::Double(number)) => {
            let number = f64::from_le_bytes(number);
            let whole = number as i64;
            // Up to 2^53 a double holds whole numbers exactly.
            if number.abs() < 9_007_199_254_740_992.0 && whole as f64 == number {
                json.extend(whole.to_string().as_bytes());
            } else {
                json.extend(serde_json::Number::from_f64(number)?.to_string().as_bytes());
            }
        }
        (3, Wire::Bytes(bytes)) => text(bytes, json)?,
        (4, Wire::Varint(truth)) => json.extend(if truth == 0 { "false" } else { "true" }.as_bytes()),
        (5, Wire::Bytes(bytes)) => object(bytes, json, depth)?,
        (6, Wire::Bytes(bytes)) => list(bytes, json, depth)?,
        _ => return None,
    }
    Some(())
}

/// `ListValue`: field 1, repeated, is a value.
fn list(bytes: &[u8], json: &mut Vec<u8>, depth: u8) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    json.push(b'[');
    for (count, field) in Fields(bytes).enumerate() {
        let (1, Wire::Bytes(item)) = field? else { return None };
        if count > 0 {
            json.push(b',');
        }
        value(item, json, depth)?;
    }
    json.push(b']');
    Some(())
}

fn text(bytes: &[u8], json: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(json, core::str::from_utf8(bytes).ok()?).ok()
}

/// The fields of one message, in order; `None` where the bytes are no message.
struct Fields<'a>(&'a [u8]);

/// A field's content, by its wire type. The two that `Struct` never uses are refused.
enum Wire<'a> {
    Varint(u64),
    Double([u8; 8]),
    Bytes(&'a [u8]),
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let (number, rest) = self.0.split_first_chunk()?;
                self.0 = rest;
                Wire::Double(*number)
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            _ => return None,
        };
        Some((tag >> 3, content))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn entry(name: &str, value: &[u8]) -> Vec<u8> {
        field(1, &[field(1, name.as_bytes()), field(2, value)].concat())
    }

    #[test]
    fn every_kind_of_value_becomes_json() {
        let number = |number: f64| [&[2 << 3 | 1], &number.to_le_bytes()[..]].concat();
        let list = field(6, &[field(1, &number(1.5)), field(1, &[4 << 3, 1]), field(1, &[])].concat());
        let document = [
            entry("version", &number(1.0)),
            entry("name", &field(3, "a\"\n\u{e9}".as_bytes())),
            entry("list", &list),
            entry("empty", &field(5, &[])),
            entry("null", &[1 << 3, 0]),
        ]
        .concat();
        assert!(is_struct(&document));
        let json = String::from_utf8(struct_to_json(&document).unwrap()).unwrap();
        let expected =
            "{\"version\":1,\"name\":\"a\\\"\\n\u{e9}\",\"list\":[1.5,true,null],\"empty\":{},\"null\":null}";
        assert_eq!(json, expected);
    }

    #[test]
    fn json_text_is_no_struct() {
        for text in ["", "{}", "\n{\"version\": 1}", "\n{\n}"] {
            assert!(!is_struct(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn broken_bytes_are_refused_and_never_followed_past_their_end() {
        let good = entry("name", &field(3, b"gate"));
        for end in 1..good.len() {
            assert_eq!(struct_to_json(&good[..end]), None, "cut at {end}");
        }
        assert_eq!(struct_to_json(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]), None);
        assert_eq!(struct_to_json(&entry("n", &[2 << 3 | 1, 0, 0, 0, 0, 0, 0, 0xF0, 0x7F])), None, "infinity");
        assert_eq!(struct_to_json(&entry("n", &field(3, b"\xff"))), None, "no UTF-8");
        let mut deep = field(5, &[]);
        for _ in 0..30 {
            deep = field(6, &field(1, &deep[..deep.len().min(120)]));
        }
        let _ = struct_to_json(&entry("deep", &deep));
    }
}
