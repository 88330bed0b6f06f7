//! Every contender answers as expected, and is measured in one small round. The times are not checked.

use std::collections::BTreeSet;
use std::path::Path;

use portcullis_bench::authorization;
use portcullis_bench::contender::Contender;
use portcullis_bench::contenders::wasm::Workshop;
use portcullis_bench::contenders::{self, scale};
use portcullis_bench::counting::{count, subjects};
use portcullis_bench::hostile::report::Report as HostileReport;
use portcullis_bench::hostile::{self, Cell, native, race as hostile_race, shapes, stall};
use portcullis_bench::machine::Machine;
use portcullis_bench::options::Module;
use portcullis_bench::race::{Plan, race};
use portcullis_bench::reload::reload;
use portcullis_bench::report::Report;
use portcullis_bench::stage::Stage;
use portcullis_bench::table::rows;
use portcullis_tests::paths;
use serde_json::Value;

const TINY: Plan = Plan { rounds: 1, requests: 20, warm_up: 20, connections: 2, alone: 2 };

fn modules() -> Vec<Module> {
    vec![Module { name: "portcullis".to_owned(), file: paths::module() }]
}

/// The result of `make bench-sdk`.
fn sdk() -> std::path::PathBuf {
    let file = paths::workspace().join("target/portcullis-bench-sdk.wasm");
    assert!(file.exists(), "{} is missing: run `make bench-sdk`", file.display());
    file
}

fn measured(all: &[Contender]) -> Vec<portcullis_bench::table::Row> {
    let stage = Stage::start(all, authorization::start().expect("a port"));
    let runs = race(&stage, all, TINY, |_| ()).unwrap_or_else(|error| panic!("{error}"));
    rows(all, &runs)
}

#[test]
fn every_contender_answers_as_it_should_and_gets_a_row() {
    let shop = Workshop::open().expect("a directory");
    let all = contenders::all(&modules(), Some(&sdk()), &shop).unwrap_or_else(|error| panic!("{error}"));
    let rows = measured(&all);
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "each has a name of its own");
    for (contender, row) in all.iter().zip(&rows) {
        assert_eq!(row.to_lua.is_some(), contender.lua.is_some(), "{}: its Lua takes part", row.name);
        assert_eq!(row.to_floor.is_some(), contender.floor.is_some(), "{}: its floor takes part", row.name);
    }
    let report = Report {
        machine: Machine::here(),
        plan: TINY,
        modules: Report::sizes(&modules()),
        comparison: rows,
        scale: Vec::new(),
        counts: Vec::new(),
        reloads: Vec::new(),
    };
    let directory = tempfile::tempdir().expect("a directory");
    report.write(directory.path()).expect("the directory takes it");
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it is written");
    let json: Value = serde_json::from_str(&read("latest.json")).expect("JSON");
    assert_eq!(json["comparison"].as_array().map(Vec::len), Some(all.len()));
    assert!(read("latest.md").contains("| portcullis: key |") && read("latest.svg").ends_with("</svg>\n"));
}

#[test]
fn a_contender_that_answers_wrongly_is_not_measured() {
    let shop = Workshop::open().expect("a directory");
    let all = contenders::all(&modules(), None, &shop).unwrap_or_else(|error| panic!("{error}"));
    // It lets every request through.
    let open = all.iter().find(|one| one.name == "floor: no hostcall").expect("it takes part").filters.clone();
    let mut wrong: Vec<Contender> = all.iter().filter(|one| one.name == "portcullis: key").cloned().collect();
    wrong[0].filters = open;
    wrong[0].baseline = "nothing";
    let stage = Stage::start(&wrong, authorization::start().expect("a port"));
    let error = race(&stage, &wrong, TINY, |_| ()).expect_err("it sets no identity");
    assert!(error.contains("the upstream sees authorization"), "{error}");
}

#[test]
fn the_gate_serves_at_every_scale() {
    let shop = Workshop::open().expect("a directory");
    let all = scale::all(&modules(), &shop, &scale::SMALL).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(measured(&all).len(), all.len());
}

