//! The tables of hostile requests, as Markdown and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use super::race::{Row, Table};
use super::stall::{RATE, STALL, Stall};
use super::{BY_ENVOY, BY_USUAL, LENGTHS};
use crate::contenders::scale::grouped;
use crate::machine::Machine;
use crate::statistics::Estimate;

/// How many cells are shown with their intervals.
const NEAREST: usize = 40;

/// All results of one run.
#[derive(Debug)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// Every cell, if cells were measured.
    pub table: Option<Table>,
    /// The effect of an attack on another caller.
    pub stalls: Vec<Stall>,
}

impl Report {
    /// A description of all exceeded bounds; `None` if there are none.
    pub fn over(&self) -> Option<String> {
        let rows: Vec<&Row> = self.table.iter().flat_map(|table| &table.rows).collect();
        let over = rows.iter().filter(|row| row.is_over()).count();
        let stalled = self.stalls.iter().filter(|stall| stall.is_over()).count();
        let cells = (over > 0).then(|| format!("{over} of {} hostile requests exceed a bound", rows.len()));
        let attacks = (stalled > 0).then(|| format!("{stalled} of {} attacks exceed a bound", self.stalls.len()));
        let all: Vec<String> = cells.into_iter().chain(attacks).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Writes `hostile.json` and `hostile.md` into that directory.
    ///
    /// # Errors
    /// If the directory is not writable.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("hostile.json"), self.json()?)?;
        fs::write(directory.join("hostile.md"), self.markdown())
    }

    /// One cell on each line, because there are thousands.
    fn json(&self) -> io::Result<String> {
        let mut parts = vec![member("machine", &self.machine)?];
        if let Some(Table { plan, usual, rows }) = &self.table {
            parts.extend([member("plan", plan)?, member("usual", usual)?]);
            let rows = rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            parts.push(format!("  \"cells\": [\n    {}\n  ]", rows.join(",\n    ")));
        }
        let stalls = self.stalls.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        parts.push(format!("  \"stalls\": [\n    {}\n  ]", stalls.join(",\n    ")));
        Ok(format!("{{\n{}\n}}\n", parts.join(",\n")))
    }

    /// The tables.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}.\n", self.machine.line());
        if let Some(table) = &self.table {
            self.cells(&mut text, table);
        }
        self.attacks(&mut text);
        text
    }

    fn cells(&self, text: &mut String, table: &Table) {
        let _ = writeln!(
            text,
            "{} rounds ({} near a bound, {} above one) of about {} ms of each; medians.",
            table.plan.rounds,
            table.plan.rounds_near,
            table.plan.rounds_above,
            table.plan.slice / 1_000.0
        );
        for (module, usual) in &table.usual {
            let rows: Vec<&Row> = table.rows.iter().filter(|row| row.module == *module).collect();
            let over = rows.iter().filter(|row| row.is_over()).count();
            let verdict = if over == 0 {
                format!("each of {} ratios is below its bound", grouped(rows.len() * 2))
            } else {
                format!("**{} of {} requests exceed a bound**", grouped(over), grouped(rows.len()))
            };
            let _ = writeln!(
                text,
                "\n## Hostile requests: {module}\n\n\
                 Bounds: {BY_ENVOY} x what Envoy alone spends on the request, and {BY_USUAL} x the {} us that the gate adds to a \
                 usual request with a key. In this run {verdict}.\n\n\
                 For each length in bytes: microseconds added, under the most expensive policy; the ratios to Envoy alone, and to \
                 the usual request.\n",
                estimate(usual)
            );
            shapes(text, &rows);
            nearest(text, rows);
        }
    }
}

