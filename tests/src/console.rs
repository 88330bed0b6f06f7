//! The commands in the `console` blocks of a page, each with the lines that its output must contain.

use std::path::Path;
use std::process::Command;

use crate::bytes::said;

/// A command, and the lines that its output must contain, in that order; other lines may be between them.
#[derive(Debug)]
pub struct Shown {
    /// The text after `$ `.
    pub command: String,
    /// The lines below it, trimmed. `…` stands for parts that differ from run to run.
    pub promised: Vec<String>,
}

/// The commands of a page in Markdown.
///
/// # Panics
/// If a block does not begin with a command, or an expected line would match every line.
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
    /// The first expected line that is missing in an output.
    pub fn missing(&self, output: &str) -> Option<&str> {
        let mut lines = output.lines().map(str::trim);
        let missing = self.promised.iter().find(|promise| !lines.any(|line| keeps(line, promise)));
        missing.map(String::as_str)
    }

    /// Runs the command, in the adapted form `here`.
    ///
    /// # Errors
    /// The first expected line that is missing, and the actual line; or the output of a failed command without expected
    /// lines.
    ///
    /// # Panics
    /// If there is no shell.
    pub fn run(&self, here: &str, directory: &Path) -> Result<(), String> {
        let output = Command::new("sh").args(["-c", here]).current_dir(directory).output().expect("sh runs");
        let said = said(&output);
        match self.missing(&String::from_utf8_lossy(&output.stdout)) {
            // Without expected lines, the command must succeed.
            None if self.promised.is_empty() && !output.status.success() => {
                Err(format!("$ {}\nfails, and says:\n{said}", self.command))
            }
            None => Ok(()),
            Some(missing) => Err(format!("$ {}\npromises: {missing}\nand says:\n{said}", self.command)),
        }
    }
}

/// A part of a page whose commands belong together: a file, and the commands below it.
///
/// A fenced block below a line `<!-- file: NAME -->` is a file. A line `…` stands for any lines. A last line `# exit 1`
/// is the exit status; without it the command must succeed. Standard error is part of the output.
#[derive(Debug)]
pub struct Part {
    /// The name and content of the file. The first part of a page has none.
    pub file: Option<(String, String)>,
    /// The commands, each with its exit status.
    pub commands: Vec<(Shown, i32)>,
}

/// The parts of a page in Markdown, in order.
///
/// # Panics
/// If a file's block is not closed, or as [`read`].
pub fn parts(page: &str) -> Vec<Part> {
    let mut parts = page.split("<!-- file: ");
    let first = parts.next().map(|part| Part { file: None, commands: commands(part) });
    let others = parts.map(|part| {
        let (name, rest) = part.split_once(" -->\n").expect("`<!-- file: NAME -->` is a line");
        let (_, block) = rest.split_once('\n').expect("a block follows");
        let (contents, rest) = block.split_once("```\n").expect("the block is closed");
        Part { file: Some((name.to_owned(), contents.to_owned())), commands: commands(rest) }
    });
    first.into_iter().chain(others).collect()
}

fn commands(page: &str) -> Vec<(Shown, i32)> {
    let page: String = page.lines().filter(|line| line.trim() != "…").flat_map(|line| [line, "\n"]).collect();
    let commands = read(&page).into_iter().map(|mut shown| {
        let status = shown.promised.last().and_then(|line| line.strip_prefix("# exit ")).map(str::to_owned);
        if status.is_some() {
            shown.promised.pop();
        }
        (shown, status.map_or(0, |status| status.parse().expect("an exit status is a number")))
    });
    commands.collect()
}

fn keeps(line: &str, promise: &str) -> bool {
    let Some((begin, rest)) = promise.split_once('…') else { return line == promise };
    let Some(mut line) = line.strip_prefix(begin) else { return false };
    let (middle, end) = rest.rsplit_once('…').unwrap_or(("", rest));
    for part in middle.split('…') {
        let Some((_, behind)) = line.split_once(part) else { return false };
        line = behind;
    }
    line.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_promise_leaves_out_a_part_of_its_line() {
        let page = "```console\n$ date\nat …\n```";
        assert_eq!(read(page)[0].missing("at noon"), None);
        assert_eq!(read(page)[0].missing("noon"), Some("at …"));
        assert!(super::keeps("one 2 three 4 five", "one … three … five"));
        for line in ["one 2 three 4 fiv", "one 2 thre 4 five", "on 2 three 4 five", "one three five"] {
            assert!(!super::keeps(line, "one … three … five"), "{line}");
        }
    }

    #[test]
    fn a_page_has_files_and_each_command_an_exit_status() {
        let page = "```console\n$ ls\n```\n<!-- file: a.txt -->\n```yaml\nhello\n```\n```console\n$ cat a.txt\n…\nhello\n# exit 1\n$ true\n```\n";
        let parts = super::parts(page);
        assert_eq!(parts[0].file, None);
        assert_eq!(parts[1].file, Some(("a.txt".to_owned(), "hello\n".to_owned())));
        let commands = parts.iter().flat_map(|part| &part.commands);
        let commands: Vec<_> =
            commands.map(|(one, status)| (one.command.as_str(), one.promised.len(), *status)).collect();
        assert_eq!(commands, [("ls", 0, 0), ("cat a.txt", 1, 1), ("true", 0, 0)]);
    }

    #[test]
    #[should_panic(expected = "any line")]
    fn a_promise_that_every_line_keeps_is_none() {
        read("```console\n$ date\n…\n```");
    }
}
