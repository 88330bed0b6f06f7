//! Checks that the documents are correct: every `yaml` block is what its marker claims, the reference has every field,
//! metric and reason and no others, and links are valid.
//!
//! A marker is an HTML comment on the line above a block. Without one, a block is a whole policy.
//!
//! * `<!-- fragment of policy -->`: members of a policy, which load by themselves.
//! * `<!-- refused: TEXT -->`: a policy that is refused, or that has a refused entry, with TEXT in the message.
//! * `<!-- envoy -->`: a whole Envoy configuration.
//! * `<!-- not a policy -->`, `<!-- file: NAME -->`: a part of something else, or of the files for the page's commands.

#[path = "docs/grid.rs"]
mod grid;
#[path = "docs/page.rs"]
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use page::{Block, Claim, Page, codes};
use portcullis::document::Problem;
use portcullis::{Document, HeaderBlock, Loaded, Policy, Reason, Request};
use portcullis_tests::envoy::validate;
use portcullis_tests::listener::Kind;
use portcullis_tests::paths::{module, workspace};
use portcullis_tests::stage::{Stage, listener};
use portcullis_tests::structs;
use serde_json::{Value, json};
use walkdir::WalkDir;

/// The folder of the reference of the policy. Its first page has all fields.
const REFERENCE: &str = "docs/policy";

/// Pages of which only the links are looked at.
const OTHER_PAGES: [&str; 7] = [
    "SECURITY.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "monitoring/README.md",
    "tests/README.md",
    "tests/cases/README.md",
    "fuzz/README.md",
];

impl Block {
    fn value(&self) -> Result<Value, String> {
        serde_saphyr::from_str(&self.text).map_err(|error| format!("is no YAML: {error}"))
    }

    /// Checks that the block is what it claims to be.
    fn check(&self) -> Result<(), String> {
        match &self.claim {
            Claim::Policy | Claim::Fragment => {
                let document = self.value()?;
                if self.claim == Claim::Policy && document["version"] != 1 {
                    return Err("has no `version: 1`: is it a whole policy? Otherwise give it a marker".into());
                }
                let [text, packed] =
                    load(&document, true).map(|loaded| loaded.map_err(|message| format!("is refused: {message}")));
                let same = text?.policy.digest() == packed?.policy.digest();
                if same { Ok(()) } else { Err("means something else as a Struct".into()) }
            }
            Claim::Refused(expected) => load(&self.value()?, false).into_iter().try_for_each(|loaded| match loaded {
                Ok(_) => Err("is not refused".into()),
                Err(message) if message.contains(expected) => Ok(()),
                Err(message) => Err(format!("is refused with another message: {message}")),
            }),
            Claim::Envoy => accepted(&self.text),
            Claim::NoPolicy => self.value().map(drop),
        }
    }
}

/// The policy as JSON text and as a `Struct`, or the message that refuses it or one of its entries. Either all `env`
/// keys are set, or none.
fn load(document: &Value, env: bool) -> [Result<Loaded, String>; 2] {
    let environment = |name: &str| env.then(|| format!("the-key-in-{name}").into_bytes());
    let forms = [document.to_string().into_bytes(), structs::encode(document)];
    forms.map(|bytes| {
        let loaded = Policy::load(&bytes, &environment).map_err(|refusal| refusal.to_string())?;
        let messages: Vec<String> = loaded.refused_entries.iter().map(ToString::to_string).collect();
        if messages.is_empty() { Ok(loaded) } else { Err(messages.join("\n")) }
    })
}

/// Checks that Envoy accepts a configuration, including its key entries.
fn accepted(configuration: &str) -> Result<(), String> {
    let (passes, output) = verdict(configuration);
    if passes && !output.contains("refused") { Ok(()) } else { Err(format!("is not accepted by Envoy:\n{output}")) }
}

/// Envoy's verdict on a configuration, with the module under test.
fn verdict(configuration: &str) -> (bool, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("envoy.yaml");
    let module = module().display().to_string();
    fs::write(&file, configuration.replace("target/portcullis.wasm", &module)).expect("the directory takes a file");
    let verdict = validate(&file, &workspace(), &[("PORTCULLIS_TOKEN", "docs-suite-key")]);
    (verdict.status.success(), verdict.output)
}

/// README.md, and all of docs/.
fn pages() -> Vec<Page> {
    let entries = WalkDir::new(workspace().join("docs")).sort_by_file_name().into_iter();
    let paths = entries.map(|entry| entry.expect("a directory can be read").into_path());
    let pages = paths.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let relative = pages.map(|path| path.strip_prefix(workspace()).expect("it is below").to_owned());
    [PathBuf::from("README.md")].into_iter().chain(relative).map(Page::read).collect()
}

