//! The hook of `.pre-commit-hooks.yaml` with the real pre-commit: a commit with a policy that the gate would refuse is
//! refused, and one with a good policy passes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use portcullis_tests::bytes::said;
use portcullis_tests::packed::{apart, done};
use portcullis_tests::paths::{command, pre_commit, workspace};
use tempfile::TempDir;

/// A repository that uses the hooks, and one that has them.
struct Repositories(TempDir);

impl Repositories {
    /// With this configuration of pre-commit, in which the repository with the hooks has the name of the guide.
    fn new(configuration: &str) -> Self {
        let all = Self(tempfile::tempdir().expect("a temporary directory"));
        for name in ["hooks", "project"] {
            fs::create_dir(all.place(name)).expect("our own directory");
            done(all.run("git", &["init", "--quiet", "."], name));
        }
        let hooks = ".pre-commit-hooks.yaml";
        fs::copy(workspace().join(hooks), all.place("hooks").join(hooks)).expect("it is there");
        done(all.commit("hooks"));
        let revision = done(all.run("git", &["rev-parse", "HEAD"], "hooks"));
        let repository = all.place("hooks").display().to_string();
        let configuration = configuration.replace("https://github.com/example/portcullis", &repository);
        all.write(".pre-commit-config.yaml", &configuration.replace("v0.1.0", revision.trim()));
        done(all.run("python3", &["-m", "pre_commit", "install"], "project"));
        all
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.place("project").join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("our own directory");
        fs::write(path, text).expect("our own directory");
    }

    fn run(&self, program: &str, arguments: &[&str], folder: &str) -> Output {
        let portcullis = command();
        let mut path = portcullis.parent().expect("a directory").as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut child = Command::new(program);
        apart(child.args(arguments).current_dir(self.place(folder)));
        child.env("PATH", path).env("PYTHONPATH", pre_commit()).env("PRE_COMMIT_HOME", self.place("home"));
        for role in ["AUTHOR", "COMMITTER"] {
            child.env(format!("GIT_{role}_NAME"), "nobody").env(format!("GIT_{role}_EMAIL"), "nobody@example.com");
        }
        child.envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ]);
        child.output().expect("it starts")
    }

    fn commit(&self, folder: &str) -> Output {
        done(self.run("git", &["add", "--all"], folder));
        self.run("git", &["commit", "--quiet", "--message", "change"], folder)
    }
}

/// The configurations of the guide.
fn configurations() -> Vec<String> {
    let page = fs::read_to_string(workspace().join("docs/guides/ci.md")).expect("the guide");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<String> = blocks.filter(|block| block.starts_with("repos:")).map(str::to_owned).collect();
    assert_eq!(found.len(), 2);
    found
}

#[test]
fn a_policy_that_would_be_refused_refuses_the_commit() {
    let all = Repositories::new(&configurations()[0]);
    all.write("policy.yaml", "public_paths: [\"/healthz\"]\n");
    // Two policies, which are not a platform and its teams; one has a name that looks like an option.
    all.write("--strict/policy.yaml", "public_paths: [\"/ready\"]\n");
    all.write("other.yaml", "public_path: []\n");
    done(all.commit("project"));

    all.write("policy.yaml", "public_path: [\"/healthz\"]\n");
    all.write("--strict/policy.yaml", "public_paths: [\"/live\"]\n");
    let refused = all.commit("project");
    assert!(!refused.status.success());
    assert!(said(&refused).contains("policy.yaml:1:1: error[refused]"), "{}", said(&refused));
    assert!(said(&refused).contains("fix: did you mean `public_paths`?"), "{}", said(&refused));

    all.write("policy.yaml", "public_paths: [\"/healthz\", \"/\"]\n");
    done(all.commit("project"));
    assert_eq!(done(all.run("git", &["rev-list", "--count", "HEAD"], "project")), "2\n");
}

/// A commit may change the store alone.
#[test]
fn a_broken_store_refuses_the_commit() {
    for policy in ["policy.yaml", "gate/policy.yaml", "gate/policy.yml"] {
        let all = Repositories::new(&configurations()[0]);
        all.write(policy, "public_paths: [\"/healthz\"]\n");
        // Not beside a policy.
        all.write("other/keys.json", "[");
        done(all.commit("project"));
        let store = PathBuf::from(policy).with_file_name("keys.json").display().to_string();
        all.write(&store, "[");
        let refused = all.commit("project");
        assert!(!refused.status.success());
        assert!(said(&refused).contains(&format!("{store}: error[broken-store]")), "{}", said(&refused));
        all.write(policy, "public_paths: [\"/ready\"]\n");
        let refused = said(&all.commit("project"));
        assert_eq!(refused.matches("error[broken-store]").count(), 1, "the policy is linted once: {refused}");
        fs::remove_file(all.place("project").join(store)).expect("our own directory");
        done(all.commit("project"));
    }
}

/// The hook without other options: a commit may change the file or the store of a team alone.
#[test]
fn the_files_of_teams_are_checked_with_the_platform() {
    let all = Repositories::new(&configurations()[0]);
    all.write(
        "policies/policy.yaml",
        "delegations: [{file: shop, prefix: /shop}]\nfinal_rules: [{path: /**, roles: [ops]}]\n",
    );
    all.write("policies/shop.yaml", "rules: [{path: /shop/a, roles: [shop-a]}]\n");
    done(all.commit("project"));
    all.write("policies/shop.yaml", "rules: [{path: /other, roles: [shop-a]}]\n");
    let refused = all.commit("project");
    assert!(!refused.status.success() && said(&refused).contains("error[team-conflict]"), "{}", said(&refused));
    all.write("policies/shop.yaml", "rules: [{path: /shop/b, roles: [shop-a]}]\n");
    done(all.commit("project"));
    all.write("policies/shop.keys.json", "[");
    let refused = all.commit("project");
    assert!(!refused.status.success() && said(&refused).contains("error[broken-store]"), "{}", said(&refused));
}

#[test]
fn the_folder_of_a_platform_and_its_teams_is_one_policy() {
    let all = Repositories::new(&configurations()[1]);
    all.write(
        "policies/policy.yaml",
        "delegations: [{file: shop, prefix: /shop}]\nfinal_rules: [{path: /**, roles: [ops]}]\n",
    );
    all.write("policies/shop.yaml", "rules: [{path: /other, roles: [shop-a]}]\n");
    let refused = all.commit("project");
    assert!(!refused.status.success() && said(&refused).contains("error[team-conflict]"), "{}", said(&refused));
}
