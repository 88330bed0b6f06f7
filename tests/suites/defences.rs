//! Each threat in `docs/security-model.md` has a defence in the source and a row that shows it. The slow half takes the
//! defences out of a copy of the source, one after the other, and sees the rows fail: `make defences`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::cases::load_all;
use portcullis_tests::paths::{copy_of_the_source, workspace};
use serde::Deserialize;

/// One way to take a defence out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defence {
    /// The threat, as `docs/security-model.md` names it.
    threat: String,
    /// The source file.
    file: PathBuf,
    /// Text that occurs once in the file.
    take_out: String,
    /// What is left in its place.
    leave: String,
    /// Rows that fail then, as `FILE::NAME`.
    rows: BTreeSet<String>,
}

fn defences() -> Vec<Defence> {
    let text = fs::read_to_string(workspace().join("tests/defences.yaml")).expect("tests/defences.yaml can be read");
    serde_saphyr::from_str(&text).expect("tests/defences.yaml is a list of defences")
}

/// Threats and the rows that show them, from the table in the document.
fn model() -> Vec<(String, String)> {
    let text = fs::read_to_string(workspace().join("docs/security-model.md")).expect("the document can be read");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    let of_threats = rows.skip_while(|cells| cells.get(1).is_none_or(|cell| cell != "known from")).skip(2);
    let four = of_threats.map_while(|cells| <[String; 4]>::try_from(cells).ok());
    four.map(|[threat, _, _, row]| (threat, row.replacen('`', "", 2).replacen(": ", "::", 1))).collect()
}

#[test]
fn each_threat_has_a_defence_and_a_row() {
    let (defences, model) = (defences(), model());
    assert!(model.len() >= 20, "the table is read: {model:?}");
    let named: BTreeSet<&str> = model.iter().map(|(threat, _)| threat.as_str()).collect();
    let defended: BTreeSet<&str> = defences.iter().map(|defence| defence.threat.as_str()).collect();
    assert_eq!(
        named, defended,
        "docs/security-model.md names the threats on the left, tests/defences.yaml on the right"
    );
    for (threat, row) in &model {
        let shown =
            defences.iter().filter(|defence| defence.threat == *threat).any(|defence| defence.rows.contains(row));
        assert!(shown, "{threat}: no defence in tests/defences.yaml has the row {row}");
    }
}

#[test]
fn each_defence_is_in_the_source_and_its_rows_in_the_table() {
    let files = load_all().expect("the table can be read");
    let rows: BTreeSet<String> =
        files.iter().flat_map(|file| file.rows.iter().map(|row| format!("{}::{}", file.name, row.name))).collect();
    for Defence { threat, file, take_out, rows: fails, .. } in defences() {
        let source = fs::read_to_string(workspace().join(&file)).expect("the file of a defence can be read");
        assert_eq!(source.matches(&take_out).count(), 1, "{threat}: {} has, once: {take_out}", file.display());
        assert!(!fails.is_empty(), "{threat}: no row");
        let unknown: Vec<&String> = fails.difference(&rows).collect();
        assert!(unknown.is_empty(), "{threat}: the table has no rows {unknown:?}");
    }
}

#[test]
#[ignore = "builds the gate once for each defence: make defences"]
fn the_rows_fail_when_a_defence_is_taken_out() {
    let copy = copy_of_the_source();
    let untouched = failing(copy.path());
    assert!(untouched.is_empty(), "nothing is taken out, and yet there fail: {untouched:?}");
    let mut holes = Vec::new();
    for Defence { threat, file, take_out, leave, rows } in defences() {
        let path = copy.path().join(&file);
        let source = fs::read_to_string(&path).expect("the copy can be read");
        fs::write(&path, source.replacen(&take_out, &leave, 1)).expect("the copy can be written");
        let failed = failing(copy.path());
        fs::write(&path, source).expect("the copy can be written");
        eprintln!("{threat} ({}): {} rows fail", file.display(), failed.len());
        holes.extend(rows.difference(&failed).map(|row| format!("{threat}: {row}")));
    }
    assert!(holes.is_empty(), "rows that do not fail without their defence:\n{}", holes.join("\n"));
}

/// The rows that fail in the core, in the copy at `root`.
fn failing(root: &Path) -> BTreeSet<String> {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
    cargo.args(["test", "--quiet", "--locked", "--package", "portcullis-tests", "--test", "table", "--", "[core]"]);
    cargo.env("CARGO_TARGET_DIR", workspace().join("target/defences"));
    let output = cargo.current_dir(root).output().expect("cargo starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("test result:"), "the suite does not run:\n{stderr}");
    let failed = stdout.lines().filter_map(|line| line.strip_prefix("test ")?.trim_end().strip_suffix("FAILED"));
    let name = |line: &str| line.trim_start_matches("[core]").trim().trim_end_matches("...").trim().to_owned();
    failed.map(name).collect()
}
