//! The search for secrets in what a link shares: what was removed in one place may stand in another one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::percent_decode_str;
use portcullis_explain::yaml::Node;
use serde_json::Value;

use crate::shared::SharedRequest;

/// The shortest value of a header or parameter that is searched for in the rest: shorter ones stand everywhere by chance.
const MIN_SECRET: usize = 6;

/// How many values of one word are searched for: `a=b=c` has two.
const MAX_VALUES: usize = 8;

/// The secrets of the policy and of the request, to search for them in what is shared.
pub(crate) fn of(shared: &SharedRequest, policy: &Node) -> Vec<String> {
    let keys = policy.items_of("consumers").iter().flat_map(|consumer| consumer.items_of("keys"));
    // A key may also stand where its digest belongs.
    let keys = keys.flat_map(|key| [key.get("plaintext"), key.get("sha256")]).flatten().filter_map(Node::text);
    let words = shared.taken.iter().flat_map(|text| decodings(text)).flat_map(|text| words(&text));
    let words = words.filter(|word| word.len() >= MIN_SECRET && !word.eq_ignore_ascii_case("bearer"));
    let mut secrets: Vec<_> = keys.map(str::to_owned).chain(words).filter(|secret| !secret.is_empty()).collect();
    secrets.sort_unstable();
    secrets.dedup();
    secrets
}

