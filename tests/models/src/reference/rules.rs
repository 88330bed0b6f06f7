//! The wide reading of a path: which roles it asks for, and whether it is protected.

use std::collections::BTreeSet;

use super::document::{Document, Place};
use super::path::{self, Name, decode, decode_but, encoded, is_blank, segments, segments_match};
use super::request::{Request, lists};

/// How a path or a pattern may be written down again where a backend does not tell some things apart: how its end is trimmed,
/// and whether letter case counts.
type Form = (Ending, bool);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    AsItIs,
    NoSlash,
    /// Nor blanks around a name, nor dots at its end.
    Trimmed,
    /// And names of nothing else are dropped.
    Dropped,
}

const ENDINGS: [Ending; 4] = [Ending::AsItIs, Ending::NoSlash, Ending::Trimmed, Ending::Dropped];

/// Every way in which a backend may understand a path; `None` for more than 32, or more than 128 KiB.
pub fn readings(path: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    let mut all = BTreeSet::from([path.to_vec()]);
    all.extend(behind_host(path));
    loop {
        let more: BTreeSet<Vec<u8>> = all.iter().flat_map(|path| read_otherwise(path)).collect();
        let before = all.len();
        all.extend(more);
        if all.len() > 32 || all.iter().map(Vec::len).sum::<usize>() > 128 * 1024 {
            return None;
        }
        if all.len() == before {
            return Some(all);
        }
    }
}

/// What one backend or another does to a path.
fn read_otherwise(path: &[u8]) -> Vec<Vec<u8>> {
    let end = path.iter().position(|byte| b"?#".contains(byte)).unwrap_or(path.len());
    let joined =
        |names: Vec<Vec<u8>>| names.iter().flat_map(|name| [b"/".as_slice(), name].concat()).collect::<Vec<u8>>();
    let without_parameters = segments(path).into_iter().map(|name| super::request::split(&name, b';').swap_remove(0));
    let mut names = segments(path);
    let last = names.pop().unwrap_or_default();
    // Of empty names only that at the end stays: it is the slash there.
    let merged = names.iter().filter(|name| !name.is_empty()).chain([&last]).cloned();
    let leading = segments(path).into_iter().skip_while(Vec::is_empty).collect::<Vec<_>>();
    vec![
        decode(path),
        decode_but(path, Some(b'/')),
        path[..end].to_vec(),
        joined(without_parameters.collect()),
        joined(merged.collect()),
        if leading.is_empty() { b"/".to_vec() } else { joined(leading) },
    ]
}

/// What follows the host, where a path begins as `//host/` does.
fn behind_host(path: &[u8]) -> Option<Vec<u8>> {
    let host = path.strip_prefix(b"//")?;
    let start = host.iter().position(|byte| *byte != b'/')?;
    let end = host[start..].iter().position(|byte| *byte == b'/');
    Some(end.map_or(b"/".to_vec(), |end| host[start + end..].to_vec()))
}

/// The segments of a path as a backend has them that does not tell things apart.
fn folded(path: &[u8], (ending, any_case): Form) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for name in segments(path) {
        let text = String::from_utf8_lossy(&name).into_owned();
        let trimmed = text.trim_end_matches(|letter| letter == '.' || is_blank(letter)).trim_start_matches(is_blank);
        let kept = match ending {
            Ending::AsItIs | Ending::NoSlash => name,
            Ending::Trimmed if trimmed.is_empty() => name,
            Ending::Dropped if trimmed.is_empty() && !name.is_empty() => continue,
            Ending::Trimmed | Ending::Dropped => trimmed.as_bytes().to_vec(),
        };
        names.push(if any_case { in_lower_case(&kept) } else { kept });
    }
    while ending != Ending::AsItIs && names.last().is_some_and(Vec::is_empty) {
        names.pop();
    }
    if names.is_empty() { vec![Vec::new()] } else { names }
}

/// Any letter case is one, so that ß is SS. Full-width letters count as those of ASCII.
fn in_lower_case(name: &[u8]) -> Vec<u8> {
    let narrow = |letter: char| match u32::from(letter) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(letter),
        _ => letter,
    };
    String::from_utf8_lossy(name).chars().map(narrow).collect::<String>().to_uppercase().to_lowercase().into_bytes()
}

