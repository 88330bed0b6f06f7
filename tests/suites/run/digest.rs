//! The digest of a policy is the same in `run`, `lint`, `render` and `status`, whatever `run` changes in it.

use std::path::Path;
use std::process::{Command, Output};

use portcullis_tests::bytes::said;
use portcullis_tests::paths;
use portcullis_tests::upstream::Upstream;
use serde_json::Value;

use super::gate::{Gate, folder};
use super::{KEY, SECOND, policy, store};

fn portcullis(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(paths::command()).args(arguments).current_dir(directory).output().expect("the command starts")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn digest(value: &Value) -> &str {
    value["digest"].as_str().expect("text")
}

#[test]
fn it_is_that_of_the_file_and_every_change_is_told() {
    let upstream = Upstream::start();
    let logged = format!("access_log: true\n{}", policy(KEY));
    for (text, options, changes, chosen) in [
        (&logged, &[][..], "", ""),
        (&policy(KEY), &[], "access_log: true", ""),
        (&policy(KEY), &["--mode", "enforce"], "access_log: true", ""),
        (&policy(KEY), &["--mode", "report"], "access_log: true, mode: report (--mode)", "mode: report (--mode)"),
        (
            &logged,
            &["--public", "/x", "--public", "/y/*"],
            "public_paths: /x, /y/* (--public)",
            "public_paths: /x, /y/* (--public)",
        ),
    ] {
        let files = folder(&[("policy.yaml", text), ("keys.json", &store(SECOND))]);
        let gate = Gate::start(files, upstream.address(), &[&["--admin", "127.0.0.1:0"], options].concat(), &[]);
        let here = gate.temporary().parent().expect("the folder").to_owned();
        let lint = json(&portcullis(&here, &["lint", "--output", "json"]));
        let own = digest(&lint["policies"][0]);
        let rendered = said(&portcullis(&here, &["render", "policy", "--output-file", "rendered.json"]));
        assert!(rendered.contains(&format!("rendered.json is written: policy {own}")), "{rendered}");
        gate.waits_for(&format!("policy {own} is live: "));

        let admin = gate.address("admin interface is at http://").to_string();
        let status = |more: &[&str]| portcullis(&here, &[&["status", "policy.yaml", "--admin", &admin], more].concat());
        let (answer, text) = (json(&status(&["--output", "json"])), status(&[]));
        let served = digest(&answer["envoys"][0]["gates"][0]);
        assert_eq!(digest(&answer["policy"]), own);
        let told = format!("; served with {changes}, which Envoy shows as policy {served}\n");
        assert_eq!((served != own, gate.said().contains(&told)), (!changes.is_empty(), !changes.is_empty()), "{told}");
        let (code, text) = (text.status.code(), said(&text));
        let expected = if chosen.is_empty() {
            let shown = format!(" ({served} as `portcullis run` serves it)");
            format!("ok all serve policy.yaml, policy {own}{}\n", if changes.is_empty() { "" } else { &shown })
        } else {
            format!("gate run serves policy.yaml with changes by `portcullis run`: {chosen}\n")
        };
        assert_eq!((code, text.contains(&expected)), (Some(i32::from(!chosen.is_empty())), true), "{expected}: {text}");
    }
}

/// What is changed on the command line does not hide that the file has another policy by now.
#[test]
fn another_policy_in_the_file_is_told_as_one() {
    let upstream = Upstream::start();
    let options = ["--mode", "report", "--admin", "127.0.0.1:0"];
    let gate = Gate::start(folder(&[("policy.yaml", &policy(KEY))]), upstream.address(), &options, &[]);
    let other = folder(&[("policy.yaml", &policy(SECOND))]);
    let admin = gate.address("admin interface is at http://").to_string();
    let output = portcullis(other.path(), &["status", "policy.yaml", "--admin", &admin]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(", but policy.yaml has policy "), "{}", said(&output));
}
