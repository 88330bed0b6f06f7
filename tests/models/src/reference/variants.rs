//! Every way in which a backend may interpret a path, before letter case and the ends of names; and which paths are
//! opaque.

use std::collections::BTreeSet;

use super::path::{decode, decode_but, is_blank, is_dot_segment, segments};
use super::request::split;

/// The maximum number of variants of a request, for its path and its override URLs together, without simple ones.
const MAX_VARIANTS: usize = 32;
/// Their maximum size in bytes.
const MAX_BYTES: usize = 2048;
/// The maximum number of dots in a name.
const MAX_DOTS: usize = 16;
/// Only a simple path may be longer than this.
const MAX_LENGTH: usize = 1024;

/// Extensions of scripts. A server also runs a script for paths that continue after it.
const SCRIPTS: [&str; 36] = [
    ".php", ".php3", ".php4", ".php5", ".php7", ".php8", ".pht", ".phtml", ".phar", ".phps", ".cgi", ".fcgi", ".pl",
    ".py", ".rb", ".wsgi", ".psgi", ".lua", ".asp", ".aspx", ".ashx", ".asmx", ".axd", ".cshtml", ".vbhtml", ".dll",
    ".svc", ".jsp", ".jspx", ".do", ".action", ".cfm", ".cfc", ".cfml", ".shtml", ".nsf",
];

/// In a name, Symfony treats the text after it as not part of the script's name.
const PHP: &str = ".php";

/// Below it, and one more name, Next has the data of each page.
const NEXT_DATA: &str = "/_next/data/";

/// After these names, Zope expects hosts and other roots.
const ROOTS: [&str; 2] = ["VirtualHostBase", "VirtualHostRoot"];

/// The beginning of the names of index files.
const INDEXES: [&str; 2] = ["index.", "default."];

/// Files with the data of the page of their folder, in SvelteKit, React Router and Qwik.
const DATA: [&str; 6] = ["__data.json", "__route.js", "_.data", "_.rsc", "_root.rsc", "q-data.json"];

/// The variants of several paths, one after the other; `None` if one of them is opaque, or there are too many.
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
        dots.count() > MAX_DOTS
    });
    (count <= MAX_VARIANTS && bytes <= MAX_BYTES && !has_too_many_dots).then_some(all)
}

/// The variants of a path; `None` if it is opaque.
fn of(path: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    if names_a_view(path) {
        return None;
    }
    if is_simple(path) {
        return Some(BTreeSet::from([path.to_vec()]));
    }
    if path.len() > MAX_LENGTH || !is_text(path) {
        return None;
    }
    let mut all = BTreeSet::from([path.to_vec()]);
    loop {
        let more: BTreeSet<Vec<u8>> = all.iter().flat_map(|path| read_otherwise(path)).collect();
        let before = all.len();
        all.extend(more);
        if all.len() > MAX_VARIANTS || all.iter().map(Vec::len).sum::<usize>() > MAX_BYTES {
            return None;
        }
        if all.len() == before {
            break;
        }
    }
    // Dots that follow a script in its name, and an escape with a tab in it: their interpretation is unknown.
    let has_dots = |path: &[u8]| segments(path).iter().any(|name| is_dot_segment(name));
    let odd = |path: &[u8]| {
        has_dots(path) || std::str::from_utf8(path).is_err() || names_a_file_otherwise(path) || names_a_view(path)
    };
    (!all.iter().any(|path| odd(path))).then_some(all)
}

/// Whether a path is opaque by its form as sent or decoded once: then it is not public.
pub fn is_too_odd_to_be_public(path: &[u8]) -> bool {
    let decoded = decode(path);
    let too_long = path.len() > MAX_LENGTH && !is_simple(path);
    too_long || !is_text(path) || [path, decoded.as_slice()].iter().any(|path| names_a_file_otherwise(path))
}

/// Whether all backends interpret a path alike, except for letter case and a slash at the end.
fn is_simple(path: &[u8]) -> bool {
    let names = segments(path);
    let (last, above) = names.split_last().expect("a path has a segment");
    let odd = |name: &Vec<u8>| {
        name.ends_with(b".")
            || name.ends_with(b":")
            || name.starts_with(b"(")
            || !scripts(name).is_empty()
            || is_a_root(name)
    };
    !path.iter().any(|byte| b"%;~".contains(byte))
        && !has_a_stream(path)
        && find(path, NEXT_DATA).is_none()
        && !above.iter().any(Vec::is_empty)
        && !names.iter().any(odd)
        && !is_below_faces(path)
        && find(path, ACTIONS).is_none()
        && !is_an_index(names.iter().rfind(|name| !name.is_empty()).unwrap_or(last))
}

