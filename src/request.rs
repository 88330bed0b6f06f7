//! A request, as one read of all header pairs shows it. Values are bytes: nothing here assumes UTF-8.

use core::fmt;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use memchr::{memchr, memmem};

use crate::document::names::is_token_byte;
use crate::headers::Headers;
use crate::marks::Marks;
use crate::network::parse_address;
use crate::query::{MOST_ITEMS, items, split_pair};
use crate::target::{decoded, split_query};

/// The header pairs of a request, and what decisions ask of them.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    headers: Headers<'a>,
    /// Of all names: most questions are about a header that is not there, and need no second look.
    marks: Marks,
    /// `:method`, as sent; empty where there is none.
    pub method: &'a [u8],
    /// `:path`, as sent; `None` for CONNECT.
    pub path: Option<&'a [u8]>,
    /// `:authority`, as sent; empty where there is none.
    pub authority: &'a [u8],
    /// Whether Envoy takes this for gRPC, and will answer a denial in gRPC's terms.
    pub is_grpc: bool,
    has_content_type: bool,
    /// A header is there that says who the client is, other than those of [`HOLD_THE_CLIENT`].
    pub names_a_client: bool,
    /// A header or a query is there that some backends take the method or the URL from.
    pub is_overridden: bool,
    /// A header moves the place that paths begin at, or names a second one.
    pub moves_the_root: bool,
    /// A path that stands in the query, where CodeIgniter looks for its route: `/?/admin`.
    query_url: Option<&'a [u8]>,
}

/// Headers by which a proxy says who its client is. Any of them, and the direct peer is not the caller.
pub(crate) const NAMES_A_CLIENT: [&str; 8] = [
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
];
/// Headers that hold the client's address, and do so too where that is the peer. Envoy writes the second one on its edge
/// listeners, also with `skip_xff_append`.
pub(crate) const HOLD_THE_CLIENT: [&str; 2] = ["x-forwarded-for", "x-envoy-external-address"];
/// Headers from which some backends take the method.
pub(crate) const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
/// Headers from which some backends take the URL (CVE-2018-14773). Which backend obeys which is in `docs/security-model.md`.
pub(crate) const URL_OVERRIDES: [&str; 5] =
    ["x-invoke-path", "x-matched-path", "x-ms-original-url", "x-original-url", "x-rewrite-url"];
/// Headers from which some backends take what all paths begin with, and cut it off or put it before them; those by which
/// WebDAV copies and moves whole trees (RFC 4918, section 10.3); and those that say what runs, or whose answer is sent,
/// whatever the path: server functions of JavaScript frameworks, the application behind a Dapr sidecar, a model of Seldon, the
/// location that nginx answers with.
pub(crate) const ROOT_OVERRIDES: [&str; 17] = [
    "dapr-app-id",
    "daphne-root-path",
    "destination",
    "new-uri",
    "next-action",
    "path-info",
    "rsc-action-id",
    "script-name",
    "seldon-internal-model",
    "x-accel-mapping",
    "x-forwarded-script-name",
    "x-qrl",
    "x-script-name",
    "x-single-flight",
    "x-traversal-path",
    "x-vhm-host",
    "x-vhm-root",
];

/// Headers from which some backends make the beginning of the URL. A value with a path in it moves the rest.
pub(crate) const URL_BEGINNINGS: [&str; 7] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
];

const CLIENT_MARKS: Marks = Marks::of_all(&NAMES_A_CLIENT);
const METHOD_MARKS: Marks = Marks::of_all(&METHOD_OVERRIDES);
const URL_MARKS: Marks = Marks::of_all(&URL_OVERRIDES);
const ROOT_MARKS: Marks = Marks::of_all(&ROOT_OVERRIDES);
const BEGINNING_MARKS: Marks = Marks::of_all(&URL_BEGINNINGS);

/// The most options of `Connection` that are looked at.
const MOST_OPTIONS: usize = 64;

/// The most parts of one of them that are looked at.
const MOST_PARTS: usize = 16;

/// Of the names that every request is looked through for.
const LOOKED_FOR: Marks = Marks::of_all(&["content-type"])
    .and(CLIENT_MARKS)
    .and(METHOD_MARKS)
    .and(URL_MARKS)
    .and(ROOT_MARKS)
    .and(BEGINNING_MARKS);

/// Names of headers only: in values, and in the path's query, there are credentials.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.headers).finish()
    }
}

