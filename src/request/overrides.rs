//! Parts of a request by which an upstream may interpret it as another method or path: query parameters, and hosts that
//! contain a path.

use std::borrow::Cow;

use arrayvec::ArrayVec;
use memchr::{memchr2, memmem};
use percent_encoding::percent_decode;

use super::header_names::{METHOD_OVERRIDES, is_one_of};
use super::headers::trim;
use super::query::{MAX_ITEMS, pieces, split_pair};
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

/// The maximum total length of the names of parameters that are decoded, in bytes.
const MAX_DECODED: usize = 8192;

/// Finds a path in the query: CodeIgniter interprets `/admin` as its route in `/?/admin`. A parameter before it may be a
/// key, which the gate removes.
pub(super) fn path_in_query(query: &[u8]) -> Option<&[u8]> {
    let behind_ampersand = || query.windows(2).position(|two| two == b"&/")?.checked_add(1);
    let start = if query.first() == Some(&b'/') { 0 } else { behind_ampersand()? };
    Some(split_query(query.get(start..)?).0)
}

/// What the parameters of a query may override.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct QueryOverrides {
    pub(super) method: bool,
    /// The path, or a part of it.
    pub(super) root: bool,
}

/// Finds the parameters, between `&` or `;`, by which a query may override the method or the path. If there are more than
/// are inspected, one of those may.
pub(super) fn overrides_in_query(method: &[u8], query: &[u8]) -> QueryOverrides {
    let is_post = method.eq_ignore_ascii_case(b"POST");
    let mut found = QueryOverrides::default();
    let mut decoded = 0_usize;
    for (index, pair) in pieces(query, |rest| memchr2(b'&', b';', rest)).enumerate() {
        let name = split_pair(pair).0;
        found.method |= is_method_parameter(is_post, name);
        let may_be_path = name == b"/remote" || memchr2(b':', b'%', name).is_some();
        if may_be_path {
            decoded = decoded.saturating_add(name.len());
        }
        let is_too_much = defence!("many-parameters") && (index >= MAX_ITEMS || decoded > MAX_DECODED);
        // In this order: a name beyond the limit is not decoded.
        if is_too_much || (may_be_path && defence!("path-parameters") && is_path_parameter(name)) {
            found.root = true;
            break;
        }
    }
    found
}

/// Whether an upstream may read a path from a parameter with this name:
///
/// * Zope and Plone append the name of `admin:method`, or its value, to the path. So do `:action` and both with `default_`.
/// * SvelteKit runs the function that `/remote` names, and decodes names. Other names with a slash are a
///   [path](path_in_query) in clear text.
fn is_path_parameter(name: &[u8]) -> bool {
    let decoded: Cow<'_, [u8]> = percent_decode(name).into();
    &*decoded == b"/remote"
        || matches!(name, [b'%', b'2', b'f' | b'F', ..])
        || [&b":method"[..], b":action", b":default_"].iter().any(|kind| memmem::find(&decoded, kind).is_some())
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
