//! Readable JSON, with one header on each line.

use serde_json::Value;

/// `value` indented, except that a list or an object without another inside stays on one line. (serde_json's own
/// indentation would spread each `["name", "value"]` over four.)
pub(crate) fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text.push('\n');
    text
}

fn write(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if items.iter().any(is_nested) => {
            block(text, ['[', ']'], depth, items, |text, item| write(text, item, depth + 1));
        }
        Value::Object(members) if members.values().any(is_nested) => {
            block(text, ['{', '}'], depth, members, |text, (name, value)| {
                text.push_str(&format!("{}: ", Value::from(name.as_str())));
                write(text, value, depth + 1);
            });
        }
        flat => text.push_str(&flat.to_string()),
    }
}

fn block<T>(
    text: &mut String,
    [open, close]: [char; 2],
    depth: usize,
    entries: impl IntoIterator<Item = T>,
    entry: impl Fn(&mut String, T),
) {
    text.push(open);
    for (index, item) in entries.into_iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(depth + 1));
        entry(text, item);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(close);
}

fn is_nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

#[cfg(test)]
mod tests {
    use super::pretty;
    use serde_json::{Value, json};

    #[test]
    fn inner_lists_stay_on_one_line() {
        let value = json!({ "headers": [["a", "1"], ["b\"", "2"]], "method": "GET" });
        let expected = r#"{
  "headers": [
    ["a","1"],
    ["b\"","2"]
  ],
  "method": "GET"
}
"#;
        assert_eq!(pretty(&value), expected);
        assert_eq!(serde_json::from_str::<Value>(expected).unwrap(), value);
    }
}