impl<'a> Request<'a> {
    /// Looks once at every pair. Envoy hands names over in lower case; what can only refuse is found in any case.
    #[must_use]
    pub fn new(headers: Headers<'a>) -> Self {
        let mut request = Self {
            headers,
            marks: Marks::NONE,
            method: b"",
            path: None,
            authority: b"",
            is_grpc: false,
            has_content_type: false,
            names_a_client: false,
            is_overridden: false,
            moves_the_root: false,
            query_url: None,
        };
        for (name, value) in headers.iter() {
            let mark = Marks::of(name);
            request.marks = request.marks.and(mark);
            if name.first() == Some(&b':') {
                request.take(name, value);
            } else if LOOKED_FOR.meet(mark) {
                request.look_at(name, value, mark);
            }
        }
        if let Some(query) = request.path.and_then(|path| split_query(path).1) {
            request.look_at_query(query);
        }
        request
    }

    #[inline(never)]
    fn look_at_query(&mut self, query: &'a [u8]) {
        self.query_url = path_in_query(query).filter(|_| defence!("path-in-the-query"));
        let is_method = defence!("method-override-parameter") && overrides_method(self.method, query);
        self.is_overridden |= self.query_url.is_some() || is_method;
    }

    /// Takes a pseudo-header.
    #[inline(never)]
    fn take(&mut self, name: &'a [u8], value: &'a [u8]) {
        match name {
            b":method" => self.method = value,
            b":path" => self.path = Some(value),
            b":authority" => self.authority = value,
            _ => {}
        }
    }

    /// Looks closer at a pair whose mark is one of those that are looked for.
    #[inline(never)]
    fn look_at(&mut self, name: &[u8], value: &[u8], mark: Marks) {
        // Envoy looks at the lines joined, and then it is no gRPC.
        if name == b"content-type" {
            self.is_grpc = !self.has_content_type && is_grpc(value);
            self.has_content_type = true;
            return;
        }
        let one_of = |marks: Marks, known: &[&str]| marks.meet(mark) && is_one_of(name, known);
        self.names_a_client |= one_of(CLIENT_MARKS, &NAMES_A_CLIENT);
        let is_method = defence!("method-override-headers") && one_of(METHOD_MARKS, &METHOD_OVERRIDES);
        let is_url = defence!("url-override-headers") && one_of(URL_MARKS, &URL_OVERRIDES);
        let is_root = defence!("root-override-headers") && one_of(ROOT_MARKS, &ROOT_OVERRIDES);
        let begins_url = defence!("paths-in-hosts") && one_of(BEGINNING_MARKS, &URL_BEGINNINGS);
        // Envoy writes X-Forwarded-Proto itself.
        let holds_path = begins_url && !matches!(value, b"http" | b"https") && has_path(value);
        self.moves_the_root |= is_root || holds_path;
        self.is_overridden |= is_method || is_url || is_root || holds_path;
    }

    /// The pairs, if any of them may be one of `names`, however it is spelled.
    fn pairs(&self, names: &[&str]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        if self.marks.meet(Marks::of_all(names)) { self.headers } else { Headers::NONE }.iter()
    }

    /// Whether a header of that name, however it is spelled, may be there; `false` where it is not.
    pub(crate) fn may_have(&self, name: &str) -> bool {
        self.marks.meet(Marks::of(name.as_bytes()))
    }

