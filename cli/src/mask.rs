//! Hides generated keys in messages: people type a key in the place of a name, and callers put one into a path.

use std::borrow::Cow;

use crate::keys::key_format::{CHECKSUM, PREFIX, RANDOM};

/// What is shown instead; one word, as paths in a line are.
const HIDDEN: &str = "pk_…";

/// Replaces everything that has the form of a generated key, also with a wrong checksum.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(PREFIX) {
        let (before, from) = rest.split_at(at);
        shown.push_str(before);
        let length = key_at_start(from);
        if length > 0 {
            shown.push_str(HIDDEN);
        } else {
            shown.push_str(PREFIX);
        }
        rest = from.get(length.max(PREFIX.len())..).unwrap_or_default();
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// The length of the key at the start of a text; 0 if there is none.
fn key_at_start(text: &str) -> usize {
    let words = |text: &str| text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let random = text.get(PREFIX.len()..).unwrap_or_default();
    let checksum = random.get(RANDOM..).and_then(|rest| rest.strip_prefix('_')).unwrap_or_default();
    let is_key = words(random) == RANDOM && words(checksum) >= CHECKSUM;
    if is_key { PREFIX.len() + RANDOM + 1 + CHECKSUM } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hidden_and_nothing_else_is() {
        let key = format!("pk_{}_{}", "a1".repeat(16), "0Zz9Aa");
        for (text, shown) in [
            (format!("/v2/{key}/x?{key}"), "/v2/pk_…/x?pk_…"),
            (key.clone(), "pk_…"),
            (format!("pk_pk_{key}"), "pk_pk_pk_…"),
            ("pk_demo_ci_not_a_secret pk_".to_owned(), "pk_demo_ci_not_a_secret pk_"),
            ("pk_é".to_owned(), "pk_é"),
            (String::new(), ""),
        ] {
            assert_eq!(masked(&text), shown);
        }
        for length in 0..key.len() {
            assert_eq!(masked(&key[..length]), key[..length], "not a whole key");
        }
    }
}
