//! Exactly one credential.

use super::document::KeySource;
use super::path;
use super::request::{MAX_ITEMS, MAX_PARTS, Request, pair, split, trimmed};

/// The credential that a request presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// No credential.
    Nothing,
    /// More than one.
    Several,
    /// A malformed one in this source.
    Malformed(usize),
    /// One in this source.
    Key(usize, Vec<u8>),
}

/// Whether bytes can be a key: 1 to 1024 visible ASCII characters.
pub fn is_presentable(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= 1024 && key.iter().all(|byte| (0x21..=0x7E).contains(byte))
}

/// Collects everything at the places for a key, then counts.
pub fn present(sources: &[KeySource], request: &Request, query: Option<Vec<u8>>) -> Presented {
    let mut found: Vec<Presented> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let judge = |key: Vec<u8>| {
            if is_presentable(&key) { Presented::Key(index, key) } else { Presented::Malformed(index) }
        };
        match source {
            KeySource::Bearer => found.extend(bearer(index, request)),
            KeySource::Header(name) => {
                let values = request.values(name);
                if !values.is_empty() && request.has_look_alike(name) {
                    // CGI, WSGI and PHP see the header twice.
                    return Presented::Several;
                }
                found.extend(values.into_iter().map(judge));
            }
            KeySource::Query(name) => {
                let parts = split(query.as_deref().unwrap_or_default(), b'&');
                if parts.len() > MAX_ITEMS {
                    return Presented::Several;
                }
                let pairs = parts.into_iter().map(|part| pair(&part));
                let values = pairs.filter(|(key, _)| is_named(key, name)).map(|(_, value)| value);
                found.extend(values.map(|value| {
                    if path::is_well_formed(&value) { judge(path::decode(&value)) } else { Presented::Malformed(index) }
                }));
            }
            KeySource::Cookie(name) => {
                let lines = request.values("cookie");
                let crumbs: Vec<_> = lines.into_iter().flat_map(|value| split(&value, b';')).collect();
                if crumbs.len() > MAX_ITEMS {
                    return Presented::Several;
                }
                let pairs = crumbs.into_iter().map(|crumb| pair(&crumb));
                let values = pairs.filter(|(key, _)| trimmed(key) == name.as_bytes()).map(|(_, value)| trimmed(&value));
                found.extend(values.map(judge));
            }
        }
    }
    match found.len() {
        0 => Presented::Nothing,
        1 => found.remove(0),
        _ => Presented::Several,
    }
}

/// Whether this is the parameter's name, percent-encoded or not.
pub fn is_named(key: &[u8], name: &str) -> bool {
    path::is_well_formed(key) && path::decode(key) == name.as_bytes()
}

/// The credentials of the scheme `Bearer`. Lines are joined with commas, and a comma means more than one credential.
fn bearer(index: usize, request: &Request) -> Vec<Presented> {
    let lines = request.values("authorization");
    let parts: Vec<Vec<u8>> = lines.iter().flat_map(|line| split(line, b',')).collect();
    let keys: Vec<Vec<u8>> = parts.iter().filter_map(|part| after_scheme(&trimmed(part))).collect();
    match (keys.as_slice(), parts.len()) {
        // The part beyond the limit may contain several.
        (_, parts) if parts > MAX_PARTS => vec![Presented::Several, Presented::Several],
        ([], _) => Vec::new(),
        ([key], 1) if is_token68(key) && key.len() <= 1024 => vec![Presented::Key(index, key.clone())],
        ([_], 1) => vec![Presented::Malformed(index)],
        _ => vec![Presented::Several, Presented::Several],
    }
}

/// The text after the word `Bearer`, in any letter case, and blanks; `None` for another word.
fn after_scheme(credentials: &[u8]) -> Option<Vec<u8>> {
    let in_a_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let word: Vec<u8> = credentials.iter().copied().take_while(in_a_word).collect();
    let rest = credentials.iter().skip(word.len()).copied().skip_while(|byte| *byte == b' ').collect();
    word.eq_ignore_ascii_case(b"bearer").then_some(rest)
}

/// RFC 9110, section 11.2: letters, digits, `-._~+/`, and `=` at the end.
fn is_token68(key: &[u8]) -> bool {
    let mut rest = key.to_vec();
    while rest.last() == Some(&b'=') {
        rest.pop();
    }
    !rest.is_empty() && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}
