//! Broken answers of the API, and pull requests that try to hide or to misuse what the step prints.

use super::github::GitHub;
use super::opens;

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
