//! Broken answers of the API, and pull requests that try to hide or to misuse what the step prints.

use super::github::GitHub;
use super::workflow::{Files, Workflow};
use super::{CLOSED, LABEL, opens};

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
