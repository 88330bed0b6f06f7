//! The broad comparison of a path: which roles it requires, and whether it is protected.

use super::document::{Document, Place, Rule};
use super::path::{self, Name, encoded, is_blank, segments};
use super::request::{MAX_URL_BYTES, Request, lists, split};
use super::variants;

/// How a path or a pattern is normalized for backends that treat different paths as the same: how its end is trimmed,
/// and whether letter case counts.
type Form = (Ending, bool);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    AsItIs,
    NoSlash,
    /// Also drops blanks around a name, and dots and colons at its end.
    Trimmed,
    /// Also drops names that consist of nothing else.
    Dropped,
}

const ENDINGS: [Ending; 4] = [Ending::AsItIs, Ending::NoSlash, Ending::Trimmed, Ending::Dropped];

/// The segments of a path after such a normalization.
fn folded(path: &[u8], (ending, any_case): Form) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for name in segments(path) {
        let text = String::from_utf8_lossy(&name).into_owned();
        let trimmed =
            text.trim_end_matches(|letter| ".:".contains(letter) || is_blank(letter)).trim_start_matches(is_blank);
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

/// Case folding through upper case, so that ß is SS.
fn in_lower_case(name: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(name).to_uppercase().to_lowercase().into_bytes()
}

/// Replaces full-width letters of a path with ASCII letters.
fn narrowed(name: &[u8]) -> Vec<u8> {
    let narrow = |letter: char| match u32::from(letter) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(letter),
        _ => letter,
    };
    String::from_utf8_lossy(name).chars().map(narrow).collect::<String>().into_bytes()
}

/// The pattern with the same normalization, also of its escaped letters. Wildcards stay.
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

/// What happened to the last name of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Whole,
    WithoutSuffix,
    /// It was only a suffix.
    Dropped,
}

/// A path in a normalized form.
type Reading = (Form, Vec<Vec<u8>>, Last);

/// Each variant of these paths in each normalized form: unchanged, and without each suffix of its last name. `None` if
/// a path is opaque.
fn forms(paths: &[&[u8]]) -> Option<Vec<Reading>> {
    let variants = variants::of_all(paths)?;
    let mut all = Vec::new();
    for form in ENDINGS.iter().flat_map(|ending| [(*ending, false), (*ending, true)]) {
        for path in &variants {
            let mut names = folded(path, form);
            if form.1 {
                names = names.iter().map(|name| in_lower_case(&narrowed(name))).collect();
            }
            let (last, above) = names.split_last().expect("a path has a segment");
            for dot in (0..last.len()).filter(|at| last[*at] == b'.') {
                all.push((form, above.iter().cloned().chain([last[..dot].to_vec()]).collect(), Last::WithoutSuffix));
                // A suffix without a name belongs to the folder.
                if dot == 0 && !above.is_empty() {
                    all.push((form, above.to_vec(), Last::Dropped));
                }
            }
            all.push((form, names, Last::Whole));
        }
    }
    Some(all)
}

/// Other names that some backend uses for a name: the text after `@@`, each item of a list, and the text before a dot.
/// The suffixes of the last name have already been cut off.
fn others(name: &[u8], is_last: bool) -> Vec<Vec<u8>> {
    let bare = if name.starts_with(b"@@") { &name[2..] } else { name };
    let mut all = Vec::new();
    for item in split(bare, b',').iter().flat_map(|item| split(item, b'|')) {
        let is_another = item != name;
        if is_another || !is_last {
            all.extend((0..item.len()).filter(|at| item[*at] == b'.').map(|dot| item[..dot].to_vec()));
        }
        if is_another {
            all.push(item);
        }
    }
    all.retain(|other| !other.is_empty());
    all
}