/// Jakarta Faces has all pages under this folder, and without it.
const FACES: &str = "/faces/";

/// Whether a path contains that folder.
pub fn is_below_faces(path: &[u8]) -> bool {
    find(path, FACES).is_some()
}

/// A path without it, with and without the part before it.
fn without_faces(path: &[u8]) -> Vec<Vec<u8>> {
    let Some(at) = find(path, FACES) else { return Vec::new() };
    let behind = path[at + FACES.len() - 1..].to_vec();
    vec![[&path[..at], &behind].concat(), behind]
}

/// Astro runs the action after the last of these.
const ACTIONS: &str = "/_actions/";

/// The path with the last of several actions alone.
pub fn last_action(path: &[u8]) -> Option<Vec<u8>> {
    let first = find(path, ACTIONS)?;
    let last = (first + 1..path.len()).rev().find(|at| path[*at..].starts_with(ACTIONS.as_bytes()))?;
    Some([&path[..first], &path[last..]].concat())
}

/// Whether a path is UTF-8 after any number of decodings.
pub fn is_text(path: &[u8]) -> bool {
    let mut path = path.to_vec();
    (0..=4).all(|_| {
        let is_text = std::str::from_utf8(&path).is_ok();
        path = decode(&path);
        is_text
    })
}

/// The changes that some backend makes to a path.
fn read_otherwise(path: &[u8]) -> Vec<Vec<u8>> {
    let end = path.iter().position(|byte| b"?#".contains(byte)).unwrap_or(path.len());
    let without_parameters = segments(path).into_iter().map(|name| split(&name, b';').swap_remove(0));
    let mut names = segments(path);
    let last = names.pop().unwrap_or_default();
    // Only the last empty name stays: it is the slash at the end.
    let merged = names.iter().filter(|name| !name.is_empty()).chain([&last]).cloned();
    let leading = segments(path).into_iter().skip_while(Vec::is_empty);
    let without_lines = path.iter().copied().filter(|byte| !b"\t\r\n".contains(byte));
    let mut all = vec![
        decode(path),
        decode_but(path, Some(b'/')),
        path[..end].to_vec(),
        split(path, b';').swap_remove(0),
        joined(without_parameters),
        joined(merged),
        joined(leading),
        without_lines.collect(),
    ];
    all.extend(behind_host(path));
    all.extend(around_the_script(path));
    all.extend(folder_of_the_index(path));
    all.extend(page_of_the_data(path));
    all.extend(without_faces(path));
    all.extend(last_action(path));
    all
}

fn joined(names: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let path: Vec<u8> = names.into_iter().flat_map(|name| [b"/".as_slice(), &name].concat()).collect();
    if path.is_empty() { b"/".to_vec() } else { path }
}

/// The part after the host, if a path begins with `//host/`.
fn behind_host(path: &[u8]) -> Option<Vec<u8>> {
    let host = path.strip_prefix(b"//")?;
    let names = segments(host).into_iter().skip_while(Vec::is_empty).skip(1);
    Some(joined(names))
}

/// For the first script in a path: the part after it, the path without it, and the path up to it.
fn around_the_script(path: &[u8]) -> Vec<Vec<u8>> {
    let names = segments(path);
    let Some(at) = names.iter().position(|name| !scripts(name).is_empty()) else { return Vec::new() };
    let before = names[..at].to_vec();
    let around = |end: usize| {
        let (name, rest) = names[at].split_at(end);
        // The text after the script in its own name is a name.
        let rest = Some(rest.to_vec()).filter(|rest| !rest.is_empty());
        let after: Vec<Vec<u8>> = rest.into_iter().chain(names[at + 1..].iter().cloned()).collect();
        let up_to_it = [before.clone(), vec![name.to_vec()]].concat();
        [joined(after.clone()), joined([before.clone(), after].concat()), joined(up_to_it)]
    };
    scripts(&names[at]).into_iter().flat_map(around).collect()
}

/// The folder whose index is the last segment, with its slash.
fn folder_of_the_index(path: &[u8]) -> Option<Vec<u8>> {
    let mut names = segments(path);
    // The text after it is empty.
    let at = names.iter().rposition(|name| !name.is_empty())?;
    if !is_an_index(&names[at]) {
        return None;
    }
    names.truncate(at);
    Some(joined(names.into_iter().chain([Vec::new()])))
}

