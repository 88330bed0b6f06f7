//! Names of headers: when an upstream takes two for the same, which ones mean something to the gate, and a Bloom filter of those
//! that a request has.

/// Headers by which a proxy names its client. With any of them, the peer is not the caller.
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

/// Headers that hold the client's address, also where that is the peer. Envoy writes the second one on its edge listeners, with
/// `skip_xff_append` too.
pub(crate) const HOLDS_THE_CLIENT: [&str; 2] = ["x-forwarded-for", "x-envoy-external-address"];

/// Headers from which some upstreams take the method.
pub(crate) const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// Headers from which some upstreams take the URL (CVE-2018-14773). `docs/security-model.md` says which upstream obeys which.
pub(crate) const URL_OVERRIDES: [&str; 5] =
    ["x-invoke-path", "x-matched-path", "x-ms-original-url", "x-original-url", "x-rewrite-url"];

/// Headers that move the root of all paths, or make the path say little: those from which some upstreams take what paths
/// begin with; those by which WebDAV copies and moves whole trees (RFC 4918, section 10.3); and those that say what runs, or
/// whose answer is sent, whatever the path is: server functions of JavaScript frameworks, the application behind a Dapr sidecar,
/// a model of Seldon, the location that nginx answers with.
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

/// Headers from which some upstreams make the beginning of the URL. A value with a path in it moves the rest.
pub(crate) const URL_BEGINNINGS: [&str; 7] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
];

/// Headers that mean something to HTTP or to Envoy, and to the gate beside the lists above.
const RESERVED: [&str; 18] = [
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
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Whether a header already means something to HTTP, to Envoy or to the gate, so that a policy cannot use it.
pub(crate) fn is_reserved(name: &str) -> bool {
    let lists: [&[&str]; 7] = [
        &RESERVED,
        &HOLDS_THE_CLIENT,
        &NAMES_A_CLIENT,
        &METHOD_OVERRIDES,
        &URL_OVERRIDES,
        &ROOT_OVERRIDES,
        &URL_BEGINNINGS,
    ];
    lists.into_iter().any(|list| is_one_of(name.as_bytes(), list))
}

/// Whether an upstream may take two names for the same: letter case does not count, nor which byte stands where there is no
/// letter and no digit. CGI takes `-` for `_` (RFC 3875, section 4.1.18), and some servers everything else too.
#[inline(never)]
pub(crate) fn same_name(name: &[u8], known: &str) -> bool {
    let same =
        |a: u8, b: u8| if defence!("header-spellings") { fold(a) == fold(b) } else { a.eq_ignore_ascii_case(&b) };
    name.len() == known.len()
        && (name == known.as_bytes() || name.iter().copied().zip(known.bytes()).all(|(a, b)| same(a, b)))
}

/// Whether an upstream may take a name for one of these.
#[inline(never)]
pub(crate) fn is_one_of(name: &[u8], known: &[&str]) -> bool {
    known.iter().any(|known| same_name(name, known))
}

/// The byte that stands for all bytes that are the same in names.
#[expect(clippy::indexing_slicing, reason = "a byte is always below 256, and `get` is not const")]
const fn fold(byte: u8) -> u8 {
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

/// A 64-bit Bloom filter of header names. [The same](same_name) names have the same bit. Others may share it by chance, so a
/// set bit means that the names must be compared, and a clear bit that the header is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderNameFilter(u64);

impl HeaderNameFilter {
    /// No name.
    pub(crate) const NONE: Self = Self(0);

    /// One name. The bit is chosen by the length and the first and last letter, weighted so that few of the usual headers
    /// share a bit with those that are looked for.
    pub(crate) const fn of(name: &[u8]) -> Self {
        match (name.first(), name.last()) {
            (Some(first), Some(last)) => {
                let ends = (fold(*first) as u32).wrapping_mul(40).wrapping_add((fold(*last) as u32).wrapping_mul(29));
                Self(1_u64.wrapping_shl((name.len() as u32).wrapping_add(ends)))
            }
            _ => Self::NONE,
        }
    }

    /// All of `names`.
    pub(crate) const fn of_all(names: &[&str]) -> Self {
        let (mut filter, mut names) = (Self::NONE, names);
        while let [name, rest @ ..] = names {
            (filter, names) = (filter.union(Self::of(name.as_bytes())), rest);
        }
        filter
    }

    /// The names of both.
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether both may have a name in common.
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