/// The path with other names, from its segment `at` on. Another name counts only if a pattern has it, and if no pattern
/// with the same beginning and the exact name covers the path. `accepted`: patterns that may be found.
fn otherwise(patterns: &[Vec<Name>], accepted: &[bool], names: &[Vec<u8>], at: usize, last: Last) -> Vec<Vec<Vec<u8>>> {
    let goes_on = patterns.iter().any(|pattern| pattern.len() > at);
    let Some(name) = names.get(at).filter(|_| goes_on) else { return vec![names.to_vec()] };
    let is_last = at + 1 == names.len();
    let above = &names[..at];
    let mut all = otherwise(patterns, accepted, names, at + 1, last);
    if is_last && last == Last::WithoutSuffix {
        return all;
    }
    // Patterns with more segments, and the same ones before.
    let leads = |pattern: &&Vec<Name>| pattern.len() > at && reaches(&pattern[..at], above);
    let is_wild = |text: &[u8]| text == b"*" || text == b"**" || text.starts_with(b"{");
    let has = |pattern: &[Name], text: &[u8]| {
        let (plain, escaped) = &pattern[at];
        !is_wild(plain) && (plain == text || escaped == text)
    };
    let same = |one: &[Name], other: &[Name]| {
        one[..at].iter().zip(&other[..at]).all(|(one, other)| one == other || (is_wild(&one.0) && is_wild(&other.0)))
    };
    let covers_itself = |beginning: &[Name]| {
        let accepted = patterns.iter().zip(accepted).filter(|(_, accepted)| **accepted).map(|(pattern, _)| pattern);
        accepted.filter(leads).any(|one| same(beginning, one) && has(one, name) && segments_match(one, names))
    };
    let others = others(name, is_last && last == Last::Whole)
        .into_iter()
        .filter(|other| patterns.iter().filter(leads).any(|pattern| has(pattern, other) && !covers_itself(pattern)));
    for other in others.collect::<std::collections::BTreeSet<_>>() {
        let mut changed = names.to_vec();
        changed[at] = other;
        all.extend(otherwise(patterns, accepted, &changed, at + 1, last));
    }
    all
}

/// Whether the segments of a pattern match these, and it has more segments.
fn reaches(pattern: &[Name], names: &[Vec<u8>]) -> bool {
    let more = [names, &[b"x".to_vec()]].concat();
    segments_match(&[pattern, &[(b"**".to_vec(), b"**".to_vec())]].concat(), &more)
}

/// Other paths under which some servers serve the file that a pattern names by its extension: `/report` and everything
/// below `/report.html` for `/report.html`, and its folder for an index.
fn derived(pattern: &str) -> Vec<String> {
    let (file, below) = pattern.strip_suffix("/**").map_or((pattern, ""), |file| (file, "/**"));
    let Some((above, last)) = file.rsplit_once('/') else { return Vec::new() };
    let is_literal = !last.starts_with(['*', '{']);
    let extension = |at: &usize| last.as_bytes().get(at + 1).is_some_and(u8::is_ascii_alphabetic);
    let dots = last.match_indices('.').map(|(at, _)| at).filter(|at| is_literal && *at > 0 && extension(at));
    let mut all: Vec<String> = dots.map(|at| format!("{above}/{}{below}", &last[..at])).collect();
    if !all.is_empty() {
        if below.is_empty() {
            all.push(format!("{file}/**"));
        }
        if variants::is_an_index(last.as_bytes()) {
            all.push(format!("{above}/"));
        }
    }
    all
}

fn covers(pattern: &str, form: Form, names: &[Vec<u8>]) -> bool {
    segments_match(&folded_pattern(pattern, form), names)
}

/// Like the matching of patterns, but a wildcard may be empty if more of the path follows.
fn segments_match(pattern: &[Name], path: &[Vec<u8>]) -> bool {
    match (pattern, path) {
        ([(last, _)], _) if last == b"**" => true,
        ([], []) => true,
        ([(text, escaped), pattern @ ..], [segment, path @ ..]) => {
            let is_wild = text == b"*" || text.starts_with(b"{");
            let is_same = segment == text || segment == escaped;
            let fits = if is_wild { !segment.is_empty() || !path.is_empty() } else { is_same };
            fits && segments_match(pattern, path)
        }
        _ => false,
    }
}

