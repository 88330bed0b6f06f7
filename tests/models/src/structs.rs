//! A JSON document as the serialized `google.protobuf.Struct` that Envoy passes to a filter.

use serde_json::{Map, Value};

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;

/// The protobuf bytes of a document. Numbers become doubles, as in Envoy.
///
/// # Panics
/// If the document is not an object.
pub fn encode(document: &Value) -> Vec<u8> {
    fields(document.as_object().expect("a Struct is an object"))
}

/// `Struct { map<string, Value> fields = 1 }`
fn fields(members: &Map<String, Value>) -> Vec<u8> {
    let entry = |(key, value): (&String, &Value)| {
        delimited(1, &[delimited(1, key.as_bytes()), delimited(2, &encode_value(value))].concat())
    };
    members.iter().flat_map(entry).collect()
}

/// `Value { oneof { null_value = 1, number_value = 2, string_value = 3, bool_value = 4, struct_value = 5, list_value = 6 } }`
fn encode_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![tag(1, VARINT), 0],
        Value::Bool(flag) => vec![tag(4, VARINT), u8::from(*flag)],
        Value::Number(number) => {
            let double = number.as_f64().expect("a JSON number fits a double");
            [&[tag(2, FIXED64)], double.to_le_bytes().as_slice()].concat()
        }
        Value::String(text) => delimited(3, text.as_bytes()),
        Value::Object(members) => delimited(5, &fields(members)),
        Value::Array(items) => {
            let list: Vec<u8> = items.iter().flat_map(|item| delimited(1, &encode_value(item))).collect();
            delimited(6, &list)
        }
    }
}

fn tag(field: u8, wire_type: u8) -> u8 {
    field << 3 | wire_type
}

fn delimited(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag(field, DELIMITED)];
    let mut rest = content.len();
    while rest >= 128 {
        bytes.push((rest % 128 + 128).to_le_bytes()[0]);
        rest /= 128;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::encode;

    #[test]
    fn a_struct_has_the_bytes_of_the_protobuf_specification() {
        let list = b"\x0a\x02\x20\x01\x0a\x02\x08\x00\x0a\x03\x1a\x01x";
        let a = [b"\x0a\x14\x0a\x01a\x12\x0f\x32\x0d".as_slice(), list].concat();
        let n = b"\x0a\x0e\x0a\x01n\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf0\x3f";
        assert_eq!(encode(&json!({"a": [true, null, "x"], "n": 1})), [a.as_slice(), n].concat());
    }
}
