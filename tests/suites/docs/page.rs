//! A Markdown file, as far as the suite reads it: its ```yaml blocks, headings, links and tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use portcullis_tests::paths::workspace;

/// A Markdown file.
pub(crate) struct Page {
    /// Relative to the workspace.
    pub(crate) path: PathBuf,
    text: String,
}

impl Page {
    pub(crate) fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let text = fs::read_to_string(workspace().join(&path));
        Self { text: text.unwrap_or_else(|error| panic!("{}: {error}", path.display())), path }
    }

    /// The lines with their numbers; `true` where the line is code, or the fence around it.
    fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut fenced = false;
        self.text.lines().zip(1..).map(move |(line, number)| {
            let is_fence = line.trim_start().starts_with("```");
            let is_code = fenced || is_fence;
            fenced ^= is_fence;
            (number, line, is_code)
        })
    }

    /// The ```yaml blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut open, mut above) = (Vec::new(), None::<Block>, "");
        for (number, line, is_code) in self.lines() {
            let text = line.trim_start();
            match &mut open {
                Some(block) if is_code && text != "```" => block.text += &format!("{}\n", block.unindented(line)),
                Some(_) => blocks.extend(open.take()),
                None if text == "```yaml" => {
                    let (place, indent) = (format!("{}:{number}", self.path.display()), line.len() - text.len());
                    open = Some(Block { claim: Claim::read(above.trim(), &place), place, indent, text: String::new() });
                }
                None => {}
            }
            above = line;
        }
        blocks
    }

    /// The anchors that GitHub gives the headings.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let mut taken = BTreeMap::<String, usize>::new();
        let headings = self.lines().filter(|(_, line, is_code)| !is_code && line.starts_with('#'));
        let slugs = headings.map(|(_, line, _)| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let before = taken.entry(slug.clone()).or_default();
            *before += 1;
            if *before == 1 { slug } else { format!("{slug}-{}", *before - 1) }
        });
        slugs.collect()
    }

    /// The targets of its links, with the line.
    pub(crate) fn links(&self) -> Vec<(usize, &str)> {
        let prose = self.lines().filter(|(_, _, is_code)| !is_code);
        let links = prose.flat_map(|(number, line, _)| {
            line.split("](").skip(1).filter_map(move |rest| Some((number, rest.split_once(')')?.0)))
        });
        links.collect()
    }

    /// The cells of each row of the tables whose first column is called `column`, a list a table.
    pub(crate) fn tables(&self, column: &str) -> Vec<Vec<Vec<&str>>> {
        let (mut tables, mut wanted) = (Vec::<Vec<Vec<&str>>>::new(), None);
        for (_, line, _) in self.lines() {
            let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
                wanted = wanted.filter(|_| line.starts_with("|--"));
                continue;
            };
            let cells: Vec<&str> = row.split(" | ").collect();
            match wanted {
                None => {
                    wanted = Some(cells[0] == column);
                    tables.extend((cells[0] == column).then(Vec::new));
                }
                Some(true) => tables.last_mut().expect("its head came first").push(cells),
                Some(false) => {}
            }
        }
        tables
    }
}

/// A ```yaml block.
pub(crate) struct Block {
    /// The file and the line.
    pub(crate) place: String,
    pub(crate) claim: Claim,
    pub(crate) text: String,
    /// How far the fence is indented.
    indent: usize,
}

/// What a block claims to be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// A whole policy.
    Policy,
    /// Members of a policy.
    Fragment,
    /// A policy that is refused, with this in the message.
    Refused(String),
    /// A whole Envoy configuration.
    Envoy,
    /// A part of something else.
    NoPolicy,
}

impl Claim {
    fn read(above: &str, place: &str) -> Self {
        let Some(marker) = above.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")) else {
            return Self::Policy;
        };
        match marker.trim() {
            "fragment of policy" => Self::Fragment,
            "envoy" => Self::Envoy,
            "not a policy" => Self::NoPolicy,
            // The page's own commands use it (the suite `command_pages`).
            marker if marker.starts_with("file: ") => Self::NoPolicy,
            marker => match marker.strip_prefix("refused: ") {
                Some(text) => Self::Refused(text.to_owned()),
                None => panic!("{place}: `{marker}` is no marker that this suite knows"),
            },
        }
    }
}

impl Block {
    fn unindented<'a>(&self, line: &'a str) -> &'a str {
        line.get(self.indent..).unwrap_or_default()
    }
}

/// What stands in a cell as code.
pub(crate) fn codes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