/// The pattern, folded alike, and so are the escapes of its letters. Wildcards stay.
fn folded_pattern(pattern: &str, (ending, any_case): Form) -> Vec<Name> {
    let wild = |name: &[u8]| name == b"*" || name == b"**" || name.first() == Some(&b'{');
    let fold = |name: &[u8]| folded(&[b"/", name].concat(), (ending, any_case)).swap_remove(0);
    let both = |name: Vec<u8>| {
        if wild(&name) { (name.clone(), name) } else { (fold(&name), fold(&encoded(&name))) }
    };
    let mut names: Vec<Name> = segments(pattern.as_bytes()).into_iter().map(both).collect();
    if ending != Ending::AsItIs && names.len() > 1 && names.last().is_some_and(|(text, _)| text.is_empty()) {
        names.pop();
    }
    names
}

/// Each reading in each form, with that form.
fn forms(path: &[u8]) -> Option<Vec<(Form, Vec<Vec<u8>>)>> {
    let all = readings(path)?;
    let forms = ENDINGS.iter().flat_map(|ending| [(*ending, false), (*ending, true)]);
    Some(forms.flat_map(|form| all.iter().map(move |path| (form, folded(path, form)))).collect())
}

/// Whether roles are enough for every reading of the path, and of every path that a header names.
pub fn permit(document: &Document, roles: &[String], request: &Request, target: &[u8]) -> bool {
    let every_rule = || document.rules.iter().all(|rule| has_any(roles, &rule.roles));
    if document.rules.is_empty() {
        return true;
    }
    let mut targets = vec![target.to_vec()];
    let urls = request.override_urls();
    for url in &urls {
        match targets_of(url) {
            Some(more) => targets.extend(more),
            None if every_rule() => {}
            None => return false,
        }
    }
    if urls.len() > 4 && !every_rule() {
        return false;
    }
    let method = (!request.is_overridden()).then(|| request.method());
    targets.iter().all(|target| match forms(path::path(target)) {
        None => every_rule(),
        Some(forms) => forms.iter().all(|(form, path)| permits(document, roles, method.as_deref(), *form, path)),
    })
}

/// The first rule that matches counts. Where the method may be any, each that is narrowed by methods may be the first.
fn permits(document: &Document, roles: &[String], method: Option<&[u8]>, form: Form, path: &[Vec<u8>]) -> bool {
    for rule in &document.rules {
        if !segments_match(&folded_pattern(&rule.path, form), path) {
            continue;
        }
        match (&rule.methods, method) {
            (Some(methods), Some(method)) if !lists(methods, method, true) => {}
            (Some(_), None) if has_any(roles, &rule.roles) => {}
            _ => return has_any(roles, &rule.roles),
        }
    }
    true
}

fn has_any(roles: &[String], asked: &[String]) -> bool {
    asked.iter().any(|role| roles.contains(role))
}

/// The request targets that a URL in a header may mean; `None` where it cannot be read.
fn targets_of(url: &[u8]) -> Option<Vec<Vec<u8>>> {
    let lower = url.to_ascii_lowercase();
    let behind = [&b"http://"[..], b"https://", b"//"].into_iter().find(|start| lower.starts_with(start));
    let mut targets = Vec::new();
    if let Some(start) = behind {
        let rest = &url[start.len()..];
        let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
        let (host, target) = rest.split_at(end);
        if host.is_empty() || !host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte)) {
            return None;
        }
        targets.push(if target.starts_with(b"/") { target.to_vec() } else { b"/".to_vec() });
    }
    if url.starts_with(b"/") {
        targets.push(url.to_vec());
    }
    (!targets.is_empty() && targets.iter().all(|target| path::is_a_target(target))).then_some(targets)
}

/// Whether any reading of the path is under one of the patterns, with or without a suffix such as `.json`.
pub fn is_protected(patterns: &[Place], path: &[u8]) -> bool {
    let Some(forms) = forms(path) else { return true };
    forms.iter().any(|(form, names)| {
        let (last, above) = names.split_last().expect("a path has a segment");
        let dots = (0..last.len()).filter(|at| last[*at] == b'.');
        let cut = dots.map(|dot| above.iter().cloned().chain([last[..dot].to_vec()]).collect::<Vec<_>>());
        let all: Vec<Vec<Vec<u8>>> = cut.chain([names.clone()]).collect();
        patterns.iter().any(|one| all.iter().any(|names| segments_match(&folded_pattern(one.path(), *form), names)))
    })
}
