//! `keys list`, `remove`, `disable`, `enable`, `expire` and `verify`, and the store that they share.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;

use super::Place;

const POLICY: &str = "mode: report
consumers:
  - name: ci
    roles: [predict]
    keys:
      - {id: in-policy, plaintext: example-key-of-the-policy}
      - {env: UNSET}
";

#[test]
fn a_key_is_switched_off_and_on_expires_and_is_removed() {
    let place = Place::new();
    let key = place.generate(&["--consumer", "ci", "--id", "one"]);
    for (arguments, state) in [
        (&["disable", "one"][..], "disabled"),
        (&["enable", "one"], "active"),
        (&["expire", "one", "--at", "30d"], "active"),
        (&["expire", "one"], "expired"),
        (&["remove", "one"], "unknown"),
    ] {
        let done = place.run(&[&["keys"], arguments].concat(), "");
        assert!(done.status == 0 && done.output.is_empty() && done.error.contains("key one "), "{done:?}");
        assert_eq!(place.verify(&key), state, "{arguments:?}");
    }
    assert!(!place.read("keys.json").contains("ci"), "nothing is left of the consumer");
}

#[test]
fn all_keys_are_removed_at_once_if_that_is_confirmed() {
    let place = Place::new();
    place.generate(&["--consumer", "ci"]);
    place.generate(&["--consumer", "ops", "--role", "admin"]);
    let before = place.read("keys.json");
    for (arguments, message) in [
        (&["--all"][..], "--all: use --yes to remove all keys of keys.json without being asked"),
        (&["--all", "ci"], "cannot be used with"),
        (&["--yes", "ci"], "cannot be used with"),
        (&["--yes"], "required"),
        (&[], "required"),
    ] {
        place.run(&[&["keys", "remove"], arguments].concat(), "yes\n").says(2, message);
        assert_eq!(place.read("keys.json"), before);
    }
    place.run(&["keys", "remove", "--all", "--yes"], "").says(0, "2 keys removed: keys.json has no key");
    assert!(place.keys().is_empty() && place.read("keys.json").contains("\"ops\": {\"roles\": [\"admin\"], "));
    // Where the store has vanished, a gate that runs keeps its keys until there is one without them.
    fs::remove_file(place.path("keys.json")).expect("it is there");
    place.write("policy.yaml", POLICY);
    let done = place.run(&["keys", "remove", "--all", "--yes"], "");
    done.says(0, "0 keys removed: keys.json has no key");
    done.says(0, "keys in policy.yaml are not removed: change them there");
    assert!(place.read("keys.json").contains("\"consumers\": {"));
}

#[test]
fn keys_are_meant_by_id_or_by_themselves_on_standard_input() {
    let place = Place::new();
    let keys: Vec<_> =
        ["a", "b", "c"].map(|id| place.generate(&["--consumer", "ci", "--role", "r", "--id", id])).to_vec();
    let done = place.run(&["keys", "disable", "a", "-"], &format!("{}\n{}\n", keys[1], keys[2]));
    assert!(done.status == 0 && done.error.contains("3 keys disabled"), "{done:?}");
    assert!(keys.iter().all(|key| place.verify(key) == "disabled"));
    place.must(&["keys", "remove", "a", "b", "c"]);
    assert!(place.read("keys.json").contains("\"ci\": {\"roles\": [\"r\"], "), "the roles stay for the next key");
}

