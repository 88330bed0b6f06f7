//! Imports a list of keys, one on each line.

use clap::Args;

use super::Common;
use super::discovered::{Discovered, DiscoveredKey};
use super::source::{Source, line};

/// The options of `import list`.
#[derive(Debug, Args)]
pub(super) struct Lines {
    #[command(flatten)]
    pub(super) common: Common,
    /// The consumer of the keys
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: String,
}

/// Reads the keys. Empty lines, blanks around a key, and comments (`#` at the start of a line or after a blank) are
/// ignored.
pub(super) fn find(source: &Source, consumer: &str) -> Discovered {
    let mut discovered = Discovered::default();
    for (index, text) in source.text.lines().enumerate() {
        let text = text.trim();
        let text = text
            .split_once([' ', '\t'])
            .filter(|(_, rest)| rest.trim_start().starts_with('#'))
            .map_or(text, |(key, _)| key);
        if !text.is_empty() && !text.starts_with('#') {
            discovered.push(text, DiscoveredKey::of(text, line(index), consumer));
        }
    }
    discovered
}
