//! `consumers`, and `keys` with `--consumer` and `prune`: what happens when somebody leaves, or gets another role.

use super::Place;

const POLICY: &str = "consumers:
  - name: ops
    roles: [admin]
    keys:
      - {id: in-policy, plaintext: example-key-of-the-policy}
";

#[test]
fn all_keys_of_a_consumer_are_meant_at_once() {
    let place = Place::new();
    let keys = ["a", "b"].map(|id| place.generate(&["--consumer", "alice", "--id", id]));
    let other = place.generate(&["--consumer", "bob", "--id", "c"]);
    for (arguments, message, state) in [
        (&["disable"][..], "2 keys disabled", "disabled"),
        (&["enable"], "2 keys enabled", "active"),
        (&["expire", "--at", "30d"], "2 keys set to expire at 2", "active"),
        (&["expire"], "2 keys set to expire at 2", "expired"),
        (&["remove"], "2 keys removed", "unknown"),
    ] {
        place.run(&[&["keys"], arguments, &["--consumer", "alice"]].concat(), "").says(0, message);
        assert!(keys.iter().all(|key| place.verify(key) == state), "{arguments:?}");
        assert_eq!(place.verify(&other), "active");
    }
    for (arguments, message) in [
        (&["disable", "--consumer", "bobb"][..], "bobb has no key in keys.json: did you mean bob?"),
        (&["disable", "--consumer", "bob", "c"], "cannot be used with"),
        (&["remove", "--consumer", "bob", "--all"], "cannot be used with"),
        (&["disable"], "required"),
        (&["rotate", "--consumer", "bob"], "unexpected argument"),
    ] {
        place.run(&[&["keys"], arguments].concat(), "").says(2, message);
    }
}

