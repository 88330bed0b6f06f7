//! Trusted mTLS identities: SPIFFE ids (SPIFFE-ID, section 2) that need no key.

use core::str::FromStr;

use crate::document::refusal::Invalid;
use crate::document::text::{Text, read_text};

/// A pattern of SPIFFE ids, such as `spiffe://cluster.local/ns/shop/sa/*`: `*` stands for one whole segment of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityPattern(String);

impl IdentityPattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a peer's URI SAN falls under the pattern. Trust domain and path compare exactly.
    #[must_use]
    pub fn matches(&self, uri: &[u8]) -> bool {
        let (mut pattern, mut uri) = (self.0.as_bytes().split(slash), uri.split(slash));
        loop {
            match (pattern.next(), uri.next()) {
                (None, None) => return true,
                (Some(b"*"), Some(segment)) if !segment.is_empty() => {}
                (Some(literal), Some(segment)) if literal == segment => {}
                _ => return false,
            }
        }
    }
}

fn slash(byte: &u8) -> bool {
    *byte == b'/'
}

impl Text for IdentityPattern {
    const EXPECTED: &'static str = "a SPIFFE id such as spiffe://cluster.local/ns/shop/sa/*";

    #[cfg(feature = "schema")]
    const PATTERN: &'static str = r"^spiffe://[a-z0-9._-]+(/(\*|[A-Za-z0-9._-]+))+$";
}

impl FromStr for IdentityPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let example = "write spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, with * for one whole segment";
        let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
            return Err(Invalid::new("is no SPIFFE id with a path", example));
        };
        let domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if domain.is_empty() || !domain.bytes().all(domain_byte) {
            return Err(Invalid::new("has no plain trust domain", "write it in lower case, without * and port"));
        }
        let segment_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(segment_byte);
        if !path.split('/').all(|segment| segment == "*" || plain(segment)) {
            return Err(Invalid::new("has a segment that no SPIFFE id has", example));
        }
        // `ns` and `sa` are in every identity of a mesh: they narrow nothing.
        if path.split('/').all(|segment| matches!(segment, "*" | "ns" | "sa")) {
            return Err(Invalid::new("trusts a whole trust domain", "name at least a namespace or an account"));
        }
        Ok(Self(text.to_owned()))
    }
}

read_text!(IdentityPattern);

impl serde::Serialize for IdentityPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_segment() {
        let pattern = IdentityPattern::from_str("spiffe://cluster.local/ns/shop/sa/*").unwrap();
        assert!(pattern.matches(b"spiffe://cluster.local/ns/shop/sa/cart"));
        for uri in [
            "spiffe://cluster.local/ns/shop/sa/",
            "spiffe://cluster.local/ns/shop/sa",
            "spiffe://cluster.local/ns/shop/sa/a/b",
            "spiffe://cluster.local/ns/other/sa/cart",
            "spiffe://other/ns/shop/sa/cart",
            "https://cluster.local/ns/shop/sa/cart",
            "spiffe://cluster.local/ns/shop/sa/cart/",
            "spiffe://cluster.local//ns/shop/sa/cart",
            "SPIFFE://cluster.local/ns/shop/sa/cart",
            "",
        ] {
            assert!(!pattern.matches(uri.as_bytes()), "{uri}");
        }
    }

    #[test]
    fn a_whole_trust_domain_is_refused() {
        for text in [
            "spiffe://cluster.local",
            "spiffe://cluster.local/",
            "spiffe://cluster.local/*",
            "spiffe://cluster.local/**",
            "spiffe://cluster.local/ns/*/sa/*",
            "spiffe://*/ns/shop/sa/cart",
            "spiffe:///ns/shop",
            "spiffe://a/ns//sa/b",
            "*",
            "spiffe://a/ns/shop/../sa",
            "spiffe://a/ns/sh*p/sa/b",
            "spiffe://A/ns/shop/sa/b",
            "http://a/ns/shop/sa/b",
        ] {
            assert!(IdentityPattern::from_str(text).is_err(), "{text}");
        }
    }
}
