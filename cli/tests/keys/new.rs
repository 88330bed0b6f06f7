//! `keys generate`, `add` and `rotate`: how keys come into the store.

use std::process::Stdio;

use super::{Done, Place};

const POLICY: &str = "consumers:\n  - name: ci\n    roles: [predict]\n    keys:\n      - {id: in-policy, plaintext: example-key-of-the-policy}\n";

#[test]
fn a_new_key_is_printed_once_and_only_its_digest_is_kept() {
    let place = Place::new();
    let done = place.run(&["keys", "generate", "--consumer", "ci", "--role", "predict", "--expires", "90d"], "");
    let key = done.output.strip_suffix('\n').expect("the key alone, in a line");
    assert!(key.starts_with("pk_") && key.len() == 42, "{key}");
    assert!(done.status == 0 && !done.error.contains(key), "{done:?}");
    let store = place.read("keys.json");
    assert!(!store.contains(key) && !store.contains("pk_"), "{store}");
    assert_eq!(place.verify(key), "active");
    let listed = &place.keys()[0];
    assert_eq!(
        (&listed["consumer"], &listed["roles"][0], &listed["state"]),
        (&"ci".into(), &"predict".into(), &"active".into())
    );
    assert!(!place.must(&["keys", "list"]).contains("pk_"));
}

#[test]
fn what_is_said_of_a_key_is_kept_with_it() {
    let place = Place::new();
    place.generate(&[
        "--consumer",
        "ci",
        "--id",
        "one",
        "--description",
        "for the nightly build",
        "--not-before",
        "2030-01-01",
        "--expires",
        "2031-01-01T12:00:00+02:00",
    ]);
    let key = place.key("one");
    assert_eq!(key["description"], "for the nightly build");
    assert_eq!((&key["not_before"], &key["expires"]), (&"2030-01-01T00:00:00Z".into(), &"2031-01-01T10:00:00Z".into()));
    assert_eq!(key["state"], "not_yet_valid");
}

