//! A differential oracle for paths. Slow and simple models define how a backend may interpret a path. A path that the
//! gate calls public must be public to every model. A path that any model finds restricted must be restricted by the
//! gate, and by the reference.

use std::collections::BTreeSet;

use portcullis_models::backends::{BY_OTHER_NAMES, MODELS};
use portcullis_models::reference::{self, Environment, Host, document::Document, request::Request};
use portcullis_tests::areas::{GUEST, WORDS, decide, document, is_public, is_restricted, policy};
use proptest::prelude::*;
use proptest::sample::select;

/// Paths of relevant words and of all strings that can be interpreted in several ways.
fn paths() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(&WORDS[..]), 1..9).prop_map(|words| format!("/{}", words.concat()))
}

/// The backend interpretation of a public path that is not public in the model.
fn not_public(path: &str) -> Option<String> {
    let resources = MODELS.iter().filter_map(|(name, model)| Some((name, model(path.as_bytes())?)));
    let found = resources.into_iter().find(|(_, resource)| !is_public(resource));
    found.map(|(name, resource)| format!("{path} is {resource} to {name}"))
}

/// The backend interpretation of a path that is restricted in the model.
fn restricted(path: &str) -> Option<String> {
    let models = MODELS.iter().chain(&BY_OTHER_NAMES);
    let resources = models.filter_map(|(name, model)| Some((name, model(path.as_bytes())?)));
    let found = resources.into_iter().find(|(_, resource)| is_restricted(resource));
    found.map(|(name, resource)| format!("{path} is {resource} to {name}"))
}

/// The reference's decision about a GET of the path.
fn reference_decides(path: &str, key: Option<&str>) -> &'static str {
    let document = Document::read(&document()).expect("the reference reads the policy");
    let mut headers = vec![(":method", "GET"), (":authority", "gate"), (":path", path)];
    headers.extend(key.map(|key| ("x-api-key", key)));
    let request = Request(headers.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect());
    reference::decisions(&document, &Environment::new(), &request, &Host::default()).remove(0).reason
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_gate_calls_public_is_public_to_every_backend(path in paths()) {
        if decide(&policy(), &path, None) == "public_path" {
            prop_assert_eq!(not_public(&path), None);
        }
    }

    #[test]
    fn what_any_backend_finds_restricted_asks_for_the_role(path in paths()) {
        if let Some(reader) = restricted(&path) {
            let decision = decide(&policy(), &path, Some(GUEST));
            prop_assert!(matches!(decision, "missing_role" | "bad_request_target"), "{reader}: {decision}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reference_is_as_careful(path in paths()) {
        if reference_decides(&path, None) == "public_path" {
            prop_assert_eq!(not_public(&path), None);
        }
        if let Some(reader) = restricted(&path) {
            let decision = reference_decides(&path, Some(GUEST));
            prop_assert!(matches!(decision, "missing_role" | "bad_request_target"), "{reader}: {decision}");
        }
    }
}

/// Control: the generator reaches each kind of answer, and the models differ.
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