    /// Every value of a header, without the blanks around it: HTTP/1 drops them, HTTP/2 passes them on, and what they
    /// mean is the same (RFC 9110, section 5.5).
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs(&[name]).filter(move |(header, _)| *header == name.as_bytes()).map(|(_, value)| trim(value))
    }

    /// As [`values`](Self::values), whatever the letter case of the name. What can only refuse a request is looked for so:
    /// a host other than Envoy may leave names as sent.
    fn values_in_any_case(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let pairs = self.pairs(&[name]);
        pairs.filter(move |(header, _)| header.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| trim(value))
    }

    /// The only value of a header; `None` where there is none, `Some(None)` where there are several.
    fn only_value(&self, name: &str) -> Option<Option<&'a [u8]>> {
        let mut values = self.values_in_any_case(name);
        let first = values.next()?;
        Some(values.next().is_none().then_some(first))
    }

    /// The names, as sent, of headers that a backend may take for one of `names`.
    pub fn spellings<const N: usize>(&self, names: [&str; N]) -> impl Iterator<Item = &'a [u8]> {
        let alike = move |name: &&[u8]| names.iter().any(|one| same_name(name, one));
        self.pairs(&names).map(|(name, _)| name).filter(alike)
    }

    /// Every value of the headers that a backend may take for `name`, and whether the name is exactly that.
    pub fn values_alike(&self, name: &str) -> impl Iterator<Item = (bool, &'a [u8])> {
        self.pairs(&[name]).filter_map(move |(header, value)| {
            let is_exact = header == name.as_bytes();
            (is_exact || same_name(header, name)).then(|| (is_exact, trim(value)))
        })
    }

    /// The client that `X-Forwarded-For` and `X-Envoy-External-Address` hold, in any spelling: `None` where there is neither,
    /// `Some(None)` where what they hold is not exactly one address.
    #[must_use]
    pub fn held_client(&self) -> Option<Option<IpAddr>> {
        let held = HOLD_THE_CLIENT.iter().filter_map(|known| {
            let mut values = self.pairs(&[known]).filter(|(name, _)| same_name(name, known));
            let (_, first) = values.next()?;
            Some(if values.next().is_none() { parse_address(first) } else { None })
        });
        held.reduce(|one, other| one.filter(|_| one == other))
    }

    /// The URLs that override headers hold, and that which the query holds.
    pub fn override_urls(&self) -> impl Iterator<Item = &'a [u8]> {
        let is_url = |name: &[u8]| URL_OVERRIDES.iter().any(|known| same_name(name, known));
        let of_headers = self.pairs(&URL_OVERRIDES).filter(move |(name, _)| is_url(name)).map(|(_, value)| trim(value));
        of_headers.chain(self.query_url)
    }

    /// Whether a `Connection` header names one of `names`, which makes the next hop drop it (RFC 9110, section 7.6.1).
    /// Envoy passes `Connection` on for upgrade requests only.
    #[must_use]
    pub fn connection_names(&self, names: [&str; 3]) -> bool {
        self.may_have("connection") && self.names_in_connection(names)
    }

    #[inline(never)]
    fn names_in_connection(&self, names: [&str; 3]) -> bool {
        let values = self.values_in_any_case("connection");
        let mut options = values.flat_map(|value| items(value, b',')).enumerate();
        // What is not looked at may be one of them. httpd parts them at semicolons and blanks too.
        options.any(|(index, option)| {
            let mut parts = option.split(|byte| !is_token_byte(*byte)).enumerate();
            let is_too_much = |index, most| defence!("many-options") && index == most;
            let is_named = |part: &[u8]| names.iter().any(|name| same_name(part, name));
            is_too_much(index, MOST_OPTIONS)
                || parts.any(|(index, part)| is_too_much(index, MOST_PARTS) || is_named(part))
        })
    }

    /// Whether `:authority` names a host, and nothing before it. Whoever writes a URL with another one, `http://` and `:` and
    /// the path, has the first name of the path for its host (the URL standard skips any number of slashes), or looks for
    /// the path where it is not (Bun and Hono).
    #[must_use]
    pub fn names_a_host(&self) -> bool {
        !defence!("empty-authorities") || !(has_no_host(self.authority) || memchr(b'@', self.authority).is_some())
    }

    /// Whether this is a CORS preflight: OPTIONS with `Origin` and `Access-Control-Request-Method`.
    #[must_use]
    pub fn is_cors_preflight(&self) -> bool {
        let has = |name: &str| self.values(name).next().is_some();
        self.method == b"OPTIONS" && has("origin") && has("access-control-request-method")
    }

    /// Whether a browser made this for a page of another origin: `Sec-Fetch-Site` other than `same-origin` or `none`, or
    /// an `Origin` that is not the origin of `:authority`.
    #[must_use]
    pub fn is_cross_site(&self) -> bool {
        let elsewhere = match self.only_value("sec-fetch-site") {
            None => false,
            Some(site) => !matches!(site, Some(b"same-origin" | b"none")),
        };
        elsewhere || self.only_value("origin").is_some_and(|origin| !origin.is_some_and(|one| self.is_own_origin(one)))
    }

    /// Whether `scheme://host:port` is the origin of `:authority`; the default port may stand or not (RFC 6454).
    fn is_own_origin(&self, origin: &[u8]) -> bool {
        let (host, port) = match (origin.strip_prefix(b"https://"), origin.strip_prefix(b"http://")) {
            (Some(host), _) => (host, &b":443"[..]),
            (_, Some(host)) => (host, &b":80"[..]),
            _ => return false,
        };
        let bare = |host: &'a [u8]| host.strip_suffix(port).unwrap_or(host);
        let host = host.strip_suffix(port).unwrap_or(host);
        !host.is_empty() && host.eq_ignore_ascii_case(bare(self.authority))
    }
}