#[test]
fn what_is_not_in_the_store_changes_nothing_and_no_key_is_shown() {
    let place = Place::with_policy(POLICY);
    let key = place.generate(&["--consumer", "ci", "--id", "ci-2026-11"]);
    place.run(&["keys", "add", "--consumer", "ci", "--id", "weak"], "hunter2");
    let before = place.read("keys.json");
    let typo = key.replace(&key[10..12], if key[10..12] == *"00" { "11" } else { "00" });
    for (arguments, input, message) in [
        (&["ci-2026-11", "other"][..], "", "argument 2: key id not found in keys.json: see `portcullis keys list`"),
        (&["ci-2026"], "", "key id ci-2026 not found: did you mean ci-2026-11?"),
        (&["in-policy"], "", "in-policy is in the policy, at policy.yaml:6:9: change it there"),
        (&["-"], "example-key-of-the-policy", "line 1: this key is in the policy, at policy.yaml:6:9: change it there"),
        (&["-"], "other-secret", "line 1: this key is not in keys.json"),
        (&["-"], &typo, "line 1: this key is not in keys.json (invalid checksum: probably mistyped)"),
        (&["-"], "", "missing key"),
        (&[&key], "", "argument 1 is a key, not an id"),
        (&["hunter2"], "", "argument 1 is a key, not an id"),
        (&[&typo], "", "argument 1 is a key, not an id"),
    ] {
        for command in ["remove", "disable", "enable", "expire", "rotate"] {
            let done = place.run(&[&["keys", command], arguments].concat(), input);
            done.says(2, message);
            let shown = ["hunter2", "example-key", "other", "pk_"].iter().find(|secret| done.error.contains(**secret));
            assert_eq!((shown, done.output.as_str()), (None, ""), "{done:?}");
        }
    }
    assert_eq!(place.read("keys.json"), before);
}

#[test]
fn expire_ends_every_key_and_prolongs_none_unless_that_is_meant() {
    let place = Place::new();
    for (id, more) in
        [("later", ["--not-before", "2100-01-01"]), ("short", ["--expires", "10d"]), ("past", ["--expires", "10d"])]
    {
        place.generate(&[&["--consumer", "ci", "--id", id][..], &more].concat());
    }
    place.must(&["keys", "expire", "past"]);
    let (short, past) = (place.key("short")["expires"].clone(), place.key("past")["expires"].clone());
    let done = place.run(&["keys", "expire", "--consumer", "ci", "--at", "30d"], "");
    done.says(0, "key short expires before, at 2");
    done.says(0, "key past expired before, at 2");
    done.says(0, "key later is disabled instead: it would be valid only from 2100-01-01T00:00:00Z");
    assert!(!done.error.contains("set to expire"), "{done:?}");
    assert_eq!((&place.key("short")["expires"], &place.key("past")["expires"]), (&short, &past));
    assert_eq!(place.key("later")["state"], "disabled");
    let done = place.run(&["keys", "expire", "--consumer", "ci", "--at", "30d", "--extend"], "");
    done.says(0, "2 keys set to expire at 2");
    done.says(0, "key past had expired: it is valid again");
    assert!(place.key("past")["state"] == "active" && place.key("short")["expires"] != short);
    place.run(&["keys", "expire", "--consumer", "ci"], "").says(0, "2 keys set to expire at 2");
    assert!(place.keys().iter().all(|key| key["state"] != "active"), "{:?}", place.keys());
    place.run(&["keys", "expire", "past", "--extend"], "").says(2, "--at <WHEN>");
}

#[test]
fn what_was_so_already_is_said() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--id", "one"]);
    place.run(&["keys", "enable", "one"], "").says(0, "key one was enabled already");
    place.must(&["keys", "disable", "one"]);
    let done = place.run(&["keys", "disable", "one"], "");
    assert!(
        done.error.contains("key one was disabled already") && !done.error.contains("key one disabled"),
        "{done:?}"
    );
    place.must(&["keys", "expire", "one"]);
    place.run(&["keys", "enable", "one"], "").says(0, "key one expired at 2");
    place.run(&["keys", "disable", "ci"], "").says(2, "ci is a consumer: name its key, one");
    place.run(&["keys", "rotate", "ci"], "").says(2, "ci is a consumer: name its key, one");
}

