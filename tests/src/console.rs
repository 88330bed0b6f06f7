//! The commands that a page shows in its ```console blocks, each with the lines that it promises.

/// A command, and the lines that its output must have, in that order; it may have others between them.
#[derive(Debug)]
pub struct Shown {
    /// What stands behind `$ `.
    pub command: String,
    /// The lines below it, without blanks around them.
    pub promised: Vec<String>,
}

/// The commands of a page in Markdown.
///
/// # Panics
/// If a block does not begin with a command.
pub fn read(page: &str) -> Vec<Shown> {
    let (mut shown, mut inside): (Vec<Shown>, bool) = (Vec::new(), false);
    for line in page.lines() {
        match (line, line.strip_prefix("$ "), shown.last_mut()) {
            ("```console", _, _) => inside = true,
            ("```", _, _) => inside = false,
            (_, Some(command), _) if inside => {
                shown.push(Shown { command: command.to_owned(), promised: Vec::new() });
            }
            (_, None, Some(last)) if inside => last.promised.push(line.trim().to_owned()),
            (_, None, None) if inside => panic!("a console block begins with its command: {line}"),
            _ => {}
        }
    }
    shown
}

impl Shown {
    /// The first promised line that an output does not have.
    pub fn missing(&self, output: &str) -> Option<&str> {
        let mut lines = output.lines().map(str::trim);
        self.promised.iter().map(String::as_str).find(|promise| !lines.any(|line| line == *promise))
    }
}