/// The page whose data Next has below `/_next/data/BUILD`.
fn page_of_the_data(path: &[u8]) -> Option<Vec<u8>> {
    let at = find(path, NEXT_DATA)?;
    let behind = &path[at + NEXT_DATA.len()..];
    let build = behind.iter().position(|byte| *byte == b'/')?;
    Some([&path[..at], &behind[build..]].concat())
}

fn find(text: &[u8], part: &str) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part.as_bytes())
}

/// The possible names of a script in a segment: up to a first `.php`, and the whole segment by its extension.
fn scripts(name: &[u8]) -> Vec<usize> {
    let lower = name.to_ascii_lowercase();
    let php = find(&lower, PHP).map(|at| at + PHP.len());
    let by_ending = SCRIPTS.iter().any(|ending| lower.ends_with(ending.as_bytes())).then_some(name.len());
    php.into_iter().chain(by_ending).collect()
}

/// Whether something follows a script, which treats it as a path.
pub fn has_path_behind_script(path: &[u8]) -> bool {
    let names = segments(path);
    let (last, above) = names.split_last().expect("a path has a segment");
    let goes_on = scripts(last).first().is_some_and(|end| *end < last.len());
    goes_on || above.iter().any(|name| !scripts(name).is_empty())
}

/// Whether a name is an index of its folder.
pub fn is_an_index(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    INDEXES.iter().any(|beginning| lower.starts_with(beginning.as_bytes()))
        || lower == b"index"
        || lower == b"index_html"
        || is_data(name)
}

fn is_data(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    // Next, and Nuxt, whose dot is any byte.
    let of = |start: &str, end: &str| name.starts_with(start.as_bytes()) && name.ends_with(end.as_bytes());
    DATA.iter().any(|file| name == file.as_bytes())
        || of("__next.", ".txt")
        || of("_payload", "json")
        || of("_payload", "js")
        || of("q-loader-", ".json")
}

/// The pages whose data is at a path.
pub fn pages(path: &[u8]) -> Vec<Vec<u8>> {
    let in_folder = segments(path).last().is_some_and(|last| is_data(last));
    let folder = folder_of_the_index(path).filter(|_| in_folder);
    folder.into_iter().chain(page_of_the_data(path)).collect()
}

fn is_a_root(name: &[u8]) -> bool {
    ROOTS.iter().any(|root| name == root.as_bytes())
}

/// Whether a name is in a namespace of Zope: `++view++x`. Public paths do not check this.
fn names_a_view(path: &[u8]) -> bool {
    segments(path).iter().any(|name| name.starts_with(b"++") && find(&name[2..], "++").is_some())
}

/// Whether Windows, ASP.NET or Zope resolve a path to another name.
fn names_a_file_otherwise(path: &[u8]) -> bool {
    let odd = |name: &Vec<u8>| is_a_short_name(name) || is_a_session(name) || is_a_root(name);
    has_a_stream(path) || segments(path).iter().any(odd)
}

/// `:$` as in `file::$DATA` and `folder:$i30:$INDEX_ALLOCATION`.
fn has_a_stream(path: &[u8]) -> bool {
    path.windows(2).any(|pair| pair == b":$")
}

/// `(S(...))`, where ASP.NET puts a cookieless session. Windows drops dots and blanks behind it.
fn is_a_session(name: &[u8]) -> bool {
    let letter = name.get(1).is_some_and(u8::is_ascii_alphabetic);
    let text = String::from_utf8_lossy(name).into_owned();
    let text = text.trim_end_matches(|letter| letter == '.' || is_blank(letter));
    name.len() >= 5 && letter && name[0] == b'(' && name[2] == b'(' && text.ends_with("))")
}

/// `ADMINI~1.HTM`: at most eight bytes of name, ending in a number, and an extension of three.
fn is_a_short_name(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name).into_owned();
    let text = text.trim_end_matches(|letter| letter == '.' || is_blank(letter)).trim_start_matches(is_blank);
    let (name, extension) = text.split_once('.').unwrap_or((text, ""));
    let Some((prefix, number)) = name.rsplit_once('~') else { return false };
    (1..=6).contains(&prefix.len())
        && (1..=6).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && name.len() <= 8
        && extension.len() <= 3
        && !extension.contains('.')
}