#[test]
fn the_policy_alone_is_enough_to_list() {
    let place = Place::with_policy(POLICY);
    assert!(place.must(&["keys", "list"]).contains("in-policy"));
    assert_eq!(place.verify("example-key-of-the-policy"), "active");
    assert!(place.must(&["consumers", "list"]).contains("1 of 2"));
    assert!(place.must(&["mode"]).contains("mode: report (from the policy)"));
    place.run(&["keys", "list", "--store", "other.json"], "").says(2, "key store other.json not found");
    // The store is beside the policy that is given.
    fs::create_dir(place.path("conf")).expect("a folder");
    place.write("conf/policy.yaml", POLICY);
    place.generate(&["--consumer", "ci", "--id", "x", "--policy", "conf/policy.yaml"]);
    assert!(place.read("conf/keys.json").contains("\"x\"") && !place.path("keys.json").exists());
}

#[test]
fn commands_have_the_names_that_hands_expect() {
    let place = Place::new();
    place.must(&["keys", "create", "--consumer", "ci", "--id", "one", "--role", "a,b"]);
    assert_eq!(place.key("one")["roles"], serde_json::json!(["a", "b"]));
    assert!(place.must(&["keys", "ls"]).contains("one"));
    for command in ["delete", "rm"] {
        place.generate(&["--consumer", "ci", "--id", command]);
        place.must(&["keys", command, command]);
    }
    assert_eq!(place.keys().len(), 1);
}

#[test]
fn a_key_is_switched_off_also_where_the_policy_is_broken() {
    let place = Place::new();
    let key = place.generate(&["--consumer", "ci", "--id", "one"]);
    place.write("policy.yaml", "consumers: [{name: hunter2, nonsense");
    place.must(&["keys", "disable", "one"]);
    let done = place.run(&["keys", "list"], "");
    assert!(
        done.status == 0 && done.error.contains("keys in the policy are not listed: policy.yaml is not valid YAML"),
        "{done:?}"
    );
    assert!(done.output.contains("disabled") && !done.error.contains("hunter2"), "{done:?}");
    fs::remove_file(place.path("policy.yaml")).expect("it is there");
    assert_eq!(place.verify(&key), "disabled");
}

#[test]
fn the_list_has_every_key_wherever_it_stands_and_its_state() {
    let place = Place::with_policy(POLICY);
    for (id, more) in [
        ("active", &[][..]),
        ("later", &["--not-before", "2100-01-01"]),
        ("soon", &["--expires", "75h"]),
        ("off", &[]),
        ("past", &[]),
    ] {
        place.generate(&[&["--consumer", "ops", "--role", "admin", "--id", id], more].concat());
    }
    place.must(&["keys", "disable", "off"]);
    place.must(&["keys", "expire", "past"]);
    let table = place.must(&["keys", "list"]);
    let rows: Vec<Vec<_>> =
        table.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    let states: Vec<_> = rows.iter().map(|row| (row[0], row[1], row[2], row[3])).collect();
    assert!(
        matches!(
            states.as_slice(),
            [
                ("ID", "CONSUMER", "ROLES", "STATE"),
                ("?", "ci", "predict", "unset here"),
                ("in-policy", "ci", "predict", "active"),
                ("active", "ops", "admin", "active"),
                ("later", "ops", "admin", _),
                ("off", "ops", "admin", "disabled"),
                ("past", "ops", "admin", "expired"),
                ("soon", "ops", "admin", "expires in 3d"),
            ]
        ),
        "{table}"
    );
    assert!(rows[4][3].starts_with("valid in "), "{table}");
    assert!(table.contains("policy.yaml:6:9") && table.contains("keys.json"), "{table}");
    assert!(!table.contains("example-key"), "{table}");
    assert_eq!(place.must(&["keys", "list", "--consumer", "ci"]).lines().count(), 3);
    let table = place.must(&["keys", "list", "--consumer", "ops"]);
    assert!(!table.contains("WHERE"), "the place is only for keys of the policy: {table}");
    let table = place.must(&["keys", "list", "--soon", "1d"]);
    assert!(table.lines().any(|line| line.starts_with("soon ") && line.contains(" active ")), "{table}");
}

