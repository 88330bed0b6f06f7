//! Parts of a request by which an upstream may interpret it as another method or path: query parameters, and hosts that
//! contain a path.

use arrayvec::ArrayVec;
use memchr::memchr2;
use percent_encoding::percent_decode;

use super::header_names::{METHOD_OVERRIDES, is_one_of};
use super::headers::trim;
use super::query::{MAX_ITEMS, split_pair};
use crate::path::target::split_query;

/// The query parameters from which some frameworks read the method: Laravel and WordPress (`_method`), Masonite
/// (`__method`), Alfresco (`alf_method`), wai-extra (`_method_override`), Plack (`x-tunneled-method`). ASP.NET MVC reads it
/// from parameters with the names of the headers.
const METHOD_PARAMETERS: [&str; 5] = ["_method", "__method", "alf_method", "_method_override", "x-tunneled-method"];

/// The query parameter of Restlet. Only for POST: in other requests a parameter of this name is common.
const METHOD_OF_POST: &str = "method";

/// The maximum length of the name of such a parameter, and the maximum number of blanks before it that are skipped.
const MAX_METHOD_LENGTH: usize = 24;
const MAX_BLANKS: usize = 64;

/// Finds a path in the query: CodeIgniter interprets `/admin` as its route in `/?/admin`. A parameter before it may be a
/// key, which the gate removes.
pub(super) fn path_in_query(query: &[u8]) -> Option<&[u8]> {
    let behind_ampersand = || query.windows(2).position(|two| two == b"&/")?.checked_add(1);
    let start = if query.first() == Some(&b'/') { 0 } else { behind_ampersand()? };
    Some(split_query(query.get(start..)?).0)
}

/// Whether the query may override the method. The parameter is `_method` or a spelling that PHP treats as the same, between
/// `&` or `;`. Also true if there are more parameters than are inspected.
pub(super) fn has_method_parameter(method: &[u8], query: &[u8]) -> bool {
    let is_post = method.eq_ignore_ascii_case(b"POST");
    let mut rest = Some(query);
    let pairs = core::iter::from_fn(|| {
        let (pair, after) = rest?.split_at_checked(memchr2(b'&', b';', rest?).unwrap_or(rest?.len()))?;
        rest = after.get(1..);
        Some(pair)
    });
    pairs.enumerate().any(|(index, pair)| {
        let name = split_pair(pair).0;
        (defence!("many-parameters") && index == MAX_ITEMS) || is_method_parameter(is_post, name)
    })
}

fn is_method_parameter(is_post: bool, name: &[u8]) -> bool {
    if name.len() < METHOD_OF_POST.len() {
        return false;
    }
    let is_blank = |byte: u8| matches!(byte, b'+' | b' ');
    let mut blanks = 0_usize;
    let mut name = percent_decode(name).skip_while(|byte| {
        blanks = blanks.saturating_add(1);
        is_blank(*byte) && blanks <= MAX_BLANKS
    });
    let first = name.next();
    // After too many blanks, the name is not inspected: it may be one.
    if first.is_some_and(is_blank) {
        return true;
    }
    // PHP ends names at a NUL.
    let name = first.into_iter().chain(name).take_while(|byte| *byte != 0).take(MAX_METHOD_LENGTH.saturating_add(1));
    let name: ArrayVec<u8, { MAX_METHOD_LENGTH + 1 }> = name.collect();
    is_one_of(&name, &METHOD_PARAMETERS)
        || is_one_of(&name, &METHOD_OVERRIDES)
        || (is_post && is_one_of(&name, &[METHOD_OF_POST]))
}

/// Whether a header value that should contain only hosts or schemes:
///
/// * contains a character that can only belong to a path, a query or a user; or
/// * has an empty host as its first or last item, so that a URL parser interprets the path's first segment as the host.
#[inline(never)]
pub(super) fn has_path(value: &[u8]) -> bool {
    let mut items = value.split(|byte| *byte == b',');
    let ends = [items.next(), items.next_back()];
    value.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\' | b'@'))
        || (defence!("empty-hosts") && ends.into_iter().flatten().any(is_empty_host))
}

/// Whether an authority is so short that a router of Hono 4.8.0 to 4.9.5 looks for the path behind the first segment:
/// it skips five bytes if the second or third one is a `:`, such as in `ab:1` and `[::1]`.
pub(super) fn hides_a_segment(authority: &[u8]) -> bool {
    authority.len() <= 5 && matches!(authority, [_, b':', ..] | [_, _, b':', ..])
}

/// Whether credentials are a Dapr application (`dapr-app-id:` of basic authentication), to which a Dapr sidecar forwards
/// the request.
#[inline]
pub(super) fn chooses_an_application(credentials: &[u8]) -> bool {
    // Most credentials are `Bearer`.
    let [_, b'a' | b'A', ..] = credentials else { return false };
    let Some((scheme, user)) = credentials.split_at_checked(b"Basic ".len()) else { return false };
    user.starts_with(b"ZGFwci1hcHAtaWQ6") && scheme.eq_ignore_ascii_case(b"Basic ")
}

/// Whether a host is empty, with or without a port.
#[inline(never)]
pub(super) fn is_empty_host(host: &[u8]) -> bool {
    matches!(trim(host), [] | [b':', ..])
}
