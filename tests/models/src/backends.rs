//! Six slow and obvious models of how a backend may read a path.

use serde_json::{Value, json};

/// How a backend reads a path: the resource that it serves, or nothing.
pub type Model = fn(&[u8]) -> Option<String>;

/// The models, by name.
pub const MODELS: [(&str, Model); 6] = [
    ("RFC 3986: split, decode each segment, remove dot segments", rfc3986),
    ("nginx: decode, merge slashes, resolve", nginx),
    ("a servlet container: drop parameters, decode, resolve", servlet),
    ("decoding twice, then resolving", twice),
    ("Windows: backslash is a slash, case does not count, names lose dots and blanks at their end", windows),
    ("merging slashes first, then decoding", merged_first),
];

fn decode(text: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        let byte = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Segments with the dots resolved; `None` above the root.
fn resolve(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." => kept.extend(last.then_some("")),
            ".." => {
                kept.pop()?;
                kept.extend(last.then_some(""));
            }
            other => kept.push(other),
        }
    }
    Some(format!("/{}", kept.join("/")))
}

fn merge(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

fn without_parameters(path: &str) -> String {
    path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
}

fn rfc3986(path: &[u8]) -> Option<String> {
    let resolved = resolve(&text(path))?;
    // A slash in an escape stays within its segment: U+2215 stands for it.
    let segments = resolved.split('/').map(|segment| text(&decode(segment.as_bytes())).replace('/', "\u{2215}"));
    Some(segments.collect::<Vec<_>>().join("/"))
}

fn nginx(path: &[u8]) -> Option<String> {
    let decoded = decode(path);
    if decoded.contains(&0) {
        return None;
    }
    resolve(&merge(&text(&decoded)))
}

fn servlet(path: &[u8]) -> Option<String> {
    resolve(&merge(&text(&decode(without_parameters(&text(path)).as_bytes()))))
}

fn twice(path: &[u8]) -> Option<String> {
    resolve(&text(&decode(&decode(path))))
}

fn windows(path: &[u8]) -> Option<String> {
    let path = merge(&text(&decode(path)).replace('\\', "/")).to_lowercase();
    let resolved = resolve(&path)?;
    let names = resolved.split('/').map(|name| name.trim_end_matches(['.', ' ']));
    Some(names.collect::<Vec<_>>().join("/"))
}

fn merged_first(path: &[u8]) -> Option<String> {
    resolve(&text(&decode(merge(&text(path)).as_bytes())))
}

/// The key of a consumer without the role that [`policy`] asks for.
pub const GUEST: &str = "areas-guest-key";
/// The key of a consumer who has it.
pub const ADMIN: &str = "areas-admin-key";

/// The policy that the readers are asked about.
pub fn policy() -> Value {
    json!({
        "consumers": [
            {"name": "guest", "roles": ["guest"], "keys": [{"plaintext": GUEST}]},
            {"name": "admin", "roles": ["admin"], "keys": [{"plaintext": ADMIN}]},
        ],
        "public_paths": ["/", "/pub/**", "/docs/*"],
        "rules": [{"path": "/admin/**", "roles": ["admin"]}, {"path": "/v/{item}/p", "roles": ["admin"]}],
    })
}

/// Public to a reader: by the patterns of [`policy`], said again in other words.
pub fn is_public(resource: &str) -> bool {
    let file = resource.strip_prefix("/docs/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
    matches!(resource, "/" | "/pub") || resource.starts_with("/pub/") || file
}

/// Restricted to a reader who does not care about a slash at the end.
pub fn is_restricted(resource: &str) -> bool {
    let resource = resource.trim_end_matches('/');
    let item = resource.strip_prefix("/v/").and_then(|rest| rest.strip_suffix("/p"));
    resource == "/admin"
        || resource.starts_with("/admin/")
        || item.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}
