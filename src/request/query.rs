//! Lists in a request: query parameters, cookies and comma-separated values.

use memchr::memchr;
use percent_encoding::percent_decode;

/// The maximum number of query parameters, or of cookies, that are inspected.
pub(crate) const MAX_ITEMS: usize = 512;

/// Returns the values of a query parameter, as sent.
///
/// * Parameters are separated by `&` only.
/// * The name is compared decoded: `api%5Fkey` is a second `api_key`.
/// * A `+` is a plus, since keys may contain one but no blank.
/// * `None` means that there are more parameters than are inspected.
pub(crate) fn parameters<'a>(query: Option<&'a [u8]>, name: &str) -> impl Iterator<Item = Option<&'a [u8]>> {
    let pairs = query.into_iter().flat_map(|query| items(query, b'&'));
    named(pairs, move |key| is_parameter(key, name))
}

pub(crate) fn items(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    pieces(text, move |rest| memchr(separator, rest))
}

/// Splits a text at each separator that `find` finds.
pub(crate) fn pieces(text: &[u8], find: impl Fn(&[u8]) -> Option<usize>) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let (item, after) = rest?.split_at_checked(find(rest?).unwrap_or(rest?.len()))?;
        rest = after.get(1..);
        Some(item)
    })
}

/// Returns the values of the pairs whose name `is_named` accepts; `None` means that there are more pairs than are
/// inspected.
pub(crate) fn named<'a>(
    pairs: impl Iterator<Item = &'a [u8]>,
    is_named: impl Fn(&[u8]) -> bool,
) -> impl Iterator<Item = Option<&'a [u8]>> {
    pairs.take(MAX_ITEMS.saturating_add(1)).enumerate().filter_map(move |(index, pair)| {
        let (key, value) = split_pair(pair);
        if index == MAX_ITEMS && defence!("many-items") { Some(None) } else { is_named(key).then_some(Some(value)) }
    })
}

/// Splits a pair at its first `=`.
pub(crate) fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = pair.split_at_checked(memchr(b'=', pair).unwrap_or(pair.len())).unwrap_or_default();
    (name, value.get(1..).unwrap_or_default())
}

fn is_parameter(key: &[u8], name: &str) -> bool {
    // Percent-encoding makes a name at most three times as long.
    let may_be_encoded = key.len() > name.len() && key.len() <= name.len().saturating_mul(3);
    key == name.as_bytes() || (may_be_encoded && percent_decode(key).eq(name.bytes()))
}

/// Returns a `:path` without the parameters with one of `names`.
pub(crate) fn without_parameters(path: &[u8], query: &[u8], names: &[&str]) -> Vec<u8> {
    let pairs = items(query, b'&');
    let is_key = |pair: &[u8]| names.iter().any(|name| is_parameter(split_pair(pair).0, name));
    let kept: Vec<&[u8]> = pairs.filter(|pair| !is_key(pair)).collect();
    if kept.is_empty() { path.to_vec() } else { [path, b"?", &kept.join(&b'&')].concat() }
}