#[test]
fn many_keys_are_all_different_and_as_json_they_come_with_their_ids() {
    let place = Place::new();
    let output = place.must(&["keys", "generate", "--consumer", "ci", "--count", "3", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&output).expect("it is JSON");
    let keys = json["keys"].as_array().expect("a list");
    assert_eq!(keys.len(), 3);
    for key in keys {
        let done = place.run(&["keys", "verify"], key["key"].as_str().expect("the key"));
        assert!(done.output.contains(key["id"].as_str().expect("the id")), "{done:?}");
    }
    place
        .run(&["keys", "generate", "--consumer", "ci", "--count", "2", "--id", "x"], "")
        .says(2, "--id: expected a single key");
}

#[test]
fn what_stands_for_a_key_is_not_added() {
    let place = Place::new();
    for key in ["${KEY}", "REPLACE_ME", "{{ x }}", "op://vault/item/key", "ENC[AES256_GCM,data:a]", "\"$KEY\""] {
        let done = place.run(&["keys", "add", "--consumer", "ci"], &format!("demo-key-12345\n{key}\n"));
        done.says(2, "line 2: invalid key (not shown): ");
        done.says(2, ": expected the key itself");
        assert!(!done.error.contains(key), "{done:?}");
    }
    assert!(!place.names().contains(&"keys.json".to_owned()), "either all are added, or none");
    place.run(&["keys", "add", "--consumer", "ci"], "demo-key-12345\nmy-secret-token\n").says(0, "2 keys of ci added");
}

/// A key that was not printed would be of no use.
#[test]
fn what_could_not_be_printed_is_not_in_the_store() {
    let place = Place::new();
    place.generate(&["--consumer", "ci"]);
    let before = place.read("keys.json");
    let closed_pipe = {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    let full_disk = Stdio::from(std::fs::File::create("/dev/full").expect("a device"));
    for output in [closed_pipe, full_disk] {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("portcullis"));
        command.args(["keys", "generate", "--consumer", "new"]).current_dir(place.path(""));
        let done = Done::of(command.stdout(output).stderr(Stdio::piped()).output().expect("it runs"));
        done.says(2, "the key could not be printed, so it was not stored");
        assert_eq!(place.read("keys.json"), before);
        assert_eq!(place.names(), [".keys.json.lock", "keys.json", "keys.json.log"]);
    }
}

#[test]
fn a_key_that_cannot_be_kept_is_not_printed() {
    let place = Place::new();
    for (arguments, message) in [
        (&["--consumer", "a b"][..], "--consumer: invalid consumer name \"a b\": expected"),
        (&["--consumer", "a", "--role", "a b"], "--role: invalid role name \"a b\": expected"),
        (&["--consumer", "a", "--id", "ü"], "--id: invalid key id (value not shown, it may be a key): expected"),
        (&["--consumer", "a", "--expires", "2020-01-01"], "--expires is in the past"),
        (
            &["--consumer", "a", "--expires", "1d", "--not-before", "2d"],
            "invalid key entry: expected `expires` to be after `not_before`",
        ),
        (
            &["--consumer", "a", "--expires", "soon"],
            "expected a span such as 90d, 3mo or 1y, a date such as 2027-02-01",
        ),
        (&["--consumer", "a", "--count", "0"], "0 is not in 1..=1000000"),
        (&["--consumer", "a", "--store", "nowhere/keys.json"], "cannot lock the store nowhere/keys.json"),
        (&["--consumer", "a", "--policy", "nowhere.yaml"], "cannot read the policy nowhere.yaml"),
    ] {
        let done = place.run(&[&["keys", "generate"], arguments].concat(), "");
        done.says(2, message);
        assert_eq!(done.output, "");
    }
    assert_eq!(place.names(), [".keys.json.lock"], "nothing but the lock");
}

#[test]
fn roles_have_one_home() {
    let place = Place::with_policy(POLICY);
    let done = place.run(&["keys", "generate", "--consumer", "ci", "--role", "admin"], "");
    done.says(2, "--role: the policy defines the consumer ci: write its roles there (policy.yaml:2:5)");
    place.generate(&["--consumer", "ci", "--id", "one"]);
    assert_eq!(place.key("one")["roles"][0], "predict", "the policy's");
    let done = place.run(&["keys", "generate", "--consumer", "ops", "--role", "admin", "--id", "two"], "");
    assert!(done.error.contains("ops is a new consumer"), "{done:?}");
    let done = place.run(&["keys", "generate", "--consumer", "ops", "--role", "predict"], "");
    assert!(done.error.contains("every key of ops now has these roles: admin, predict"), "{done:?}");
    assert_eq!(place.key("two")["roles"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_key_that_is_there_already_is_told_with_its_owner() {
    let place = Place::with_policy(POLICY);
    let key = place.generate(&["--consumer", "ops", "--id", "one"]);
    let add = |input: &str, more: &[&str]| place.run(&[&["keys", "add", "--consumer", "new"], more].concat(), input);
    add(&key, &[]).says(2, "line 1: duplicate key: it is one of ops");
    add("example-key-of-the-policy", &[]).says(2, "it is in-policy of ci (policy.yaml:5:9)");
    add("fresh-key-of-somebody-1\nfresh-key-of-somebody-1\n", &[]).says(2, "line 2: duplicate key, also in line 1");
    add("fresh-key-of-somebody-1", &["--id", "one"])
        .says(2, "--id one: duplicate key id, already used by a key of ops");
    add("fresh-key-of-somebody-1", &["--id", "in-policy"])
        .says(2, "--id in-policy: duplicate key id, already used by a key of ci");
    assert_eq!(place.keys().len(), 2, "nothing was added");
}

#[test]
fn keys_are_added_from_standard_input_or_a_file_all_or_none() {
    let place = Place::new();
    let keys = "first-key-of-somebody-1\r\n\n  second-key-of-somebody-2\n";
    let done = place.run(&["keys", "add", "--consumer", "ci", "--role", "predict"], keys);
    assert!(done.status == 0 && done.error.contains("2 keys of ci added"), "{done:?}");
    place.write("more.txt", "third-key-of-somebody-3");
    place.must(&["keys", "add", "--consumer", "ci", "--file", "more.txt", "--id", "third"]);
    for key in ["first-key-of-somebody-1", "second-key-of-somebody-2", "third-key-of-somebody-3"] {
        assert_eq!(place.verify(key), "active");
        assert!(!place.read("keys.json").contains(key));
    }
    let before = place.read("keys.json");
    for (input, message) in [
        ("", "missing key: give it on standard input"),
        ("good-key-of-somebody-12\nbad key-of-somebody-123", "line 2: invalid key (not shown): expected 1 to 1024"),
        ("bäd-key-of-somebody-123", "line 1: invalid key (not shown)"),
        (&"x".repeat(1025), "line 1: invalid key (not shown)"),
    ] {
        let done = place.run(&["keys", "add", "--consumer", "ci"], input);
        done.says(2, message);
        assert!(!done.error.contains("somebody"), "{done:?}");
    }
    let done = place.run(&["keys", "add", "argument-key-of-somebody", "--consumer", "ci"], "");
    done.says(2, "tip: other users could see a key here: printf %s \"$KEY\" | portcullis keys add --consumer NAME");
    assert!(!done.error.contains("somebody"), "{done:?}");
    assert_eq!(place.read("keys.json"), before);
}

#[test]
fn nothing_that_is_said_of_a_key_is_the_key() {
    let place = Place::new();
    let key = "my-key-of-somebody-0123456789";
    for option in ["--id", "--description", "--role", "--consumer"] {
        let consumer = if option == "--consumer" { &[][..] } else { &["--consumer", "ci"] };
        let done = place.run(&[&["keys", "add", option, key], consumer].concat(), key);
        done.says(2, &format!("{option} is the key itself"));
        assert!(!done.error.contains(key), "{done:?}");
    }
    assert_eq!(place.names(), [".keys.json.lock"], "nothing is kept");
    // Nor is it another key.
    let known = place.generate(&["--consumer", "ci", "--id", "known"]);
    place.run(&["keys", "add", "--consumer", "ci"], key).says(0, "added");
    let foreign = Place::new().generate(&["--consumer", "ci"]);
    let before = place.read("keys.json");
    for name in [key, &known, &foreign] {
        for arguments in [
            &["keys", "generate", "--consumer", name][..],
            &["keys", "generate", "--consumer", "ci", "--role", name],
            &["keys", "generate", "--consumer", "ci", "--id", name],
            &["keys", "generate", "--consumer", "ci", "--description", name],
            &["keys", "generate", "--consumer", "ci", "--note", name],
            &["keys", "rotate", "known", "--id", name],
            &["keys", "rotate", "known", "--note", name],
            &["consumers", "set", "ci", "--roles", name],
            &["consumers", "set", "ci", "--roles", "a", "--note", name],
        ] {
            let done = place.run(arguments, "");
            done.says(2, "is a key, which is now in the shell's history: rotate that key, and use another name");
            assert!(!done.error.contains(name) && done.output.is_empty(), "{done:?}");
        }
    }
    place
        .run(&["keys", "generate", "--consumer", "ci", "--id", "-"], "")
        .says(2, "--id: `-` stands for keys on standard");
    assert_eq!(place.read("keys.json"), before);
}

#[test]
fn what_is_unwise_about_a_key_is_told_and_not_the_key() {
    let place = Place::new();
    let typo = format!("pk_{}_{}", "a".repeat(32), "000000");
    for (key, warning) in [
        ("hunter2", "this key is short (7 characters)"),
        ("abababababababababababab", "this key has only 2 different characters"),
        ("{not-for-a-bearer-12345}", "this key cannot be sent as `Authorization: Bearer`"),
        (&typo, "invalid checksum: probably a mistyped key of `portcullis keys generate`"),
    ] {
        let done = place.run(&["keys", "add", "--consumer", "ci"], key);
        assert!(done.status == 0 && done.error.contains(warning) && !done.error.contains(key), "{done:?}");
    }
    let done = place.run(&["keys", "add", "--consumer", "ci"], "c2hvcnQgYnV0IHJhbmRvbQ==");
    assert!(done.status == 0 && done.error.lines().count() == 1, "nothing is unwise about it: {done:?}");
}

#[test]
fn of_many_warnings_some_are_shown_and_the_rest_is_counted() {
    let place = Place::new();
    let keys: String = (0..12).map(|number| format!("weak-{number}\n")).collect();
    let done = place.run(&["keys", "add", "--consumer", "ci"], &keys);
    assert!(done.error.contains("line 10: ") && !done.error.contains("line 11: "), "{done:?}");
    assert!(done.error.contains("and 2 warnings like these"), "{done:?}");
}

#[test]
fn a_digest_may_be_given_instead_of_the_key() {
    let place = Place::new();
    let digest = "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B"; // of: secret
    place.must(&["keys", "add", "--consumer", "ci", "--sha256", digest]);
    assert_eq!(place.verify("secret"), "active");
    for (text, message) in [
        ("hunter2", "--sha256 number 1: invalid sha256: expected 64 hex digits"),
        ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "SHA-256 of an empty text"),
        (digest, "--sha256 number 1: duplicate key"),
    ] {
        let done = place.run(&["keys", "add", "--consumer", "ci", "--sha256", text], "");
        done.says(2, message);
        assert!(!done.error.contains("hunter2"), "{done:?}");
    }
}

#[test]
fn after_a_rotation_both_keys_pass_until_the_overlap_ends() {
    let place = Place::new();
    let old = place.generate(&["--consumer", "ci", "--role", "predict", "--id", "old", "--description", "nightly"]);
    let new = place.must(&["keys", "rotate", "old", "--id", "new", "--overlap", "7d"]);
    assert_eq!((place.verify(&old), place.verify(new.trim())), ("active".to_owned(), "active".to_owned()));
    let (old_key, new_key) = (place.key("old"), place.key("new"));
    assert_eq!((&old_key["state"], &new_key["state"]), (&"expires_soon".into(), &"active".into()));
    assert_eq!((&new_key["description"], &new_key["consumer"]), (&"nightly".into(), &"ci".into()));
    assert!(new_key["expires"].is_null() && new_key["roles"][0] == "predict", "{new_key}");
    let newest = place.run(&["keys", "rotate", "-", "--overlap", "0"], new.trim()).output;
    assert_eq!((place.verify(new.trim()), place.verify(newest.trim())), ("expired".to_owned(), "active".to_owned()));
}

#[test]
fn what_is_said_of_a_rotated_key_is_true() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "soon", "--expires", "1d"]);
    let end = place.key("soon")["expires"].as_str().expect("text").to_owned();
    place.run(&["keys", "rotate", "soon"], "").says(0, &format!("key soon is valid until {end}"));
    place.generate(&["--consumer", "ci", "--id", "past"]);
    place.must(&["keys", "expire", "past"]);
    let end = place.key("past")["expires"].as_str().expect("text").to_owned();
    let done = place.run(&["keys", "rotate", "past", "--expires", "1y"], "");
    done.says(0, &format!("key past expired at {end}"));
    place.generate(&["--consumer", "ci", "--id", "one"]);
    place.generate(&["--consumer", "ci", "--id", "two"]);
    place.run(&["keys", "rotate", "one", "two"], "").says(0, "the old 2 keys are valid until 2");
}

