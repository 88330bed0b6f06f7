//! Each threat in `docs/security-model.md` has a defence in the source and a row that shows it. Each defence has a name
//! in the source (`src/defence.rs`). The slow half builds the core with the switch for these names, disables one
//! defence after the other, and checks that its rows fail: `make defences`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use portcullis_tests::bytes::contains;
use portcullis_tests::cases::load_all;
use portcullis_tests::paths::{command, module, workspace};
use serde::Deserialize;
use serde_json::Value;
use walkdir::{DirEntry, WalkDir};

/// The environment variable that disables a defence in a build with the feature `defence-switch`.
const SWITCH: &str = "PORTCULLIS_WITHOUT";

/// A named defence in the source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defence {
    /// The name in `defence!`.
    name: String,
    /// The threat, as in `docs/security-model.md`.
    threat: String,
    /// Rows that fail without it, by their ids.
    rows: BTreeSet<String>,
}

fn defences() -> Vec<Defence> {
    let text = fs::read_to_string(workspace().join("tests/defences.yaml")).expect("tests/defences.yaml can be read");
    serde_saphyr::from_str(&text).expect("tests/defences.yaml is a list of defences")
}

/// The names of the rows of the table by their ids.
fn table() -> BTreeMap<String, String> {
    let files = load_all().expect("the table can be read");
    files.into_iter().flat_map(|file| file.rows).map(|row| (row.id, row.name)).collect()
}

/// Threats, and the files and names of the rows that show them, from the table in the document.
fn model() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(workspace().join("docs/security-model.md")).expect("the document can be read");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    let of_threats = rows.skip_while(|cells| cells.get(1).is_none_or(|cell| cell != "known from")).skip(2);
    let four = of_threats.map_while(|cells| <[String; 4]>::try_from(cells).ok());
    let place = |row: &str| {
        let (file, name) = row.split_once("`: ").unwrap_or_else(|| panic!("no row of the table: {row}"));
        (file.trim_start_matches('`').to_owned(), name.to_owned())
    };
    four.map(|[threat, _, _, row]| (threat, place(&row))).map(|(threat, (file, name))| (threat, file, name)).collect()
}

#[test]
fn each_threat_has_a_defence_and_a_row() {
    let (defences, model, table) = (defences(), model(), table());
    assert!(model.len() >= 20, "the table is read: {model:?}");
    let named: BTreeSet<&str> = model.iter().map(|(threat, ..)| threat.as_str()).collect();
    let defended: BTreeSet<&str> = defences.iter().map(|defence| defence.threat.as_str()).collect();
    assert_eq!(
        named, defended,
        "docs/security-model.md names the threats on the left, tests/defences.yaml on the right"
    );
    for (threat, file, name) in &model {
        let of_file = |id: &str| id.rsplit_once('-').is_some_and(|(start, _)| start == file);
        let row = table.iter().find(|(id, row)| of_file(id) && *row == name);
        let (id, _) = row.unwrap_or_else(|| panic!("{threat}: tests/cases/{file}.yaml has no row `{name}`"));
        let mut defended = defences.iter().filter(|defence| defence.threat == *threat);
        let shown = defended.any(|defence| defence.rows.contains(id));
        assert!(shown, "{threat}: no defence in tests/defences.yaml has the row {id}: {name}");
    }
}

#[test]
fn each_defence_is_marked_once_and_each_mark_is_a_defence() {
    let defences = defences();
    let listed: BTreeSet<&str> = defences.iter().map(|defence| defence.name.as_str()).collect();
    assert_eq!(listed.len(), defences.len(), "a name is listed twice in tests/defences.yaml");
    for name in &listed {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(is_plain, "{name}: letters in lower case, digits and -");
    }
    let mut marks = BTreeMap::<String, Vec<PathBuf>>::new();
    collect_marks(&workspace().join("src"), &mut marks);
    // A second place is another defence: its own name and rows show that both are needed.
    let repeated: Vec<_> = marks.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(repeated.is_empty(), "names that mark several places: {repeated:#?}");
    let marked: BTreeSet<&str> = marks.keys().map(String::as_str).collect();
    let (unmarked, unlisted): (Vec<_>, Vec<_>) =
        (listed.difference(&marked).collect(), marked.difference(&listed).collect());
    assert!(
        unmarked.is_empty() && unlisted.is_empty(),
        "listed in tests/defences.yaml, but marked nowhere in src/: {unmarked:#?}\nmarked, but not listed: {unlisted:#?}"
    );
}

