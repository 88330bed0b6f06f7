//! The commands that a page shows in its ```console blocks, and the lines that it promises of each.

use std::path::Path;
use std::process::Command;

/// A command that a page shows, and the lines that it promises, in that order; others may stand between.
#[derive(Debug)]
pub struct Shown {
    /// The command, behind its `$`.
    pub command: String,
    /// The lines, without blanks around them.
    pub promised: Vec<String>,
}

/// The commands of a page.
///
/// # Panics
/// If a block does not begin with a command.
pub fn commands(page: &str) -> Vec<Shown> {
    let (mut shown, mut is_open) = (Vec::<Shown>::new(), false);
    for line in page.lines() {
        match (is_open, line, line.strip_prefix("$ "), shown.last_mut()) {
            (false, ..) => is_open = line == "```console",
            (true, "```", ..) => is_open = false,
            (true, _, Some(command), _) => shown.push(Shown { command: command.to_owned(), promised: Vec::new() }),
            (true, _, None, Some(last)) => last.promised.push(line.trim().to_owned()),
            (true, _, None, None) => panic!("a console block begins with its command: {line}"),
        }
    }
    shown
}

impl Shown {
    /// Runs the command in the form that it has `here`; what it does not do of what is promised.
    ///
    /// # Errors
    /// The first promised line that does not come, and what comes instead.
    ///
    /// # Panics
    /// If there is no shell.
    pub fn run(&self, here: &str, directory: &Path) -> Result<(), String> {
        let output = Command::new("sh").args(["-c", here]).current_dir(directory).output().expect("sh runs");
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let mut lines = said.lines().map(str::trim);
        match self.promised.iter().find(|promise| !lines.any(|line| line == promise.as_str())) {
            None => Ok(()),
            Some(missing) => {
                let complaint = String::from_utf8_lossy(&output.stderr);
                Err(format!("$ {}\npromises: {missing}\nand says:\n{said}{complaint}", self.command))
            }
        }
    }
}
