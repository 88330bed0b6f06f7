//! `--explain`: the section of the page about a code, as text for a terminal.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum as _;
use comfy_table::{Table, presets};
use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};
use textwrap::{Options, WordSplitter};

use super::code::Code;
use crate::output::{RED, YELLOW};

/// The page. It has a section for each code.
const PAGE: &str = include_str!("../../../docs/command/lint.md");
/// The folder of the page, to which its links are relative.
const FOLDER: &str = "docs/command";
/// The columns of the text.
const WIDTH: usize = 80;

/// The explanation of a code.
#[derive(Debug)]
pub(super) struct Explanation {
    /// The first sentence.
    pub(super) summary: String,
    /// The whole text, and where to read more.
    pub(super) body: String,
}

impl Explanation {
    /// The explanation of a code. It is empty if the page has no section for it, which a test excludes.
    pub(super) fn of(code: Code) -> Self {
        let mut section = Section::default();
        for event in section_of(&code.name()) {
            section.add(event);
        }
        section.explanation()
    }
}

/// The explanation, under a line with its code.
pub(super) fn text(code: Code) -> String {
    let style = if code.is_error() { RED } else { YELLOW };
    let Explanation { body, .. } = Explanation::of(code);
    format!("{style}{}[{}]{style:#}\n\n{body}\n", code.severity(), code.name())
}

/// A line for each code.
pub(super) fn list() -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["CODE", "SEVERITY", "MEANING"]);
    for code in Code::value_variants() {
        table.add_row([code.name(), code.severity().to_owned(), Explanation::of(*code).summary]);
    }
    format!("{}\n", table.trim_fmt())
}

/// What is between the heading with this name and the next one.
fn section_of(name: &str) -> Vec<Event<'static>> {
    let mut events = Parser::new(PAGE);
    let mut is_here = false;
    let mut section = Vec::new();
    while let Some(event) = events.next() {
        let Event::Start(Tag::Heading { level, .. }) = event else {
            if is_here {
                section.push(event);
            }
            continue;
        };
        let title = events.by_ref().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
        let title: String = title
            .filter_map(|event| if let Event::Text(text) = event { Some(text.into_string()) } else { None })
            .collect();
        if is_here {
            break;
        }
        is_here = level == HeadingLevel::H3 && title == name;
    }
    section
}

/// A section, while it is read.
#[derive(Debug, Default)]
struct Section {
    /// Finished paragraphs and examples.
    blocks: Vec<String>,
    /// The current one.
    block: String,
    /// The first paragraph as one line.
    first: Option<String>,
    links: Vec<String>,
}

impl Section {
    fn add(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => self.links.extend(target(&dest_url)),
            Event::Text(text) => self.block.push_str(&text),
            Event::Code(code) => {
                let _ = write!(self.block, "`{code}`");
            }
            Event::SoftBreak | Event::HardBreak => self.block.push(' '),
            Event::End(TagEnd::Paragraph) => {
                let paragraph = std::mem::take(&mut self.block);
                self.blocks.push(textwrap::fill(&paragraph, options()));
                self.first.get_or_insert(paragraph);
            }
            Event::End(TagEnd::CodeBlock) => {
                let example = std::mem::take(&mut self.block);
                self.blocks.push(textwrap::indent(example.trim_end(), "    "));
            }
            _ => {}
        }
    }

    fn explanation(mut self) -> Explanation {
        let first = self.first.unwrap_or_default();
        // The page begins with the severity, which is in the findings too.
        let (_, rest) = first.split_once(". ").unwrap_or_default();
        let summary = rest.split_once(". ").map_or(rest, |(sentence, _)| sentence).trim_end_matches('.');
        if let Some(block) = self.blocks.first_mut() {
            *block = textwrap::fill(rest, options());
        }
        self.links.dedup();
        if !self.links.is_empty() {
            self.blocks.push(format!("See {}", self.links.join("\n    ")));
        }
        Explanation { summary: summary.to_owned(), body: self.blocks.join("\n\n") }
    }
}

/// Does not split words, because many are names.
fn options() -> Options<'static> {
    Options::new(WIDTH).break_words(false).word_splitter(WordSplitter::NoHyphenation)
}

/// The place that a link of the page names, from the root of the repository; `None` if it is another section of the page.
fn target(link: &str) -> Option<String> {
    if link.starts_with('#') || link.contains("://") {
        return (!link.starts_with('#')).then(|| link.to_owned());
    }
    let mut path = PathBuf::new();
    for component in Path::new(FOLDER).join(link).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    Some(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_explanation_reads_well_in_a_terminal() {
        for code in Code::value_variants() {
            let Explanation { summary, body } = Explanation::of(*code);
            let name = code.name();
            let severity = if code.is_error() { "Error" } else { "Warning" };
            assert!(PAGE.contains(&format!("\n### {name}\n\n{severity}. ")), "{name}: the page has its severity");
            assert!(!summary.is_empty() && summary.len() < 200 && !summary.ends_with('.'), "{name}: {summary}");
            assert!(body.replace('\n', " ").starts_with(&summary), "{name}: {body}");
            for line in body.lines() {
                let is_as_it_is = line.starts_with("    ") || line.starts_with("See ");
                assert!(is_as_it_is || line.chars().count() <= WIDTH, "{name}: {line}");
            }
            for residue in ["](", " **", "<!--", "```", "../"] {
                assert!(!body.contains(residue), "{name}: {body}");
            }
        }
    }

    #[test]
    fn a_section_ends_before_the_next_one_and_has_its_examples() {
        let body = Explanation::of(Code::UngatedUpgrade).body;
        let example = "\n\n    upgrade_configs:\n    - upgrade_type: websocket\n\n";
        assert!(body.starts_with("An upgrade, such as `websocket`, has") && body.contains(example), "{body}");
        assert!(body.ends_with("unless a route enables the\nupgrade."), "{body}");
        // The last section of a chapter.
        assert!(!Explanation::of(Code::ForwardCredential).body.contains("The module"));
        assert_eq!(Explanation::of(Code::LatePhase).body.lines().count(), 2);
    }

    #[test]
    fn a_link_is_a_place_in_the_repository() {
        for (link, expected) in [
            ("#forged-address", None),
            ("render.md#an-envoy", Some("docs/command/render.md#an-envoy")),
            ("../guides/istio.md", Some("docs/guides/istio.md")),
            ("../../envoy/envoy.yaml", Some("envoy/envoy.yaml")),
            ("https://example.com/a", Some("https://example.com/a")),
        ] {
            assert_eq!(target(link).as_deref(), expected);
        }
    }
}
