//! A request, built from its header pairs in one pass. Values are bytes: nothing here assumes UTF-8.

use core::fmt;
use std::net::IpAddr;

use memchr::memchr;

use super::header_names::{
    ADDED_BY_A_PROXY, CLIENT_ADDRESSES, HOLDS_THE_CLIENT, HeaderNameFilter, METHOD_OVERRIDES, ROOT_OVERRIDES,
    URL_BEGINNINGS, URL_OVERRIDES, is_one_of, names_a_client, same_name,
};
use super::headers::{Headers, trim};
use super::overrides::{
    chooses_an_application, has_path, hides_a_segment, is_empty_host, overrides_in_query, path_in_query,
};
use super::peer::parse_address;
use super::query::items;
use crate::path::target::split_query;
use crate::value::names::is_token_byte;

/// The header pairs of a request, and the properties that decisions need.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    headers: Headers<'a>,
    /// The filter of all names. Most look-ups are for absent headers, and need no second pass.
    names: HeaderNameFilter,
    /// `:method`, as sent; empty if absent.
    pub method: &'a [u8],
    /// `:path`, as sent; `None` for CONNECT.
    pub path: Option<&'a [u8]>,
    /// `:authority`, as sent; empty if absent.
    pub authority: &'a [u8],
    /// Whether Envoy treats this as gRPC, and sends a gRPC reply.
    pub is_grpc: bool,
    has_content_type: bool,
    /// Whether a header names the client, other than the headers that [contain](Self::held_client) its address.
    pub names_a_client: bool,
    /// Whether some upstreams read the method or the path from a header or from the query.
    pub is_overridden: bool,
    /// Whether a header moves the root of all paths, or names a second root.
    pub moves_the_root: bool,
    /// A path in the query, where CodeIgniter looks for its route: `/?/admin`.
    query_url: Option<&'a [u8]>,
}

const CLIENT: HeaderNameFilter =
    HeaderNameFilter::of_all(&CLIENT_ADDRESSES).union(HeaderNameFilter::of_all(&ADDED_BY_A_PROXY));
const CLIENT_OR_HELD: HeaderNameFilter = CLIENT.union(HeaderNameFilter::of_all(&HOLDS_THE_CLIENT));
const METHOD: HeaderNameFilter = HeaderNameFilter::of_all(&METHOD_OVERRIDES);
const URL: HeaderNameFilter = HeaderNameFilter::of_all(&URL_OVERRIDES);
const ROOT: HeaderNameFilter = HeaderNameFilter::of_all(&ROOT_OVERRIDES);
const BEGINNING: HeaderNameFilter = HeaderNameFilter::of_all(&URL_BEGINNINGS);

/// The names of interest in every request.
const LOOKED_FOR: HeaderNameFilter = HeaderNameFilter::of_all(&["content-type", "authorization"])
    .union(CLIENT)
    .union(METHOD)
    .union(URL)
    .union(ROOT)
    .union(BEGINNING);

/// The maximum number of options of `Connection` that are inspected, and of parts of each option.
const MAX_OPTIONS: usize = 64;
const MAX_PARTS: usize = 16;

/// Shows header names only: values and the query may contain credentials.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.headers).finish()
    }
}

impl<'a> Request<'a> {
    /// Reads every pair once. Envoy sends names in lower case. Names that can only cause a denial are found in any case.
    pub fn new(headers: Headers<'a>) -> Self {
        let mut request = Self {
            headers,
            names: HeaderNameFilter::NONE,
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
            let filter = HeaderNameFilter::of(name);
            request.names = request.names.union(filter);
            if name.first() == Some(&b':') {
                request.read_pseudo_header(name, value);
            } else if LOOKED_FOR.intersects(filter) {
                request.read_header(name, value, filter);
            }
        }
        if let Some(query) = request.path.and_then(|path| split_query(path).1) {
            request.read_query(query);
        }
        request
    }

