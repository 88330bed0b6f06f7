//! `portcullis lint --explain`, and the completion of codes.

mod common;

/// Exit status, standard output and standard error of lint without any file.
fn lint(arguments: &[&str]) -> (i32, String, String) {
    common::run(&[], &[&["lint"], arguments].concat(), "")
}

#[test]
fn a_code_is_explained_and_one_like_it_is_named() {
    let (code, output, error) = lint(&["--explain", "fail-open"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(output, "error[fail-open]\n\nIf the module traps, or cannot be loaded, every request gets through.\n");
    let (code, output, _) = lint(&["--explain"]);
    let is_listed = |line: &str| line.split_whitespace().take(3).eq(["fail-open", "error", "If"]);
    assert!(code == 0 && output.lines().any(is_listed) && output.lines().count() > 60, "{output}");
    for option in ["--explain", "--allow"] {
        let (code, output, error) = lint(&[option, "plaintxt-key"]);
        assert_eq!((code, output.as_str()), (2, ""));
        assert!(error.contains("similar value exists: 'plaintext-key'"), "{error}");
        assert!(
            error.contains("portcullis lint --explain lists all codes") && !error.contains("late-phase"),
            "{error}"
        );
    }
    assert_eq!(lint(&["policy.yaml", "--explain", "fail-open"]).0, 2, "it has no policy");
}

#[test]
fn a_shell_completes_codes() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = common::run(&[], &["completions", shell], "");
        assert!(code == 0 && script.matches("forward-credential").count() >= 2, "{shell}");
    }
}
