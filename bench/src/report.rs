//! The results as JSON and as Markdown.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use crate::chart;
use crate::counting::Count;
use crate::machine::Machine;
use crate::options::Module;
use crate::race::Plan;
use crate::reload::Reload;
use crate::statistics::Estimate;
use crate::table::Row;

/// All results of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The size of the measurement.
    pub plan: Plan,
    /// The filters, by name, with the size of their files in bytes.
    pub modules: Vec<(String, u64)>,
    /// The contenders.
    pub comparison: Vec<Row>,
    /// Keys, patterns, headers, routes.
    pub scale: Vec<Row>,
    /// Hostcalls, callbacks, instructions.
    pub counts: Vec<Count>,
    /// The loading of policies.
    pub reloads: Vec<Reload>,
}

impl Report {
    /// The names and sizes of the modules.
    pub fn sizes(modules: &[Module]) -> Vec<(String, u64)> {
        let size = |module: &Module| fs::metadata(&module.file).map_or(0, |file| file.len());
        modules.iter().map(|module| (module.name.clone(), size(module))).collect()
    }

    /// Writes `latest.json`, `latest.md` and `latest.svg` into that directory.
    ///
    /// # Errors
    /// If the directory is not writable.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("latest.json"), serde_json::to_string_pretty(self)? + "\n")?;
        fs::write(directory.join("latest.md"), self.markdown())?;
        fs::write(directory.join("latest.svg"), chart::svg(&self.comparison, &self.machine))
    }

    /// The tables.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}.\n", self.machine.line());
        let Plan { rounds, requests, connections, .. } = self.plan;
        let sizes = self.modules.iter().map(|(name, size)| format!("`{name}` has {} KiB", size.div_ceil(1024)));
        let _ = writeln!(
            text,
            "{rounds} rounds of {requests} requests each, {connections} connections; medians with 95 % intervals. {}.",
            sizes.collect::<Vec<_>>().join(", ")
        );
        rows(&mut text, "Contenders", &self.comparison);
        rows(&mut text, "Keys, patterns, headers, routes", &self.scale);
        counts(&mut text, &self.counts);
        reloads(&mut text, &self.reloads);
        text
    }
}

fn rows(text: &mut String, title: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n## {title}\n\n\
         | contender | added CPU, us per request | ratio to Lua | ratio to the floor | requests/s | p50 us | p90 | p99 | p99.9 |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    for row in rows {
        // The first row is the baseline of the others.
        let added = if row.added.value == 0.0 && row.added.high == 0.0 {
            format!("({:.1} in total)", row.total.value)
        } else {
            estimate(&row.added)
        };
        let ratio = |ratio: &Option<Estimate>| ratio.as_ref().map(estimate).unwrap_or_default();
        let [p50, p90, p99, p999] = row.alone.map(|time| format!("{time:.0}"));
        let _ = writeln!(
            text,
            "| {} | {added} | {} | {} | {:.0} | {p50} | {p90} | {p99} | {p999} |",
            row.name,
            ratio(&row.to_lua),
            ratio(&row.to_floor),
            row.throughput.value
        );
    }
}

fn estimate(estimate: &Estimate) -> String {
    format!("**{:.2}** [{:.2}, {:.2}]", estimate.value, estimate.low, estimate.high)
}

fn counts(text: &mut String, counts: &[Count]) {
    if counts.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n## Hostcalls and instructions of a request\n\n| case | hostcalls | entries into the VM | instructions |\n|---|--:|--:|--:|"
    );
    for count in counts {
        let (hostcalls, callbacks) = (count.hostcalls.len(), count.callbacks.len());
        let _ = writeln!(text, "| {} | {hostcalls} | {callbacks} | {} |", count.name, count.instructions);
    }
}

fn reloads(text: &mut String, reloads: &[Reload]) {
    if reloads.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n## Loading a policy\n\n\
         | module | keys | document, MB | load, ms per VM | longest wait on the worker, ms | without an update, ms | memory of a VM, MiB | after an update, MiB \
         | Envoy in total, MiB | million instructions |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    for reload in reloads {
        let mib = |bytes: usize| bytes as f64 / 1_048_576.0;
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {:.1} |",
            reload.module,
            crate::contenders::scale::grouped(reload.keys),
            reload.document as f64 / 1e6,
            reload.load_ms,
            reload.stall_ms,
            reload.calm_ms,
            mib(reload.memory),
            mib(reload.memory_after_update),
            reload.resident_kib / 1024,
            reload.instructions as f64 / 1e6
        );
    }
}