#[test]
fn a_list_of_generated_keys_fits_eighty_columns() {
    let place = Place::new();
    place.generate(&["--consumer", "models-frontend", "--role", "predict", "--role", "train", "--expires", "3d"]);
    place.generate(&["--consumer", "ci", "--expires", "1y"]);
    let table = place.must(&["keys", "list"]);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn an_override_of_the_mode_is_the_first_line_of_the_list() {
    let place = Place::with_policy(POLICY);
    place.generate(&["--consumer", "ci"]);
    assert!(place.must(&["keys", "list"]).starts_with("ID "));
    place.must(&["mode", "disabled"]);
    let list = place.must(&["keys", "list"]);
    assert!(list.starts_with("mode: disabled: THE GATE IS OPEN"), "{list}");
    assert!(list.contains("(set in the store; the policy has report)\nID "), "{list}");
}

#[test]
fn colours_are_for_terminals_alone() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--expires", "3d"]);
    let list = |variable: &str| {
        let output = place.command().args(["keys", "list"]).env(variable, "1").output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(list("CLICOLOR_FORCE").contains("\u{1b}[33m"), "yellow");
    assert!(!list("NO_COLOR").contains('\u{1b}'));
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let place = Place::new();
    place.generate(&["--consumer", "ci"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("portcullis"));
    command.args(["keys", "list"]).current_dir(place.path("")).stdout(Stdio::from(writer));
    assert!(command.status().expect("it runs").success());
}

#[test]
fn a_typo_is_told_apart_from_a_stranger() {
    let place = Place::new();
    let key = place.generate(&["--consumer", "ci", "--id", "one"]);
    assert_eq!(place.run(&["keys", "verify"], &format!(" {key}\r\n")).output, "active one of ci\n");
    assert_eq!(place.verify(&key[..key.len() - 1]), "typo");
    assert_eq!(place.verify("pk_live_51H8sG2eZvKYlo2C"), "unknown");
    let json = place.run(&["keys", "verify", "--output", "json"], "stranger");
    assert!(json.status == 1 && json.output.contains("\"state\": \"unknown\""), "{json:?}");
    place.run(&["keys", "verify"], &format!("{key}\n{key}")).says(2, "found several keys: give one");
    place.write("key.txt", &key);
    assert_eq!(place.must(&["keys", "verify", "--file", "key.txt"]), "active one of ci\n");
}

#[test]
fn a_key_that_stands_twice_is_refused_by_the_gate_and_so_it_is_here() {
    let place = Place::with_policy(POLICY);
    place.write(
        "keys.json",
        r#"{"version": 1, "consumers": {"ops": {"keys": [
        {"id": "twice", "sha256": "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B"},
        {"id": "again", "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"},
        {"id": "bad", "sha256": "no"}, {"id": "worse", "sha256": "no", "expires": "some day"}]}}}"#,
    );
    for id in ["twice", "again", "bad", "worse"] {
        assert_eq!(place.key(id)["state"], "refused", "{id}");
    }
    assert_eq!(place.verify("secret"), "refused");
    place.must(&["keys", "remove", "again", "bad", "worse"]);
    assert_eq!(place.verify("secret"), "active");
}

