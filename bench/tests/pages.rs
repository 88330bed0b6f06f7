//! The figures in the pages are those of the run in `bench/results`.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// A page as one line, so that it does not matter where its lines end.
fn page(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let text = fs::read_to_string(file).expect("the page is there");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Results(Value);

impl Results {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("../results/latest.json")).expect("the results are JSON"))
    }

    fn number(&self, part: &str, contender: &str, value: &str) -> f64 {
        let all = self.0[part].as_array().expect("a list");
        let row = all.iter().find(|row| row["name"] == contender).unwrap_or_else(|| panic!("no {contender}"));
        row[value]["value"].as_f64().unwrap_or_else(|| panic!("no {value} of {contender}"))
    }

    /// The microseconds that contenders add, with one digit.
    fn added(&self, part: &str, contenders: &[&str]) -> String {
        let each = contenders.iter().map(|name| format!("{:.1}", self.number(part, name, "added")));
        each.collect::<Vec<_>>().join(", ")
    }

    fn load(&self, keys: u64, value: &str) -> f64 {
        let all = self.0["reloads"].as_array().expect("a list");
        let row = all.iter().find(|row| row["keys"] == keys).expect("a policy of so many keys");
        row[value].as_f64().expect("a number")
    }

    fn mebibytes(&self, keys: u64, value: &str) -> String {
        format!("{:.1} MiB", self.load(keys, value) / f64::from(1 << 20))
    }
}

#[test]
fn the_pages_have_the_figures_of_the_last_run() {
    let results = Results::read();
    let mut expected = Vec::new();
    for (title, name) in [
        ("key by Bearer", "key"),
        ("key by X-API-Key", "x-api-key"),
        ("public path", "public path"),
        ("no credential", "no credential"),
        ("unknown key", "unknown key"),
    ] {
        let [gate, lua, floor] = ["portcullis", "lua", "floor"].map(|kind| format!("{kind}: {name}"));
        let added = |name: &str| results.added("comparison", &[name]);
        let ratio = |value| results.number("comparison", &gate, value);
        expected.push((
            "docs/performance.md",
            format!(
                "| {title} | {} | {} | {:.2} | {} | {:.2} |",
                added(&gate),
                added(&lua),
                ratio("to_lua"),
                added(&floor),
                ratio("to_floor")
            ),
        ));
    }
    let one = |name| results.added("comparison", &[name]);
    let scale = |names: &[&str]| results.added("scale", names);
    let three = |of: &str| {
        let names = ["10", "1,000", "10,000"].map(|number| format!("portcullis: key, {number} {of}"));
        scale(&names.each_ref().map(String::as_str))
    };
    let headers = |kind: &str| {
        let names = ["5", "20", "60"].map(|number| match (kind, number) {
            ("lua", "5") => "lua: key".to_owned(),
            _ => format!("{kind}: key, {number} headers"),
        });
        scale(&names.each_ref().map(String::as_str))
    };
    let load = |keys: u64, name: &str| {
        format!(
            "| {name} | {:.1} MB | {:.0} ms | {:.0} ms | {} | {} |",
            results.load(keys, "document") / 1e6,
            results.load(keys, "load_ms"),
            results.load(keys, "stall_ms"),
            results.mebibytes(keys, "memory"),
            results.mebibytes(keys, "memory_after_update")
        )
    };
    let own = [
        format!("`api_key_auth` adds {}, `ext_authz` {}.", one("api_key_auth: key"), one("ext_authz: key")),
        format!("A module that does nothing adds {} microseconds.", one("floor: no hostcall")),
        format!("fetches all headers adds {} ({} if", one("floor: all pairs"), one("floor: all pairs, begin and end")),
        format!("the floor is {}.", one("floor: key")),
        format!(
            "| 1, 1,000, 100,000 keys | {} |",
            scale(&["portcullis: key of 1", "portcullis: key of 1,000", "portcullis: key of 100,000"])
        ),
        format!("1,024 are used in turn | {} |", scale(&["key of 100,000, 1,024 in turn"])),
        format!("| 10, 1,000, 10,000 rules | {} |", three("rules")),
        format!("| 10, 1,000, 10,000 public patterns | {} |", three("public patterns")),
        format!(
            "| 5, 20, 60 headers (Lua: {}; floor: {}) | {} |",
            headers("lua"),
            headers("floor"),
            headers("portcullis")
        ),
        format!(
            "| 1,000 routes, the last one matches (Lua: {}) | {} |",
            scale(&["lua: key, 1,000 routes"]),
            scale(&["portcullis: key, 1,000 routes"])
        ),
        format!(
            "| 1,000 routes in a `matcher` tree (Lua: {}) | {} |",
            scale(&["lua: key, 1,000 routes in a tree"]),
            scale(&["portcullis: key, 1,000 routes in a tree"])
        ),
        load(1000, "1,000"),
        load(100_000, "100,000"),
    ];
    expected.extend(own.into_iter().map(|words| ("docs/performance.md", words)));
    let total = results.number("comparison", "nothing", "total");
    let (seconds, memory) =
        (results.load(100_000, "load_ms") / 1e3, results.load(100_000, "memory") / f64::from(1 << 20));
    let front = [
        format!("Without a filter, Envoy spends {total:.1} microseconds."),
        format!("100,000 keys load in {seconds:.1} seconds and take {memory:.0} MiB in each of Envoy's VMs."),
    ];
    expected.extend(front.into_iter().map(|words| ("README.md", words)));
    let missing: Vec<_> = expected.iter().filter(|(name, words)| !page(name).contains(words)).collect();
    assert!(missing.is_empty(), "the pages do not have these figures: {missing:#?}");
}
