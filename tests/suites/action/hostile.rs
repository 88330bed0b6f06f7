//! Broken answers of the API, and pull requests that try to hide or to misuse what the step prints.

use serde_json::json;

use super::github::GitHub;
use super::workflow::{Files, Workflow};
use super::{CLOSED, LABEL, only, opens};

/// No HTTP, less than it promises, no JSON, and JSON that is no list of comments.
#[test]
fn after_a_broken_answer_of_the_api_the_summary_has_the_verdict() {
    for answer in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n[",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[1]",
    ] {
        let github = GitHub::start(&[], false).broken(answer);
        let done = opens(&github, "opened", &[]);
        assert_eq!((done.status, done.outputs.as_str()), (1, "opens=true\n"), "{answer:?}: {done:?}");
        assert!(done.summary.contains("OPENS") && done.summary.contains("not a comment"), "{answer:?}: {done:?}");
    }
}

/// The address reaches the server, but the URL does not say that it is this machine.
#[test]
fn a_token_is_not_sent_in_clear_text_to_another_machine() {
    let github = GitHub::start(&[], false).at("0.0.0.0");
    let done = opens(&github, "opened", &[]);
    assert_eq!(github.writes(), [""; 0]);
    assert!(done.status == 1 && done.summary.contains("not a comment"), "{done:?}");
    assert!(done.summary.contains("begin with https://"), "{done:?}");
}

/// Otherwise the pull request that removes the link could not be merged.
#[test]
fn a_link_in_the_base_cannot_be_compared_and_needs_the_label() {
    let github = GitHub::start(&[], false);
    let policy = CLOSED[0];
    let linked = [("real.yaml", policy.1), ("policy.yaml", "-> real.yaml")];
    let store = [policy, ("real.json", "{}"), ("keys.json", "-> real.json")];
    for base in [linked.as_slice(), &store] {
        let workflow = Workflow::new(base, CLOSED);
        let done = workflow.run("pull_request", "opened", &[], &github, &[]);
        assert_eq!((done.status, done.outputs.as_str()), (1, "opens=true\n"), "{done:?}");
        assert!(done.summary.contains("It cannot be compared:\nthe base has a symbolic link"), "{done:?}");
        let approved = workflow.run("pull_request", "labeled", &[LABEL], &github, &[]);
        assert_eq!(approved.status, 0, "{approved:?}");
    }
}

/// The runner reads `##[error]` in the middle of a line too.
#[test]
fn a_command_in_the_old_form_stays_text() {
    let github = GitHub::start(&[], false);
    // The last line of lint has the path, without escapes.
    let name = "a##[error]b/policy.yaml";
    let files: Files = &[(name, CLOSED[0].1)];
    let done = Workflow::new(files, files).run("push", "", &[], &github, &[("policies", name)]);
    assert!(done.status == 0 && done.log.contains("a## [error]b/policy.yaml"), "{done:?}");
    let hostile: Files = &[("policy.yaml", "\"##[error]a\": 1\nconsumers: [{name: \"##[error]b\", keys: [7]}]\n")];
    let done = Workflow::new(CLOSED, hostile).run("pull_request", "opened", &[], &github, &[]);
    assert!(done.status == 1 && done.log.contains("::error file=policy.yaml"), "{done:?}");
    assert!(!done.log.contains("##["), "{done:?}");
}

/// Many lines; one line; characters that take eight when they are escaped; backticks, which make the fence long.
#[test]
fn a_comment_is_never_too_long_for_github() {
    let numbered = |begin: &str| (0..3000).map(|number| format!("{begin}{number:0>40}")).collect::<Vec<_>>();
    let (paths, roles) = (numbered("/"), numbered("a"));
    let ticks = [numbered("/"), vec![format!("/0{}", "`".repeat(4000))]].concat();
    let hidden = "\u{202e}".repeat(60);
    let public = |paths: &[String]| json!({"public_paths": paths}).to_string();
    let (lines, ticks) = (public(&paths), public(&ticks));
    let line = json!({"rules": [{"path": "/a", "roles": roles}]}).to_string();
    let platform = json!({"delegations": [{"file": hidden, "prefix": "/shop"}]}).to_string();
    let team = |role: &str| {
        let rules = paths.iter().map(|path| json!({"path": format!("/shop{path}"), "roles": [role]}));
        json!({"rules": rules.take(600).collect::<Vec<_>>()}).to_string()
    };
    let (file, old, new) = (format!("gate/{hidden}.yaml"), team("a"), team("b"));
    let plain: Files = &[("gate/policy.yaml", "{}")];
    let [of_lines, of_ticks, of_line] = [&lines, &ticks, &line].map(|text| [("gate/policy.yaml", text.as_str())]);
    let teams = |team| [("gate/policy.yaml", platform.as_str()), (file.as_str(), team)];
    let cases: [(&str, Files, Files); 4] = [
        ("lines", plain, &of_lines),
        ("ticks", plain, &of_ticks),
        ("line", plain, &of_line),
        ("hidden", &teams(&old), &teams(&new)),
    ];
    for (name, base, head) in cases {
        let github = GitHub::start(&[], false);
        Workflow::new(base, head).run("pull_request", "opened", &[], &github, &[("policies", "gate")]);
        let comment = only(&github);
        let length = comment.chars().count();
        assert!((50_000..=65_536).contains(&length), "{name}: {length}");
        let (text, end) = comment.rsplit_once("\n[cut: run `portcullis diff` to see the rest]\n").expect(name);
        assert!(end.starts_with("```") && end.trim_matches('`') == "\n", "{name}: the fence ends after it: {end}");
        assert!(name == "line" || text.ends_with(')'), "{name}: no line is cut");
    }
}
