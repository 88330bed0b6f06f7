//! The format of keys: `pk_`, 32 random characters of base62, `_`, and a checksum of 6 characters of base62.
//!
//! The checksum is the CRC-32 (IEEE 802.3) of everything before its `_`, including `pk_`: a number in base 62 with six
//! digits, the highest first, and the digits `0-9A-Za-z`. It makes no key safer. With it, the command can tell a typo
//! from an unknown key, and a secret scanner a key from any other text.

use std::fmt;

use anyhow::{Context as _, Result};
use portcullis::keys::Digest;
use rand::distr::Alphanumeric;
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};

/// The first characters of every generated key.
pub(crate) const PREFIX: &str = "pk_";
/// 32 characters of 62 are 190 bits.
pub(crate) const RANDOM: usize = 32;
/// 62 to the power of 6 is more than 2 to the power of 32.
pub(crate) const CHECKSUM: usize = 6;

/// A new key. Only `expose` shows it.
pub(crate) struct NewKey(String);

/// Without the key.
impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(...)")
    }
}

impl NewKey {
    /// Generates a key with random numbers of the operating system.
    ///
    /// # Errors
    /// If the operating system provides none.
    pub(crate) fn generate() -> Result<Self> {
        let random = StdRng::try_from_rng(&mut SysRng).context("the operating system gives no random numbers")?;
        let key: String = PREFIX.chars().chain(random.sample_iter(Alphanumeric).take(RANDOM).map(char::from)).collect();
        let checksum = checksum(&key);
        Ok(Self(format!("{key}_{checksum}")))
    }

    /// The key itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Its digest, which is stored.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

fn checksum(text: &str) -> String {
    format!("{:0>CHECKSUM$}", base62::encode(crc32fast::hash(text.as_bytes())))
}

/// Whether a text looks like a generated key with a wrong, missing or additional character.
pub(crate) fn is_typo(key: &[u8]) -> bool {
    let Ok(key) = std::str::from_utf8(key) else { return false };
    let Some(rest) = key.strip_prefix(PREFIX) else { return false };
    let (random, given) = rest.split_once('_').unwrap_or((rest, ""));
    let base62 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // Other systems have keys that begin with `pk_` too, such as `pk_live_...`.
    if random.len() < RANDOM - 8 || !base62(random) || !base62(given) {
        return false;
    }
    random.len() < 30 || given != checksum(&format!("{PREFIX}{random}"))
}

/// Whether a text is a generated key.
pub(crate) fn is_generated(text: &str) -> bool {
    let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(random, given)| random.len() == RANDOM && given == checksum(&format!("{PREFIX}{random}")))
}

/// Why a key could be guessed, as the end of a sentence about the key; `None` for a random key of 20 characters.
pub(crate) fn weakness(key: &[u8]) -> Option<String> {
    let mut different = key.to_vec();
    different.sort_unstable();
    different.dedup();
    match (key.len(), different.len()) {
        (length, _) if length < 20 => Some(format!("is short ({length} characters)")),
        (_, different) if different < 10 => Some(format!("has only {different} different characters")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_form_and_is_no_typo() {
        let key = NewKey::generate().unwrap();
        let parts: Vec<_> = key.expose().split('_').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 6]);
        assert!(key.expose().strip_prefix("pk_").unwrap().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        assert!(!is_typo(key.expose().as_bytes()));
        assert!(is_generated(key.expose()) && !is_generated(&key.expose()[1..]) && !is_generated("pk_"));
        assert_eq!(weakness(key.expose().as_bytes()), None);
        assert_eq!(format!("{key:?}"), "NewKey(...)");
        assert_ne!(NewKey::generate().unwrap().expose(), key.expose());
    }

    const CHECKSUMS: [(&str, &str); 4] = [
        ("", "000000"),
        ("pk_", "3vSgx9"),
        ("pk_00000000000000000000000000000000", "0sTLlr"),
        ("pk_example0example0example0example0", "0zoDkg"),
    ];

    /// Written with another implementation (Python's zlib.crc32), so that others can check our keys by this page.
    #[test]
    fn the_checksum_is_what_its_definition_says() {
        for (text, digits) in CHECKSUMS {
            assert_eq!(checksum(text), digits);
        }
    }

    #[test]
    fn every_wrong_letter_is_a_typo_and_so_is_every_letter_too_few_or_too_many() {
        let key = NewKey::generate().unwrap();
        let key = key.expose();
        for at in PREFIX.len()..key.len() {
            let (before, after) = key.split_at(at);
            let other = if after.starts_with('a') { "b" } else { "a" };
            for typo in
                [format!("{before}{other}{}", &after[1..]), format!("{before}{}", &after[1..]), before.to_owned()]
            {
                let is_short = typo.len() < PREFIX.len() + RANDOM - 8;
                assert_eq!(is_typo(typo.as_bytes()), !is_short, "{typo} of {key}");
            }
            assert!(is_typo(format!("{before}x{after}").as_bytes()), "{before}x{after}");
        }
        for stranger in
            ["", "pk_", "secret", "pk_demo_ci_not_a_secret", "sk_live_51H8", "pk_test_TYooMQauvdEDq54NiTphI7jx"]
        {
            assert!(!is_typo(stranger.as_bytes()), "{stranger}");
        }
        assert!(!is_typo(b"pk_\xff"));
    }

    #[test]
    fn what_can_be_guessed_is_weak() {
        assert_eq!(weakness(b"hunter2").as_deref(), Some("is short (7 characters)"));
        assert_eq!(weakness(b"abababababababababababab").as_deref(), Some("has only 2 different characters"));
        assert_eq!(weakness(b"9f86d081884c7d659a2feaa0c55ad015"), None);
    }
}
