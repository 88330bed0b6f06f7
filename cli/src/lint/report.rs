//! The report of lint, in each of its formats.

use std::path::{Component, Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::finding::Finding;
use super::{Examined, github, sarif};
use crate::output::count;

/// The output format.
// The values need no description: with one, every help text would be twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Sarif,
    Github,
}

/// The whole report.
pub(super) fn report(format: Format, examined: &[Examined]) -> String {
    match format {
        Format::Text => examined.iter().map(|one| text(one, Finding::to_text)).collect(),
        Format::Json => json(examined),
        Format::Sarif => format!("{:#}\n", sarif::log(examined)),
        Format::Github => examined.iter().map(|one| text(one, github::annotation)).collect(),
    }
}

/// The findings in a file, each as `finding` writes it, and a line for the file.
fn text(examined: &Examined, finding: impl Fn(&Finding) -> String) -> String {
    let (errors, all) = (examined.errors(), examined.findings.len());
    let (errors, warnings) = (count(errors, "error"), count(all.saturating_sub(errors), "warning"));
    let digests: String = examined.policies.iter().map(|(_, digest)| format!(", digest {digest}")).collect();
    let findings: String = examined.findings.iter().map(finding).collect();
    format!("{findings}{}: {errors}, {warnings}{digests}\n", examined.file)
}

fn json(examined: &[Examined]) -> String {
    let errors = examined.iter().map(Examined::errors).sum::<usize>();
    let findings: Vec<_> = examined.iter().flat_map(|one| &one.findings).map(Finding::to_json).collect();
    let policies = examined.iter().flat_map(|one| one.policies.iter().map(|policy| (&one.file, policy)));
    let policies: Vec<_> =
        policies.map(|(file, (name, digest))| json!({"file": file, "name": name, "digest": digest})).collect();
    let warnings = findings.len().saturating_sub(errors);
    let all = json!({"errors": errors, "warnings": warnings, "policies": policies, "findings": findings});
    format!("{all:#}\n")
}

/// A file as other programs expect it: relative to the working directory, if it is in there.
pub(super) fn relative(file: &str) -> PathBuf {
    let file = Path::new(file);
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| file.strip_prefix(here).ok()).unwrap_or(file);
    below.components().filter(|component| *component != Component::CurDir).collect()
}