/// The pages of the reference, the first one first.
fn reference() -> Vec<Page> {
    let (first, others): (Vec<Page>, Vec<Page>) = pages()
        .into_iter()
        .filter(|page| page.path.starts_with(REFERENCE))
        .partition(|page| page.path.ends_with("README.md"));
    first.into_iter().chain(others).collect()
}

/// The tables of the reference whose first column is named `column`.
fn tables<'a>(reference: &'a [Page], column: &str) -> Vec<Vec<Vec<&'a str>>> {
    reference.iter().flat_map(|page| page.tables(column)).collect()
}

#[test]
fn every_block_is_what_it_claims_to_be() {
    let blocks: Vec<Block> = pages().iter().flat_map(Page::blocks).collect();
    for claim in [Claim::Policy, Claim::Fragment, Claim::Envoy] {
        assert!(blocks.iter().any(|block| block.claim == claim), "blocks of every kind are found");
    }
    assert!(blocks.iter().any(|block| matches!(block.claim, Claim::Refused(_))), "blocks of every kind are found");
    let wrong = blocks.iter().filter_map(|block| Some(format!("{} {}", block.place, block.check().err()?)));
    assert_eq!(wrong.collect::<Vec<_>>().join("\n\n"), "");
}

#[test]
fn the_first_block_of_the_reference_is_the_default_policy() {
    let blocks = reference().first().expect("the reference has pages").blocks();
    let first = blocks.first().expect("the reference has blocks").value().expect("it is YAML");
    let digests =
        [first, json!({})].map(|document| load(&document, false).map(|loaded| loaded.expect("stands").policy.digest()));
    assert_eq!(digests[0], digests[1]);
}

/// The fields that are allowed at a place of the document: the refusal of an unknown field lists them. `None` if no
/// object is allowed there. A place is a list of names and `[]`.
fn fields_at(place: &[&str]) -> Option<&'static [&'static str]> {
    let document = place.iter().rev().fold(json!({"no such field": 0}), |inner, step| match *step {
        "[]" => json!([inner]),
        name => json!({name: inner}),
    });
    match Document::read(document.to_string().as_bytes()).expect_err("there is no such field").problem {
        Problem::UnknownField { known, .. } => Some(known),
        _ => None,
    }
}

/// Every field of the format, such as `consumers[].keys[].id`.
fn fields_below(place: &[&'static str], found: &mut BTreeSet<String>) {
    for field in fields_at(place).unwrap_or_default() {
        let here = [place, &[*field]].concat();
        found.insert(here.join(".").replace(".[]", "[]"));
        fields_below(&here, found);
        fields_below(&[here.as_slice(), &["[]"]].concat(), found);
    }
}

/// The field that a cell names: `` `name` ``, with or without a link.
fn named(cell: &str) -> String {
    let name = cell.split('`').nth(1);
    name.unwrap_or_else(|| panic!("the first column names a field: {cell}")).to_owned()
}

#[test]
fn the_reference_has_every_field_and_no_other() {
    let mut format = BTreeSet::new();
    fields_below(&[], &mut format);
    assert!(format.contains("trusted_networks.client_address.filter_state"), "every level is found: {format:?}");
    let reference = reference();
    let tables = tables(&reference, "field").into_iter().map(|rows| rows.iter().map(|row| named(row[0])).collect());
    let tables: Vec<Vec<String>> = tables.collect();
    let top: Vec<&str> = fields_at(&[]).expect("a document is an object").to_vec();
    assert_eq!(tables[0], top, "the table of contents has every field of the top level, in the order of the format");
    let documented: BTreeSet<String> = tables[1..].concat().into_iter().collect();
    assert_eq!(documented.symmetric_difference(&format).collect::<Vec<_>>(), [""; 0], "fields in one of the two only");
}

#[test]
fn the_reference_has_every_metric_and_reason_and_no_other() {
    let reference = reference();
    let column = |name| tables(&reference, name).concat().iter().map(|row| named(row[0])).collect::<Vec<_>>();
    assert_eq!(column("REASON"), Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>());

    let policy = |name: &str, mode: &str| {
        json!({"version": 1, "name": name, "mode": mode, "key_metrics": true,
            "consumers": [{"name": "ci", "keys": [{"id": "ID", "plaintext": "docs-of-metrics"}]}]})
    };
    let stage = Stage::start(vec![
        listener("enforcing", Kind::Edge, &policy("NAME", "enforce")),
        listener("reporting", Kind::Edge, &policy("NAME", "report")),
    ]);
    stage.ask("enforcing", "/", &[("x-api-key", "docs-of-metrics")]);
    let stats = stage.envoy.admin().stats("wasmcustom.").expect("the admin interface answers");
    let general = |name: &String| match name.rsplit_once('.') {
        Some((group, _)) if group.ends_with(".policy_keys") => format!("{group}.STATE"),
        Some((group, reason)) if Reason::ALL.iter().any(|one| one.name() == reason) => format!("{group}.REASON"),
        _ => name.clone(),
    };
    let metrics: BTreeSet<String> = stats.keys().map(general).collect();
    let documented: BTreeSet<String> = column("metric").into_iter().collect();
    assert_eq!(
        documented.symmetric_difference(&metrics).collect::<Vec<_>>(),
        [""; 0],
        "metrics in one of the two only"
    );
}

/// The reason for a GET with a valid key whose consumer has no role.
fn reason(policy: &Value, path: &str) -> &'static str {
    let mut policy = policy.clone();
    policy["consumers"] = json!([{"name": "docs", "keys": [{"plaintext": "docs-suite-key"}]}]);
    let [text, _] = load(&policy, false);
    let pairs = [(":method", "GET"), (":path", path), (":authority", "gate.test"), ("x-api-key", "docs-suite-key")];
    let block = HeaderBlock::new(&pairs);
    text.expect("the policy stands").policy.decide(&Request::new(block.headers()), &(), &mut ()).reason.name()
}

