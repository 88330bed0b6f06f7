//! What a run says beside its tests: failures as a table, and what it did not check.

use std::io::Write as _;

use comfy_table::{Table, presets};

use crate::observation::Discrepancy;

/// One difference, and where it was found.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The id of the row.
    pub id: String,
    /// The name of the row.
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
    table.load_preset(presets::NOTHING).set_header(["id", "row", "engines", "what", "expected", "got"]);
    table.add_rows(failures.iter().map(|failure| {
        let Discrepancy { what, expected, got } = &failure.discrepancy;
        [&failure.id, &failure.row, &failure.engines.join(", "), what, expected, got].map(Clone::clone)
    }));
    table.trim_fmt() + "\n"
}

/// Says that a check is left out, past the capture of the test runner. `scripts/timed` repeats the line at the end of the run.
///
/// # Panics
/// If standard error is closed.
pub fn not_checked(what: &str) {
    std::io::stderr().write_all(format!("NOT CHECKED: {what}\n").as_bytes()).expect("standard error takes a line");
}
