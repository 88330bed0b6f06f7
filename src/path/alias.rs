//! Aliases: segments by which a file system or a server finds a resource that has another name. Examples are short names
//! (8.3) and streams of NTFS, sessions in paths (ASP.NET), virtual hosts in paths, and namespaces (Zope). An alias does not
//! show what it refers to, so a path with one may be anything.

use memchr::memmem;

use super::ambiguity::Ambiguity;
use super::normalization::trim_dots;
use super::scan::{Feature, PathScan};

/// Reports a path with an alias, and a path that is not UTF-8: some frameworks drop such bytes, others treat them as
/// Latin-1.
pub(crate) fn check(path: &[u8], scan: PathScan) -> Result<(), Ambiguity> {
    if defence!("not-utf-8") && scan.has(Feature::NON_ASCII) && core::str::from_utf8(path).is_err() {
        return Err(Ambiguity::NotUtf8);
    }
    if defence!("aliases")
        && scan.has(Feature::ALIAS)
        && (memmem::find(path, b":$").is_some() || path.split(|byte| *byte == b'/').any(is_alias))
    {
        return Err(Ambiguity::Alias);
    }
    Ok(())
}

/// Reports a segment in one of Zope's namespaces, which may refer to a view or to nothing: `++view++admin`, `++skin++x`.
/// Such a segment makes no path public, so it is checked only where paths are restricted.
pub(crate) fn check_namespaces(path: &[u8], scan: PathScan) -> Result<(), Ambiguity> {
    let mut names = path.split(|byte| *byte == b'/').filter_map(|segment| segment.strip_prefix(b"++"));
    let has_one =
        defence!("namespaces") && scan.has(Feature::NAMESPACE) && names.any(|name| memmem::find(name, b"++").is_some());
    if has_one { Err(Ambiguity::Alias) } else { Ok(()) }
}

fn is_alias(segment: &[u8]) -> bool {
    let trimmed = trim_dots(segment);
    matches!(segment, b"VirtualHostBase" | b"VirtualHostRoot")
        || (segment.starts_with(b"(") && is_session(trimmed))
        || is_short_name(trimmed)
}

/// Whether ASP.NET treats a segment as a session, and drops it: `(S(x))`, `(A(x)F(y))`.
fn is_session(segment: &[u8]) -> bool {
    matches!(segment, [b'(', letter, b'(', .., b')', b')'] if letter.is_ascii_alphabetic())
}

/// Whether a name is a short name of the NTFS and FAT file systems (8.3): `ADMIN~1`, `REPORT~1.HTM`.
fn is_short_name(name: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'.');
    let (Some(stem), ending, None) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Some(tilde) = stem.iter().rposition(|byte| *byte == b'~') else { return false };
    let digits = stem.get(tilde.saturating_add(1)..).unwrap_or_default();
    (1..=6).contains(&tilde)
        && (1..=6).contains(&digits.len())
        && stem.len() <= 8
        && digits.iter().all(u8::is_ascii_digit)
        && ending.is_none_or(|ending| ending.len() <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_told_from_other_names() {
        let is_found = |path: &&str| check(path.as_bytes(), PathScan::of(path.as_bytes())) == Err(Ambiguity::Alias);
        let aliases = "/ADMIN~1 /admini~1/x /a~123456 /REPORT~1.HTM /x/a~1. /admin::$DATA /a:$i30:$INDEX_ALLOCATION/x \
                       /VirtualHostBase/http/h:80/admin/VirtualHostRoot/x /(S(x))/admin /(a(b)F(c)) /x/(S()) /x/(S(x)).";
        assert_eq!(aliases.split(' ').chain(["/a~1 /x"]).find(|path| !is_found(path)), None);
        let others = "/~10 /~user /a~b /a~ /v1.0~1 /~1~ /longname~1 /abcdef~12 /a~1.html /a~1.b.c /Products(1) /(x) \
                      /(S(x) /(1(x)) /a:b$ /$batch";
        assert_eq!(others.split(' ').find(|path| is_found(path)), None);
    }
}
