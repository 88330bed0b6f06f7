//! Follows the README and docs/demonstration.md like a new user: starts the demonstration, runs every command of the two
//! against it, and checks that every expected line appears, in order.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use portcullis_tests::console::{self, Shown};
use portcullis_tests::paths::workspace;
use portcullis_tests::secrets;

/// The commands of the pages, and the first `yaml` block of the README, a policy.
fn read_pages() -> (Vec<Shown>, String) {
    let read = |page| std::fs::read_to_string(workspace().join(page)).expect("the page is there");
    let [readme, demonstration] = ["README.md", "docs/demonstration.md"].map(read);
    let policy = readme.split_once("```yaml\n").and_then(|(_, rest)| rest.split_once("```\n"));
    let policy = policy.expect("the README shows a policy").0.to_owned();
    (console::read(&readme).into_iter().chain(console::read(&demonstration)).collect(), policy)
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).expect("README.md is there");
    let words = readme.split_whitespace().count();
    assert!(words <= 1200, "{words} words: move some to a page of docs/");
}

/// The demonstration, on free ports. Stopped when dropped.
struct Demonstration {
    script: Child,
    /// Kept open: the script prints a last line.
    _output: BufReader<ChildStdout>,
    /// The path of Envoy's log.
    log: String,
    /// The address in the README, and the actual one.
    addresses: Vec<(&'static str, String)>,
}

impl Demonstration {
    fn start() -> Self {
        let mut script = Command::new("python3")
            .arg(workspace().join("scripts/run"))
            .envs([("PORT", "0"), ("LOCAL_PORT", "0"), ("BACKEND_PORT", "0"), ("ADMIN_PORT", "0")])
            .env("ENVOY", portcullis_tests::paths::envoy())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut output = BufReader::new(script.stdout.take().expect("its output is a pipe"));
        let mut lines = output.by_ref().lines().map(|line| line.expect("its output is text"));
        let mut said = |begin: &str| {
            let found = lines.find_map(|line| line.strip_prefix(begin).map(str::to_owned));
            found.unwrap_or_else(|| panic!("it says `{begin}`, before it ends"))
        };
        let (log, ready) = (said("Envoy's log: "), said("ready: "));
        let written = [
            ("main", "127.0.0.1:10000"),
            ("local", "127.0.0.1:10001"),
            ("admin", "127.0.0.1:9901"),
            ("backend", "127.0.0.1:8081"),
        ];
        let addresses = written
            .iter()
            .map(|(name, written)| {
                let here = ready.split(' ').find_map(|part| part.strip_prefix(&format!("{name}=")));
                (*written, here.unwrap_or_else(|| panic!("`{ready}` names {name}")).to_owned())
            })
            .collect();
        Self { script, _output: output, log, addresses }
    }

    fn stop(&mut self) -> Option<i32> {
        let _ = Command::new("kill").arg(self.script.id().to_string()).status();
        self.script.wait().expect("it can be waited for").code()
    }
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        if self.script.try_wait().ok().flatten().is_none() {
            self.stop();
        }
    }
}

#[test]
fn every_command_does_what_it_says() {
    let (shown, policy) = read_pages();
    let mut demonstration = Demonstration::start();
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("policy.yaml"), policy).expect("a file in it");
    std::os::unix::fs::symlink(workspace().join("target"), directory.path().join("target")).expect("a link in it");

    let mut failures = Vec::new();
    let mut run = 0;
    for shown in shown {
        let command = &shown.command;
        match command.split(' ').next() {
            // Already started.
            Some("make") if command == "make run" => continue,
            Some("curl" | "portcullis") => {}
            _ => panic!("a page shows `{command}`, which this test does not know how to run"),
        }
        command.split([' ', '\'']).filter(|word| word.starts_with("pk_")).for_each(secrets::in_value);
        let mut here = format!("PATH=target/release:$PATH; {command}");
        for (written, address) in &demonstration.addresses {
            here = here.replace(written, address);
        }
        failures.extend(shown.run(&here, directory.path()).err());
        run += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(run >= 10, "only {run} commands were found");

    assert_eq!(demonstration.stop(), Some(0), "it stops cleanly");
    // This Envoy was not started by the harness, which would search for secrets.
    let configuration =
        std::fs::read_to_string(workspace().join("envoy/envoy.yaml")).expect("envoy/envoy.yaml is there");
    secrets::in_document(&serde_saphyr::from_str(&configuration).expect("it is YAML"));
    assert_eq!(secrets::found_in(&std::fs::read(&demonstration.log).expect("Envoy has a log")), None);
    for (_, address) in &demonstration.addresses {
        assert!(std::net::TcpStream::connect(address).is_err(), "{address} is still open");
    }
}
