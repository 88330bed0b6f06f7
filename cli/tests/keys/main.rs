//! The commands that change the store: what they print, what they keep, and what they leave when they are killed.

mod consumers;
mod crash;
mod keys;
mod log;
mod new;
mod start;
mod terminal;

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A directory to work in.
struct Place(TempDir);

/// What a command did.
#[derive(Debug)]
struct Done {
    status: i32,
    output: String,
    error: String,
}

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    /// One with a policy.
    fn with_policy(policy: &str) -> Self {
        let place = Self::new();
        place.write("policy.yaml", policy);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file can be written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the file is there")
    }

    /// The names of all files, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the directory is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn command(&self) -> Command {
        let mut command = Command::cargo_bin("portcullis").expect("the command is built");
        command.current_dir(self.0.path()).env_remove("UNSET");
        command
    }

    /// Runs `portcullis` with `input` on its standard input.
    fn run(&self, arguments: &[&str], input: &str) -> Done {
        Done::of(self.command().args(arguments).write_stdin(input).output().expect("it runs"))
    }

    /// Runs `portcullis`, which must do it; gives standard output.
    fn must(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments, "");
        assert_eq!(done.status, 0, "{arguments:?}: {done:?}");
        done.output
    }

    /// A new key of a consumer.
    fn generate(&self, arguments: &[&str]) -> String {
        self.must(&[&["keys", "generate"], arguments].concat()).trim_end().to_owned()
    }

    /// What `keys list` has of a key.
    fn key(&self, id: &str) -> Value {
        let keys = self.keys();
        keys.iter().find(|key| key["id"] == id).unwrap_or_else(|| panic!("no {id} in {keys:?}")).clone()
    }

    fn keys(&self) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.must(&["keys", "list", "--output", "json"])).expect("it is JSON");
        list["keys"].as_array().expect("a list").clone()
    }

    /// The state of a key, from `keys verify`.
    fn verify(&self, key: &str) -> String {
        let done = self.run(&["keys", "verify"], key);
        let state = done.output.split(' ').next().unwrap_or_default().to_owned();
        assert_eq!(done.status == 0, state == "active", "{done:?}");
        state
    }
}

impl Done {
    fn of(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
        Self {
            status: output.status.code().expect("it ends by itself"),
            output: text(output.stdout),
            error: text(output.stderr),
        }
    }

    /// It is refused, with this in the message.
    fn says(&self, status: i32, message: &str) {
        assert!(self.status == status && self.error.contains(message), "{message}: {self:?}");
    }
}
