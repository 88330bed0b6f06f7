//! The commands that a document shows in its ```console blocks, and the lines that it promises after each.

/// A command, and the lines that it promises.
#[derive(Debug)]
pub struct Shown {
    /// What stands after `$ `.
    pub command: String,
    /// What stands below it. `…` is for what differs from run to run.
    pub promised: Vec<String>,
}

impl Shown {
    /// The first promised line that an output lacks, in that order.
    pub fn missing(&self, output: &str) -> Option<&str> {
        let mut lines = output.lines().map(|line| line.trim_end_matches('\r').trim());
        let missing = self.promised.iter().find(|promise| !lines.any(|line| keeps(line, promise)));
        missing.map(String::as_str)
    }
}

fn keeps(line: &str, promise: &str) -> bool {
    match promise.split_once('…') {
        Some((begin, end)) => line.starts_with(begin) && line[begin.len()..].ends_with(end),
        None => line == promise,
    }
}

/// The commands of a document in Markdown.
///
/// # Panics
/// If a block does not begin with a command.
pub fn shown(markdown: &str) -> Vec<Shown> {
    let (mut shown, mut is_console) = (Vec::<Shown>::new(), false);
    for line in markdown.lines().map(str::trim_start) {
        match (is_console, line) {
            (false, "```console") => is_console = true,
            (true, "```") => is_console = false,
            (true, line) => match (line.strip_prefix("$ "), shown.last_mut()) {
                (Some(command), _) => shown.push(Shown { command: command.to_owned(), promised: Vec::new() }),
                (None, Some(last)) => last.promised.push(line.trim().to_owned()),
                (None, None) => panic!("a console block begins with its command: {line}"),
            },
            (false, _) => {}
        }
    }
    shown
}
