//! Header names: which ones affect the gate, when an upstream treats two names as the same, and a Bloom filter of the
//! names of a request.
//!
//! Some proxies and upstreams read the client, the method or the URL from a header:
//!
//! | headers | what they contain | effect in the gate |
//! |---|---|---|
//! | [`CLIENT_ADDRESSES`], [`ADDED_BY_A_PROXY`] | the client of a proxy | the peer is not trusted by its address (1) |
//! | [`HOLDS_THE_CLIENT`] | the client's address | the peer is trusted only if this is its own address (1) |
//! | [`METHOD_OVERRIDES`] | the method | no path is public; rules of every method apply |
//! | [`URL_OVERRIDES`] | the URL | no path is public; rules are checked for this URL too |
//! | [`ROOT_OVERRIDES`] | the root of all paths, or a resource | no path is public; every rule applies |
//! | [`URL_BEGINNINGS`] | a host or a scheme | the same, if the value contains a path |
//!
//! (1) Not if the policy's `client_address` is `remote_ip`.
//!
//! Where no path is public, a CORS preflight needs a key too.

/// Headers in which a proxy, a content network or a cloud states its client's address. With any of them, the peer is not the
/// caller. Behind the gate, they could name any client to the service.
pub const CLIENT_ADDRESSES: [&str; 17] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "true-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
];

/// Headers that a proxy adds to what it forwards. With any of them, the peer is not the caller either.
pub const ADDED_BY_A_PROXY: [&str; 4] = ["via", "x-forwarded-context", "x-forwarded-host", "x-forwarded-prefix"];

/// Whether a header shows that the peer forwards requests of others.
pub(crate) fn names_a_client(name: &[u8]) -> bool {
    is_one_of(name, &CLIENT_ADDRESSES) || is_one_of(name, &ADDED_BY_A_PROXY)
}

/// Headers that contain the client's address, even if the client is the peer. Envoy writes the second one on its edge
/// listeners, also with `skip_xff_append`.
pub const HOLDS_THE_CLIENT: [&str; 2] = ["x-forwarded-for", "x-envoy-external-address"];

/// Headers from which some upstreams read the method.
pub const METHOD_OVERRIDES: [&str; 4] =
    ["x-http-method", "x-http-method-override", "x-method-override", "x-payload-http-method-override"];

/// Headers from which some upstreams read the URL (CVE-2018-14773). `docs/servers.md` lists the upstreams for each
/// header.
pub const URL_OVERRIDES: [&str; 5] =
    ["x-invoke-path", "x-matched-path", "x-ms-original-url", "x-original-url", "x-rewrite-url"];

/// Headers that move the root of all paths, or choose a resource whatever the path is:
///
/// * The root of all paths: `daphne-root-path`, `path-info`, `script-name`, `x-forwarded-script-name`, `x-script-name`,
///   `x-traversal-path`, `x-vhm-host`, `x-vhm-root`.
/// * A second path, to which WebDAV copies or moves a whole tree: `destination` (RFC 4918, section 10.3), `new-uri`.
/// * A function of a framework: `next-action`, `rsc-action-id`, `x-orpc-batch`, `x-qrl`, `x-service-method` (Feathers),
///   `x-single-flight`, `spring.cloud.function.definition` and `spring.cloud.function.routing-expression`.
/// * The application behind a Dapr sidecar (`dapr-app-id`), or a model of Seldon (`seldon-internal-model`).
/// * The location that nginx answers with: `x-accel-mapping`.
pub const ROOT_OVERRIDES: [&str; 21] = [
    "dapr-app-id",
    "daphne-root-path",
    "destination",
    "new-uri",
    "next-action",
    "path-info",
    "rsc-action-id",
    "script-name",
    "seldon-internal-model",
    "spring-cloud-function-definition",
    "spring-cloud-function-routing-expression",
    "x-accel-mapping",
    "x-forwarded-script-name",
    "x-orpc-batch",
    "x-qrl",
    "x-script-name",
    "x-service-method",
    "x-single-flight",
    "x-traversal-path",
    "x-vhm-host",
    "x-vhm-root",
];

/// Headers from which some upstreams build the beginning of the URL. If a value contains a path, it changes the rest of the
/// URL.
pub const URL_BEGINNINGS: [&str; 7] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
];

