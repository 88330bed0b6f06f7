//! Thousands of unusual requests that only an attacker would send; the same in every run.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::areas::WORDS;
use crate::forms::{Probe, formed, with_headers};

/// Paths of known vulnerabilities, and similar ones. `@HOST@` stands for the name of the host.
pub const CLASSICS: [&str; 52] = [
    "/admin/x",
    "/pub/x",
    "/docs/x",
    "/v/x/p",
    "/pub/../admin/x",
    "/pub/x/../../admin/x",
    "/pub/./../admin/x",
    "/pub/..;/admin/x", // CVE-2020-5902 and others: a proxy sees a name, Tomcat sees `..`
    "/pub/..;a=b/admin/x",
    "/pub/.;/../admin/x",
    "/pub;/../admin/x",
    "/pub/%2e%2e/admin/x",
    "/pub/.%2e/admin/x",           // CVE-2021-41773
    "/pub/%%32%65%%32%65/admin/x", // CVE-2021-42013
    "/pub/%252e%252e/admin/x",
    "/pub/..%2fadmin/x",
    "/pub/..%252fadmin/x",
    "/pub/..%5cadmin/x",
    "/pub/..\\admin/x",
    "/pub/%2e%2e%2fadmin%2fx",
    "/pub/..%3b/admin/x",
    "/pub/..%00/admin/x",
    "/pub/%00",
    "/pub/%c0%ae%c0%ae/admin/x",
    "/pub../admin/x",
    "//admin/x",
    "///admin//x",
    "/.//admin/x",
    "/./admin/x",
    "/%2fadmin/x",
    "/%2e/admin/x",
    "/;/admin/x",
    "/;a=b/admin/x",
    "/admin;a=b/x",
    "/admin;/x",
    "/admin%3b/x",
    "/ADMIN/x",
    "/%61dmin/x",
    "/%2561dmin/x",
    "/admin%2fx",
    "/admin/",
    "/admin",
    "/admin%20",
    "/admin%09/x",
    "/admin?/../pub/x",
    "/pub/x?/../../admin/x",
    "/pub/x%3f/../../admin/x",
    "/pub/x#/../../admin/x",
    "/v/x%2fy/p",
    "//pub/x/../../admin/x",
    "http://@HOST@/admin/x",
    "http://@HOST@/pub/..;/admin/x",
];

/// The paths into which words are inserted, and in which letters are spelled differently.
const PLACES: [&str; 8] =
    ["/admin", "/admin/x", "/v/x/p", "/pub/x", "/docs/x", "/pub/../admin/x", "/docs/../v/x/p", "/pub/..;/admin/x"];

/// Restricted places, some with the name of a script or a host before them.
const RESTRICTED: [&str; 6] = ["/admin", "/admin/x", "/v/x/p", "/index.php/admin/x", "/index.php/v/x/p", "//h/admin/x"];
/// Words that the gate does not reject as an invalid request target.
const GENTLE: [&str; 15] =
    ["/", "//", ";", ";a=b", "%2f", "%3b", "%20", "%3f", "%09", "%0a", "%0d", "%ff", "%c3", "/h", "/x.php"];
/// Further strings to insert, in addition to [`WORDS`]: bytes that some servers drop, and names of scripts and indexes.
const INSERTS: [&str; 8] = ["%0a", "%0d", "%0d%0a", "%2509", "%256%091", "%c3", "/h", "/x.php"];

/// Every pair of the first words is tried. The later words only matter as whole names, which the forms contain.
const PAIRED: usize = 44;
/// The number of random paths of each kind.
const BY_CHANCE: usize = 1_500;

/// All requests, without duplicates, and the number of hand-written ones at the beginning: the classics, the forms, the
/// headers. Then come every pair of many words, at the beginning and between a public and a restricted place; every
/// place with one change; and random paths: of words only, of places with several changes, and of restricted places
/// with several changes that the gate does not reject.
///
/// # Panics
/// Never: every strategy yields a value.
pub fn probes() -> (Vec<Probe>, usize) {
    let paths = CLASSICS.map(str::to_owned).into_iter().chain(formed()).map(Probe::from);
    let mut all = distinct(paths.chain(with_headers()));
    let by_hand = all.len();
    all.extend(changed().into_iter().map(Probe::from));
    (distinct(all), by_hand)
}

/// Removes duplicates.
fn distinct(all: impl IntoIterator<Item = Probe>) -> Vec<Probe> {
    let mut seen = HashSet::new();
    all.into_iter().filter(|probe| seen.insert(probe.clone())).collect()
}

fn changed() -> Vec<String> {
    let mut all = Vec::new();
    let paired = &WORDS[..PAIRED];
    for (first, second) in paired.iter().flat_map(|first| paired.iter().map(move |second| (first, second))) {
        all.push(format!("/{first}{second}"));
        all.push(format!("/pub/{first}{second}admin/x"));
    }
    for place in PLACES {
        all.extend((1..=place.len()).flat_map(|at| (0..WAYS).map(move |way| change(place, at, way))));
    }
    let mut runner = TestRunner::deterministic();
    let words = vec(select(&WORDS[..]), 1..9).prop_map(|words| format!("/{}", words.concat()));
    let changed = (select(&PLACES[..]), vec((any::<Index>(), 0..WAYS), 2..5)).prop_map(several);
    let gently = (select(&RESTRICTED[..]), vec((any::<Index>(), select(gentle_ways())), 2..5)).prop_map(several);
    let kinds = [words.boxed(), changed.boxed(), gently.boxed()];
    for _ in 0..BY_CHANCE {
        for kind in &kinds {
            all.push(kind.new_tree(&mut runner).expect("a path").current());
        }
    }
    all
}

/// The number of ways to change a path at one position.
const WAYS: usize = WORDS.len() + INSERTS.len() + 3;

/// The word that a way inserts, if it inserts one.
fn word(way: usize) -> Option<&'static str> {
    WORDS.iter().chain(&INSERTS).nth(way).copied()
}

/// The path with a word inserted, or with the letter in another case or escaped; all of it is ASCII.
fn change(path: &str, at: usize, way: usize) -> String {
    let (before, after) = path.split_at(at);
    let (letter, rest) = after.split_at(usize::from(!after.is_empty()));
    let code = letter.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    match (word(way), WAYS - way) {
        (Some(word), _) => format!("{before}{word}{after}"),
        (None, 3) => format!("{before}{}{rest}", letter.to_uppercase()),
        (None, 2) => format!("{before}%{code}{rest}"),
        (None, _) => format!("{before}%25{code}{rest}"),
    }
}

/// The ways that insert a word that the gate does not reject, or spell a letter differently.
fn gentle_ways() -> Vec<usize> {
    (0..WAYS).filter(|way| word(*way).is_none_or(|word| GENTLE.contains(&word))).collect()
}

/// A place with several changes.
fn several((place, changes): (&str, Vec<(Index, usize)>)) -> String {
    changes.iter().fold(place.to_owned(), |path, (at, way)| change(&path, 1 + at.index(path.len()), *way))
}