#[test]
fn a_new_key_lives_as_long_as_the_old_one_was_made_for_or_is_asked_about() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "moved", "--expires", "90d"]);
    place.must(&["keys", "expire", "moved", "--at", "3d"]);
    place.generate(&["--consumer", "ci", "--id", "endless"]);
    place.must(&["keys", "rotate", "endless", "--id", "successor"]);
    assert!(place.key("successor")["expires"].is_null(), "its predecessor had no end when it was rotated");
    let undated = r#"{"id": "undated", "sha256": "00", "expires": "2100-01-01T00:00:00Z"}"#;
    place.write("keys.json", &place.read("keys.json").replacen("\"keys\": [", &format!("\"keys\": [{undated},"), 1));
    for id in ["moved", "endless", "undated"] {
        let done = place.run(&["keys", "rotate", id], "");
        done.says(
            2,
            &format!("it is not known how long {id} was made for: give --expires for the new key, such as 90d"),
        );
        place.must(&["keys", "rotate", id, "--expires", "1y"]);
    }
}

#[test]
fn a_span_in_m_is_refused_wherever_there_is_one() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "one"]);
    place.write("policy.yaml", "{}");
    for arguments in [
        &["keys", "generate", "--consumer", "ci", "--expires", "3m"][..],
        &["keys", "generate", "--consumer", "ci", "--not-before", "3m"],
        &["keys", "rotate", "one", "--overlap", "3m"],
        &["keys", "expire", "one", "--at", "3m"],
        &["keys", "list", "--soon", "3m"],
        &["lint", "--soon", "3m"],
        &["check", "--path", "/", "--now", "3m"],
        &["render", "envoy", "--upstream", "127.0.0.1:1", "--timeout", "3m"],
    ] {
        place.run(arguments, "").says(2, "m may be minutes or months: write 3min or 3mo");
    }
}