/// A path in the query: CodeIgniter takes `/admin` for its route in `/?/admin`. What stands before it may be a key, which the
/// gate takes out.
fn path_in_query(query: &[u8]) -> Option<&[u8]> {
    let start = if query.first() == Some(&b'/') { 0 } else { memmem::find(query, b"&/")?.checked_add(1)? };
    Some(split_query(query.get(start..)?).0)
}

/// Whether a query parameter is there from which some frameworks take the method: `_method`, and what PHP makes the same,
/// parted by `&` or `;`. It may be among those that are not looked through.
fn overrides_method(method: &[u8], query: &[u8]) -> bool {
    let is_post = method.eq_ignore_ascii_case(b"POST");
    query.split(|byte| matches!(byte, b'&' | b';')).enumerate().any(|(index, pair)| {
        let name = split_pair(pair).0;
        (defence!("many-parameters") && index == MOST_ITEMS) || is_method_parameter(is_post, name)
    })
}

/// The query parameters from which some frameworks take the method: Laravel and WordPress; Plack. ASP.NET MVC takes it from
/// those that are called like the headers.
const METHOD_PARAMETERS: [&str; 2] = ["_method", "x-tunneled-method"];

/// That of Restlet, for POST alone: in other requests such a parameter is usual.
const METHOD_OF_POST: &str = "method";

/// The longest name of such a parameter, and the most blanks before it that are looked at.
const LONGEST_METHOD: usize = 24;
const MOST_BLANKS: usize = 64;

fn is_method_parameter(is_post: bool, name: &[u8]) -> bool {
    if name.len() < METHOD_OF_POST.len() {
        return false;
    }
    let mut blanks = 0_usize;
    let mut name = decoded(name).skip_while(|byte| {
        blanks = blanks.saturating_add(1);
        matches!(byte, b'+' | b' ') && blanks <= MOST_BLANKS
    });
    let first = name.next();
    // Behind so many blanks, it may be. PHP cuts names at a NUL.
    if matches!(first, Some(b'+' | b' ')) {
        return true;
    }
    let name = first.into_iter().chain(name).take_while(|byte| *byte != 0).take(LONGEST_METHOD.saturating_add(1));
    let name: ArrayVec<u8, { LONGEST_METHOD + 1 }> = name.collect();
    let is_one_of = |names: &[&str]| names.iter().any(|known| same_name(&name, known));
    is_one_of(&METHOD_PARAMETERS) || is_one_of(&METHOD_OVERRIDES) || (is_post && is_one_of(&[METHOD_OF_POST]))
}

/// Whether the value of a header that names a host or a scheme has what can only be part of a path or a query; or the first
/// or last item in it is no host, so that a URL parser takes the path's first name for one.
#[inline(never)]
fn has_path(value: &[u8]) -> bool {
    let mut items = value.split(|byte| *byte == b',');
    let ends = [items.next(), items.next_back()];
    value.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\' | b'@'))
        || (defence!("empty-hosts") && ends.into_iter().flatten().any(has_no_host))
}

/// Whether a host is empty, or ends where its port begins.
#[inline(never)]
fn has_no_host(host: &[u8]) -> bool {
    matches!(trim(host), [] | [b':', ..])
}

/// What Envoy takes for gRPC (`Grpc::Common::hasGrpcContentType`): other content types get a plain HTTP answer.
fn is_grpc(content_type: &[u8]) -> bool {
    matches!(content_type.strip_prefix(b"application/grpc"), Some([] | [b'+', ..]))
}

/// Without blanks and tabs at either end.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let value = value.get(start..).unwrap_or_default();
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last.saturating_add(1));
    value.get(..end).unwrap_or_default()
}