/// Whether one of the secrets stands in a value, as it is or percent-encoded. The names of members are no values.
pub(crate) fn found_in(value: &Value, secrets: &[String]) -> bool {
    let is_found =
        |text: &str| decodings(text).iter().any(|text| secrets.iter().any(|secret| text.contains(secret.as_str())));
    match value {
        Value::String(text) => is_found(text),
        Value::Number(number) => is_found(&number.to_string()),
        Value::Array(items) => items.iter().any(|item| found_in(item, secrets)),
        Value::Object(members) => members.values().any(|member| found_in(member, secrets)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// The text, and what it is when escapes are decoded, once or several times, but not forever.
fn decodings(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned()];
    for _ in 0..4 {
        let decoded = all.last().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
        match decoded {
            Some(decoded) if all.last() != Some(&decoded) => all.push(decoded),
            _ => break,
        }
    }
    all
}

/// The parts of a removed text of which each may be a key: all of it, its words, what follows a `=`, the user before an `@`, and
/// the user and password of `Basic` (RFC 7617).
fn words(text: &str) -> Vec<String> {
    let ends = |c: char| c.is_whitespace() || ['&', ';', ',', '?', '"', '#'].contains(&c);
    let mut words = vec![text.trim()];
    let mut decoded = Vec::new();
    for word in text.split(ends) {
        let values = word.match_indices('=').filter_map(|(at, _)| word.get(at..)?.strip_prefix('='));
        for part in [word].into_iter().chain(values.take(MAX_VALUES)) {
            words.push(part);
            // Base64 may also be written without its padding.
            let unpadded = part.trim_end_matches('=');
            words.push(unpadded);
            let basic = STANDARD_NO_PAD.decode(unpadded).ok().and_then(|basic| String::from_utf8(basic).ok());
            if let Some((user, password)) = basic.as_ref().and_then(|basic| basic.split_once(':')) {
                decoded.extend([user.to_owned(), password.to_owned()]);
            }
            if let Some((user, _)) = part.rsplit_once('@') {
                let user = user.rsplit_once("//").map_or(user, |(_, user)| user);
                words.push(user);
                words.extend(user.split(':'));
            }
        }
    }
    words.into_iter().map(str::to_owned).chain(decoded).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::link::share;
    use crate::link::tests::POLICY;

    #[test]
    fn a_secret_in_another_place_makes_no_link() {
        let fails = |policy: &str, request: Value| share(policy, &request.to_string()).unwrap_err().message;
        let message =
            "a key or a credential also stands in another place of the policy or the request: remove it there";
        assert_eq!(fails(POLICY, json!({"path": "/plaintext-secret"})), message);
        assert_eq!(fails(POLICY, json!({"path": "/%70laintext-secret"})), message);
        assert_eq!(fails(POLICY, json!({"path": "/", "peer": "", "filter_state": "k=plaintext-secret"})), message);
        let headers = "Authorization: Bearer request-secret\nUser-Agent: request-secret";
        assert_eq!(fails(POLICY, json!({"path": "/", "headers": headers})), message);
        assert_eq!(fails(POLICY, json!({"path": "/request-secret?api_key=request-secret"})), message);
        // What was taken out of a part of the request that is shared otherwise.
        for headers in [
            "X-Original-URL: /a?api_key=request-secret\nUser-Agent: request-secret",
            "X-Original-URL: /a%253Fapi_key=request-secret\nUser-Agent: request-secret",
            "Via: 1.1 request-secret@host\nUser-Agent: request-secret",
            "X-API-Key: longsecret=ab\nUser-Agent: longsecret=ab",
            "X-API-Key: longsecret==\nUser-Agent: longsecret",
            "X-API-Key: a=b=longsecret\nUser-Agent: longsecret",
            "X-API-Key: abc,def;ghi\nUser-Agent: abc,def;ghi",
            "Authorization: Basic dXNlcjpodW50ZXIycHc=\nUser-Agent: hunter2pw",
            "Authorization: Basic dXNlcjpodW50ZXIycHc\nUser-Agent: hunter2pw",
            "X-API-Key: request\\secret\nUser-Agent: request\\secret",
        ] {
            assert_eq!(fails(POLICY, json!({"path": "/", "headers": headers})), message, "{headers}");
        }
        for (field, value) in [
            ("headers", "Origin: https://u:hunter2pw@h"),
            ("headers", "Host: u:hunter2pw@h"),
            ("authority", "u:hunter2pw@h"),
            ("authority", "hunter2pw@h"),
            ("identity", "spiffe://u:hunter2pw@h/a"),
            ("identity", "spiffe://a/b?k=hunter2pw"),
            ("identity", "spiffe://a/b#hunter2pw"),
        ] {
            for path in ["/hunter2pw", "/hunter2%70w", "/hunter2%2570w"] {
                assert_eq!(fails(POLICY, json!({"path": path, field: value})), message, "{field}: {value}");
            }
        }
        // A key with a character that JSON escapes, and one that is itself an escape.
        for (key, path) in
            [(r"ab\cd-secret", "/"), ("ab%41-secret", "/ab%41-secret"), ("ab%41-secret", "/ab%2541-secret")]
        {
            let policy = format!("consumers: [{{name: ci, keys: [{{plaintext: '{key}'}}]}}]");
            let headers = if path == "/" { format!("User-Agent: {key}") } else { String::new() };
            assert_eq!(fails(&policy, json!({"path": path, "headers": headers})), message, "{key}");
        }
        let policy = "consumers: [{name: ci, keys: [{sha256: a-key-and-no-digest}]}]";
        assert_eq!(fails(policy, json!({"path": "/a-key-and-no-digest"})), message);
        let policy = "{consumers: [{name: ab-secret, keys: [{plaintext: ab-secret}]}]}";
        assert_eq!(fails(policy, json!({"path": "/"})), message);
        assert!(fails("nonsense: 1", json!({"path": "/"})).contains("unknown field"));
    }

    #[test]
    fn parts_that_are_no_secret_do_not_prevent_a_link() {
        for request in [
            json!({"path": "/", "headers": "Cookie: user=alice@example.com\nHost: example.com"}),
            json!({"path": "/", "headers": "Referer: https://example.com/docs\nHost: example.com"}),
            json!({"path": "/docs", "headers": "Authorization: BEARER abc\nUser-Agent: BEARER"}),
            json!({"path": "/a?b=c", "headers": "Origin: https://u:pw@h"}),
        ] {
            share(POLICY, &request.to_string()).unwrap();
        }
        // Names of members are not values.
        share("consumers: [{name: ci, keys: [{plaintext: authority}]}]", r#"{"path": "/"}"#).unwrap();
    }
}
