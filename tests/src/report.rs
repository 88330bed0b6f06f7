//! Failures as a table.

use comfy_table::{Table, presets};

use crate::observation::Discrepancy;

/// One difference, and where it was found.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The file of the row.
    pub file: String,
    /// The row.
    pub row: String,
    /// The runs with the difference: each engine with protocol and form of the policy, or only the engine if all its
    /// runs differ.
    pub engines: Vec<String>,
    /// The difference.
    pub discrepancy: Discrepancy,
}

/// All failures as text, one on each line, in aligned columns.
pub fn table(failures: &[Failure]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["file", "row", "engines", "what", "expected", "got"]);
    table.add_rows(failures.iter().map(|failure| {
        let Discrepancy { what, expected, got } = &failure.discrepancy;
        [&failure.file, &failure.row, &failure.engines.join(", "), what, expected, got].map(Clone::clone)
    }));
    table.trim_fmt() + "\n"
}
