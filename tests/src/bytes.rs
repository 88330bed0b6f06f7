//! Converts bytes to text and back: `\xNN`, `\r`, `\n`, `\t` and `\\` stand for bytes in the table of cases and in reports; in
//! the table, `\{TEXT*NUMBER}` stands for a repeated text.

use std::fmt::Write as _;
use std::process::Output;

/// The bytes that `text` stands for.
///
/// # Errors
/// An escape other than these.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(repeated) = after.strip_prefix('{') {
            let (text, number, behind) =
                repetition(repeated).ok_or_else(|| format!("no repetition: \\{}", head(after)))?;
            bytes.extend(parse(text)?.repeat(number));
            rest = behind;
            continue;
        }
        let (byte, length) = escape(after).ok_or_else(|| format!("no such escape: \\{}", head(after)))?;
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn escape(after: &str) -> Option<(u8, usize)> {
    match after.as_bytes().first()? {
        b'r' => Some((b'\r', 1)),
        b'n' => Some((b'\n', 1)),
        b't' => Some((b'\t', 1)),
        b'\\' => Some((b'\\', 1)),
        b'x' => {
            let digits = after.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            Some((u8::from_str_radix(digits, 16).ok()?, 3))
        }
        _ => None,
    }
}

/// Text and number of `TEXT*NUMBER}`, and the rest after it.
fn repetition(repeated: &str) -> Option<(&str, usize, &str)> {
    let (inside, behind) = repeated.split_once('}')?;
    let (text, number) = inside.rsplit_once('*')?;
    Some((text, number.parse().ok()?, behind))
}

fn head(text: &str) -> String {
    text.chars().take(3).collect()
}

/// `bytes` as readable text that [`parse`] converts back.
pub fn show(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes all"),
        }
    }
    text
}

/// Whether a text, which is not empty, is somewhere in these bytes.
pub fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len().max(1)).any(|window| window == text)
}

/// The output of a program: standard output, then standard error.
pub fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[cfg(test)]
mod tests {
    use super::{parse, show};

    #[test]
    fn every_byte_survives_the_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(parse(&show(&all)), Ok(all));
    }

    #[test]
    fn text_beyond_ascii_is_its_utf8() {
        assert_eq!(parse("é\\xff"), Ok(vec![0xc3, 0xa9, 0xff]));
    }

    #[test]
    fn a_text_is_repeated() {
        assert_eq!(parse(r"/\{ab*2}c\{\xff*1}\{*9}\{**3}").as_deref(), Ok(&b"/ababc\xff***"[..]));
    }

    #[test]
    fn an_unknown_escape_is_refused() {
        for bad in ["\\q", "\\x1", "\\xg1", "\\x+1", "tail\\", "\\{a*1", "\\{a}", "\\{a*}", "\\{\\q*1}"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
