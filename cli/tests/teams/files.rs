//! The files of a folder with a platform and its teams: which of them are refused, and what `keys` writes into them.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command as System, Stdio};

use crate::{STORE_B, TEAM_B, run_in};

const PLATFORM: &str = r#"version: 1
consumers:
- {name: ops, roles: [admin], keys: [{id: ops-1, sha256: "23d03c2795e224bf2698538831fcff795e9735b18ec4a178bcb134327fbec67e"}]}
delegations:
- {file: team-a, prefix: /team-a}
- {file: team-b, prefix: /team-b}
final_rules:
- {path: "/**", roles: [admin]}
"#;

const TEAM_A: &str = r#"consumers:
- {name: a-batch, roles: [a-user], keys: [{id: a-1, sha256: "5d7369b9888f88631a5dc6590150bbb1e52ffcf7e78a8b6ecf909a413c8fbd4a"}]}
rules:
- {path: "/team-a/**", roles: [a-user]}
"#;

/// The folder `p`.
const ALL: [(&str, &str); 4] = [
    ("p/policy.yaml", PLATFORM),
    ("p/team-a.yaml", TEAM_A),
    ("p/team-b.yaml", TEAM_B),
    ("p/team-b.keys.json", STORE_B),
];

#[track_caller]
fn assert_refused(directory: &Path, message: &str) {
    let run = ["run", "p", "--upstream", "127.0.0.1:1"];
    for arguments in [&["lint", "p"][..], &["check", "p", "--path", "/"], &["render", "policy", "p"], &run] {
        let (code, output, error) = run_in(directory, arguments);
        assert!(code == 2 && error.contains(message), "{arguments:?}: {output}{error}\ninstead of {message}");
    }
}

#[test]
fn only_regular_files_are_read() {
    for name in ["policy.yaml", "keys.json", "team-b.yaml", "team-b.keys.json", "team-c.yaml"] {
        let directory = crate::directory(&ALL);
        let file = directory.path().join("p").join(name);
        let _ = fs::remove_file(&file);
        assert!(System::new("mkfifo").arg(&file).status().expect("it runs").success());
        let message = format!("p/{name}: expected a regular file: remove it from the folder");
        assert_refused(directory.path(), &message);
        // A link to it, or to a device without an end, is the same.
        let pipe = directory.path().join("pipe");
        fs::rename(&file, &pipe).expect("it is moved");
        for target in [pipe.as_path(), Path::new("/dev/zero")] {
            let _ = fs::remove_file(&file);
            symlink(target, &file).expect("a link");
            assert_refused(directory.path(), &message);
        }
        fs::remove_file(&file).expect("it is removed");
        symlink("nothing", &file).expect("a link");
        let (code, _, error) = run_in(directory.path(), &["lint", "p"]);
        assert!(code == 2 && error.contains(&format!("p/{name}")), "{error}");
        // A link to a regular file, as in a mounted ConfigMap, is read.
        let directory = crate::directory(&ALL);
        let file = directory.path().join("p").join(name);
        if file.exists() {
            fs::rename(&file, directory.path().join("data")).expect("it is moved");
            symlink("../data", &file).expect("a link");
            let (code, output, error) = run_in(directory.path(), &["lint", "p"]);
            assert_eq!(code, 0, "{output}{error}");
        }
    }
    // A team's file is read with a glance at the platform's.
    let directory = crate::directory(&ALL);
    let file = directory.path().join("p/policy.yaml");
    fs::remove_file(&file).expect("it is removed");
    assert!(System::new("mkfifo").arg(&file).status().expect("it runs").success());
    let (code, output, error) = run_in(directory.path(), &["keys", "list", "--policy", "p/team-a.yaml"]);
    assert!(code == 0 && output.contains("a-1"), "{output}{error}");
}

#[test]
fn a_store_without_a_policy_file_is_refused_and_nothing_is_written() {
    let directory = crate::directory(&ALL);
    let folder = directory.path().join("p");
    let mut watching = System::new(assert_cmd::cargo::cargo_bin("portcullis"))
        .args(["render", "ecds", "p", "-o", "gate.yaml", "--watch"])
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut said = BufReader::new(watching.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("watching policy.yaml")), "it ended");
    let gate = || fs::read_to_string(directory.path().join("gate.yaml")).expect("it is there");
    let before = gate();
    assert!(before.contains("b-1"), "{before}");
    fs::write(folder.join("policy.yaml"), PLATFORM.replace("team-b,", "shop,")).expect("a file");
    fs::rename(folder.join("team-b.yaml"), folder.join("shop.yaml")).expect("it is renamed");
    let message = "p/team-b.keys.json: this key store belongs to no policy file: rename it, or remove it";
    assert!(said.any(|line| line.contains(message)), "it ended");
    assert!(said.any(|line| line.contains("nothing is written")), "it ended");
    assert_eq!(gate(), before);
    assert_refused(directory.path(), message);
    fs::rename(folder.join("team-b.keys.json"), folder.join("shop.keys.json")).expect("it is renamed");
    // The renamed store is another one to the command: it writes the policy with its keys.
    assert!(said.any(|line| line.contains("gate.yaml")), "it ended");
    assert!(gate().contains("b-1"), "{}", gate());
    watching.kill().expect("it runs");
    watching.wait().expect("it ends");
    // The platform's keys are in keys.json.
    fs::write(folder.join("policy.keys.json"), "{\"version\": 1}").expect("a file");
    assert_refused(directory.path(), "p/policy.keys.json: this key store belongs to no policy file");
}

