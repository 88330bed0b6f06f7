//! Failures as a table.

use crate::observation::Discrepancy;

/// One discrepancy, and where it was found.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The file of the row.
    pub file: String,
    /// The row.
    pub row: String,
    /// Where it was so: each engine with protocol and form of the policy, or only the engine if it was so everywhere.
    pub engines: Vec<String>,
    /// What was wrong.
    pub discrepancy: Discrepancy,
}

/// All failures as text, one a line, in aligned columns.
pub fn table(failures: &[Failure]) -> String {
    let head = ["file", "row", "engines", "what", "expected", "got"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(failures.iter().map(|failure| {
        let Discrepancy { what, expected, got } = &failure.discrepancy;
        let engines = failure.engines.join(", ");
        [&failure.file, &failure.row, &engines, what, expected, got].map(Clone::clone)
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
