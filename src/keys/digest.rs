//! SHA-256 digests of keys (FIPS 180-4). A policy stores these instead of the keys.

use core::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 of a key, 32 bytes. A plain digest is enough, since keys are long random strings: salt or stretching would
/// not make them harder to guess. It also allows one look-up to find the key.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    clippy::derive_ord_xor_partial_ord,
    reason = "equal is equal, in constant time"
)]
pub struct Digest([u8; 32]);

/// Compares all 32 bytes in constant time.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Digest {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Creates a digest that was computed elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses 64 hex digits, in upper or lower case. `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        let read = base16ct::mixed::decode(text, &mut digest).ok()?.len();
        (read == digest.len()).then_some(Self(digest))
    }

    /// Returns 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }

    /// Returns the first 16 hex digits. They are the default id of a key, its public handle in logs and headers.
    pub fn handle(&self) -> String {
        String::from_utf8_lossy(&self.handle_digits()).into_owned()
    }

    /// As [`handle`](Self::handle), without allocating memory.
    pub(crate) fn handle_digits(&self) -> [u8; 16] {
        let mut digits = [0; 16];
        // Eight bytes are sixteen digits.
        let _ = base16ct::lower::encode(self.0.first_chunk::<8>().unwrap_or(&[0; 8]), &mut digits);
        digits
    }

    /// Returns the first 48 bits as a number, which a gauge (and a double) represents exactly.
    pub fn first_48_bits(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes) >> 16)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}...)", self.handle())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FIPS 180-4.
    #[test]
    fn a_digest_is_sha_256() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_hex(), abc);
        assert_eq!(Digest::from_hex(abc), Some(Digest::of(b"abc")));
        assert_eq!(Digest::from_hex(&abc.to_uppercase()), Some(Digest::of(b"abc")));
        assert_eq!(Digest::of(b"abc").handle(), "ba7816bf8f01cfea");
        assert_eq!(Digest::of(b"abc").first_48_bits(), 0xba78_16bf_8f01);
        assert_eq!(format!("{:?}", Digest::of(b"abc")), "Digest(ba7816bf8f01cfea...)", "not in full");
    }

    #[test]
    fn what_is_no_digest_is_none() {
        let abc = Digest::of(b"abc").to_hex();
        let short = abc.trim_end_matches("ad");
        for text in ["", "ba", short, &format!("{abc}00"), &abc.replace('b', "g"), &abc.replace("ba", "+a")] {
            assert_eq!(Digest::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn digests_are_compared_in_full() {
        let (one, other) = (Digest([7; 32]), {
            let mut bytes = [7; 32];
            bytes[31] = 8;
            Digest(bytes)
        });
        assert_eq!(one, one);
        assert_ne!(one, other);
    }
}
