//! What a repository says about itself, so that it cannot rot: workflows call what exists, updates are looked for where
//! manifests are, and one version of Rust stands everywhere. That `.github/` is as GitHub wants it is checked by `make lint`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use portcullis_tests::crd::yaml_files;
use portcullis_tests::paths::workspace;
use serde_json::{Value, json};
use walkdir::WalkDir;

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names and texts of the workflows.
fn workflows() -> Vec<(String, Value)> {
    let name = |file: &PathBuf| file.strip_prefix(workspace()).expect("a file of the workspace").display().to_string();
    let files: Vec<String> = yaml_files(&workspace().join(".github/workflows")).iter().map(name).collect();
    files.into_iter().map(|file| (file.clone(), yaml(&file))).collect()
}

/// The targets of the Makefile.
fn targets() -> BTreeSet<String> {
    let text = read("Makefile");
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let rules = text.lines().filter_map(|line| line.split_once(':')).filter(|(_, rest)| !rest.starts_with('='));
    let names = rules.map(|(names, _)| names).filter(|names| names.split(' ').all(|name| is_name(&name)));
    names.flat_map(|names| names.split(' ')).map(str::to_owned).collect()
}

/// The workflow that publishes, and what only it may call: what signs and uploads with the identity of the workflow.
const RELEASE: &str = ".github/workflows/release.yaml";
const PUBLISHERS: [&str; 2] = ["cosign", "gh"];

/// What is wrong with a command: it is to be `make` with targets that exist, or a script of the repository.
fn wrong(command: &str) -> Option<String> {
    let mut words = command.split_whitespace().take_while(|word| !word.starts_with(['<', '>', '|']));
    match words.next()? {
        "make" => {
            let targets = targets();
            let mut asked = words.filter(|word| !word.contains('=')).peekable();
            if asked.peek().is_none() {
                return Some(format!("`{command}` names no target"));
            }
            asked.find(|target| !targets.contains(*target)).map(|target| format!("there is no `make {target}`"))
        }
        script if script.contains('/') && workspace().join(script).is_file() => None,
        _ => Some(format!("`{command}` is neither a target of make nor a script of the repository")),
    }
}

fn steps(workflow: &Value) -> Vec<&Value> {
    let jobs = workflow["jobs"].as_object().expect("jobs").values();
    jobs.flat_map(|job| job["steps"].as_array().expect("steps")).collect()
}

fn commands(workflow: &Value) -> Vec<&str> {
    steps(workflow).iter().filter_map(|step| step["run"].as_str()).flat_map(str::lines).collect()
}

#[test]
fn workflows_call_what_exists() {
    let workflows = workflows();
    let all: Vec<_> = workflows
        .iter()
        .flat_map(|(name, workflow)| commands(workflow).into_iter().map(move |command| (name, command)))
        .collect();
    let publishes = |command: &str| PUBLISHERS.iter().any(|program| command.starts_with(&format!("{program} ")));
    let (release, others): (Vec<_>, Vec<_>) = all.iter().partition(|(name, _)| *name == RELEASE);
    let own = release.iter().filter(|(_, command)| !publishes(command));
    let errors = others.iter().chain(own).filter_map(|(name, command)| Some(format!("{name}: {}", wrong(command)?)));
    assert_eq!(errors.collect::<Vec<_>>().join("\n"), "");
    assert!(release.iter().any(|(_, command)| publishes(command)), "a control: the release is signed");
    let called: Vec<&str> = others.iter().map(|(_, command)| *command).collect();
    let expected = [".ci/run", "make playground", "make docs", "make deny DENY=advisories", "make nightly"];
    assert_eq!(called, expected, "GitHub runs what .ci/run does, what takes hours or changes daily, and the site");

    let script = read(".ci/run");
    let made: Vec<&str> = script.lines().filter(|line| line.starts_with("make ")).collect();
    assert!(made.iter().any(|line| line.starts_with("make test ")), "{made:?}");
    assert_eq!(made.into_iter().filter_map(wrong).collect::<Vec<_>>(), [""; 0]);

    // The controls.
    for (command, message) in [
        ("make tset", "there is no `make tset`"),
        ("make", "names no target"),
        ("scripts/no-such-script", "neither"),
        ("cargo test", "neither"),
    ] {
        assert!(wrong(command).is_some_and(|error| error.contains(message)), "{command}");
    }
}

