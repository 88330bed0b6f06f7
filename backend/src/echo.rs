//! The request as it arrived, as JSON.

use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde_json::{Value, json};

/// Method, path with its query, and every header line in the order of arrival (lines of one name stand together).
pub(crate) fn received(request: &Parts) -> Value {
    let path = request.uri.path_and_query().map_or("", |path| path.as_str());
    json!({ "method": request.method.as_str(), "path": path, "headers": headers(&request.headers) })
}

fn headers(headers: &HeaderMap) -> Vec<[String; 2]> {
    headers.iter().map(|(name, value)| [name.as_str().to_owned(), readable(value.as_bytes())]).collect()
}

/// `bytes` as text; what is not UTF-8 becomes `\xNN`, since JSON holds text only. A backslash of the value itself
/// stays as it is: this is for reading, not for decoding.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{readable, received};
    use axum::http::Request;
    use axum::http::header::HeaderValue;
    use serde_json::json;

    #[test]
    fn bytes_that_are_no_utf8_are_shown_as_escapes() {
        assert_eq!(readable(b"plain"), "plain");
        assert_eq!(readable("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(readable(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(readable(b""), "");
    }

    #[test]
    fn repeated_headers_and_the_query_are_kept() {
        let request = Request::post("http://model/v2/?x=1&x=2")
            .header("x-api-key", "one")
            .header("x-api-key", HeaderValue::from_bytes(b"\xff").unwrap())
            .body(())
            .unwrap();
        let expected = json!({
            "method": "POST",
            "path": "/v2/?x=1&x=2",
            "headers": [["x-api-key", "one"], ["x-api-key", "\\xff"]],
        });
        assert_eq!(received(&request.into_parts().0), expected);
    }
}
