//! Two commands at once, commands that are killed, and many keys.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::Place;

fn start(place: &Place, arguments: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("portcullis"));
    command.args(arguments).current_dir(place.path("")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

#[test]
fn of_many_commands_at_once_each_changes_the_store() {
    let place = Place::new();
    let ids: Vec<_> = (0..32).map(|number| format!("id-{number}")).collect();
    let children: Vec<_> =
        ids.iter().map(|id| start(&place, &["keys", "generate", "--consumer", "ci", "--id", id])).collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    let keys = place.keys();
    assert!(keys.len() == 32 && ids.iter().all(|id| keys.iter().any(|key| key["id"] == **id)), "{keys:?}");
}

/// The last round, in which nothing is killed.
const LAST: u32 = 40;

/// What was left of the store after a kill.
#[derive(Debug, Default)]
struct Killed {
    /// The old one, and no temporary file.
    before: usize,
    /// The old one, and a temporary file: between write and rename.
    within: usize,
    /// The new one: after the rename.
    after: usize,
    /// Nothing was killed: the command was done before.
    done: usize,
}

#[test]
fn whenever_a_command_is_killed_the_store_is_the_old_one_or_the_new_one() {
    let place = Place::new();
    place.generate(&["--consumer", "ci", "--count", "2000"]);
    let temporary = place.path(".keys.json.new");
    let began = Instant::now();
    place.generate(&["--consumer", "ci", "--id", "first"]);
    let whole = began.elapsed();
    let mut killed = Killed::default();
    for round in 0..=LAST {
        let _ = fs::remove_file(&temporary);
        let old = place.read("keys.json");
        let mut child = start(&place, &["keys", "generate", "--consumer", "ci", "--id", &format!("id-{round}")]);
        // Every other time when the temporary file was seen, later each time; else at points that are spread over the
        // time that a command takes.
        let started = Instant::now();
        let mut seen = 0;
        while child.try_wait().expect("it can be asked").is_none() {
            seen += u32::from(temporary.exists());
            let is_time =
                if round % 2 == 0 { seen > round * round / 16 } else { started.elapsed() > whole * round / 20 };
            if is_time && round != LAST {
                break;
            }
        }
        child.kill().expect("it can be killed");
        let is_done = child.wait().expect("it is gone").success();
        let new = place.read("keys.json");
        if new != old {
            *if is_done { &mut killed.done } else { &mut killed.after } += 1;
            let line = format!("\"id\":\"id-{round}\"");
            let (added, kept): (Vec<_>, Vec<_>) =
                new.lines().map(|line| line.trim_end_matches([',', ']', '}'])).partition(|one| one.contains(&line));
            assert_eq!(
                (added.len(), kept),
                (1, old.lines().map(|line| line.trim_end_matches([',', ']', '}'])).collect()),
                "the new one is whole"
            );
        } else if temporary.exists() {
            killed.within += 1;
        } else {
            killed.before += 1;
        }
    }
    eprintln!("{killed:?}");
    assert!(killed.before > 0 && killed.within > 0 && killed.done > 0, "each window is reached: {killed:?}");
    fs::write(&temporary, "what a crash left").expect("it can be written");
    place.generate(&["--consumer", "ci", "--id", "after-all"]);
    assert_eq!(place.names(), [".keys.json.lock", "keys.json", "keys.json.log"], "the next command cleans up");
    assert_eq!(place.key("after-all")["state"], "active");
}

#[test]
fn ten_thousand_keys_go_through_every_command() {
    let place = Place::new();
    let keys = place.must(&["keys", "generate", "--consumer", "ci", "--count", "10000"]);
    fs::rename(place.path("keys.json"), place.path("old.json")).expect("it is there");
    for (arguments, done) in [
        (&["add", "--consumer", "ops"][..], "10000 keys of ops added"),
        (&["disable", "-"], "10000 keys disabled"),
        (&["enable", "-"], "10000 keys enabled"),
        (&["rotate", "-"], "10000 keys are shown only once"),
        (&["expire", "-"], "10000 keys set to expire"),
        (&["remove", "-"], "10000 keys removed"),
    ] {
        let result = place.run(&[&["keys"], arguments].concat(), &keys);
        assert!(result.status == 0 && result.error.contains(done), "{arguments:?}: {}", result.error);
    }
    let left = place.must(&["keys", "list"]);
    assert_eq!((left.lines().count(), left.matches(" active ").count()), (10_001, 10_000), "the new ones");
}
