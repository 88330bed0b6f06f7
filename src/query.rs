//! The query of a target: parameters as `name=value`, parted by `&` alone.

use memchr::memchr;

use crate::target::decoded;

/// The most parameters of a query, or cookies of a request, that are looked through.
pub(crate) const MOST_ITEMS: usize = 512;

/// The values of a query parameter, as sent. Its name counts in its decoded form: `api%5Fkey` is a second `api_key`. A `+` is
/// a plus: keys may hold one, and no blank. `None` stands for what was not looked through, since it was too much.
pub(crate) fn parameters<'a>(query: Option<&'a [u8]>, name: &str) -> impl Iterator<Item = Option<&'a [u8]>> {
    let pairs = query.into_iter().flat_map(|query| items(query, b'&'));
    named(pairs, move |key| is_parameter(key, name))
}

/// What stands between separators.
pub(crate) fn items(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let (item, behind) = rest?.split_at_checked(memchr(separator, rest?).unwrap_or(rest?.len()))?;
        rest = behind.get(1..);
        Some(item)
    })
}

/// The values of those pairs that have the right name, of as many as are looked through; `None` for the rest.
pub(crate) fn named<'a>(
    pairs: impl Iterator<Item = &'a [u8]>,
    is_named: impl Fn(&[u8]) -> bool,
) -> impl Iterator<Item = Option<&'a [u8]>> {
    pairs.take(MOST_ITEMS.saturating_add(1)).enumerate().filter_map(move |(index, pair)| {
        let (key, value) = split_pair(pair);
        if index == MOST_ITEMS && defence!("many-items") { Some(None) } else { is_named(key).then_some(Some(value)) }
    })
}

/// A pair at its first `=`.
pub(crate) fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = pair.split_at_checked(memchr(b'=', pair).unwrap_or(pair.len())).unwrap_or_default();
    (name, value.get(1..).unwrap_or_default())
}

fn is_parameter(key: &[u8], name: &str) -> bool {
    key == name.as_bytes() || (key.len() > name.len() && decoded(key).eq(name.bytes()))
}

/// A `:path` without the parameter `name`.
pub(crate) fn without_parameter(path: &[u8], query: &[u8], name: &str) -> Vec<u8> {
    let kept = query.split(|byte| *byte == b'&').filter(|pair| !is_parameter(split_pair(pair).0, name));
    joined(path, b"?", kept, b"&")
}

/// Parts put together: `first` before the first of them, `between` before the others.
pub(crate) fn joined<'a>(front: &[u8], first: &[u8], parts: impl Iterator<Item = &'a [u8]>, between: &[u8]) -> Vec<u8> {
    let mut all = front.to_vec();
    for (index, part) in parts.enumerate() {
        all.extend_from_slice(if index == 0 { first } else { between });
        all.extend_from_slice(part);
    }
    all
}
