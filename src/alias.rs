//! Aliases: names by which a file system or a server knows something that has another name: short names (8.3) and streams of
//! NTFS, sessions in paths (ASP.NET), virtual hosts in paths (Zope). What an alias stands for cannot be seen from it, so a
//! path with one may be anything.

use crate::fold::trim_dots;
use crate::scan::Scan;
use crate::trail::Ambiguity;

/// Looks for an alias in a path, and for bytes that are not UTF-8: some frameworks drop these, others take them for Latin-1.
pub(crate) fn check(path: &[u8], scan: Scan) -> Result<(), Ambiguity> {
    if defence!("not-utf-8") && !scan.is_ascii() && core::str::from_utf8(path).is_err() {
        return Err(Ambiguity::NotUtf8);
    }
    if defence!("aliases")
        && scan.may_have_alias()
        && (path.windows(2).any(|pair| pair == b":$") || path.split(|byte| *byte == b'/').any(is_alias))
    {
        return Err(Ambiguity::Alias);
    }
    Ok(())
}

fn is_alias(segment: &[u8]) -> bool {
    matches!(segment, b"VirtualHostBase" | b"VirtualHostRoot")
        || is_session(segment)
        || is_short_name(trim_dots(segment))
}

/// A segment that ASP.NET takes for a session, and drops: `(S(x))`, `(A(x)F(y))`.
fn is_session(segment: &[u8]) -> bool {
    matches!(segment, [b'(', letter, b'(', .., b')', b')'] if letter.is_ascii_alphabetic())
}

/// A short name of the NTFS and FAT file systems (8.3): `ADMIN~1`, `REPORT~1.HTM`.
fn is_short_name(name: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'.');
    let (Some(stem), ending, None) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Some(tilde) = stem.iter().rposition(|byte| *byte == b'~') else { return false };
    let digits = stem.len().saturating_sub(tilde.saturating_add(1));
    (1..=6).contains(&tilde)
        && (1..=6).contains(&digits)
        && stem.len() <= 8
        && stem.iter().skip(tilde.saturating_add(1)).all(u8::is_ascii_digit)
        && ending.is_none_or(|ending| ending.len() <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(path: &str) -> bool {
        check(path.as_bytes(), Scan::of(path.as_bytes())) == Err(Ambiguity::Alias)
    }

    #[test]
    fn names_that_stand_for_others_are_found() {
        for path in [
            "/ADMIN~1",
            "/admini~1/x",
            "/a~123456",
            "/REPORT~1.HTM",
            "/x/a~1.",
            "/a~1 /x",
            "/admin::$DATA",
            "/a:$i30:$INDEX_ALLOCATION/x",
            "/VirtualHostBase/http/h:80/admin/VirtualHostRoot/x",
            "/(S(x))/admin",
            "/(a(b)F(c))",
            "/x/(S())",
        ] {
            assert!(is_found(path), "{path}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for path in [
            "/~10",
            "/~user",
            "/a~b",
            "/a~",
            "/v1.0~1",
            "/~1~",
            "/longname~1",
            "/abcdef~12",
            "/a~1.html",
            "/a~1.b.c",
            "/Products(1)",
            "/(x)",
            "/(S(x)",
            "/(1(x))",
            "/a:b$",
            "/$batch",
        ] {
            assert!(!is_found(path), "{path}");
        }
    }

    #[test]
    fn what_is_not_utf_8_may_be_anything() {
        for (path, is_text) in [(&b"/caf\xc3\xa9"[..], true), (b"/caf\xe9", false), (b"/\xff", false)] {
            assert_eq!(check(path, Scan::of(path)).is_ok(), is_text, "{}", path.escape_ascii());
        }
    }
}
