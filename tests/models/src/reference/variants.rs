//! Every way in which a backend may understand a path, before letter case and the ends of names; and which paths may be
//! anything.

use std::collections::BTreeSet;

use super::path::{decode, decode_but, is_blank, segments};
use super::request::split;

/// How many variants a request may have, its path and its override URLs together, but for those that are simple.
const MOST: usize = 32;
/// How many bytes they may have.
const MOST_BYTES: usize = 8192;
/// How many dots a name may have.
const MOST_DOTS: usize = 16;
/// Only a simple path may be longer than this.
const LONGEST: usize = 1024;

/// How the name of a script ends. A server runs it for what stands behind it too.
const SCRIPTS: [&str; 24] = [
    ".php", ".php3", ".php4", ".php5", ".php7", ".php8", ".phtml", ".phar", ".cgi", ".fcgi", ".pl", ".py", ".rb",
    ".asp", ".aspx", ".ashx", ".asmx", ".svc", ".jsp", ".jspx", ".do", ".action", ".cfm", ".cfc",
];

/// How the name of a file begins that a server has for the folder it is in.
const INDEXES: [&str; 2] = ["index.", "default."];

/// The variants of several paths, one after the other; `None` where one of them may be anything, or all are too many.
pub fn of_all(paths: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let (mut all, mut count, mut bytes) = (Vec::new(), 0, 0);
    for path in paths {
        let variants = of(path)?;
        if !is_simple(path) {
            count += variants.len();
            bytes += variants.iter().map(Vec::len).sum::<usize>();
        }
        all.extend(variants);
    }
    let has_too_many_dots = all.iter().flat_map(|path| segments(path)).any(|name| {
        let dots = name.iter().filter(|byte| **byte == b'.');
        dots.count() > MOST_DOTS
    });
    (count <= MOST && bytes <= MOST_BYTES && !has_too_many_dots).then_some(all)
}

/// The variants of a path; `None` where it may be anything.
fn of(path: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    if is_simple(path) {
        return Some(BTreeSet::from([path.to_vec()]));
    }
    if path.len() > LONGEST || !is_text(path) {
        return None;
    }
    let mut all = BTreeSet::from([path.to_vec()]);
    loop {
        let more: BTreeSet<Vec<u8>> = all.iter().flat_map(|path| read_otherwise(path)).collect();
        let before = all.len();
        all.extend(more);
        if all.len() > MOST || all.iter().map(Vec::len).sum::<usize>() > MOST_BYTES {
            return None;
        }
        if all.len() == before {
            break;
        }
    }
    (!all.iter().any(|path| names_a_file_otherwise(path))).then_some(all)
}

/// Whether a path may be anything that can be told of it as it is sent and decoded once: it is not public.
pub fn is_too_odd_to_be_public(path: &[u8]) -> bool {
    let decoded = decode(path);
    let too_long = path.len() > LONGEST && !is_simple(path);
    too_long || !is_text(path) || [path, decoded.as_slice()].iter().any(|path| names_a_file_otherwise(path))
}

/// Whether nobody reads a path otherwise than another does, but for letter case and a slash at the end.
fn is_simple(path: &[u8]) -> bool {
    let names = segments(path);
    let above = &names[..names.len() - 1];
    let odd = |name: &Vec<u8>| name.ends_with(b".") || name.starts_with(b"(") || is_a_script(name);
    !path.iter().any(|byte| b"%;~".contains(byte))
        && !has_a_stream(path)
        && !above.iter().any(Vec::is_empty)
        && !names.iter().any(odd)
        && !names.last().is_some_and(|last| is_an_index(last))
}

/// Whether a path is UTF-8, however often it is decoded.
pub fn is_text(path: &[u8]) -> bool {
    let mut path = path.to_vec();
    (0..=4).all(|_| {
        let is_text = std::str::from_utf8(&path).is_ok();
        path = decode(&path);
        is_text
    })
}

