//! Percent-decoding (RFC 3986, section 2.1), one round at a time.

use std::borrow::Cow;

use memchr::memchr_iter;
use percent_encoding::percent_decode;

/// Decodes one round. A malformed escape is unchanged.
#[inline(never)]
pub(crate) fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(text).into()
}

/// Decodes one round; `None` if an escape is malformed.
#[inline(never)]
pub(crate) fn decode_well_formed(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let is_escape = |rest: &[u8]| matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    text.split(|byte| *byte == b'%').skip(1).all(is_escape).then(|| decode(text))
}

/// Decodes one round except `%2F`, like a router that splits a path before it decodes.
#[inline(never)]
pub(crate) fn decode_segments(path: &[u8]) -> Vec<u8> {
    let mut parts = path.split(|byte| *byte == b'%');
    let mut decoded = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let escape = [b"%", part].concat();
        match part {
            [b'2', b'F' | b'f', ..] => decoded.extend(escape),
            _ => decoded.extend(percent_decode(&escape)),
        }
    }
    decoded
}

/// Returns the decoded bytes of all escapes.
pub(crate) fn escaped_bytes(text: &[u8]) -> impl Iterator<Item = u8> {
    memchr_iter(b'%', text).filter_map(|at| percent_decode(text.get(at..at.checked_add(3)?)?).next())
}
