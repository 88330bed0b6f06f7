//! The help of every command, and of every command in it.

use clap::{Command, CommandFactory as _, Parser as _};

use crate::Arguments;

/// Every command, with the words that call it.
fn all(command: &Command, words: &str) -> Vec<(String, Command)> {
    let words = format!("{words}{} ", command.get_name());
    let below = command.get_subcommands().filter(|one| one.get_name() != "help").flat_map(|one| all(one, &words));
    std::iter::once((words.clone(), command.clone())).chain(below).collect()
}

/// The words of the call of `portcullis` in a line for the shell, up to where its input or output goes elsewhere.
fn words(line: &str) -> Option<Vec<String>> {
    let call = &line[line.find("portcullis ")?..];
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in call.chars() {
        match quote {
            Some(end) if letter == end => quote = None,
            None if matches!(letter, '\'' | '"') => quote = Some(letter),
            None if matches!(letter, '|' | '<' | '>' | '&' | ')') => break,
            None if letter == ' ' => words.push(String::new()),
            _ => words.last_mut()?.push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    Some(words)
}

/// Named while they are not there yet.
const NOT_BUILT: [&str; 6] = ["import", "render", "diff", "status", "run", "schema"];

#[test]
fn every_help_has_examples_that_parse_and_exit_statuses() {
    let mut command = Arguments::command();
    command.build();
    let commands = all(&command, "");
    assert!(commands.len() > 20, "the whole tree: {}", commands.len());
    for (name, command) in commands {
        if NOT_BUILT.iter().any(|one| name.starts_with(&format!("portcullis {one} "))) {
            continue;
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Examples:\n  ") && help.contains("\n\nExit status: 0 "), "{name}: {help}");
        let examples = help.lines().skip(1).take_while(|line| !line.is_empty());
        for example in examples.filter(|line| NOT_BUILT.iter().all(|one| !line.contains(&format!("portcullis {one}"))))
        {
            let words = words(example).unwrap_or_else(|| panic!("{name}: no call of portcullis in {example}"));
            if let Err(error) = Arguments::try_parse_from(&words) {
                panic!("{example}: {error}");
            }
            let parent = name.trim_end();
            assert!(words.join(" ").starts_with(parent), "an example of {parent}: {example}");
        }
    }
}
