//! Reads an Envoy `Struct` (`google.protobuf.Struct`) from its wire form.

use prost::encoding::{WireType, decode_key, decode_varint};

use crate::value::json::Json;

const MAX_DEPTH: usize = 16;

/// Whether a configuration that begins with these bytes is a serialized `Struct` and not JSON text. The first field of a
/// `Struct` is an entry, whose tag is a line feed. The entry contains the tag of its value, which is not a character of
/// JSON text.
pub(super) fn is_struct(start: &[u8]) -> bool {
    start.first() == Some(&0x0A) && start.contains(&0x12)
}

/// Reads a `Struct`; `None` if the bytes are not a valid one.
pub(super) fn read(bytes: &[u8]) -> Option<Json> {
    object(bytes, MAX_DEPTH)
}

/// Splits off the next field: its number, its wire type, and its bytes. For a varint, the bytes are those of the number.
fn field<'b>(from: &mut &'b [u8]) -> Option<(u32, WireType, &'b [u8])> {
    let (number, kind) = decode_key(from).ok()?;
    let length = match kind {
        WireType::LengthDelimited => usize::try_from(decode_varint(from).ok()?).ok()?,
        WireType::SixtyFourBit => 8,
        WireType::Varint => {
            let mut rest = *from;
            decode_varint(&mut rest).ok()?;
            from.len().checked_sub(rest.len())?
        }
        _ => return None,
    };
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some((number, kind, bytes))
}

/// Reads a `Struct`: `map<string, Value> fields = 1`, in which each entry has `key = 1` and `value = 2`.
fn object(mut from: &[u8], depth: usize) -> Option<Json> {
    let mut members = Vec::new();
    while !from.is_empty() {
        let (1, WireType::LengthDelimited, mut entry) = field(&mut from)? else { return None };
        let (1, WireType::LengthDelimited, name) = field(&mut entry)? else { return None };
        let (2, WireType::LengthDelimited, content) = field(&mut entry)? else { return None };
        if !entry.is_empty() {
            return None;
        }
        members.push((text(name)?, value(content, depth)?));
    }
    Some(Json::Object(members))
}

/// Reads a `ListValue`: `repeated Value values = 1`.
fn list(mut from: &[u8], depth: usize) -> Option<Json> {
    let mut items = Vec::new();
    while !from.is_empty() {
        let (1, WireType::LengthDelimited, item) = field(&mut from)? else { return None };
        items.push(value(item, depth)?);
    }
    Some(Json::List(items))
}

fn value(mut from: &[u8], depth: usize) -> Option<Json> {
    if from.is_empty() {
        return Some(Json::Null);
    }
    let depth = depth.checked_sub(1)?;
    let value = match field(&mut from)? {
        (1, WireType::Varint, _) => Json::Null,
        (2, WireType::SixtyFourBit, bytes) => number(f64::from_le_bytes(bytes.try_into().ok()?))?,
        (3, WireType::LengthDelimited, bytes) => Json::Text(text(bytes)?),
        (4, WireType::Varint, mut bytes) => Json::Bool(decode_varint(&mut bytes).ok()? != 0),
        (5, WireType::LengthDelimited, bytes) => object(bytes, depth)?,
        (6, WireType::LengthDelimited, bytes) => list(bytes, depth)?,
        _ => return None,
    };
    from.is_empty().then_some(value)
}

fn text(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Returns a number. Below 2^53, a whole double is exactly the number that was written, so it becomes an integer.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and below 2^53")]
fn number(number: f64) -> Option<Json> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !number.is_finite() {
        return None;
    }
    if number.fract() != 0.0 || number.abs() >= EXACT {
        return Some(Json::Float(number));
    }
    let whole = number as i64;
    Some(u64::try_from(whole).map_or(Json::Signed(whole), Json::Unsigned))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn entry(name: &str, value: &[u8]) -> Vec<u8> {
        field(1, &[field(1, name.as_bytes()), field(2, value)].concat())
    }

    fn of(number: f64) -> Vec<u8> {
        [&[2 << 3 | 1], &number.to_le_bytes()[..]].concat()
    }

    fn read(bytes: &[u8]) -> Option<Value> {
        is_struct(bytes).then(|| super::read(bytes))?.map(|value| value.to(Vec::new()).map_err(|_| ()).expect("JSON"))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let list = field(6, &[field(1, &of(1.5)), field(1, &[4 << 3, 1]), field(1, &[])].concat());
        let document = [
            entry("version", &of(1.0)),
            entry("ten", &of(-10.0)),
            entry("small", &of(1e-9)),
            entry("large", &of(9_007_199_254_740_992.0)),
            entry("name", &field(3, "a\"\n\u{e9}".as_bytes())),
            entry("list", &list),
            entry("empty", &field(5, &[])),
            entry("nested", &field(5, &entry("a", &field(6, &[])))),
            entry("null", &[1 << 3, 0]),
        ]
        .concat();
        let expected = json!({
            "version": 1, "ten": -10, "small": 1e-9, "large": 9_007_199_254_740_992.0, "name": "a\"\n\u{e9}",
            "list": [1.5, true, null], "empty": {}, "nested": {"a": []}, "null": null,
        });
        assert_eq!(read(&document), Some(expected));
    }

    #[test]
    fn a_member_that_is_given_twice_stays_twice() {
        let document = [entry("a", &of(1.0)), entry("a", &of(2.0))].concat();
        let Some(Json::Object(members)) = super::read(&document) else { panic!("an object") };
        assert_eq!(members.len(), 2);
    }

    #[test]
    fn json_text_is_no_struct() {
        for text in ["", "{}", "\n{\"version\": 1}", "\n{\n}"] {
            assert!(!is_struct(text.as_bytes()), "{text}");
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
        // Changes each byte, including lengths, by one.
        for place in 0..good.len() {
            for byte in [good[place].wrapping_add(1), good[place].wrapping_sub(1)] {
                let mut bytes = good.clone();
                bytes[place] = byte;
                let is_text = good[place].is_ascii_lowercase();
                assert!(is_text || read(&bytes).is_none(), "{byte} at {place}: {:?}", read(&bytes));
            }
        }
        let deep = (0..MAX_DEPTH).fold(Vec::new(), |inside, _| field(5, &entry("a", &inside)));
        assert_eq!(read(&entry("deep", &deep)), None);
        assert_eq!(read(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]), None);
        assert_eq!(read(&entry("n", &of(f64::INFINITY))), None);
        // A wrong wire type is refused. A zero in two bytes is valid.
        assert_eq!(read(&entry("n", &field(4, &[0]))), None);
        assert_eq!(read(&entry("n", &[3 << 3, 1])), None);
        assert_eq!(read(&entry("n", &[4 << 3, 0x80, 0])), Some(json!({"n": false})));
        assert_eq!(read(&entry("n", &field(3, b"\xff"))), None, "no UTF-8");
        assert_eq!(read(&entry("n", &[field(3, b"a"), field(3, b"b")].concat())), None, "two values");
    }
}