/// The names in `defence!("...")`, with their files. The macro accepts only a literal.
fn collect_marks(folder: &Path, marks: &mut BTreeMap<String, Vec<PathBuf>>) {
    let entries = WalkDir::new(folder).into_iter().map(|entry| entry.expect("a folder of the source"));
    for path in entries.filter(|entry| entry.file_type().is_file()).map(DirEntry::into_path) {
        let text = fs::read_to_string(&path).expect("a file of the source");
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
        for after in code.split("defence!(").skip(1) {
            let literal = after.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (name, _) = literal.unwrap_or_else(|| panic!("{}: defence! without a name", path.display()));
            marks.entry(name.to_owned()).or_default().push(path.clone());
        }
    }
}

#[test]
fn each_defence_names_rows_of_the_table() {
    let rows: BTreeSet<String> = table().into_keys().collect();
    for Defence { name, rows: fails, .. } in defences() {
        assert!(!fails.is_empty(), "{name}: no row");
        let unknown: Vec<&String> = fails.difference(&rows).collect();
        assert!(unknown.is_empty(), "{name}: the table has no rows {unknown:?}");
    }
}

#[test]
fn no_normal_build_has_the_switch() {
    assert!(!has_switch(&module()), "the filter has the switch: build it with `make build`");
    assert!(!has_switch(&command()), "the command has the switch: build it with `make build`");
}

/// Whether a binary contains the name of the environment variable.
fn has_switch(binary: &Path) -> bool {
    let bytes = fs::read(binary).unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    contains(&bytes, SWITCH.as_bytes())
}

#[test]
fn the_filter_is_not_built_with_the_switch() {
    let check = |features: &[&str]| {
        let arguments =
            ["check", "--quiet", "--locked", "--package", "portcullis", "--lib", "--target", "wasm32-wasip1"];
        let output = cargo().args(arguments).args(features).output().expect("cargo starts");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (built, errors) = check(&["--features", "defence-switch"]);
    assert!(!built && errors.contains("the feature `defence-switch` is for tests"), "{errors}");
    let (built, errors) = check(&[]);
    assert!(built, "a control: {errors}");
}

#[test]
#[ignore = "builds the table with the switch, and runs it once for each defence: make defences"]
fn the_rows_fail_when_a_defence_is_taken_out() {
    let begun = Instant::now();
    let table = table_with_switch();
    assert!(has_switch(&table), "a control: this build has the switch");
    eprintln!("built the table with the switch in {} s", begun.elapsed().as_secs());
    let (names, untouched) = (self::table(), failing(&table, None));
    assert!(untouched.is_empty(), "nothing is taken out, and yet there fail: {untouched:?}");
    let defences = defences();
    let mut holes = Vec::new();
    for (number, Defence { name, rows, .. }) in defences.iter().enumerate() {
        let failed = failing(&table, Some(name));
        let missing: Vec<&String> = rows.difference(&failed).collect();
        eprintln!(
            "{}/{} {name}: {} rows fail, {} of {} named",
            number + 1,
            defences.len(),
            failed.len(),
            rows.len() - missing.len(),
            rows.len()
        );
        holes.extend(missing.into_iter().map(|id| format!("{name}: {id}: {}", names[id])));
    }
    eprintln!("{} defences in {} s", defences.len(), begun.elapsed().as_secs());
    assert!(holes.is_empty(), "rows that do not fail without their defence:\n{}", holes.join("\n"));
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Builds the suite `table` with the switch, in a separate folder, so that normal builds never contain the switch.
fn table_with_switch() -> PathBuf {
    let mut cargo = cargo();
    cargo.args([
        "test",
        "--no-run",
        "--quiet",
        "--locked",
        "--message-format",
        "json",
        "--package",
        "portcullis-tests",
    ]);
    cargo.args(["--features", "defence-switch", "--test", "table"]);
    cargo.env("CARGO_TARGET_DIR", workspace().join("target/defences")).stderr(Stdio::inherit());
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "the suite `table` cannot be built with the switch");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut tables = messages.filter(|message| message["target"]["name"] == "table");
    let executable = tables.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo says where the suite is")
}

/// The ids of the rows that fail in the core without a defence.
fn failing(table: &Path, without: Option<&str>) -> BTreeSet<String> {
    let mut suite = Command::new(table);
    suite.arg("[core]").env_remove(SWITCH).envs(without.map(|name| (SWITCH, name)));
    let output = suite.output().expect("the suite starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("test result:"), "the suite does not run:\n{stderr}");
    let failed = stdout.lines().filter_map(|line| line.strip_prefix("test ")?.trim_end().strip_suffix("FAILED"));
    let id = |line: &str| line.trim_start_matches("[core]").trim().split(": ").next().unwrap_or_default().to_owned();
    failed.map(id).collect()
}