#[test]
fn patterns_match_as_the_reference_says() {
    let reference = reference();
    for row in tables(&reference, "pattern").concat() {
        for pattern in codes(row[0]) {
            let policy = json!({"public_paths": [pattern]});
            codes(row[1]).for_each(|path| assert_eq!(reason(&policy, path), "public_path", "{pattern} matches {path}"));
            codes(row[2]).for_each(|path| assert_eq!(reason(&policy, path), "key", "{pattern} does not match {path}"));
        }
    }
    let rows = tables(&reference, "request path").concat();
    assert!(rows.len() > 5, "the rows are found");
    let public = json!({"public_paths": ["/docs/**"]});
    let rule = json!({"rules": [{"path": "/docs", "roles": ["admin"]}]});
    for row in rows {
        for path in codes(row[0]) {
            let found = |policy, yes| match reason(policy, path) {
                reason if reason == yes => "yes",
                "bad_request_target" => "400",
                _ => "no",
            };
            let said = [row[1], row[2]].map(|cell| cell.split(':').next().unwrap_or_default());
            assert_eq!([found(&public, "public_path"), found(&rule, "missing_role")], said, "{path}");
        }
    }
}

/// The table of YAML with unexpected types. Two entries with the same key are refused: that shows the actual key.
#[test]
fn envoy_reads_yaml_as_the_reference_warns() {
    let mut blocks = reference().into_iter().flat_map(|page| page.blocks());
    let envoy = blocks.find(|block| block.claim == Claim::Envoy).expect("a whole configuration");
    let with_keys = |keys: &str| {
        let changed = envoy.text.replace("- {id: ci-2026-11, env: PORTCULLIS_TOKEN}", keys);
        assert_ne!(changed, envoy.text, "the keys were put in");
        verdict(&changed)
    };
    let same = [
        "- {plaintext: 0777777777777}",
        "- {plaintext: \"68719476735\"}",
        "- {plaintext: 12345678901}",
        "- {plaintext: \"12345678901\"}",
        "- {plaintext: first, plaintext: last}",
        "- {plaintext: last}",
    ];
    let (passes, output) = with_keys(&same.join("\n                      "));
    assert!(passes, "{output}");
    for (entry, written) in same.iter().enumerate() {
        let message = format!("consumers[0].keys[{entry}]: duplicate key, also at");
        assert!(output.contains(&message), "{written}: {output}");
    }
    for (value, message) in [
        ("12345678", "found a number"),
        ("01234567", "found a number"),
        ("!!str 12345678", "found a number"),
        ("off", "found a boolean"),
        ("~", "found null"),
    ] {
        let (passes, output) = with_keys(&format!("- {{plaintext: {value}}}"));
        assert!(!passes && output.contains(message), "{value}: {output}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for page in pages().into_iter().chain(OTHER_PAGES.map(Page::read)) {
        for (line, link) in page.links().into_iter().filter(|(_, link)| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').map_or((&*link, None), |(file, anchor)| (file, Some(anchor)));
            let folder = page.path.parent().expect("a file is in a directory");
            let target = if file.is_empty() { page.path.clone() } else { folder.join(file) };
            let found = workspace().join(&target).canonicalize().is_ok_and(|path| path.starts_with(workspace()));
            if !found || anchor.is_some_and(|anchor| !Page::read(target).anchors().contains(anchor)) {
                dead.push(format!("{}:{line} {link}", page.path.display()));
            }
        }
    }
    assert_eq!(dead.join("\n"), "");
}
