//! The GitHub Action on real repositories, with a stand-in for GitHub's API: annotations, one comment that is updated, and
//! a change that opens access waits for its label. Everything in a pull request may come from a stranger.

#[path = "action/github.rs"]
mod github;
#[path = "action/hostile.rs"]
mod hostile;
#[path = "action/workflow.rs"]
mod workflow;

use github::GitHub;
use portcullis_tests::bytes::contains;
use portcullis_tests::paths::workspace;
use serde_json::{Value, json};
use workflow::{Files, SECRET, Step, Workflow, action, step};

const LABEL: &str = "access-change-approved";
const MARKER: &str = "<!-- portcullis: access of this pull request -->";
const BOT: &str = "github-actions[bot]";
const KEY: &str = "action-suite-key-of-the-machines";

const CLOSED: Files =
    &[("policy.yaml", "public_paths: [\"/healthz\"]\nconsumers: [{name: ci, keys: [{env: CI_KEY}]}]\n")];
const OPENED: Files =
    &[("policy.yaml", "public_paths: [\"/healthz\", \"/v2/**\"]\nconsumers: [{name: ci, keys: [{env: CI_KEY}]}]\n")];

fn opens(github: &GitHub, action: &str, labels: &[&str]) -> Step {
    Workflow::new(CLOSED, OPENED).run("pull_request", action, labels, github, &[])
}

fn guide() -> String {
    std::fs::read_to_string(workspace().join("docs/guides/ci.md")).expect("the guide")
}

/// The only comment.
fn only(github: &GitHub) -> String {
    let mut comments = github.comments();
    assert_eq!(comments.len(), 1, "{comments:?}");
    comments.remove(0).1
}

#[test]
fn a_change_that_opens_access_is_refused_and_the_comment_says_what_opens() {
    let github = GitHub::start(&[], false);
    let done = opens(&github, "opened", &[]);
    assert_eq!((done.status, done.outputs.as_str()), (1, "opens=true\n"), "{done:?}");
    let comment = only(&github);
    assert!(comment.starts_with(MARKER), "{comment}");
    for text in ["OPENS", "/v2/**", "any key -> no key", "set the label `access-change-approved`"] {
        assert!(comment.contains(text), "{text}: {comment}");
    }
    assert_eq!(done.summary, comment, "the summary is the comment");
    let shown = comment.find("```text\n").and_then(|at| comment.get(at..)).expect("a block");
    assert!(guide().contains(shown), "the guide shows another comment: {shown}");
    assert!(done.log.contains("::error title=portcullis::"), "{}", done.log);
}

#[test]
fn the_comment_is_updated_and_not_doubled() {
    let github = GitHub::start(&[], false);
    let first = opens(&github, "opened", &[]);
    // The same again writes nothing.
    opens(&github, "reopened", &[]);
    assert_eq!(github.writes(), ["POST /repos/acme/shop/issues/7/comments"]);
    let approved = opens(&github, "labeled", &[LABEL]);
    assert_eq!((first.status, approved.status), (1, 0), "{approved:?}");
    let comment = only(&github);
    assert!(comment.contains("The label `access-change-approved` approves that"), "{comment}");
    // The next version changes no policy.
    let same = Workflow::new(CLOSED, CLOSED).run("pull_request", "synchronize", &[LABEL], &github, &[]);
    assert_eq!((same.status, same.outputs.as_str()), (0, "opens=false\n"), "{same:?}");
    assert!(only(&github).contains("No policy is changed."));
}

/// A label that was set before the last push has not seen that push.
#[test]
fn the_label_lets_through_only_what_it_was_set_for() {
    let workflow = Workflow::new(CLOSED, OPENED);
    let github = GitHub::start(&[], false);
    for (action, labels, status) in [
        ("labeled", [LABEL].as_slice(), 0),
        ("labeled", &["docs", LABEL], 0),
        ("synchronize", &[LABEL], 1),
        ("reopened", &[LABEL], 1),
        ("edited", &[LABEL], 1),
        ("opened", &[LABEL], 1),
        ("labeled", &[LABEL, "docs"], 1),
        ("labeled", &["access-change-approved-not"], 1),
        ("labeled", &[], 1),
    ] {
        let done = workflow.run("pull_request", action, labels, &github, &[]);
        assert_eq!(done.status, status, "{action} {labels:?}: {done:?}");
    }
}

