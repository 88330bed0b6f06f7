//! Hides generated keys in messages: people type a key in the place of a name, and callers put one into a path.

use std::borrow::Cow;

use crate::keys::key_format::PREFIX;

/// What is shown instead; one word, as paths in a line are.
const HIDDEN: &str = "pk_…";

/// As many letters and digits after the prefix are a key, or so much of one that it must not be shown.
const PART: usize = 16;

/// Replaces everything that looks like a generated key: also a part of one, and one in capital letters.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = prefix(rest) {
        let (before, from) = rest.split_at(at);
        shown.push_str(before);
        let length = key_at_start(from);
        let (key, after) = from.split_at(length.max(PREFIX.len()));
        shown.push_str(if length > 0 { HIDDEN } else { key });
        rest = after;
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// Where the prefix of generated keys is, in any letter case.
fn prefix(text: &str) -> Option<usize> {
    text.as_bytes().windows(PREFIX.len()).position(|part| part.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// The length of the key at the start of a text, with its prefix; 0 if there is none.
fn key_at_start(text: &str) -> usize {
    let words = |text: &str| text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let random = words(text.get(PREFIX.len()..).unwrap_or_default());
    if random < PART {
        return 0;
    }
    let end = PREFIX.len() + random;
    let checksum = text.get(end..).and_then(|rest| rest.strip_prefix('_')).map_or(0, words);
    if checksum > 0 { end + 1 + checksum } else { end }
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
        assert_eq!(masked(&key.to_uppercase()), "pk_…");
        for length in 0..key.len() {
            let part = &key[..length];
            let shown = if length < PREFIX.len() + PART { part } else { "pk_…" };
            assert_eq!(masked(part).trim_end_matches('_'), shown.trim_end_matches('_'));
        }
    }
}