/// Whether two names are one to a backend that does not tell letter case, or what is no letter and no digit, apart: CGI
/// takes `-` for `_` (RFC 3875, section 4.1.18), and some servers everything else too.
#[inline(never)]
pub(crate) fn same_name(name: &[u8], known: &str) -> bool {
    let same =
        |a: u8, b: u8| if defence!("header-spellings") { fold(a) == fold(b) } else { a.eq_ignore_ascii_case(&b) };
    name.len() == known.len()
        && (name == known.as_bytes() || name.iter().copied().zip(known.bytes()).all(|(a, b)| same(a, b)))
}

/// Whether a name is one of these to such a backend.
#[inline(never)]
fn is_one_of(name: &[u8], known: &[&str]) -> bool {
    known.iter().any(|known| same_name(name, known))
}

/// The byte that stands for all those that are one in names.
#[expect(clippy::indexing_slicing, reason = "a byte is always below 256, and `get` is not const")]
pub(crate) const fn fold(byte: u8) -> u8 {
    FOLDED[byte as usize]
}

/// A table, since each name of each request is folded twice at least.
static FOLDED: [u8; 256] = {
    let mut table = [b'-'; 256];
    let (mut rest, mut byte): (&mut [u8], u8) = (&mut table, 0);
    while let [folded, others @ ..] = rest {
        if byte.is_ascii_alphanumeric() {
            *folded = byte.to_ascii_lowercase();
        }
        (rest, byte) = (others, byte.wrapping_add(1));
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderBlock;

    #[test]
    fn a_page_of_another_origin_is_told_apart() {
        for (authority, name, value, cross) in [
            ("gate.test", "origin", "https://gate.test", false),
            ("gate.test:443", "origin", "https://gate.test", false),
            ("gate.test:8080", "origin", "http://gate.test:8080", false),
            ("GATE.test", "origin", "http://gate.TEST:80", false),
            ("[::1]:8080", "origin", "http://[::1]:8080", false),
            ("gate.test", "origin", "http://gate.test:8080", true),
            ("gate.test:80", "origin", "https://gate.test", true),
            ("gate.test", "origin", "https://evil.test", true),
            ("gate.test", "origin", "null", true),
            ("gate.test", "origin", "", true),
            ("gate.test", "origin", "gate.test", true),
            ("", "origin", "http://", true),
            ("gate.test", "origin", "https://gate.test.evil.test", true),
            ("gate.test", "sec-fetch-site", "same-origin", false),
            ("gate.test", "sec-fetch-site", "none", false),
            ("gate.test", "sec-fetch-site", "same-site", true),
            ("gate.test", "sec-fetch-site", "cross-site", true),
            ("gate.test", "sec-fetch-site", "\u{ff}", true),
            ("gate.test", "accept", "*/*", false),
            // As a host may leave the names.
            ("gate.test", "Origin", "https://evil.test", true),
            ("gate.test", "Sec-Fetch-Site", "cross-site", true),
        ] {
            let block = HeaderBlock::new(&[(":authority", authority), (name, value)]);
            assert_eq!(Request::new(block.headers()).is_cross_site(), cross, "{authority} {name}: {value}");
        }
        let twice = HeaderBlock::new(&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]);
        assert!(Request::new(twice.headers()).is_cross_site());
    }

    #[test]
    fn what_connection_names_is_seen_in_any_case() {
        let block = HeaderBlock::new(&[("connection", "upgrade, x-portcullis-roles;a")]);
        assert!(Request::new(block.headers()).connection_names(["", "x-portcullis-roles", ""]));
        for name in ["connection", "Connection"] {
            let block = HeaderBlock::new(&[(name, "upgrade, X-Portcullis-Roles")]);
            assert!(Request::new(block.headers()).connection_names(["", "x-portcullis-roles", ""]), "{name}");
        }
    }

    #[test]
    fn a_name_is_found_in_every_spelling() {
        for name in ["x-portcullis-roles", "X_Portcullis_Roles", "x.portcullis-roles", "x!portcullis~roles"] {
            assert!(same_name(name.as_bytes(), "x-portcullis-roles"), "{name}");
        }
        for name in ["x-portcullis-role", "xportcullisroles", "x-portcullis-rolez", ""] {
            assert!(!same_name(name.as_bytes(), "x-portcullis-roles"), "{name}");
        }
    }

    #[test]
    fn only_what_envoy_takes_for_grpc_is_grpc() {
        for (value, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/grpc;x=1", false),
            ("Application/grpc", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(value.as_bytes()), grpc, "{value}");
        }
    }
}
