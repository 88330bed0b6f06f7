//! A differential oracle for paths. Six slow and obvious models say how a backend may read a path; whatever the gate calls
//! public must be public to each of them, and whatever any of them finds restricted, the gate must restrict.

use std::collections::BTreeSet;

use portcullis_tests::areas::{GUEST, WORDS, decide, is_public, is_restricted, policy};
use proptest::prelude::*;
use proptest::sample::select;

/// How a backend reads a path: the resource that it serves, or nothing.
type Model = fn(&[u8]) -> Option<String>;

const MODELS: [(&str, Model); 6] = [
    ("RFC 3986: split, decode each segment, remove dot segments", rfc3986),
    ("nginx: decode, merge slashes, resolve", nginx),
    ("a servlet container: drop parameters, decode, resolve", servlet),
    ("decoding twice, then resolving", twice),
    ("Windows: backslash is a slash, case does not count, names lose dots and blanks at their end", windows),
    ("merging slashes first, then decoding", merged_first),
];

fn decode(text: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        let byte = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Segments with the dots resolved; `None` above the root.
fn resolve(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." => kept.extend(last.then_some("")),
            ".." => {
                kept.pop()?;
                kept.extend(last.then_some(""));
            }
            other => kept.push(other),
        }
    }
    Some(format!("/{}", kept.join("/")))
}

fn merge(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

fn without_parameters(path: &str) -> String {
    path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
}

fn rfc3986(path: &[u8]) -> Option<String> {
    let resolved = resolve(&text(path))?;
    // A slash in an escape stays within its segment: U+2215 stands for it.
    let segments = resolved.split('/').map(|segment| text(&decode(segment.as_bytes())).replace('/', "\u{2215}"));
    Some(segments.collect::<Vec<_>>().join("/"))
}

fn nginx(path: &[u8]) -> Option<String> {
    let decoded = decode(path);
    if decoded.contains(&0) {
        return None;
    }
    resolve(&merge(&text(&decoded)))
}

fn servlet(path: &[u8]) -> Option<String> {
    resolve(&merge(&text(&decode(without_parameters(&text(path)).as_bytes()))))
}

fn twice(path: &[u8]) -> Option<String> {
    resolve(&text(&decode(&decode(path))))
}

fn windows(path: &[u8]) -> Option<String> {
    let path = merge(&text(&decode(path)).replace('\\', "/")).to_lowercase();
    let resolved = resolve(&path)?;
    let names = resolved.split('/').map(|name| name.trim_end_matches(['.', ' ']));
    Some(names.collect::<Vec<_>>().join("/"))
}

fn merged_first(path: &[u8]) -> Option<String> {
    resolve(&text(&decode(merge(&text(path)).as_bytes())))
}

/// Paths of words that matter and of everything that is read in more than one way.
fn paths() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(&WORDS[..]), 1..9).prop_map(|words| format!("/{}", words.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_gate_calls_public_is_public_to_every_backend(path in paths()) {
        if decide(&policy(), &path, None) == "public_path" {
            for (name, model) in MODELS {
                if let Some(resource) = model(path.as_bytes()) {
                    prop_assert!(is_public(&resource), "{path} is {resource} to {name}");
                }
            }
        }
    }

    #[test]
    fn what_any_backend_finds_restricted_asks_for_the_role(path in paths()) {
        let reader = MODELS.iter().find_map(|(name, model)| {
            model(path.as_bytes()).filter(|resource| is_restricted(resource)).map(|resource| (name, resource))
        });
        if let Some((name, resource)) = reader {
            let decision = decide(&policy(), &path, Some(GUEST));
            prop_assert!(matches!(decision, "missing_role" | "bad_request_target"), "{path} is {resource} to {name}: {decision}");
        }
    }
}

/// A control: the generator does reach each kind of answer, and the models do differ.
#[test]
fn the_paths_that_are_tried_are_of_every_kind() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let (mut runner, policy) = (TestRunner::deterministic(), policy());
    let (mut answers, mut disputed) = (BTreeSet::new(), 0);
    for _ in 0..5_000 {
        let path = paths().new_tree(&mut runner).expect("a path").current();
        answers.insert(decide(&policy, &path, Some(GUEST)));
        let resources: BTreeSet<_> = MODELS.iter().map(|(_, model)| model(path.as_bytes())).collect();
        disputed += usize::from(resources.len() > 1);
    }
    assert_eq!(answers, BTreeSet::from(["bad_request_target", "key", "missing_role", "public_path"]));
    assert!(disputed > 1_000, "only {disputed} paths are read in several ways");
}
