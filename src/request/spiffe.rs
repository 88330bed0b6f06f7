//! Trusted mTLS identities: patterns of SPIFFE ids (SPIFFE-ID, section 2).

use crate::value::text::{Invalid, Text, read_text};

/// A pattern of SPIFFE ids, such as `spiffe://cluster.local/ns/shop/sa/*`. `*` matches one whole segment of the path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SpiffeIdPattern(String);

impl SpiffeIdPattern {
    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches a peer's URI SAN. Trust domain and path are compared exactly.
    pub fn matches(&self, uri: &[u8]) -> bool {
        let segments = |uri: &[u8]| uri.split(|byte| *byte == b'/').count();
        let pairs = self.0.as_bytes().split(|byte| *byte == b'/').zip(uri.split(|byte| *byte == b'/'));
        segments(self.0.as_bytes()) == segments(uri)
            && pairs.into_iter().all(|(expected, found)| expected == found || (expected == b"*" && !found.is_empty()))
    }
}

impl Text for SpiffeIdPattern {
    const EXPECTED: &'static str = "a SPIFFE id such as spiffe://cluster.local/ns/shop/sa/*";
    const PATTERN: &'static str = r"^spiffe://[a-z0-9._-]+(/(\*|[A-Za-z0-9._-]+))+$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        let invalid = |help| Err(Invalid::new("invalid SPIFFE id", help));
        let expected = "expected spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, with * for one whole segment";
        let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
            return invalid(expected);
        };
        let is_domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if domain.is_empty() || !domain.bytes().all(is_domain_byte) {
            return invalid("malformed trust domain; write it in lower case, without * and port");
        }
        let is_segment_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let is_plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_segment_byte);
        if !path.split('/').all(|segment| segment == "*" || is_plain(segment)) {
            return invalid(expected);
        }
        // `ns` and `sa` are in every identity of a mesh, so they exclude none.
        if path.split('/').all(|segment| matches!(segment, "*" | "ns" | "sa")) {
            return invalid("it trusts a whole trust domain; name at least a namespace or an account");
        }
        Ok(Self(text.to_owned()))
    }
}

read_text!(SpiffeIdPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_trust_domain_is_refused() {
        for text in "spiffe://cluster.local spiffe://cluster.local/ spiffe://cluster.local/* spiffe://cluster.local/** \
                    spiffe://cluster.local/ns/*/sa/* spiffe://*/ns/shop/sa/cart spiffe:///ns/shop spiffe://a/ns//sa/b * \
                    spiffe://a/ns/shop/../sa spiffe://a/ns/sh*p/sa/b spiffe://A/ns/shop/sa/b http://a/ns/shop/sa/b".split(' ') {
            assert!(text.parse::<SpiffeIdPattern>().is_err(), "{text}");
        }
    }
}