#[test]
fn a_change_that_closes_needs_no_label_and_one_of_no_policy_no_comment() {
    let github = GitHub::start(&[], false);
    let run = |base: Files, head: Files| Workflow::new(base, head).run("pull_request", "opened", &[], &github, &[]);
    let none = run(CLOSED, &[CLOSED[0], ("README.md", "text")]);
    assert_eq!((none.status, github.writes().len()), (0, 0), "{none:?}");
    let closes = run(OPENED, CLOSED);
    assert_eq!((closes.status, closes.outputs.as_str()), (0, "opens=false\n"), "{closes:?}");
    assert!(only(&github).contains("This pull request opens no access."));
}

#[test]
fn a_fork_whose_token_may_only_read_gets_a_summary_that_says_so() {
    let github = GitHub::start(&[], true);
    let closes = Workflow::new(OPENED, CLOSED).run("pull_request", "opened", &[], &github, &[]);
    assert_eq!(closes.status, 0, "{closes:?}");
    assert_eq!(github.comments(), []);
    assert_eq!(github.writes(), ["POST /repos/acme/shop/issues/7/comments"], "a control: it was tried");
    assert!(closes.summary.contains("CLOSES"), "{}", closes.summary);
    assert!(
        closes.summary.contains("not a comment on the pull request: the token may not do it (status 403)"),
        "{closes:?}"
    );
    let refused = opens(&github, "opened", &[]);
    assert_eq!(refused.status, 1, "it opens, with or without a comment");
}

#[test]
fn without_a_token_or_an_answer_there_is_no_comment_and_the_verdict_stays() {
    let github = GitHub::start(&[], false);
    for (inputs, reason) in [(&[("token", "")], "there is no token"), (&[("token", "wrong")], "status 401")] {
        let done = Workflow::new(OPENED, CLOSED).run("pull_request", "opened", &[], &github, inputs);
        assert!(done.status == 0 && done.summary.contains(reason), "{done:?}");
    }
    let silent = Workflow::new(OPENED, CLOSED).run("pull_request", "opened", &[], &github, &[("comment", "false")]);
    assert!(silent.status == 0 && !silent.summary.contains("not a comment"), "{silent:?}");
    assert_eq!(github.writes(), [""; 0]);
}

/// Everybody may write the marker.
#[test]
fn the_comment_of_somebody_else_is_not_touched() {
    let talk = vec![("mallory", "first"); 120];
    let forged = [("mallory", MARKER), ("ghost", MARKER), (BOT, "another bot's text")];
    let github = GitHub::start(&[talk.as_slice(), &forged].concat(), false);
    opens(&github, "opened", &[]);
    opens(&github, "labeled", &[LABEL]);
    let comments = github.comments();
    assert_eq!(comments.len(), 124);
    assert_eq!([&comments[120].1, &comments[121].1], [MARKER; 2]);
    assert_eq!(
        github.writes(),
        ["POST /repos/acme/shop/issues/7/comments", "PATCH /repos/acme/shop/issues/comments/1123"]
    );
}

/// Backticks, pipes, mentions, HTML, links and characters that change the reading order, in names and in paths.
#[test]
fn what_a_stranger_wrote_stays_text() {
    let hostile = "public_paths: [\"/a````|b\", \"/@all\", \"/<img+src=x>\", \"/</details>\"]\n\
                   description: \"\\u202e::error::x\"\n\
                   consumers: [{name: \"`@me|<b>\", keys: [{plaintext: \"action-suite-key-of-the-machines\"}]}]\n";
    let github = GitHub::start(&[], false);
    let done = Workflow::new(CLOSED, &[("policy.yaml", hostile)]).run("pull_request", "opened", &[], &github, &[]);
    assert_eq!(done.status, 1, "{done:?}");
    let comment = only(&github);
    let (before, inside) = comment.split_once("\n`````text\n").expect("a fence longer than any run in the text");
    for text in ["@", "<b>", "|"] {
        assert!(!before[MARKER.len()..].contains(text), "outside of the fence: {before}");
    }
    assert!(inside.contains("@all") && inside.contains("/a````|b"), "a control: {inside}");
    assert!(inside.ends_with("\n`````\n") && inside.matches("`````").count() == 1, "{inside}");
    for text in [&comment, &done.log, &done.summary] {
        assert!(!text.contains(KEY), "{text}");
    }
    for line in done.log.lines().filter(|line| line.trim_start().starts_with("::")) {
        assert!(
            line.starts_with("::warning file=policy.yaml,") || line.starts_with("::error title=portcullis::"),
            "{line}"
        );
    }
}