/// Whether roles are sufficient for every variant of the path, and of every path in a header.
pub fn permit(document: &Document, roles: &[String], request: &Request, target: &[u8]) -> bool {
    let every_rule = document.rules.iter().all(|rule| has_any(roles, &rule.roles));
    // An opaque path needs a role of every rule.
    if every_rule {
        return true;
    }
    let urls = request.override_urls();
    let bytes: usize = urls.iter().map(Vec::len).sum();
    if request.has_another_root() || urls.len() > 4 || bytes > MAX_URL_BYTES {
        return false;
    }
    let mut targets = vec![target.to_vec()];
    for url in &urls {
        let Some(more) = targets_of(url) else { return false };
        targets.extend(more);
    }
    let paths: Vec<&[u8]> = targets.iter().map(|target| path::path(target)).collect();
    let method = (!request.is_overridden()).then(|| request.method());
    forms(&paths).is_some_and(|forms| {
        forms.iter().all(|(form, names, last)| permits(document, roles, method.as_deref(), *form, names, *last))
    })
}

/// The maximum number of steps in which the gate compares the variants of a request with patterns; beyond that they are
/// opaque.
const MAX_STEPS: usize = 1024;

/// Whether the gate may give up comparing. The number of steps depends on the patterns; this is an upper estimate.
pub fn may_take_long(request: &Request, target: &[u8]) -> bool {
    let urls = request.override_urls();
    let others = urls.iter().filter_map(|url| targets_of(url)).flatten();
    let targets: Vec<Vec<u8>> = others.chain([target.to_vec()]).collect();
    let paths: Vec<&[u8]> = targets.iter().map(|target| path::path(target)).collect();
    let variants = variants::of_all(&paths).unwrap_or_default();
    let most = variants.iter().map(|path| segments(path).len()).max().unwrap_or_default();
    variants.len() * 8 * (most + 2) > MAX_STEPS
}

/// The first matching rule applies, and also the first one with a matching derived pattern.
fn permits(
    document: &Document,
    roles: &[String],
    method: Option<&[u8]>,
    form: Form,
    names: &[Vec<u8>],
    last: Last,
) -> bool {
    let rules = &document.rules;
    let patterns: Vec<Vec<Name>> = rules.iter().map(|rule| folded_pattern(&rule.path, form)).collect();
    let accepted: Vec<bool> = rules.iter().map(|rule| may_be_first(rule, roles, method)).collect();
    let readings = otherwise(&patterns, &accepted, names, 0, last);
    readings.iter().all(|names| {
        let covering = rules.iter().zip(&patterns).filter(|(_, pattern)| segments_match(pattern, names));
        first_permits(covering.map(|(rule, _)| rule), roles, method)
    }) && {
        let covering = rules.iter().filter(|rule| derived(&rule.path).iter().any(|one| covers(one, form, names)));
        first_permits(covering, roles, method)
    }
}

/// If the method is unknown, each rule with methods may be the first.
fn first_permits<'a>(rules: impl Iterator<Item = &'a Rule>, roles: &[String], method: Option<&[u8]>) -> bool {
    let mut rules = rules.filter(|rule| may_be_first(rule, roles, method));
    rules.next().is_none_or(|rule| has_any(roles, &rule.roles))
}

fn may_be_first(rule: &Rule, roles: &[String], method: Option<&[u8]>) -> bool {
    match (&rule.methods, method) {
        (Some(methods), Some(method)) => lists(methods, method, true),
        (Some(_), None) => !has_any(roles, &rule.roles),
        (None, _) => true,
    }
}

fn has_any(roles: &[String], asked: &[String]) -> bool {
    asked.iter().any(|role| roles.contains(role))
}

/// The request targets that a URL in a header may mean; `None` if it is malformed.
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

/// Whether any variant of the path is under one of the patterns.
pub fn is_protected(patterns: &[Place], path: &[u8]) -> bool {
    let Some(forms) = forms(&[path]) else { return true };
    let patterns: Vec<&str> = patterns.iter().map(Place::path).collect();
    let files: Vec<String> = patterns.iter().flat_map(|one| derived(one)).collect();
    forms.iter().any(|(form, names, last)| {
        let places: Vec<Vec<Name>> = patterns.iter().map(|one| folded_pattern(one, *form)).collect();
        let readings = otherwise(&places, &vec![true; places.len()], names, 0, *last);
        readings.iter().any(|names| places.iter().any(|place| segments_match(place, names)))
            || files.iter().any(|one| covers(one, *form, names))
    })
}