#[test]
fn keys_that_the_policy_has_are_named_since_they_stay() {
    let place = Place::with_policy(POLICY);
    place.run(&["keys", "disable", "--consumer", "ops"], "").says(2, "key store keys.json not found");
    let key = place.generate(&["--consumer", "ops", "--id", "in-store"]);
    let stay = "ops also has 1 key in the policy, at policy.yaml:2:5: change them there";
    place.run(&["keys", "disable", "--consumer", "ops"], "").says(1, stay);
    place.run(&["keys", "enable", "--consumer", "ops"], "").says(0, stay);
    place.must(&["keys", "remove", "in-store"]);
    place.run(&["keys", "disable", "--consumer", "ops"], "").says(2, &format!("ops has no key in keys.json; {stay}"));
    // A key can be taken away also where the policy is broken.
    place.write("policy.yaml", "consumers: [{name: hunter2, nonsense");
    place.write("keys.json", r#"{"version": 1, "consumers": {"ops": {"keys": [{"id": "x", "sha256": "00"}]}}}"#);
    let done = place.run(&["keys", "remove", "--consumer", "ops"], "");
    done.says(1, "keys that ops has in the policy are not changed: policy.yaml is not valid YAML");
    assert!(!done.error.contains("hunter2") && !place.read("keys.json").contains("ops"), "{done:?}{key}");
}

#[test]
fn expired_keys_are_removed_and_no_others() {
    let place = Place::new();
    for id in ["past", "past-too", "off", "never"] {
        place.generate(&["--consumer", "ci", "--id", id]);
    }
    place.generate(&["--consumer", "ci", "--id", "soon", "--expires", "1d"]);
    place.must(&["keys", "disable", "off"]);
    place.run(&["keys", "prune", "--expired"], "").says(0, "no key in keys.json has expired");
    place.must(&["keys", "expire", "past", "past-too"]);
    let before = place.read("keys.json");
    let would = place.run(&["keys", "prune", "--expired", "--dry-run"], "");
    would.says(0, "2 keys would be removed");
    assert!(would.output.starts_with("past of ci, expired at 2"), "{would:?}");
    assert_eq!(place.read("keys.json"), before);
    let done = place.run(&["keys", "prune", "--expired"], "");
    done.says(0, "2 keys removed");
    assert_eq!(done.output, would.output);
    let left: Vec<_> = place.keys().iter().map(|key| key["id"].as_str().map(str::to_owned)).collect();
    assert_eq!(left, ["never", "off", "soon"].map(|id| Some(id.to_owned())));
    place.run(&["keys", "prune"], "").says(2, "--expired");
}

#[test]
fn consumers_are_listed_with_their_roles_and_valid_keys() {
    let place = Place::with_policy(POLICY);
    place.generate(&["--consumer", "alice", "--role", "predict", "--role", "train", "--id", "a"]);
    place.generate(&["--consumer", "alice", "--id", "b"]);
    place.must(&["keys", "disable", "b"]);
    let rows = place.must(&["consumers", "list"]);
    let rows: Vec<Vec<&str>> = rows.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
    let rows: Vec<Vec<&str>> =
        rows.into_iter().map(|row| row.into_iter().filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["CONSUMER", "ROLES", "VALID KEYS", "WHERE"],
            vec!["alice", "predict,train", "1 of 2", "keys.json"],
            vec!["ops", "admin", "1 of 1", "policy.yaml:2:5"],
        ]
    );
    let json = place.must(&["consumers", "list", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!((&json["consumers"][0]["valid_keys"], &json["consumers"][0]["policy"]), (&1.into(), &().into()));
    assert_eq!(json["consumers"][1]["roles"][0], "admin");
}

#[test]
fn roles_are_replaced_and_a_consumer_goes_with_its_keys() {
    let place = Place::with_policy(POLICY);
    let key = place.generate(&["--consumer", "alice", "--role", "predict", "--id", "a"]);
    place.generate(&["--consumer", "ops", "--id", "o"]);
    place
        .run(&["consumers", "set", "alice", "--roles", "train,admin"], "")
        .says(0, "alice now has train, admin; this applies to 1 key");
    assert_eq!(place.key("a")["roles"], serde_json::json!(["train", "admin"]));
    place.run(&["consumers", "set", "alice", "--roles", ""], "").says(0, "alice now has no role");
    assert_eq!(place.key("a")["roles"], serde_json::json!([]));
    let before = place.read("keys.json");
    for (arguments, message) in [
        (&["set", "alice", "--roles", "no blanks"][..], "--roles: invalid role name \"no blanks\""),
        (&["set", "alcie", "--roles", "x"], "unknown consumer alcie: it is not in keys.json: did you mean alice?"),
        (&["set", "alice"], "--roles"),
        (&["set", "alice", "--roles", "none"], "--roles: none is not a role: for no role, write --roles ''"),
        (
            &["set", "ops", "--roles", "x"],
            "the policy defines the consumer ops: write its roles there (policy.yaml:2:5)",
        ),
        (&["remove", "ops"], "the policy defines the consumer ops: use `portcullis keys remove --consumer ops`"),
        (&["remove", "nobody"], "unknown consumer nobody"),
    ] {
        place.run(&[&["consumers"], arguments].concat(), "").says(2, message);
    }
    assert_eq!(place.read("keys.json"), before);
    place.run(&["consumers", "remove", "alice"], "").says(0, "alice is removed, with 1 key");
    assert_eq!(place.verify(&key), "unknown");
}

#[test]
fn a_new_consumer_that_is_nearly_another_is_told() {
    let place = Place::with_policy(POLICY);
    for (name, like) in
        [("alice", None), ("alcie", Some("alice")), ("Ops", Some("ops")), ("edge-1", None), ("edge-2", None)]
    {
        let done = place.run(&["keys", "generate", "--consumer", name], "");
        assert!(done.error.contains("is a new consumer"), "{done:?}");
        let told = format!("warning: there is a consumer {} already", like.unwrap_or_default());
        assert_eq!(done.error.contains(&told), like.is_some(), "{done:?}");
    }
}

#[test]
fn a_consumer_that_nobody_knows_has_no_list() {
    let place = Place::new();
    place.generate(&["--consumer", "alice"]);
    place.run(&["keys", "list", "--consumer", "alcie"], "").says(2, "unknown consumer alcie: did you mean alice?");
    place.generate(&["--consumer", "bob", "--role", "predict", "--id", "b"]);
    place.must(&["keys", "remove", "b"]);
    let done = place.run(&["keys", "list", "--consumer", "bob"], "");
    done.says(0, "bob has no key: `portcullis keys generate --consumer bob` creates one");
}