#[test]
fn findings_of_lint_are_annotations_and_errors_fail_with_or_without_the_label() {
    let github = GitHub::start(&[], false);
    let wrong: Files = &[("gate/policy.yaml", "public_path: [\"/\"]\n")];
    let inputs = [("policies", "gate/policy.yaml")];
    for event in ["push", "pull_request"] {
        let done = Workflow::new(wrong, wrong).run(event, "labeled", &[LABEL], &github, &inputs);
        assert_eq!(done.status, 1, "{done:?}");
        let annotation = "::error file=gate/policy.yaml,line=1,col=1,title=refused::";
        assert!(done.log.lines().any(|line| line.starts_with(annotation)), "{}", done.log);
    }
    let plain = format!("consumers: [{{name: ci, keys: [{{plaintext: {KEY}}}]}}]\n");
    let warns: Files = &[("policy.yaml", &plain)];
    let push = |inputs| Workflow::new(warns, warns).run("push", "", &[], &github, inputs);
    let annotation = "::warning file=policy.yaml,line=1,col=31,title=plaintext-key::";
    let warned = push(&[]);
    assert!(warned.status == 0 && warned.log.contains(annotation), "{warned:?}");
    assert_eq!(push(&[("strict", "true")]).status, 1);
    // A policy learns nothing about the secrets of the job, not even their length.
    let curious: Files = &[("policy.yaml", "consumers: [{name: ci, keys: [{env: SECRET_OF_THE_JOB}]}]\n")];
    let asked = Workflow::new(curious, curious).run("push", "", &[], &github, &[]);
    assert!(asked.status == 0 && !asked.log.contains("::"), "{asked:?}");
    // Without the input it is the one on PATH, otherwise the one that is built.
    assert_eq!(push(&[("portcullis", "")]).status, 0);
    let missing = push(&[("portcullis", "no/such/program")]);
    assert!(missing.status == 2 && missing.log.contains("no/such/program is no program"), "{missing:?}");
    let allowed = push(&[("strict", "true"), ("allow", "plaintext-key")]);
    assert!(allowed.status == 0 && !allowed.log.contains("::warning"), "{allowed:?}");
    assert_eq!(github.writes(), [""; 0]);
}

/// The store beside the policy, the files of teams, a new policy, one that is gone or cannot be read.
#[test]
fn every_way_to_open_access_is_seen() {
    let github = GitHub::start(&[], false);
    let policy = CLOSED[0];
    let digest = "20eb0536650933acad4ae017f3df774426ea2e4187d13728c99a6baf5e37b2b3";
    let store =
        json!({"version": 1, "mode_override": null, "consumers": {"new": {"keys": [{"id": "k", "sha256": digest}]}}})
            .to_string();
    let platform = ("gate/policy.yaml", "delegations: [{file: shop, prefix: /shop}]\n");
    let team = |text: &'static str| ("gate/shop.yaml", text);
    let teams = [platform, team("rules: [{path: /shop/a, roles: [shop-a]}]\n")];
    let more = [platform, team("rules: [{path: /shop/a, roles: [shop-b]}]\n")];
    let cases: [(Files, Files, &str, i32, &str); 7] = [
        (&teams, &more, "gate", 1, "shop-a -> role shop-b"),
        (&[policy], &[policy, ("keys.json", &store)], "policy.yaml", 1, "keys: k of new"),
        (&[("README.md", "text")], CLOSED, "policy.yaml", 1, "A new policy"),
        (CLOSED, &[("README.md", "text")], "policy.yaml", 2, "policy.yaml is not in the commit"),
        (&[("policy.yaml", "mode: on\n")], CLOSED, "policy.yaml", 1, "It cannot be compared:"),
        (CLOSED, &[("secret", SECRET), ("policy.yaml", "-> secret")], "policy.yaml", 2, "a symbolic link"),
        (CLOSED, CLOSED, "../policy.yaml", 2, "without .."),
    ];
    for (base, head, policies, status, text) in cases {
        let done = Workflow::new(base, head).run("pull_request", "opened", &[], &github, &[("policies", policies)]);
        assert_eq!(done.status, status, "{text}: {done:?}");
        assert!(done.log.contains(text) || done.summary.contains(text), "{text}: {done:?}");
    }
}