    #[inline(never)]
    fn read_pseudo_header(&mut self, name: &'a [u8], value: &'a [u8]) {
        match name {
            b":method" => self.method = value,
            b":path" => self.path = Some(value),
            b":authority" => {
                self.authority = value;
                self.add_root(defence!("short-authorities") && hides_a_segment(value));
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn read_header(&mut self, name: &[u8], value: &[u8], filter: HeaderNameFilter) {
        if name == b"authorization" {
            self.add_root(defence!("applications-as-users") && chooses_an_application(value));
            return;
        }
        // Envoy writes X-Forwarded-Proto itself: these are its values.
        if name == b"x-forwarded-proto" && matches!(value, b"http" | b"https") {
            return;
        }
        // Envoy joins several lines, and then the request is not gRPC.
        if name == b"content-type" {
            self.is_grpc = !self.has_content_type && is_grpc(value);
            self.has_content_type = true;
            return;
        }
        let one_of = |of_all: HeaderNameFilter, known: &[&str]| of_all.intersects(filter) && is_one_of(name, known);
        self.names_a_client |= CLIENT.intersects(filter) && names_a_client(name);
        let is_method = defence!("method-override-headers") && one_of(METHOD, &METHOD_OVERRIDES);
        let is_url = defence!("url-override-headers") && one_of(URL, &URL_OVERRIDES);
        let is_root = defence!("root-override-headers") && one_of(ROOT, &ROOT_OVERRIDES);
        let begins_url = defence!("paths-in-hosts") && one_of(BEGINNING, &URL_BEGINNINGS);
        self.add_root(is_root || (begins_url && has_path(value)));
        self.is_overridden |= is_method || is_url;
    }

    /// Notes a header that moves the root. It also overrides the path.
    fn add_root(&mut self, moves_it: bool) {
        self.moves_the_root |= moves_it;
        self.is_overridden |= moves_it;
    }

    #[inline(never)]
    fn read_query(&mut self, query: &'a [u8]) {
        self.query_url = path_in_query(query).filter(|_| defence!("path-in-the-query"));
        let found = overrides_in_query(self.method, query);
        self.add_root(found.root);
        let is_method = defence!("method-override-parameter") && found.method;
        self.is_overridden |= self.query_url.is_some() || is_method;
    }

    /// Returns all pairs if one of them may have one of `names`, in any spelling; otherwise none.
    fn pairs(&self, names: &[&str]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        if self.names.intersects(HeaderNameFilter::of_all(names)) { self.headers } else { Headers::NONE }.iter()
    }

    /// Whether a header may be present, in any spelling; `false` means that it is absent.
    pub(crate) fn may_have(&self, name: &str) -> bool {
        self.names.intersects(HeaderNameFilter::of(name.as_bytes()))
    }

    /// Returns every value of a header, without surrounding blanks. HTTP/1 drops them, HTTP/2 forwards them, and the
    /// meaning is the same (RFC 9110, section 5.5).
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs(&[name]).filter(move |(header, _)| *header == name.as_bytes()).map(|(_, value)| trim(value))
    }

    /// Returns every value of a header, whatever the letter case of its name. Used for headers that can only cause a
    /// denial: a host other than Envoy may keep names as sent.
    fn values_in_any_case(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let pairs = self.pairs(&[name]);
        pairs.filter(move |(header, _)| header.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| trim(value))
    }

    /// Returns the only value of a header; `None` if absent, `Some(None)` if there are several.
    fn only_value(&self, name: &str) -> Option<Option<&'a [u8]>> {
        let mut values = self.values_in_any_case(name);
        let first = values.next()?;
        Some(values.next().is_none().then_some(first))
    }

    /// Returns the names, as sent, of headers that an upstream may treat as one of `names`.
    pub fn spellings<const N: usize>(&self, names: [&str; N]) -> impl Iterator<Item = &'a [u8]> {
        let is_alike = move |name: &&[u8]| names.iter().any(|one| same_name(name, one));
        self.pairs(&names).map(|(name, _)| name).filter(is_alike)
    }

    /// Returns every value of the headers that an upstream may treat as `name`, and whether the name is exactly `name`.
    pub fn values_alike(&self, name: &str) -> impl Iterator<Item = (bool, &'a [u8])> {
        self.pairs(&[name]).filter_map(move |(header, value)| {
            let is_exact = header == name.as_bytes();
            (is_exact || same_name(header, name)).then(|| (is_exact, trim(value)))
        })
    }

    /// Returns the client's address in `X-Forwarded-For` and `X-Envoy-External-Address`, in any spelling. `None` if both
    /// are absent, `Some(None)` if they do not contain exactly one address.
    pub fn held_client(&self) -> Option<Option<IpAddr>> {
        let held = HOLDS_THE_CLIENT.iter().filter_map(|known| {
            let mut values = self.pairs(&[known]).filter(|(name, _)| same_name(name, known));
            let (_, first) = values.next()?;
            Some(if values.next().is_none() { parse_address(first) } else { None })
        });
        held.reduce(|one, other| one.filter(|_| one == other))
    }

