//! What becomes of the file that is written to, once and while the command watches.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{POLICY, STORE, command, folder, render};

#[test]
fn a_file_is_replaced_only_by_another_one_and_keeps_its_mode() {
    let folder = folder();
    let file = folder.path().join("gate.yaml");
    let state = || {
        let metadata = fs::metadata(&file).expect("it is there");
        (metadata.ino(), metadata.permissions().mode() & 0o777)
    };
    let write = |arguments: &[&str]| {
        let (code, text, said) = render(folder.path(), &[&["ecds", "--output-file", "gate.yaml"], arguments].concat());
        assert_eq!((code, text.as_str()), (0, ""), "{said}");
        said
    };
    assert!(write(&[]).starts_with("portcullis: gate.yaml is written: policy "));
    assert_eq!(state().1, 0o600, "a new file is for its owner alone");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("its owner may");
    let before = state();
    assert!(write(&[]).contains("already"));
    assert_eq!(state(), before, "nothing has changed");
    write(&["--mode", "report"]);
    assert_eq!(state().1, 0o644);
    assert_ne!(state().0, before.0, "renamed onto it, not written into it");
    let (_, printed, _) = render(folder.path(), &["ecds", "--mode", "report"]);
    assert_eq!(fs::read_to_string(&file).expect("it is there"), printed);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).expect("it is there").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["gate.yaml", "keys.json", "policy.yaml", "token"], "nothing else is left behind");
}

#[test]
fn where_a_link_leads_is_what_is_replaced() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("real.yaml"), "old").expect("it is written");
    std::os::unix::fs::symlink("real.yaml", at("gate.yaml")).expect("a link");
    let (code, _, said) = render(folder.path(), &["policy", "-o", "gate.yaml"]);
    assert_eq!(code, 0, "{said}");
    assert!(at("gate.yaml").is_symlink(), "it stays a link");
    assert_ne!(fs::read_to_string(at("real.yaml")).expect("it is there"), "old");
}

/// A command that watches, ended with its owner.
struct Watching {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Watching {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    fn start_with(folder: &Path, arguments: &[&str]) -> Self {
        let arguments = [&["ecds", "-o", "gate.yaml", "--watch"], arguments].concat();
        let mut child = command(folder, &arguments).stderr(Stdio::piped()).spawn().expect("it runs");
        let said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut watching = Self { child, said };
        watching.says("watching policy.yaml");
        watching
    }

    /// Waits until these words stand in what is written. Of a file that is written in place, a part may be taken first.
    fn writes(&mut self, file: &Path, words: &str) {
        loop {
            self.says("gate.yaml is written");
            if fs::read_to_string(file).expect("it is there").contains(words) {
                return;
            }
        }
    }

    /// Waits for a line with these words.
    fn says(&mut self, words: &str) {
        let found = self.said.by_ref().map_while(Result::ok).find(|line| line.contains(words));
        assert!(found.is_some(), "it ended without saying: {words}");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watching_writes_what_changes_keeps_what_is_refused_and_ends_when_told_to() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    let gate = file("gate.yaml");
    let replace = |name: &str, text: &str| {
        fs::write(file("next"), text).expect("a file");
        fs::rename(file("next"), file(name)).expect("one directory");
    };
    fs::remove_file(file("keys.json")).expect("there is a store");
    let mut watching = Watching::start(folder.path());

    fs::write(file("policy.yaml"), POLICY.replace("/healthz", "/ready")).expect("the policy is changed in place");
    watching.writes(&gate, "'/ready'");

    // A store that was not there, by rename, as `keys` does it.
    replace("keys.json", STORE);
    watching.writes(&gate, "'batch-1'");

    let before = fs::read_to_string(&gate).expect("it is there");
    replace("policy.yaml", "public_path: [/]");
    watching.says("unknown field `public_path`");
    watching.says("nothing is written: the last rendered file is kept");
    assert_eq!(fs::read_to_string(&gate).expect("it is there"), before);

    replace("policy.yaml", POLICY);
    watching.writes(&gate, "'/healthz'");

    for signal in ["-TERM", "-INT"] {
        let mut watching = Watching::start(folder.path());
        let told = Command::new("kill").args([signal, &watching.child.id().to_string()]).status().expect("kill runs");
        assert!(told.success());
        assert_eq!(watching.child.wait().expect("it ends").code(), Some(0), "{signal}");
    }
}

/// Of a platform and its teams: a file that is added, a change in it, and a store that vanishes.
#[test]
fn watching_a_folder_sees_the_files_of_teams_that_are_added() {
    let folder = folder();
    let file = |name: &str| folder.path().join("p").join(name);
    let gate = folder.path().join("gate.yaml");
    fs::create_dir(folder.path().join("p")).expect("a folder");
    fs::write(file("policy.yaml"), "name: edge\ndelegations: []\n").expect("a file");
    let mut watching = Watching::start_with(folder.path(), &["p"]);

    fs::write(file("team-a.yaml"), "consumers: [{name: a-one}]\n").expect("a file");
    watching.writes(&gate, "'a-one'");
    fs::write(file("team-a.yaml"), "consumers: [{name: a-two}]\n").expect("it is changed in place");
    watching.writes(&gate, "'a-two'");
    fs::write(file("team-a.keys.json"), STORE).expect("a store");
    watching.writes(&gate, "'batch-1'");

    fs::remove_file(file("team-a.keys.json")).expect("it is there");
    watching.says("the key store p/team-a.keys.json has vanished");
    fs::write(file("team-a.keys.json"), STORE.replace("batch-1", "batch-3")).expect("a store");
    watching.writes(&gate, "'batch-3'");
    fs::write(file("team-a.yaml"), "mode: disabled\n").expect("it is changed");
    watching.says("p/team-a.yaml:1:1: mode: only p/policy.yaml may have this field");
    watching.says("nothing is written: the last rendered file is kept");
}

/// As Kubernetes replaces a mounted ConfigMap: `policy.yaml` leads through a link, and it is the link that moves.
#[test]
fn a_link_that_moves_is_a_change() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let version = |name: &str, text: String| {
        fs::create_dir(path(name)).expect("a directory");
        fs::write(path(name).join("policy.yaml"), text).expect("a file in it");
        std::os::unix::fs::symlink(name, path("..next")).expect("a link");
        fs::rename(path("..next"), path("..data")).expect("one directory");
    };
    fs::remove_file(path("policy.yaml")).expect("it was there");
    version("..one", POLICY.to_owned());
    std::os::unix::fs::symlink("..data/policy.yaml", path("policy.yaml")).expect("a link");
    let mut watching = Watching::start(folder.path());
    version("..two", POLICY.replace("/healthz", "/ready"));
    watching.writes(&path("gate.yaml"), "'/ready'");
}
