//! Request targets, the strict comparison of a path, and patterns.

use unicode_normalization::UnicodeNormalization as _;

use super::variants;

/// The part before the first `?`.
pub fn path(target: &[u8]) -> &[u8] {
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    &target[..end]
}

/// The part after the first `?`.
pub fn query(target: &[u8]) -> Option<Vec<u8>> {
    target.get(path(target).len() + 1..).map(<[u8]>::to_vec)
}

/// The byte of an escape at the beginning of `text`.
pub fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether each `%` begins a valid escape.
pub fn is_well_formed(text: &[u8]) -> bool {
    (0..text.len()).all(|at| text[at] != b'%' || escape(&text[at..]).is_some())
}

/// One round of percent-decoding, except for escapes of `kept`. Malformed escapes stay.
pub fn decode_but(text: &[u8], kept: Option<u8>) -> Vec<u8> {
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match escape(&text[at..]) {
            Some(byte) if Some(byte) != kept => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// One round of percent-decoding.
pub fn decode(text: &[u8]) -> Vec<u8> {
    decode_but(text, None)
}

/// The segments of a path, between its slashes.
pub fn segments(path: &[u8]) -> Vec<Vec<u8>> {
    super::request::split(path.strip_prefix(b"/").unwrap_or(path), b'/')
}

/// Characters that some backends trim or ignore: white space and control characters.
pub fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}

/// Few servers accept a longer path.
const MAX_LENGTH: usize = 8192;
/// The limit for repeated decoding.
const MAX_LENGTH_TO_DECODE: usize = 3072;

/// Whether a request target is valid.
pub fn is_a_target(target: &[u8]) -> bool {
    let visible = target.iter().all(|byte| (0x21..=0x7E).contains(byte) && *byte != b'#');
    let mut path = path(target).to_vec();
    if !visible || target.first() != Some(&b'/') || !is_well_formed(&path) {
        return false;
    }
    let has_escaped_percent = path.windows(3).any(|escape| escape == b"%25");
    if path.len() > MAX_LENGTH || path.len() > MAX_LENGTH_TO_DECODE && has_escaped_percent {
        return false;
    }
    // As sent, and after one to four rounds.
    for _ in 0..=4 {
        if path.contains(&0) || path.contains(&b'\\') || segments(&path).iter().any(|segment| is_dot_segment(segment)) {
            return false;
        }
        let decoded = decode(&path);
        if decoded == path {
            return true;
        }
        path = decoded;
    }
    false
}

/// `.` or `..`, up to parameters, or to a decoded `?` or `#`, with blanks around.
pub fn is_dot_segment(segment: &[u8]) -> bool {
    let end = segment.iter().position(|byte| b";?#".contains(byte)).unwrap_or(segment.len());
    let name = String::from_utf8_lossy(&segment[..end]).into_owned();
    matches!(name.trim_matches(is_blank), "." | "..")
}

/// Whether decoding cannot change the structure of a path, so that all backends interpret it alike.
pub fn is_plain(path: &[u8]) -> bool {
    let structural = |byte: u8| b"/\\.;%?#".contains(&byte);
    let decoded = decode(path);
    let Ok(text) = String::from_utf8(decoded.clone()) else { return false };
    let inner = segments(path);
    let empty = inner.iter().rev().skip(1).any(Vec::is_empty);
    let escaped = (0..path.len()).filter_map(|at| escape(&path[at..])).any(structural);
    let shapeless = segments(&decoded).iter().any(|name| {
        !name.is_empty() && String::from_utf8_lossy(name).chars().all(|letter| letter == '.' || is_blank(letter))
    });
    let run = [path, decoded.as_slice()].iter().any(|path| variants::has_path_behind_script(path));
    let moved = variants::is_below_faces(&decoded) || variants::last_action(&decoded).is_some();
    let shaped = !empty && !escaped && !shapeless && !run && !path.contains(&b';') && !moved;
    shaped && !text.chars().any(is_unstable) && !variants::is_too_odd_to_be_public(path)
}

/// Control characters; characters that Unicode normalization turns into path structure; and characters that best-fit
/// conversions turn into a slash or a backslash: the fraction and division slashes, set minus, yen and won signs.
fn is_unstable(letter: char) -> bool {
    let structural = |letter: char| "/\\.;%?#".contains(letter);
    letter.is_control()
        || "\u{2044}\u{2215}\u{2216}\u{A5}\u{20A9}".contains(letter)
        || (!letter.is_ascii() && letter.nfkc().any(structural))
}

/// Whether a path matches a pattern, byte by byte: `*` and `{name}` are one segment that is not empty, `**` is the
/// place itself and everything below.
pub fn matches(pattern: &str, path: &[u8]) -> bool {
    let names = segments(pattern.as_bytes()).into_iter();
    let pattern: Vec<Name> = names.map(|text| (text.clone(), encoded(&text))).collect();
    path.first() == Some(&b'/') && segments_match(&pattern, &segments(path))
}

/// A segment of a pattern, and its escaped form: a letter beyond ASCII matches itself and its upper-case escape.
pub type Name = (Vec<u8>, Vec<u8>);

/// As [`matches`], for segments.
fn segments_match(pattern: &[Name], path: &[Vec<u8>]) -> bool {
    match (pattern, path) {
        ([(last, _)], _) if last == b"**" => true,
        ([], []) => true,
        ([(text, escaped), pattern @ ..], [segment, path @ ..]) => {
            let wild = text == b"*" || text.starts_with(b"{");
            let same = segment == text || segment == escaped;
            (if wild { !segment.is_empty() } else { same }) && segments_match(pattern, path)
        }
        _ => false,
    }
}

/// Escapes all bytes that are not ASCII.
pub fn encoded(text: &[u8]) -> Vec<u8> {
    let byte = |byte: &u8| if byte.is_ascii() { vec![*byte] } else { format!("%{byte:02X}").into_bytes() };
    text.iter().flat_map(byte).collect()
}
