//! A differential oracle for paths. Six slow and obvious models say how a backend may read a path; whatever the gate calls
//! public must be public to each of them, and whatever any of them finds restricted, the gate must restrict.

use std::collections::BTreeSet;

use portcullis_models::backends::MODELS;
use portcullis_tests::areas::{GUEST, WORDS, decide, is_public, is_restricted, policy};
use proptest::prelude::*;
use proptest::sample::select;

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