#[test]
fn keys_that_run_would_not_use_are_told() {
    let place = Place::new();
    place.write("api_keys.json", r#"{"valid_keys": []}"#);
    let told = "`portcullis run --api-keys api_keys.json` does not use the keys of keys.json";
    place.run(&["keys", "generate", "--consumer", "ci"], "").says(0, told);
    place.run(&["keys", "add", "--consumer", "ci"], "example-key-number-00000001").says(0, told);
    place.write("policy.yaml", "{}");
    let done = place.run(&["keys", "generate", "--consumer", "ci"], "");
    assert!(done.status == 0 && !done.error.contains("api_keys"), "{done:?}");
}

#[test]
fn a_rotated_key_never_lives_longer_and_its_successor_as_long_as_it_was_made_for() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "old", "--expires", "1d"]);
    let before = place.key("old")["expires"].clone();
    place.must(&["keys", "rotate", "old", "--id", "new", "--overlap", "7d"]);
    assert_eq!(place.key("old")["expires"], before);
    assert_eq!(place.key("new")["state"], "expires_soon");
    place.must(&["keys", "rotate", "new", "--id", "newer", "--expires", "2100-01-01"]);
    assert_eq!(place.key("newer")["expires"], "2100-01-01T00:00:00Z");
}

#[test]
fn what_is_off_or_not_yet_valid_is_not_rotated() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "off"]);
    place.generate(&["--consumer", "ci", "--id", "later", "--not-before", "2100-01-01"]);
    place.must(&["keys", "disable", "off"]);
    place.generate(&["--consumer", "ci", "--id", "past"]);
    place.must(&["keys", "expire", "past"]);
    let before = place.read("keys.json");
    for (id, message) in [
        ("past", "past has expired: give --expires for the new key"),
        ("off", "off is disabled: `enable` it first"),
        ("later", "later is not valid yet: `remove` it, and `generate` a new one"),
    ] {
        let done = place.run(&["keys", "rotate", id], "");
        done.says(2, message);
        assert_eq!(done.output, "");
    }
    assert_eq!(place.read("keys.json"), before);
    place.must(&["keys", "rotate", "past", "--expires", "90d"]);
    assert_eq!(place.key("past")["state"], "expired", "as it was");
}