/// With the branch's last commit, its parent would be taken for the base.
#[test]
fn without_the_merge_commit_and_its_base_the_step_fails() {
    let github = GitHub::start(&[], false);
    let fails = |workflow: &Workflow, event: &str, text: &str| {
        let done = workflow.run(event, "labeled", &[LABEL], &github, &[]);
        assert!(done.status == 2 && done.log.contains(text), "{done:?}");
    };
    let head = Workflow::new(CLOSED, OPENED);
    head.git("checkout --quiet change");
    fails(&head, "pull_request", "use actions/checkout with `fetch-depth: 2`");
    // It may be a merge commit itself.
    head.git("checkout --quiet -b side change~1");
    head.git("commit --quiet --allow-empty --message side");
    head.git("checkout --quiet change");
    head.git("merge --quiet --no-ff --no-edit side");
    fails(&head, "pull_request", "use actions/checkout with `fetch-depth: 2`");
    let shallow = Workflow::new(CLOSED, OPENED);
    let tip = shallow.git("rev-parse HEAD");
    std::fs::write(shallow.place().join(".git/shallow"), tip).expect("our own directory");
    fails(&shallow, "pull_request", "use actions/checkout with `fetch-depth: 2`");
    fails(&Workflow::new(CLOSED, OPENED), "pull_request_target", "use the event pull_request");
    assert_eq!(github.writes(), [""; 0]);
}

/// An expression in `run` would become a part of the program.
#[test]
fn no_expression_is_in_a_program() {
    let (action, step) = (action(), step());
    assert!(!contains(step["run"].as_str().expect("a program").as_bytes(), b"${{"));
    for (name, value) in step["env"].as_object().expect("an environment") {
        let value = value.as_str().expect("a text");
        assert!(value.starts_with("${{ inputs."), "{name}: {value}");
    }
    assert_eq!(action["runs"]["using"], "composite");
}

/// A name of a file, in which a character would turn the rest around.
#[test]
fn what_cannot_be_seen_is_escaped() {
    let platform = ("gate/policy.yaml", "delegations: [{file: \"a\u{202e}b\", prefix: /shop}]\n");
    let team = |text: &'static str| ("gate/a\u{202e}b.yaml", text);
    let old = [platform, team("rules: [{path: /shop/a, roles: [b]}]\n")];
    let new = [platform, team("rules: [{path: /shop/a, roles: [c]}]\n")];
    let github = GitHub::start(&[], false);
    Workflow::new(&old, &new).run("pull_request", "opened", &[], &github, &[("policies", "gate")]);
    let comment = only(&github);
    assert!(comment.contains("a\\u{202e}b.yaml") && !comment.contains('\u{202e}'), "{comment}");
}

/// The workflow of the guide has what the step needs, and no input that the action does not have.
#[test]
fn the_workflow_of_the_guide_is_right() {
    let page = guide();
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a workflow");
    let workflow: Value = serde_saphyr::from_str(block).expect("YAML");
    assert_eq!(workflow["permissions"], json!({"contents": "read", "pull-requests": "write"}));
    assert!(workflow["on"]["pull_request"]["types"].as_array().expect("a list").contains(&json!("labeled")));
    let steps = &workflow["jobs"]["gate"]["steps"];
    assert_eq!(steps[0]["with"]["fetch-depth"], 2);
    let inputs = action()["inputs"].as_object().expect("inputs").keys().cloned().collect::<Vec<_>>();
    for name in steps[1]["with"].as_object().expect("inputs").keys() {
        assert!(inputs.contains(name), "{name}");
    }
    for name in inputs {
        assert!(page.contains(&format!("`{name}`")), "the guide has no {name}");
    }
}
