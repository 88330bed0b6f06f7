//! Tests of the help of every command and subcommand.

use clap::{Command, CommandFactory as _, Parser as _};
use shlex::Shlex;

use crate::Arguments;

/// Every command, with its full name.
fn all(command: &Command, words: &str) -> Vec<(String, Command)> {
    let words = format!("{words}{} ", command.get_name());
    let below = command.get_subcommands().filter(|one| one.get_name() != "help").flat_map(|one| all(one, &words));
    std::iter::once((words.clone(), command.clone())).chain(below).collect()
}

/// The words of the call of `portcullis` in a line for the shell, up to where its input or output goes elsewhere.
fn words(line: &str) -> Option<Vec<String>> {
    let words = Shlex::new(&line[line.find("portcullis ")?..]);
    let call = words.take_while(|word| !word.starts_with(['|', '<', '>', '&']));
    // Replaces what the shell would expand by a value of the right form.
    Some(call.map(|word| word.trim_end_matches(')').replace("$DIGEST", &"0".repeat(64))).collect())
}

#[test]
fn every_help_has_examples_that_parse_and_exit_statuses() {
    let mut command = Arguments::command();
    command.build();
    let commands = all(&command, "");
    assert!(commands.len() > 20, "the whole tree: {}", commands.len());
    for (name, command) in commands {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Examples:\n  ") && help.contains("\n\nExit status: 0 "), "{name}: {help}");
        let folded = help.replace(" \\\n", "").replace("|\n", "| ");
        let examples = folded.lines().skip(1).take_while(|line| !line.is_empty());
        let calls: Vec<_> = examples.filter_map(|line| Some((line, words(line)?))).collect();
        assert!(!calls.is_empty(), "{name}: no example calls portcullis");
        for (example, words) in calls {
            if let Err(error) = Arguments::try_parse_from(&words) {
                panic!("{example}: {error}");
            }
            let parent = name.trim_end();
            assert!(words.join(" ").starts_with(parent), "an example of {parent}: {example}");
        }
    }
}

#[test]
fn help_is_whole_in_eighty_columns() {
    for (name, command) in all(&Arguments::command(), "") {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<_> = help.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.chars().count() > 80) {
            // A paragraph on one line is wrapped where the terminal ends; an example would no longer be one.
            let is_paragraph = [number.checked_sub(1), Some(number + 1)]
                .into_iter()
                .all(|beside| beside.and_then(|beside| lines.get(beside)).is_none_or(|line| line.is_empty()));
            assert!(is_paragraph && !line.starts_with(' '), "{name}: {line}");
        }
    }
}
