//! What the chart reads of a policy: the names of variables. It shows no text of a policy in an error.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use portcullis_tests::bytes::said;
use portcullis_tests::crd::documents;
use portcullis_tests::paths::{command, workspace};
use serde_json::{Value, json};

use super::{DIGEST, IMAGE, engine, resources, values};

/// The places of `env` in the schema of the policy, such as `consumers.keys.env`.
fn places_in_schema(node: &Value, place: &[&str], found: &mut BTreeSet<String>) {
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        let place = [place, &[name]].concat();
        if name == "env" {
            found.insert(place.join("."));
        }
        places_in_schema(property, &place, found);
    }
    if node["items"].is_object() {
        places_in_schema(&node["items"], place, found);
    }
}

/// The places of `env` in a policy, in the same form.
fn places_in_policy(node: &Value, place: &[&str], found: &mut BTreeSet<String>) {
    for (name, member) in node.as_object().into_iter().flatten() {
        let place = [place, &[name]].concat();
        if name == "env" {
            found.insert(place.join("."));
        }
        places_in_policy(member, &place, found);
    }
    node.as_array().into_iter().flatten().for_each(|item| places_in_policy(item, place, found));
}

#[test]
fn every_variable_of_a_policy_reaches_the_gate_as_with_the_command() {
    let policy = json!({
        "version": 1,
        "consumers": [
            {"name": "ci", "keys": [{"env": "CI_KEY"}, {"env": "SHARED"}]}, {"name": "ops", "keys": [{"env": "OPS_KEY"}]}
        ],
        "tokens": {"secrets": [{"env": "NEW_SECRET"}, {"env": "SHARED"}, {"env": "OLD_SECRET"}]},
        "endpoints": {"token": "/token"}
    });
    let schema = fs::read_to_string(workspace().join("docs/policy.schema.json")).expect("the schema");
    let (mut all, mut tested) = (BTreeSet::new(), BTreeSet::new());
    places_in_schema(&serde_json::from_str(&schema).expect("JSON"), &[], &mut all);
    places_in_policy(&policy, &[], &mut tested);
    assert_eq!(all, tested, "this test has a variable at every place of the format");

    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("policy.yaml"), policy.to_string()).expect("our own directory");
    let mut render = Command::new(command());
    render.args(["render", "istio", "--url", IMAGE, "--sha256", DIGEST]).current_dir(directory.path());
    let output = render.output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    let expected = documents(&String::from_utf8(output.stdout).expect("text")).remove(0);
    let rendered = resources(&[(values(policy, &[]), "shop")]).remove(0);
    assert_eq!(rendered["spec"]["vmConfig"], expected["spec"]["vmConfig"]);
    assert_eq!(rendered["spec"]["vmConfig"]["env"].as_array().map(Vec::len), Some(5));
}

/// `lint` and the gate report a wrong type. The chart hands it on, or refuses it without its text.
#[test]
fn a_policy_with_a_wrong_type_is_not_shown_in_an_error() {
    let key = "pk_helm_suite_secret";
    let wrong = [
        json!(key),
        json!([key]),
        json!({ key: key }),
        json!({"keys": key}),
        json!({"keys": [key]}),
        json!({"keys": {"env": key}}),
        json!([{"keys": key}]),
        json!([{"keys": [key]}]),
        json!([{"keys": {"env": key}}]),
        json!([{"keys": [{"env": [key]}]}]),
        json!([{"keys": [{"env": {"name": key}}]}]),
        json!([[key]]),
    ];
    let mut jobs = Vec::new();
    for value in wrong {
        for policy in [
            json!({"consumers": value}),
            json!({"tokens": value}),
            json!({"tokens": {"secrets": value}}),
            json!({"mode": value}),
            json!({"name": value}),
        ] {
            jobs.push((values(json!(policy.to_string()), &[]), "shop"));
            jobs.push((values(policy, &[]), "shop"));
        }
    }
    let handed_on = jobs.len();
    jobs.extend([json!(key), json!([key]), json!(format!("[{key}]"))].map(|policy| (values(policy, &[]), "shop")));
    let answers = engine(&jobs);
    for name in ["results", "unchecked"] {
        let (rendered, refused) = answers[name].as_array().expect("a list").split_at(handed_on);
        for ((values, _), answer) in jobs.iter().zip(rendered) {
            assert_eq!(answer.get("error"), None, "{values}");
            let notes = answer["NOTES.txt"].as_str().expect("notes");
            assert!(!notes.contains(key), "{values}: {notes}");
        }
        for answer in refused {
            let error = answer["error"].as_str().expect("no policy at all");
            assert!(!error.contains(key), "{error}");
        }
    }
}

/// Wherever it is: whoever can read the resource could use it.
#[test]
fn a_policy_with_a_key_in_plaintext_is_refused_without_its_text() {
    let key = "helm-suite-key-in-plaintext";
    let entry = json!({"plaintext": key});
    let policies = [
        json!({"consumers": [{"name": "ci", "keys": [entry]}]}),
        json!({"consumers": [{"name": "ci", "keys": entry}]}),
        json!({"consumers": {"name": "ci", "keys": [entry]}}),
        json!({"consumers": [entry]}),
        entry,
    ];
    // Not a field: Helm's lint, which says every refusal again, gets this one.
    let text = json!({"version": 1, "comment": "{\"plaintext\": 1}"});
    let both = |policy: &Value| [json!(policy.to_string()), policy.clone()];
    let mut jobs = vec![(values(text, &[]), "shop")];
    jobs.extend(policies.iter().flat_map(both).map(|policy| (values(policy, &[]), "shop")));
    let answers = engine(&jobs);
    let (first, others) = answers["results"].as_array().and_then(|all| all.split_first()).expect("a list");
    assert_eq!(first.get("error"), None);
    for ((values, _), answer) in jobs.iter().skip(1).zip(others) {
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{values} is not refused: {answer}"));
        assert!(error.contains("policy: it has a key in plaintext"), "{values}: {error}");
        assert!(!error.contains(key), "{values}: {error}");
    }
}
