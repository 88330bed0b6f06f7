//! The commands that a page shows in its ```console blocks, each with the lines that it promises.

use std::path::Path;
use std::process::Command;

use crate::bytes::said;

/// A command, and the lines that its output must have, in that order; it may have others between them.
#[derive(Debug)]
pub struct Shown {
    /// What stands behind `$ `.
    pub command: String,
    /// The lines below it, without blanks around them. `…` is for what differs from run to run.
    pub promised: Vec<String>,
}

/// The commands of a page in Markdown.
///
/// # Panics
/// If a block does not begin with a command, or a promise is one that every line keeps.
pub fn read(page: &str) -> Vec<Shown> {
    let (mut shown, mut is_open) = (Vec::<Shown>::new(), false);
    for line in page.lines().map(str::trim) {
        match (is_open, line, line.strip_prefix("$ "), shown.last_mut()) {
            (false, ..) => is_open = line == "```console",
            (true, "```", ..) => is_open = false,
            (true, _, Some(command), _) => shown.push(Shown { command: command.to_owned(), promised: Vec::new() }),
            (true, "…", ..) => panic!("any line keeps the promise of `…` alone"),
            (true, _, None, Some(last)) => last.promised.push(line.to_owned()),
            (true, _, None, None) => panic!("a console block begins with its command: {line}"),
        }
    }
    shown
}

impl Shown {
    /// The first promised line that an output does not have.
    pub fn missing(&self, output: &str) -> Option<&str> {
        let mut lines = output.lines().map(str::trim);
        let missing = self.promised.iter().find(|promise| !lines.any(|line| keeps(line, promise)));
        missing.map(String::as_str)
    }

    /// Runs the command in the form that it has `here`.
    ///
    /// # Errors
    /// The first promised line that does not come, and what comes instead; or what a command says that promises nothing and fails.
    ///
    /// # Panics
    /// If there is no shell.
    pub fn run(&self, here: &str, directory: &Path) -> Result<(), String> {
        let output = Command::new("sh").args(["-c", here]).current_dir(directory).output().expect("sh runs");
        let said = said(&output);
        match self.missing(&String::from_utf8_lossy(&output.stdout)) {
            // Where nothing is promised, it is that the command succeeds.
            None if self.promised.is_empty() && !output.status.success() => {
                Err(format!("$ {}\nfails, and says:\n{said}", self.command))
            }
            None => Ok(()),
            Some(missing) => Err(format!("$ {}\npromises: {missing}\nand says:\n{said}", self.command)),
        }
    }
}

fn keeps(line: &str, promise: &str) -> bool {
    match promise.split_once('…') {
        Some((begin, end)) => line.strip_prefix(begin).is_some_and(|rest| rest.ends_with(end)),
        None => line == promise,
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_promise_leaves_out_a_part_of_its_line() {
        let page = "```console\n$ date\nat …\n```";
        assert_eq!(read(page)[0].missing("at noon"), None);
        assert_eq!(read(page)[0].missing("noon"), Some("at …"));
    }

    #[test]
    #[should_panic(expected = "any line")]
    fn a_promise_that_every_line_keeps_is_none() {
        read("```console\n$ date\n…\n```");
    }
}
