//! A Markdown file, as far as the suite uses it: its `yaml` blocks, headings, links and tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use portcullis_tests::paths::workspace;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

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

    /// Its elements, each with its byte range.
    fn events(&self) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES).into_offset_iter()
    }

    /// The line number of a byte.
    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// The `yaml` blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut is_open) = (Vec::<Block>::new(), false);
        for (event, range) in self.events() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) if &*kind == "yaml" => {
                    let number = self.line(range.start);
                    let above = number.checked_sub(2).and_then(|above| self.text.lines().nth(above));
                    let place = format!("{}:{number}", self.path.display());
                    let claim = Claim::read(above.unwrap_or_default().trim(), &place);
                    blocks.push(Block { claim, place, text: String::new() });
                    is_open = true;
                }
                Event::Text(text) if is_open => blocks.last_mut().expect("it has begun").text += &text,
                Event::End(TagEnd::CodeBlock) => is_open = false,
                _ => {}
            }
        }
        blocks
    }

    /// The anchors that GitHub generates for the headings.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let (mut taken, mut heading) = (BTreeMap::<String, usize>::new(), None::<String>);
        let mut anchors = BTreeSet::new();
        for (event, _) in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => heading.iter_mut().for_each(|heading| *heading += &text),
                Event::End(TagEnd::Heading(_)) => {
                    let kept = heading.take().unwrap_or_default().to_lowercase();
                    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                    let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
                    let before = taken.entry(slug.clone()).or_default();
                    *before += 1;
                    anchors.insert(if *before == 1 { slug } else { format!("{slug}-{}", *before - 1) });
                }
                _ => {}
            }
        }
        anchors
    }

    /// The targets of its links, with the line.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let links = self.events().filter_map(|(event, range)| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some((self.line(range.start), dest_url.into_string()))
            }
            _ => None,
        });
        links.collect()
    }

    /// The cells of each row of the tables whose first column is named `column`, as written, one list for each table.
    pub(crate) fn tables(&self, column: &str) -> Vec<Vec<Vec<&str>>> {
        let (mut tables, mut row, mut is_wanted) = (Vec::<Vec<Vec<&str>>>::new(), Vec::new(), false);
        for (event, range) in self.events() {
            match event {
                Event::Start(Tag::TableHead | Tag::TableRow) => row = Vec::new(),
                Event::Start(Tag::TableCell) => row.push(self.text[range].trim_matches(['|', ' '])),
                Event::End(TagEnd::TableHead) => {
                    is_wanted = row[0] == column;
                    tables.extend(is_wanted.then(Vec::new));
                }
                Event::End(TagEnd::TableRow) if is_wanted => {
                    tables.last_mut().expect("its head came first").push(std::mem::take(&mut row));
                }
                _ => {}
            }
        }
        tables
    }
}

/// A `yaml` block.
pub(crate) struct Block {
    /// The file and the line.
    pub(crate) place: String,
    pub(crate) claim: Claim,
    pub(crate) text: String,
}

/// The claim of a block.
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
            // The page's own commands use it (the suite `pages`).
            marker if marker.starts_with("file: ") => Self::NoPolicy,
            marker => match marker.strip_prefix("refused: ") {
                Some(text) => Self::Refused(text.to_owned()),
                None => panic!("{place}: `{marker}` is no marker that this suite knows"),
            },
        }
    }
}

/// The code in a cell.
pub(crate) fn codes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