#[test]
fn workflows_may_read_the_source_and_only_two_jobs_publish_and_all_end_in_time() {
    let site = json!({"pages": "write", "id-token": "write"});
    let publisher = json!({"contents": "write", "packages": "write", "id-token": "write", "attestations": "write"});
    for (name, workflow) in workflows() {
        assert_eq!(workflow["permissions"], json!({"contents": "read"}), "{name}");
        for job in workflow["jobs"].as_object().expect("jobs").values() {
            let commands: Vec<&str> =
                job["steps"].as_array().expect("steps").iter().filter_map(|step| step["run"].as_str()).collect();
            let publishes = commands.iter().any(|command| PUBLISHERS.iter().any(|one| command.starts_with(one)));
            let expected = match job.get("permissions") {
                // The job that publishes the site runs none of our code.
                Some(may) if *may == site && commands.is_empty() => Some(&site),
                _ => (name == RELEASE && publishes).then_some(&publisher),
            };
            assert_eq!(job.get("permissions"), expected, "{name}");
            assert!(
                job["timeout-minutes"].as_u64().is_some_and(|minutes| minutes < 360),
                "{name}: GitHub ends it after 6 hours"
            );
        }
        for action in steps(&workflow).iter().filter_map(|step| step["uses"].as_str()) {
            let version = action.split_once("@v").map(|(_, version)| version.split('.').collect::<Vec<_>>());
            let is_whole = |part: &&str| part.parse::<u32>().is_ok();
            assert!(
                version.is_some_and(|parts| parts.len() == 3 && parts.iter().all(is_whole)),
                "{name}: {action} is not pinned"
            );
        }
    }
}

#[test]
fn updates_are_looked_for_where_there_is_something_to_update() {
    let updates = yaml(".github/dependabot.yml");
    let mut crates = BTreeSet::new();
    for update in updates["updates"].as_array().expect("a list") {
        let one = update["directory"].as_str().into_iter();
        let several = update["directories"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for folder in one.chain(several).map(|folder| folder.trim_start_matches('/')) {
            let file = match update["package-ecosystem"].as_str().expect("an ecosystem") {
                "cargo" => {
                    crates.insert(PathBuf::from(folder));
                    "Cargo.lock"
                }
                "github-actions" => ".github/workflows",
                "docker" => "Dockerfile",
                "docker-compose" => "docker-compose.yaml",
                "pip" => "backends-python.txt",
                "npm" => "package-lock.json",
                other => panic!("{other} is not known here"),
            };
            assert!(workspace().join(folder).join(file).exists(), "{folder}/{file}");
        }
    }
    let locks = files("Cargo.lock").into_iter().map(|lock| lock.parent().expect("a folder").to_owned());
    assert_eq!(crates, locks.collect(), "dependabot.yml on the left, each Cargo.lock on the right");
}

#[test]
fn the_page_of_the_tests_names_every_suite() {
    let (manifest, page) = (read("tests/Cargo.toml"), read("tests/README.md"));
    let names = manifest.split("[[test]]").skip(1).map(|test| value(test, "name").expect("a name"));
    let missing: Vec<&str> = names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0], "suites that tests/README.md does not name");
}

/// The files of a name, from the top of the workspace.
fn files(name: &str) -> BTreeSet<PathBuf> {
    let is_source =
        |entry: &walkdir::DirEntry| !["target", ".cache", ".git"].iter().any(|left_out| entry.file_name() == *left_out);
    let all = WalkDir::new(workspace()).into_iter().filter_entry(is_source).map(|entry| entry.expect("an entry"));
    let found = all.filter(|entry| entry.file_name() == name).map(walkdir::DirEntry::into_path);
    found.map(|path| path.strip_prefix(workspace()).expect("it is below").to_owned()).collect()
}

/// The value of `key = "value"`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim().strip_prefix('"')?.split('"').next()
    })
}

#[test]
fn one_version_of_rust_stands_everywhere() {
    let pinned = read("rust-toolchain.toml");
    let version = value(&pinned, "channel").expect("a channel");
    let (minor, _) = version.rsplit_once('.').expect("three numbers");
    assert_eq!(version.split('.').count(), 3, "{version}");
    let target = read("Makefile")
        .lines()
        .find_map(|line| Some(line.strip_prefix("WASM_TARGET")?.rsplit_once(' ')?.1.to_owned()));
    assert!(
        target.is_some_and(|target| pinned.contains(&format!("targets = [\"{target}\"]"))),
        "the target of the filter"
    );

    for manifest in files("Cargo.toml") {
        let text = read(&manifest.display().to_string());
        let inherited = text.contains("\nrust-version.workspace = true");
        let own = value(&text, "rust-version");
        let expected = if inherited && own.is_none() { None } else { Some(minor) };
        assert_eq!(own, expected, "{}", manifest.display());
    }
    assert!(read("Dockerfile").contains(&format!("FROM rust:{version}-")), "Dockerfile");
    for page in ["README.md", "CONTRIBUTING.md"] {
        for named in read(page).split("Rust 1.").skip(1) {
            let named: String = named.chars().take_while(char::is_ascii_digit).collect();
            assert_eq!(format!("1.{named}"), minor, "{page}");
        }
    }
    assert!(read("README.md").contains(&format!("Rust {minor}")), "README.md");
    for (name, _) in workflows() {
        assert!(!read(&name).contains("toolchain"), "{name}: rustup reads the version in rust-toolchain.toml");
    }
    let output = Command::new("rustc").arg("--version").current_dir(workspace()).output().expect("rustc starts");
    let used = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(used.starts_with(&format!("rustc {version} ")), "these tests are built with {used}");
}
