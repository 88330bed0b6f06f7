//! `keys log`, and what is logged.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::Value;

use super::Place;

fn entries(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let json = place.must(&[&["keys", "log", "--output", "json"], arguments].concat());
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    json["entries"].as_array().expect("a list").clone()
}

/// The change, consumer, key, value and note of each entry.
fn brief(entries: &[Value]) -> Vec<[String; 5]> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    entries.iter().map(|entry| ["action", "consumer", "key", "to", "note"].map(|name| text(entry, name))).collect()
}

#[test]
fn every_change_of_the_store_is_logged_with_who_and_why_and_no_key() {
    let place = Place::new();
    let one = place.generate(&["--consumer", "ci", "--id", "one", "--role", "predict", "--note", "T-1"]);
    place.run(&["keys", "add", "--consumer", "ci", "--id", "two"], "example-key-number-00000002").says(0, "added");
    place.must(&["keys", "disable", "one", "--note", "T-2"]);
    place.must(&["keys", "enable", "one"]);
    place.must(&["keys", "expire", "one", "--at", "2100-01-01"]);
    let three = place.must(&["keys", "rotate", "two", "--id", "three", "--note", "T-3"]);
    place.must(&["mode", "report", "--note", "T-4"]);
    place.must(&["consumers", "set", "ci", "--roles", "admin"]);
    place.must(&["keys", "remove", "two"]);
    place.must(&["consumers", "remove", "ci", "--note", "T-5"]);
    let all = entries(&place, &[]);
    let expected = [
        ["roles", "ci", "-", "predict", "T-1"],
        ["added", "ci", "one", "never", "T-1"],
        ["added", "ci", "two", "never", "-"],
        ["disabled", "ci", "one", "-", "T-2"],
        ["enabled", "ci", "one", "-", "-"],
        ["expires", "ci", "one", "2100-01-01T00:00:00Z", "-"],
        ["added", "ci", "three", "never", "T-3"],
        ["expires", "ci", "two", "", "T-3"],
        ["mode", "-", "-", "report", "T-4"],
        ["roles", "ci", "-", "admin", "-"],
        ["removed", "ci", "two", "-", "-"],
        ["roles", "ci", "-", "", "T-5"],
        ["removed", "ci", "one", "-", "T-5"],
        ["removed", "ci", "three", "-", "T-5"],
    ];
    let mut got = brief(&all);
    assert!(got[7][3].starts_with('2'), "the end of the overlap: {got:?}");
    got[7][3].clear();
    assert_eq!(got, expected.map(|entry| entry.map(str::to_owned)));
    assert!(all.iter().all(|entry| !entry["user"].as_str().unwrap_or_default().is_empty()), "{all:?}");
    assert_eq!(brief(&entries(&place, &["--key", "two"])).len(), 3);
    assert_eq!(brief(&entries(&place, &["--consumer", "nobody"])).len(), 0);
    let table = place.must(&["keys", "log"]);
    assert!(table.starts_with("TIME ") && table.lines().count() == expected.len() + 1, "{table}");
    let log = place.read("keys.json.log");
    for key in [&one, three.trim(), "example-key-number-00000002"] {
        assert!(!log.contains(key), "{log}");
    }
    let mode = fs::metadata(place.path("keys.json.log")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_changes_nothing_is_not_logged() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "one"]);
    let before = place.read("keys.json.log");
    place.must(&["keys", "enable", "one"]);
    place.run(&["keys", "generate", "--consumer", "ci", "--id", "one"], "").says(2, "duplicate");
    place.run(&["keys", "generate", "--consumer", "ci", "--expires", "2020-01-01"], "").says(2, "in the past");
    assert_eq!(place.read("keys.json.log"), before);
}

#[test]
fn a_note_and_an_author_are_in_the_store_and_never_rendered() {
    let place = Place::with_policy("{}");
    place.generate(&["--consumer", "ci", "--id", "one", "--note", "ticket 4711"]);
    let key = place.key("one");
    assert!(key["note"] == "ticket 4711" && key["created_by"].is_string(), "{key}");
    let rendered = place.must(&["render", "policy"]);
    assert!(rendered.contains("one") && !rendered.contains("4711") && !rendered.contains("created_by"), "{rendered}");
    let secret = "my-key-of-somebody-0123456789";
    let done = place.run(&["keys", "add", "--consumer", "ci", "--note", secret], secret);
    done.says(2, "--note is the key itself");
    assert!(!place.read("keys.json.log").contains(secret));
}

#[test]
fn where_nothing_can_be_logged_access_is_taken_away_and_not_given() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "one", "--role", "predict"]);
    place.generate(&["--consumer", "ci", "--id", "two"]);
    place.generate(&["--consumer", "ci", "--id", "three"]);
    fs::remove_file(place.path("keys.json.log")).expect("it is there");
    symlink("of-another-user", place.path("keys.json.log")).expect("a link");
    let before = place.read("keys.json");
    for arguments in [
        &["keys", "generate", "--consumer", "ci"][..],
        &["keys", "rotate", "one"],
        &["mode", "disabled"],
        &["consumers", "set", "ci", "--roles", "predict,admin"],
    ] {
        let done = place.run(arguments, "");
        done.says(2, "nothing is changed, because it cannot be logged: ");
        done.says(2, "keys.json.log is not a regular file: remove it");
        assert_eq!((done.output.as_str(), place.read("keys.json")), ("", before.clone()));
    }
    for arguments in [
        &["keys", "expire", "one"][..],
        &["keys", "disable", "two"],
        &["keys", "remove", "three"],
        &["consumers", "set", "ci", "--roles", ""],
        &["mode", "enforce"],
    ] {
        place.run(arguments, "").says(0, "warning: this change is not in the log: ");
    }
    let states: Vec<_> = place.keys().iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["expired", "disabled"]);
    place.run(&["keys", "enable", "two"], "").says(2, "nothing is changed");
    assert!(!place.path("of-another-user").exists());
    // Lines that are not entries do not hide the others.
    fs::remove_file(place.path("keys.json.log")).expect("it is there");
    place.must(&["keys", "enable", "two"]);
    place.write("keys.json.log", &format!("nonsense\n{}", place.read("keys.json.log")));
    let done = place.run(&["keys", "log"], "");
    done.says(0, "keys.json.log:1: not an entry of the log: skipped");
    assert!(done.output.contains("enabled"), "{done:?}");
}