impl Report {
    fn attacks(&self, text: &mut String) {
        if self.stalls.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "\n## One attacking connection\n\n\
             One worker. The attacker sends {} bytes a second over HTTP/2, each request as references into the dynamic table; \
             another caller sends one usual request with a key after the other, on its own connection. Its median latency may at \
             most be {STALL} x that without the attacker, and the added time at most {BY_ENVOY} x what Envoy alone spends on the \
             request over HTTP/2.\n\n\
             | module | request | length | key | policy | bytes per request | requests/s | Envoy alone, us | added, us \
             | ratio to Envoy | median without attack, us | with attack, us | ratio |\n|---|---|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
            grouped(RATE)
        );
        for stall in &self.stalls {
            let mark = if stall.is_over() { " **OVER**" } else { "" };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | **{:.2}**{mark} |",
                stall.module,
                stall.shape,
                grouped(stall.length),
                if stall.keyed { "yes" } else { "" },
                stall.policy,
                stall.wire,
                stall.rate,
                stall.alone,
                stall.added,
                stall.by_envoy(),
                stall.calm,
                stall.attacked,
                stall.by_calm()
            );
        }
    }
}

/// A row for each shape with and without a key.
fn shapes(text: &mut String, rows: &[&Row]) {
    let lengths = LENGTHS.map(|length| format!("{} | ", grouped(length)));
    let _ = writeln!(text, "| request | key | {}\n|---|---|{}", lengths.concat().trim(), "--:|".repeat(LENGTHS.len()));
    // In the order of the shapes.
    let mut order: Vec<&str> = rows.iter().map(|row| row.shape).collect();
    order.dedup();
    let mut worst: BTreeMap<(&str, bool, Option<usize>), &Row> = BTreeMap::new();
    for row in rows {
        let found = worst.entry((row.shape, row.keyed, row.length)).or_insert(row);
        if row.part_of_bound() > found.part_of_bound() {
            *found = row;
        }
    }
    let mut done = std::collections::BTreeSet::new();
    for shape in order.into_iter().filter(|shape| done.insert(*shape)) {
        for keyed in [false, true] {
            let cell = |length: Option<usize>| worst.get(&(shape, keyed, length)).map(|row| in_short(row));
            let cells: Vec<String> = match cell(None) {
                Some(only) => std::iter::once(only).chain(LENGTHS.iter().skip(1).map(|_| String::new())).collect(),
                None => LENGTHS.map(|length| cell(Some(length)).unwrap_or_default()).into(),
            };
            if cells.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(text, "| {shape} | {} | {} |", if keyed { "yes" } else { "" }, cells.join(" | "));
            }
        }
    }
}

/// `12.3: 0.4, 1.0`; bold if a bound is exceeded.
fn in_short(row: &Row) -> String {
    let text = format!("{:.0}: {:.1}, {:.1}", row.added.value, row.by_envoy.value, row.by_usual.value);
    if row.is_over() { format!("**{text} OVER**") } else { text }
}

fn nearest(text: &mut String, mut rows: Vec<&Row>) {
    rows.sort_by(|one, other| other.part_of_bound().total_cmp(&one.part_of_bound()));
    let _ = writeln!(
        text,
        "\nClosest to a bound, with 95 % intervals:\n\n\
         | request | length | key | policy | status | Envoy alone, us | added, us | ratio to Envoy | ratio to usual |\n\
         |---|--:|---|---|--:|--:|--:|--:|--:|"
    );
    for row in rows.into_iter().take(NEAREST) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.shape,
            row.length.map(grouped).unwrap_or_default(),
            if row.keyed { "yes" } else { "" },
            row.policy,
            row.status,
            estimate(&row.alone),
            estimate(&row.added),
            estimate(&row.by_envoy),
            estimate(&row.by_usual)
        );
    }
}

fn estimate(estimate: &Estimate) -> String {
    format!("**{:.1}** [{:.1}, {:.1}]", estimate.value, estimate.low, estimate.high)
}

fn member(name: &str, value: &impl Serialize) -> io::Result<String> {
    Ok(format!("  \"{name}\": {}", serde_json::to_string(value)?))
}