#[test]
fn the_mode_is_not_written_into_the_store_of_a_team() {
    let directory = crate::directory(&ALL);
    let before = STORE_B.to_owned();
    for arguments in [
        &["mode", "report", "--policy", "p/policy.yaml", "--store", "p/team-b.keys.json"][..],
        &["mode", "report", "--policy", "p", "--store", "p/team-b.keys.json"],
        &["mode", "report", "--store", "p/team-b.keys.json"],
    ] {
        let (code, _, error) = run_in(directory.path(), arguments);
        let message = "p/team-b.yaml is the file of a team: the mode is that of p/policy.yaml";
        assert!(code == 2 && error.contains(message), "{arguments:?}: {error}");
        assert_eq!(fs::read_to_string(directory.path().join("p/team-b.keys.json")).expect("it is there"), before);
    }
}

#[test]
fn the_name_of_the_platforms_file_is_required() {
    for name in ["policy.yml", "policy.json"] {
        let directory = crate::directory(&ALL);
        let folder = directory.path().join("p");
        fs::rename(folder.join("policy.yaml"), folder.join(name)).expect("it is renamed");
        assert_refused(directory.path(), &format!("p/{name}: expected policy.yaml: rename it to policy.yaml"));
    }
}

#[test]
fn names_that_cannot_be_shown_are_refused() {
    for (name, shown) in [(&b"team\n-c.yaml"[..], r#""team\n-c.yaml""#), (b"team-\xff.yml", r#""team-\xFF.yml""#)] {
        let directory = crate::directory(&ALL);
        fs::write(directory.path().join("p").join(OsStr::from_bytes(name)), "{}").expect("a file");
        let message = format!("p: a file name with control characters, or not UTF-8: rename {shown}");
        assert_refused(directory.path(), &message);
    }
    let directory = crate::directory(&ALL);
    fs::write(directory.path().join("p").join(OsStr::from_bytes(b"notes-\xff.txt")), "").expect("a file");
    assert_eq!(run_in(directory.path(), &["lint", "p"]).0, 0);
}

#[test]
fn keys_are_not_written_that_the_folder_would_refuse() {
    let directory = crate::directory(&ALL);
    let here = directory.path();
    let folder = here.join("p");
    let stores = || {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        ["keys.json", "team-a.keys.json", "team-b.keys.json"].map(read)
    };
    let before = stores();
    let a_1 = "5d7369b9888f88631a5dc6590150bbb1e52ffcf7e78a8b6ecf909a413c8fbd4a";
    let of_a = ["keys", "generate", "--policy", "p/team-a.yaml", "--consumer"];
    let role = "a rule of another file names this role: p/policy.yaml:8:25";
    for (arguments, message) in [
        ([&of_a[..], &["a-new", "--role", "admin"]].concat(), role),
        ([&of_a[..], &["ops"]].concat(), "this consumer is also in another file: p/policy.yaml:3:3"),
        ([&of_a[..], &["b-shop"]].concat(), "this consumer is also in another file"),
        ([&of_a[..], &["a-batch", "--id", "ops-1"]].concat(), "a key in another file has the same id: p/policy.yaml"),
        ([&of_a[..], &["a-batch", "--id", "b-1"]].concat(), "a key in another file has the same id"),
        (
            vec!["keys", "generate", "--policy", "p", "--consumer", "ops", "--id", "b-1"],
            "a key in another file has the same id",
        ),
        (
            vec!["keys", "add", "--store", "p/team-b.keys.json", "--consumer", "b-shop", "--sha256", a_1, "--id", "x"],
            "this key is also in another file",
        ),
        (
            vec!["keys", "generate", "--policy", "p/policy.yaml", "--store", "p/team-b.keys.json", "--consumer", "ops"],
            "this consumer is also in another file",
        ),
        (
            vec!["keys", "rotate", "b-1", "--overlap", "1d", "--store", "p/team-b.keys.json", "--id", "a-1"],
            "a key in another file has the same id",
        ),
    ] {
        let (code, output, error) = run_in(here, &arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}: {error}");
        let refused = "nothing is changed, because p would be refused: ";
        assert!(error.contains(refused) && error.contains(message), "{arguments:?}: {error}\ninstead of {message}");
        assert_eq!(stores(), before, "{arguments:?}");
    }
    // Also in the folder itself.
    let (code, output, error) = run_in(&folder, &["keys", "generate", "--policy", "team-a.yaml", "--consumer", "ops"]);
    assert!(code == 2 && output.is_empty() && error.contains("because . would be refused"), "{error}");
    // A folder has its own stores.
    let with_store = ["keys", "generate", "--policy", "p", "--store", "p/team-b.keys.json", "--consumer", "a-batch"];
    let (code, output, error) = run_in(here, &with_store);
    assert!(code == 2 && output.is_empty() && error.contains("give only one of them"), "{error}");
    assert_eq!(stores(), before);
    // Roles of a consumer of the store.
    let (code, _, error) = run_in(here, &[&of_a[..], &["a-new", "--role", "a-user"]].concat());
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = run_in(here, &["consumers", "set", "a-new", "--roles", "admin", "--policy", "p"]);
    assert!(code == 2 && error.contains(role), "{error}");
    // What is wrong already, and in the file of another team, stops nobody.
    fs::write(folder.join("team-b.yaml"), "consumers: [{name: b, roles: [admin]}]\n").expect("a file");
    let (code, key, error) = run_in(here, &[&of_a[..], &["a-batch"]].concat());
    assert!(code == 0 && key.starts_with("pk_"), "{error}");
    fs::write(folder.join("team-b.yaml"), "a: [").expect("a file");
    let (code, key, error) = run_in(here, &[&of_a[..], &["a-batch"]].concat());
    assert!(
        code == 0 && key.starts_with("pk_") && error.contains("not checked against the other files of p"),
        "{error}"
    );
}

#[test]
fn what_the_gate_refuses_in_a_store_has_its_place_there() {
    let directory = crate::directory(&ALL);
    let here = directory.path();
    let broken = STORE_B.replace("\"id\":\"b-1\"", "\"id\":\"b 1\"");
    fs::write(here.join("p/team-b.keys.json"), &broken).expect("a file");
    for (name, text) in [
        ("alone/policy.yaml", "consumers:\n- {name: b-shop, keys: [{id: x, env: B}]}\n"),
        ("alone/keys.json", &broken),
        ("new/policy.yaml", "rules: []\n"),
        ("new/keys.json", &STORE_B.replace("b-shop", "b shop")),
    ] {
        let file = here.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    for (policy, place) in [
        ("p", "p/team-b.keys.json:3:"),
        ("alone/policy.yaml", "alone/keys.json:3:"),
        ("new/policy.yaml", "new/keys.json:2:"),
    ] {
        let (_, output, error) = run_in(here, &["lint", policy]);
        assert!(output.contains(place), "{place}: {output}{error}");
        let place = output.lines().find_map(|line| line.split_once(": error[refused]")).expect("it is refused").0;
        for arguments in [&["check", policy, "--path", "/"][..], &["render", "policy", policy]] {
            let (_, output, error) = run_in(here, arguments);
            assert!(error.contains(&format!("{place}: ")), "{arguments:?}: {output}{error}\ninstead of {place}");
        }
    }
}

#[test]
fn the_file_of_a_team_alone_is_told_to_be_a_part() {
    let directory = crate::directory(&ALL);
    fs::write(directory.path().join("p/other.yaml"), "{}").expect("a file");
    let note = |file: &str| format!("{file} is the file of a team, and only a part of the policy: give the folder, p");
    for (file, is_part) in [("p/team-a.yaml", true), ("p/policy.yaml", false), ("p/other.yaml", false)] {
        for arguments in [&["lint", file][..], &["check", file, "--path", "/"], &["render", "policy", file]] {
            let (_, output, error) = run_in(directory.path(), arguments);
            assert_eq!(error.contains(&note(file)), is_part, "{arguments:?}: {output}{error}");
        }
    }
    let (_, output, error) = run_in(directory.path(), &["lint", "p"]);
    assert!(!error.contains("only a part"), "{output}{error}");
}

#[test]
fn messages_say_what_to_do() {
    let directory = crate::directory(&ALL);
    let file = |name: &str| directory.path().join("p").join(name);
    let refused = |message: &str| {
        let (code, output, error) = run_in(directory.path(), &["render", "policy", "p"]);
        assert!(code == 2 && error.contains(message) && !error.contains("from_str"), "{output}{error}");
    };
    fs::write(file("team-b.yaml"), "consumers: [{name: b, roles: [admin]}]\n").expect("a file");
    refused("let the platform grant it: `roles` in a delegation of team-b, or remove it from that rule");
    fs::write(file("team-b.yaml"), "rules: []\n---\nrules: []\n").expect("a file");
    refused(
        "p/team-b.yaml is not valid YAML: line 3 column 1: there is a second document after `---`: keep one document",
    );
    fs::write(file("team-b.yaml"), TEAM_B).expect("a file");
    let platform = PLATFORM.replace("prefix: /team-b", "prefix: /team-b, description: [1]");
    fs::write(file("policy.yaml"), platform).expect("a file");
    refused("p/policy.yaml:6:48: delegations[1].description: invalid description: expected text");
}
