//! A repository with a pull request, and the step of `action.yaml` as a runner of GitHub would run it there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis_tests::bytes::said;
use portcullis_tests::packed::{apart, done};
use portcullis_tests::paths::{command, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::github::{GitHub, TOKEN};

/// A secret of the workflow, in the variable `SECRET_OF_THE_JOB`. Lint would call it a short key.
pub(crate) const SECRET: &str = "secret-of-job";

/// The result of a step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) status: i32,
    pub(crate) log: String,
    pub(crate) summary: String,
    pub(crate) outputs: String,
}

/// A repository whose work tree is the merge commit of a pull request.
#[derive(Debug)]
pub(crate) struct Workflow {
    directory: TempDir,
}

/// Files of a version, each with its text; a text such as `-> TARGET` is a symbolic link.
pub(crate) type Files<'a> = &'a [(&'a str, &'a str)];

impl Workflow {
    pub(crate) fn new(base: Files, head: Files) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let workflow = Self { directory };
        workflow.git("init --quiet --initial-branch main .");
        workflow.commit(base);
        workflow.git("checkout --quiet -b change");
        workflow.commit(head);
        workflow.git("checkout --quiet main");
        workflow.git("merge --quiet --no-ff --no-edit change");
        workflow
    }

    pub(crate) fn place(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn git(&self, arguments: &str) -> String {
        let mut git = Command::new("git");
        apart(git.args(arguments.split(' ')).current_dir(self.place()));
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "nobody").env(format!("GIT_{role}_EMAIL"), "nobody@example.com");
        }
        done(git.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]).output().expect("git starts"))
    }

    /// Makes the work tree these files, and commits it.
    fn commit(&self, files: Files) {
        self.git("rm -r --quiet --ignore-unmatch .");
        for (name, text) in files {
            let path = self.place().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("our own directory");
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, &path).expect("our own directory"),
                None => fs::write(&path, text).expect("our own directory"),
            }
        }
        self.git("add --all");
        self.git("commit --quiet --allow-empty --message version");
    }

    /// Runs the step on an event: its name, the action of a pull request, and its labels, of which the last was just set if
    /// the action is `labeled`.
    pub(crate) fn run(
        &self,
        event: &str,
        action: &str,
        labels: &[&str],
        github: &GitHub,
        inputs: &[(&str, &str)],
    ) -> Step {
        let apart_from_source = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str| apart_from_source.path().join(name);
        let named = |name: &&str| json!({"name": name});
        let payload = json!({
            "action": action, "number": 7, "label": labels.last().map(named),
            "pull_request": {"title": "`x` $(touch pwned) ${{ github.token }}", "labels": labels.iter().map(named).collect::<Vec<_>>()},
        });
        for (name, text) in [("event.json", payload.to_string()), ("summary", String::new()), ("output", String::new())]
        {
            fs::write(file(name), text).expect("our own directory");
        }
        let step = step();
        let mut shell = Command::new("bash");
        shell.args(["-e", "-o", "pipefail", "-c", step["run"].as_str().expect("a program")]);
        apart(shell.current_dir(self.place()));
        for (name, value) in step["env"].as_object().expect("an environment") {
            shell.env(name, value_of(value.as_str().expect("a text"), inputs));
        }
        for (name, value) in [("EVENT_PATH", "event.json"), ("STEP_SUMMARY", "summary"), ("OUTPUT", "output")] {
            shell.env(format!("GITHUB_{name}"), file(value));
        }
        let output = shell
            .envs([("GITHUB_EVENT_NAME", event), ("GITHUB_REPOSITORY", "acme/shop"), ("SECRET_OF_THE_JOB", SECRET)])
            .env("GITHUB_SHA", self.git("rev-parse main").trim())
            .env("GITHUB_API_URL", github.url())
            .env("GITHUB_ACTION_PATH", workspace())
            .output()
            .expect("bash starts");
        let read = |name| fs::read_to_string(file(name)).expect("a text");
        let step = Step {
            status: output.status.code().unwrap_or(-1),
            log: said(&output),
            summary: read("summary"),
            outputs: read("output"),
        };
        assert!(!self.place().join("pwned").exists(), "a title became a program");
        for text in [&step.log, &step.summary] {
            assert!(!text.contains(TOKEN) && !text.contains(SECRET), "a secret is printed: {text}");
        }
        step
    }
}

pub(crate) fn action() -> Value {
    let text = fs::read_to_string(workspace().join("action.yaml")).expect("it is there");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// The only step of the action.
pub(crate) fn step() -> Value {
    let action = action();
    let steps = action["runs"]["steps"].as_array().expect("a list");
    assert_eq!(steps.len(), 1);
    steps[0].clone()
}

/// The value of an expression such as `${{ inputs.policies }}`.
fn value_of(expression: &str, inputs: &[(&str, &str)]) -> String {
    let name = expression.strip_prefix("${{ inputs.").and_then(|rest| rest.strip_suffix(" }}")).expect(expression);
    let defaults = BTreeMap::from([("token", TOKEN.to_owned()), ("portcullis", command().display().to_string())]);
    let given = inputs.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
    let written = || action()["inputs"][name]["default"].as_str().expect("a default").to_owned();
    given.or_else(|| defaults.get(name).cloned()).unwrap_or_else(written)
}
