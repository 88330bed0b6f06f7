//! A plain list of keys, one a line.

use clap::Args;

use super::Common;
use super::discovered::{Discovered, DiscoveredKey};
use super::source::{Source, line};

/// Where the keys are, and whose.
#[derive(Debug, Args)]
pub(super) struct Lines {
    #[command(flatten)]
    pub(super) common: Common,
    /// Whose the keys are
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: String,
}

/// Every line that is neither empty nor a comment. Blanks around a key do not count, and what follows ` #` is a
/// comment.
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