/// Other headers that have a meaning in HTTP, for Envoy or for the gate, and that are in none of the lists above.
const RESERVED: [&str; 19] = [
    "accept",
    "access-control-request-method",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "origin",
    "proxy-authorization",
    "sec-fetch-site",
    "sec-websocket-protocol",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Whether a header already has a meaning in HTTP, for Envoy or for the gate, so that a policy cannot use it.
pub(crate) fn is_reserved(name: &str) -> bool {
    let lists: [&[&str]; 8] = [
        &RESERVED,
        &HOLDS_THE_CLIENT,
        &CLIENT_ADDRESSES,
        &ADDED_BY_A_PROXY,
        &METHOD_OVERRIDES,
        &URL_OVERRIDES,
        &ROOT_OVERRIDES,
        &URL_BEGINNINGS,
    ];
    lists.into_iter().any(|list| is_one_of(name.as_bytes(), list))
}

/// Whether an upstream may treat two names as the same. Letter case is ignored, and all bytes other than letters and digits
/// are equal: CGI treats `-` as `_` (RFC 3875, section 4.1.18), and some servers convert every other byte too.
#[inline(never)]
pub(crate) fn same_name(name: &[u8], known: &str) -> bool {
    let same =
        |a: u8, b: u8| if defence!("header-spellings") { fold(a) == fold(b) } else { a.eq_ignore_ascii_case(&b) };
    name.len() == known.len()
        && (name == known.as_bytes() || name.iter().copied().zip(known.bytes()).all(|(a, b)| same(a, b)))
}

#[inline(never)]
pub(crate) fn is_one_of(name: &[u8], known: &[&str]) -> bool {
    known.iter().any(|known| same_name(name, known))
}

/// Returns the same byte for all bytes that are equal in names.
#[expect(clippy::indexing_slicing, reason = "a byte is always below 256, and `get` is not const")]
const fn fold(byte: u8) -> u8 {
    FOLDED[byte as usize]
}

/// A table, since each name of each request is folded at least twice.
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

/// A 64-bit Bloom filter of header names. Names that are [the same](same_name) have the same bit. Other names may share the
/// bit by chance. So a set bit means that names must be compared, and a clear bit means that the header is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderNameFilter(u64);

impl HeaderNameFilter {
    pub(crate) const NONE: Self = Self(0);

    /// Returns the filter of one name. The bit depends on the length and on the first and last letter. The weights are
    /// chosen so that few common headers share a bit with the headers of interest.
    pub(crate) const fn of(name: &[u8]) -> Self {
        match (name.first(), name.last()) {
            (Some(first), Some(last)) => {
                let ends = (fold(*first) as u32).wrapping_mul(30).wrapping_add((fold(*last) as u32).wrapping_mul(11));
                Self(1_u64.wrapping_shl((name.len() as u32).wrapping_add(ends)))
            }
            _ => Self::NONE,
        }
    }

    pub(crate) const fn of_all(names: &[&str]) -> Self {
        let (mut filter, mut names) = (Self::NONE, names);
        while let [name, rest @ ..] = names {
            (filter, names) = (filter.union(Self::of(name.as_bytes())), rest);
        }
        filter
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_has_its_bit() {
        for name in ["connection", "x-portcullis-roles", "x-api-key-", "x1"] {
            for (at, byte) in name.bytes().enumerate() {
                for other in (0..=127).filter(|other| fold(*other) == fold(byte)) {
                    let mut spelling = name.as_bytes().to_vec();
                    spelling[at] = other;
                    assert!(same_name(&spelling, name));
                    let filters = (HeaderNameFilter::of(&spelling), HeaderNameFilter::of(name.as_bytes()));
                    assert_eq!(filters.0, filters.1, "{spelling:?}");
                }
            }
        }
        for name in ["x-portcullis-role", "xportcullisroles", "x-portcullis-rolez", ""] {
            assert!(!same_name(name.as_bytes(), "x-portcullis-roles"), "{name}");
        }
    }

    #[test]
    fn usual_headers_share_no_bit_with_those_that_are_looked_for() {
        let usual =
            [":authority", ":method", ":path", ":scheme", "accept", "content-length", "content-type", "user-agent"];
        let looked_for =
            ["authorization", "x-api-key", "x-portcullis-consumer", "x-portcullis-roles", "x-portcullis-key-id"];
        assert!(!HeaderNameFilter::of_all(&looked_for).intersects(HeaderNameFilter::of_all(&usual)));
    }
}