#[test]
fn calls_and_instructions_of_each_case_are_counted() {
    let subjects = subjects(&modules(), Some(&sdk()));
    let counts = count(&subjects).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(counts.len(), subjects.len());
    let mut bounded = 0;
    for count in counts {
        assert!(count.instructions > 0, "{}", count.name);
        assert!(count.hostcalls.iter().any(|call| call.starts_with("get_header_map_pairs")), "{count:?}");
        let headers = count.callbacks.iter().filter(|name| *name == "proxy_on_request_headers").count();
        assert_eq!(headers, 1, "{count:?}");
        // The components of a request's cost: entries into the VM, except for memory, and instructions.
        let entries = count.callbacks.iter().filter(|name| *name != "proxy_on_memory_allocate").count();
        let most = MAX_INSTRUCTIONS.iter().find(|(case, _)| count.name.ends_with(case)).map(|(_, most)| *most);
        if let Some(most) = most {
            bounded += 1;
            assert!(entries <= 4 && count.instructions <= most, "{entries} entries, of at most {most}: {count:?}");
        }
    }
    assert_eq!(bounded, MAX_INSTRUCTIONS.len(), "each case is one of the counted");
}

/// The maximum number of instructions of a request, as the interpreter counts them, by the suffix of the case's name.
const MAX_INSTRUCTIONS: [(&str, u64); 3] = [(": key", 32_000), (": public path", 18_000), (": no credential", 18_000)];

#[test]
fn the_loading_of_a_policy_is_seen() {
    let shop = Workshop::open().expect("a directory");
    let seen = reload(&modules()[0], 10, &shop).unwrap_or_else(|error| panic!("{error}"));
    assert!(seen.instructions > 0 && seen.memory > 0 && seen.resident_kib > 0, "{seen:?}");
}

/// Two requests of each to find its result, and one in the single round.
const ONE: hostile_race::Plan = hostile_race::Plan {
    rounds: 1,
    rounds_near: 1,
    rounds_above: 1,
    slice: 1.0,
    requests: 1,
    warm_up: 10,
    connections: 1,
};

#[test]
fn every_hostile_request_comes_to_the_gate_and_gets_a_row() {
    // A shape with its own length appears once for all lengths.
    let is_longest = |cell: &Cell| cell.length.is_none_or(|length| Some(&length) == hostile::LENGTHS.last());
    let cells: Vec<Cell> = hostile::cells(&[]).into_iter().filter(is_longest).collect();
    let table = hostile_race::race(&modules(), &cells, ONE, |_| ()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(table.rows.len(), cells.len());
    let report = HostileReport { machine: Machine::here(), table: Some(table), stalls: Vec::new() };
    let directory = tempfile::tempdir().expect("a directory");
    report.write(directory.path()).expect("the directory takes it");
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it is written");
    let json: Value = serde_json::from_str(&read("hostile.json")).expect("JSON");
    assert_eq!(json["cells"].as_array().map(Vec::len), Some(cells.len()));
    for shape in shapes::named(&[]) {
        assert!(read("hostile.md").contains(&format!("| {} |", shape.name)), "{}", shape.name);
    }
}

#[test]
fn an_attack_is_seen_by_another_caller() {
    let plan = stall::Plan { attacks: 2, milliseconds: 200, requests: 4 };
    let only = ["cookie".to_owned(), "small letters, one segment".to_owned()];
    let stalls = stall::stall(&modules()[0], &only, plan, |_| ()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stalls.len(), 2);
    for stall in stalls {
        // The CPU time of Envoy alone may be too short to be seen in so few requests.
        assert!(stall.rate > 0.0 && stall.calm > 0.0 && stall.attacked > 0.0, "{stall:?}");
        assert!(stall.length > 3_000 && stall.wire < 100, "the table holds it: {stall:?}");
    }
}

#[test]
fn hostile_requests_are_timed_in_the_core_alone() {
    let cells = hostile::cells(&["90 ".to_owned()]);
    let (reference, timed) = native::time(cells).unwrap_or_else(|error| panic!("{error}"));
    assert!(reference > 0.0 && timed.iter().all(|one| one.time > 0.0));
    assert!(native::lines(reference, &timed, 100).contains("90 forged identity headers, key, usual"));
}

#[test]
fn the_files_that_are_shown_come_from_one_run() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let read = |name: &str| std::fs::read_to_string(results.join(name)).expect("`make bench` has written it");
    let json: Value = serde_json::from_str(&read("latest.json")).expect("JSON");
    for row in json["comparison"].as_array().expect("rows") {
        let name = row["name"].as_str().expect("a name");
        assert!(read("latest.md").contains(&format!("| {name} |")), "{name}");
    }
    let date = json["machine"]["date"].as_str().expect("a date");
    assert!(read("latest.svg").contains(date) && read("latest.md").contains(date));
}