#[test]
fn two_keys_of_one_id_are_refused_by_the_gate_and_so_they_are_here() {
    let place = Place::new();
    let digests = ["2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", &"0".repeat(64)];
    let keys = digests.map(|digest| format!(r#"{{"id": "one", "sha256": "{digest}"}}"#));
    place
        .write("keys.json", &format!(r#"{{"version": 1, "consumers": {{"ops": {{"keys": [{}]}}}}}}"#, keys.join(", ")));
    assert_eq!(place.key("one")["state"], "refused");
    assert_eq!(place.verify("secret"), "refused");
}

#[test]
fn what_somebody_added_to_the_store_survives_every_command() {
    let place = Place::new();
    place.write("keys.json", r#"{"version": 1, "owner": {"team": "ml"}, "consumers": {"b": {"note": 1, "keys": [
        {"id": "2", "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "ticket": "T-1"}]}}}"#);
    place.must(&["keys", "disable", "2"]);
    place.must(&["mode", "report"]);
    place.generate(&["--consumer", "a"]);
    let store: serde_json::Value = serde_json::from_str(&place.read("keys.json")).expect("it is JSON");
    let key = &store["consumers"]["b"]["keys"][0];
    assert_eq!(
        (&store["owner"]["team"], &store["consumers"]["b"]["note"], &key["ticket"]),
        (&"ml".into(), &1.into(), &"T-1".into())
    );
    place.must(&["keys", "remove", "2"]);
    assert!(place.read("keys.json").contains("\"b\": {\"note\": 1, "));
}

#[test]
fn a_file_that_is_no_store_is_left_as_it_is() {
    let place = Place::new();
    for (text, message) in [
        ("", "not valid JSON"),
        ("hunter2", "not valid JSON"),
        (r#"{"version": 2, "consumers": {}}"#, "unexpected type or version"),
        (r#"{"version": 1, "consumers": {"ci": {"keys": []}, "ci": {"keys": []}}}"#, "unexpected type or version"),
    ] {
        place.write("keys.json", text);
        for arguments in [&["keys", "generate", "--consumer", "ci"][..], &["keys", "list"], &["mode", "report"]] {
            let done = place.run(arguments, "");
            done.says(2, message);
            assert!(!done.error.contains("hunter2"), "{done:?}");
            assert_eq!(place.read("keys.json"), text);
        }
    }
    let place = Place::new();
    place
        .run(&["keys", "list"], "")
        .says(2, "key store keys.json not found (--store selects another, `portcullis init` creates one)");
}

#[test]
fn a_store_is_for_its_owner_alone_whatever_it_was() {
    let place = Place::new();
    place.generate(&["--consumer", "ci"]);
    fs::set_permissions(place.path("keys.json"), fs::Permissions::from_mode(0o666)).expect("it is ours");
    place.must(&["mode", "report"]);
    assert_eq!(fs::metadata(place.path("keys.json")).expect("it is there").mode() & 0o777, 0o600);
}

#[test]
fn a_store_that_is_a_link_stays_one() {
    let place = Place::new();
    fs::create_dir(place.path("shared")).expect("a directory");
    symlink("shared/keys.json", place.path("keys.json")).expect("a link");
    place.run(&["mode", "report"], "").says(2, "cannot open the store keys.json");
    place.generate(&["--consumer", "ci", "--store", "shared/keys.json"]);
    place.must(&["mode", "enforce"]);
    assert!(place.path("keys.json").is_symlink());
    assert!(place.read("shared/keys.json").contains("enforce"));
}

/// Write access to the directory of a store does not allow creating or changing the owner of another user's files.
#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    let place = Place::new();
    place.generate(&["--consumer", "ci"]);
    let before = place.read("keys.json");
    fs::remove_file(place.path(".keys.json.lock")).expect("it is there");
    symlink("of-another-user", place.path(".keys.json.lock")).expect("a link");
    for other in [None, Some("theirs")] {
        if let Some(text) = other {
            place.write("of-another-user", text);
        }
        let done = place.run(&["mode", "disabled"], "");
        done.says(2, ".keys.json.lock is not a regular file: remove it");
        assert_eq!(fs::read_to_string(place.path("of-another-user")).ok().as_deref(), other);
    }
    assert_eq!(place.read("keys.json"), before);
}

#[test]
fn a_disk_without_room_leaves_the_old_store() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--count", "20"]);
    let before = place.read("keys.json");
    let command = assert_cmd::cargo::cargo_bin("portcullis");
    // A file may have one block here, and a write beyond it fails instead of ending the process.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" keys generate --consumer new";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(command)
        .current_dir(place.path(""))
        .output()
        .expect("sh runs");
    let done = super::Done::of(output);
    done.says(2, "cannot write");
    assert_eq!((done.output.as_str(), place.read("keys.json")), ("", before));
    assert_eq!(place.names(), [".keys.json.lock", "keys.json", "keys.json.log"]);
}
