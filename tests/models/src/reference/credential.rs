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
    /// A malformed or an empty one in this source.
    Malformed(usize),
    /// One, first in this source.
    Key(usize, Vec<u8>),
}

/// Whether bytes can be a key: 1 to 1024 visible ASCII characters.
pub fn is_presentable(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= 1024 && key.iter().all(|byte| (0x21..=0x7E).contains(byte))
}

/// What stands at a place for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Empty,
    Malformed,
    Key(Vec<u8>),
    /// More than one, or more than is checked.
    Several,
}

fn judge(key: Vec<u8>) -> Found {
    match key.as_slice() {
        [] => Found::Empty,
        _ if is_presentable(&key) => Found::Key(key),
        _ => Found::Malformed,
    }
}

/// Collects everything at the places for a key, then counts. Equal keys at different places count once, and an empty one
/// beside another one does not count.
pub fn present(sources: &[KeySource], request: &Request, query: Option<Vec<u8>>) -> Presented {
    let mut found: Vec<(usize, Found)> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let mut here = at(source, request, query.as_deref().unwrap_or_default());
        match here.len() {
            0 => {}
            1 => found.push((index, here.remove(0))),
            _ => found.push((index, Found::Several)),
        }
    }
    let Some((first_empty, _)) = found.first().cloned() else { return Presented::Nothing };
    found.retain(|(_, found)| *found != Found::Empty);
    match found.as_slice() {
        [] => Presented::Malformed(first_empty),
        [(source, Found::Malformed)] => Presented::Malformed(*source),
        [(source, Found::Key(key)), others @ ..]
            if others.iter().all(|(_, other)| *other == Found::Key(key.clone())) =>
        {
            Presented::Key(*source, key.clone())
        }
        _ => Presented::Several,
    }
}

/// Everything at one place.
fn at(source: &KeySource, request: &Request, query: &[u8]) -> Vec<Found> {
    match source {
        KeySource::Bearer => bearer(request),
        KeySource::Header(name) => {
            let values = request.values(name);
            if !values.is_empty() && request.has_look_alike(name) {
                // CGI, WSGI and PHP see the header twice.
                return vec![Found::Several];
            }
            values.into_iter().map(judge).collect()
        }
        KeySource::Query(name) => {
            let parts = split(query, b'&');
            if parts.len() > MAX_ITEMS {
                return vec![Found::Several];
            }
            let pairs = parts.into_iter().map(|part| pair(&part));
            let values = pairs.filter(|(key, _)| is_named(key, name)).map(|(_, value)| value);
            let read = |value: Vec<u8>| {
                if path::is_well_formed(&value) { judge(path::decode(&value)) } else { Found::Malformed }
            };
            values.map(read).collect()
        }
        KeySource::Cookie(name) => {
            let lines = request.values("cookie");
            let crumbs: Vec<_> = lines.into_iter().flat_map(|value| split(&value, b';')).collect();
            if crumbs.len() > MAX_ITEMS {
                return vec![Found::Several];
            }
            let pairs = crumbs.into_iter().map(|crumb| pair(&crumb));
            let values = pairs.filter(|(key, _)| trimmed(key) == name.as_bytes()).map(|(_, value)| trimmed(&value));
            values.map(judge).collect()
        }
        KeySource::WebSocketProtocol(marker) => {
            let is_websocket = request.values("upgrade").iter().any(|value| value.eq_ignore_ascii_case(b"websocket"));
            let offered = protocols(request);
            match offered.len() > MAX_ITEMS {
                _ if !is_websocket => Vec::new(),
                true => vec![Found::Several],
                // CGI and WSGI see another spelling as the same header.
                false => match take_keys(offered, &[marker]).0 {
                    keys if !keys.is_empty() && request.has_look_alike("sec-websocket-protocol") => {
                        vec![Found::Several]
                    }
                    keys => keys.into_iter().map(judge).collect(),
                },
            }
        }
    }
}

/// The subprotocols that a WebSocket client offers, as listed.
pub fn protocols(request: &Request) -> Vec<Vec<u8>> {
    let lines = request.values("sec-websocket-protocol");
    lines.iter().flat_map(|line| split(line, b',')).map(|protocol| trimmed(&protocol)).collect()
}

/// Takes the keys, `MARKER, KEY` and `MARKER.KEY`, out of subprotocols: the keys, and what is left.
pub fn take_keys(mut offered: Vec<Vec<u8>>, markers: &[&String]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    offered.retain(|protocol| !protocol.is_empty());
    offered.reverse();
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    while let Some(protocol) = offered.pop() {
        let mut with_dot = markers.iter().map(|marker| format!("{marker}.").into_bytes());
        if markers.iter().any(|marker| marker.as_bytes() == protocol) {
            keys.push(offered.pop().unwrap_or_default());
        } else if let Some(dotted) = with_dot.find(|dotted| protocol.starts_with(dotted)) {
            keys.push(protocol[dotted.len()..].to_vec());
        } else {
            others.push(protocol);
        }
    }
    (keys, others)
}

/// Whether this is the parameter's name, percent-encoded or not.
pub fn is_named(key: &[u8], name: &str) -> bool {
    path::is_well_formed(key) && path::decode(key) == name.as_bytes()
}

/// The credentials of the scheme `Bearer`. Lines are joined with commas, and a comma means more than one credential.
fn bearer(request: &Request) -> Vec<Found> {
    let lines = request.values("authorization");
    let parts: Vec<Vec<u8>> = lines.iter().flat_map(|line| split(line, b',')).collect();
    let keys: Vec<Vec<u8>> = parts.iter().filter_map(|part| after_scheme(&trimmed(part))).collect();
    match (keys.as_slice(), parts.len()) {
        // The part beyond the limit may contain several.
        (_, parts) if parts > MAX_PARTS => vec![Found::Several],
        ([], _) => Vec::new(),
        ([key], 1) if key.is_empty() => vec![Found::Empty],
        ([key], 1) if is_token68(key) && key.len() <= 1024 => vec![Found::Key(key.clone())],
        ([_], 1) => vec![Found::Malformed],
        _ => vec![Found::Several],
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