/// What one backend or another does to a path.
fn read_otherwise(path: &[u8]) -> Vec<Vec<u8>> {
    let end = path.iter().position(|byte| b"?#".contains(byte)).unwrap_or(path.len());
    let without_parameters = segments(path).into_iter().map(|name| split(&name, b';').swap_remove(0));
    let mut names = segments(path);
    let last = names.pop().unwrap_or_default();
    // Of empty names only that at the end stays: it is the slash there.
    let merged = names.iter().filter(|name| !name.is_empty()).chain([&last]).cloned();
    let leading = segments(path).into_iter().skip_while(Vec::is_empty);
    let without_lines = path.iter().copied().filter(|byte| !b"\t\r\n".contains(byte));
    let mut all = vec![
        decode(path),
        decode_but(path, Some(b'/')),
        path[..end].to_vec(),
        joined(without_parameters),
        joined(merged),
        joined(leading),
        without_lines.collect(),
    ];
    all.extend(behind_host(path));
    all.extend(around_the_script(path));
    all.extend(folder_of_the_index(path));
    all
}

fn joined(names: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let path: Vec<u8> = names.into_iter().flat_map(|name| [b"/".as_slice(), &name].concat()).collect();
    if path.is_empty() { b"/".to_vec() } else { path }
}

/// What follows the host, where a path begins as `//host/` does.
fn behind_host(path: &[u8]) -> Option<Vec<u8>> {
    let host = path.strip_prefix(b"//")?;
    let names = segments(host).into_iter().skip_while(Vec::is_empty).skip(1);
    Some(joined(names))
}

/// Of the first segment that is a script: what follows it, the path without it, and the path up to it.
fn around_the_script(path: &[u8]) -> Vec<Vec<u8>> {
    let names = segments(path);
    let Some(at) = names.iter().position(|name| is_a_script(name)) else { return Vec::new() };
    let (before, after) = (&names[..at], &names[at + 1..]);
    vec![joined(after.to_vec()), joined([before, after].concat()), joined(names[..=at].to_vec())]
}

/// The folder whose index the last segment is, with its slash.
fn folder_of_the_index(path: &[u8]) -> Option<Vec<u8>> {
    let mut names = segments(path);
    let last = names.last_mut()?;
    if !is_an_index(last) {
        return None;
    }
    last.clear();
    Some(joined(names))
}

/// Whether a segment is the name of a script.
pub fn is_a_script(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    SCRIPTS.iter().any(|ending| name.ends_with(ending.as_bytes()))
}

fn is_an_index(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    INDEXES.iter().any(|beginning| name.starts_with(beginning.as_bytes()))
}

/// Whether Windows or ASP.NET know what a path names by another name.
fn names_a_file_otherwise(path: &[u8]) -> bool {
    has_a_stream(path) || segments(path).iter().any(|name| is_a_short_name(name) || is_a_session(name))
}

/// `:$` as in `file::$DATA` and `folder:$i30:$INDEX_ALLOCATION`.
fn has_a_stream(path: &[u8]) -> bool {
    path.windows(2).any(|pair| pair == b":$")
}

/// `(S(...))`, where ASP.NET keeps a session without cookies.
fn is_a_session(name: &[u8]) -> bool {
    let letter = name.get(1).is_some_and(u8::is_ascii_alphabetic);
    name.len() >= 5 && letter && name[0] == b'(' && name[2] == b'(' && name.ends_with(b"))")
}

/// `ADMINI~1.HTM`: at most eight bytes of name, with a number at their end, and three of an extension.
fn is_a_short_name(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name).into_owned();
    let text = text.trim_end_matches(|letter| letter == '.' || is_blank(letter)).trim_start_matches(is_blank);
    let (name, extension) = text.split_once('.').unwrap_or((text, ""));
    let Some((prefix, number)) = name.split_once('~') else { return false };
    (1..=6).contains(&prefix.len())
        && (1..=6).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && name.len() <= 8
        && extension.len() <= 3
        && !extension.contains('.')
}