    /// Returns the URLs in override headers and in the query.
    pub fn override_urls(&self) -> impl Iterator<Item = &'a [u8]> {
        let pairs = self.pairs(&URL_OVERRIDES).filter(|(name, _)| is_one_of(name, &URL_OVERRIDES));
        pairs.map(|(_, value)| trim(value)).chain(self.query_url)
    }

    /// Whether a `Connection` header names one of `names`, or a header that names the client, so that the next hop drops
    /// that header (RFC 9110, section 7.6.1), even if Envoy has written it. Envoy forwards `Connection` for upgrade requests
    /// only.
    pub fn connection_names(&self, names: [&str; 3]) -> bool {
        self.may_have("connection") && self.find_in_connection(names)
    }

    #[inline(never)]
    fn find_in_connection(&self, names: [&str; 3]) -> bool {
        let values = self.values_in_any_case("connection");
        let is_client = |part: &[u8]| {
            CLIENT_OR_HELD.intersects(HeaderNameFilter::of(part))
                && (is_one_of(part, &HOLDS_THE_CLIENT) || names_a_client(part))
        };
        let mut options = values.flat_map(|value| items(value, b',')).enumerate();
        // An option that is not inspected may be one of them. httpd also splits at semicolons and blanks.
        options.any(|(index, option)| {
            let mut parts = option.split(|byte| !is_token_byte(*byte)).enumerate();
            let is_too_much = |index, most| defence!("many-options") && index == most;
            is_too_much(index, MAX_OPTIONS)
                || parts
                    .any(|(index, part)| is_too_much(index, MAX_PARTS) || is_one_of(part, &names) || is_client(part))
        })
    }

    /// Whether `:authority` names a host, without a user. Some upstreams build a URL from authority and path. With another
    /// authority:
    ///
    /// * They may find the host in the path: the URL standard skips any number of slashes.
    /// * They may find the path elsewhere (Bun, Hono).
    pub fn names_a_host(&self) -> bool {
        !defence!("empty-authorities") || !(is_empty_host(self.authority) || memchr(b'@', self.authority).is_some())
    }

    /// Whether this is a WebSocket handshake (RFC 6455, section 4.1).
    pub(crate) fn is_websocket(&self) -> bool {
        self.values("upgrade").any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
    }

    /// Whether this is a CORS preflight: OPTIONS with `Origin` and `Access-Control-Request-Method`.
    pub fn is_cors_preflight(&self) -> bool {
        let has = |name: &str| self.values(name).next().is_some();
        self.method == b"OPTIONS" && has("origin") && has("access-control-request-method")
    }

    /// Whether a browser sends this request on behalf of a page of another origin: `Sec-Fetch-Site` is other than
    /// `same-origin` or `none`, or `Origin` is not the origin of `:authority`.
    pub fn is_cross_site(&self) -> bool {
        let site = self.only_value("sec-fetch-site");
        site.is_some_and(|site| !matches!(site, Some(b"same-origin" | b"none")))
            || self.only_value("origin").is_some_and(|origin| !origin.is_some_and(|one| self.is_own_origin(one)))
    }

    /// Whether `scheme://host:port` is the origin of `:authority`. The default port may be omitted (RFC 6454).
    fn is_own_origin(&self, origin: &[u8]) -> bool {
        let (host, port) = match (origin.strip_prefix(b"https://"), origin.strip_prefix(b"http://")) {
            (Some(host), _) => (host, &b":443"[..]),
            (_, Some(host)) => (host, &b":80"[..]),
            _ => return false,
        };
        let without_port = |host: &'a [u8]| host.strip_suffix(port).unwrap_or(host);
        let host = host.strip_suffix(port).unwrap_or(host);
        !host.is_empty() && host.eq_ignore_ascii_case(without_port(self.authority))
    }
}

/// Whether Envoy treats a content type as gRPC (`Grpc::Common::hasGrpcContentType`). Others get a plain HTTP reply.
fn is_grpc(content_type: &[u8]) -> bool {
    matches!(content_type.strip_prefix(b"application/grpc"), Some([] | [b'+', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::headers::HeaderBlock;

    /// Envoy sends names in lower case. Another host may keep them as sent.
    #[test]
    fn a_header_that_can_only_cause_a_denial_is_found_in_any_letter_case() {
        let block = HeaderBlock::new(&[
            (":authority", "gate.test"),
            ("Origin", "https://evil.test"),
            ("Connection", "x_portcullis_roles"),
        ]);
        let request = Request::new(block.headers());
        assert!(request.is_cross_site() && request.connection_names(["", "x-portcullis-roles", ""]));
    }
}
