//! `check --cases`: a table of test cases.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use portcullis::{HeaderBlock, Timestamp};
use portcullis_explain::request_spec::{self, RequestSpec};
use portcullis_explain::stand_ins::StandIns;
use portcullis_explain::{Explanation, trace};
use serde_json::json;

use super::expectation::Expectation;
use super::{load, stand_ins, text};
use crate::files::EffectivePolicy;
use crate::output::{GREEN, Output, RED, count, print};
use crate::similar::did_you_mean;
use crate::when::When;
use crate::yaml::{Node, Place, Tree};

const MEMBERS: [&str; 11] =
    ["name", "method", "path", "authority", "headers", "key", "peer", "identity", "filter_state", "now", "expect"];

/// The file of the table, which messages name.
#[derive(Clone, Copy)]
pub(super) struct InFile<'a>(&'a Path);

impl InFile<'_> {
    /// The place of a node.
    pub(super) fn of(self, node: &Node) -> String {
        Place::new(self.0, node.at).to_string()
    }

    /// The members of an object. Only the names in `known` are allowed.
    pub(super) fn members<'n>(self, node: &'n Node, known: &[&str]) -> Result<Vec<(&'n str, &'n Node)>> {
        if !matches!(node.tree, Tree::Map(_)) {
            bail!("{}: expected an object: {}", self.of(node), known.join(", "));
        }
        let member = |(name, value): &'n (crate::yaml::Name, Node)| {
            if known.contains(&name.text.as_str()) {
                return Ok((name.text.as_str(), value));
            }
            let (place, like) = (Place::new(self.0, name.at), did_you_mean(&name.text, known.iter().copied()));
            bail!("{place}: unknown field `{}`: expected {}{like}", name.text, known.join(", "))
        };
        node.members().iter().map(member).collect()
    }

    /// Text.
    pub(super) fn text<'n>(self, node: &'n Node, what: &str) -> Result<&'n str> {
        node.text().ok_or_else(|| anyhow!("{}: {what}: expected text: quote it", self.of(node)))
    }
}

/// One row.
struct Case {
    place: String,
    name: String,
    spec: RequestSpec,
    expected: Expectation,
}

/// Decides every row. Returns whether all of them passed.
///
/// # Errors
/// A table that cannot be read, and a policy that the gate would refuse.
pub(super) fn run(file: &Path, mut merged: EffectivePolicy, now: Timestamp, output: Output) -> Result<bool> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the cases {}", file.display()))?;
    let table = Node::parse(&text).map_err(|error| anyhow!("{} is not valid YAML: {error}", file.display()))?;
    let place = InFile(file);
    let members = place.members(&table, &["cases"])?;
    let rows = members.first().map(|(_, rows)| rows.items()).unwrap_or_default();
    if rows.is_empty() {
        bail!("{}: empty list of cases: add cases under `cases`", place.of(&table));
    }
    let mut keys = stand_ins(&mut merged)?;
    let cases = rows.iter().map(|row| read(place, row, now, &mut keys)).collect::<Result<Vec<_>>>()?;
    let policy = load(&merged)?;
    let mut failed = 0_usize;
    let mut json = Vec::new();
    for case in &cases {
        let block = HeaderBlock::new(&case.spec.pairs);
        let got = Explanation::of(&policy, &merged, &case.spec, &block);
        let miss = case.expected.miss(&got);
        failed = failed.saturating_add(usize::from(miss.is_some()));
        if output == Output::Json {
            let (expected, came) = miss.clone().unzip();
            json.push(json!({
                "name": case.name, "place": case.place, "passed": miss.is_none(), "expected": expected, "got": came,
                "decision": got.verdict, "reason": got.decision.reason.name(), "trace": trace::as_json(&got.steps),
            }));
        } else if let Some((expected, came)) = miss {
            let why = got.steps.last().map(text::step).unwrap_or_default();
            print(&format!(
                "{RED}failed{RED:#} {}: {}\n  expected  {expected}\n  got       {came}\n  because   {why}\n\n",
                case.place, case.name
            ))?;
        }
    }
    let passed = cases.len().saturating_sub(failed);
    if output == Output::Json {
        print(&format!("{:#}\n", json!({"passed": passed, "failed": failed, "cases": json})))?;
    } else {
        let style = if failed == 0 { GREEN } else { RED };
        let cases = count(cases.len(), "case");
        print(&format!("{}: {cases}, {passed} passed, {style}{failed} failed{style:#}\n", file.display()))?;
    }
    Ok(failed == 0)
}

fn read(place: InFile<'_>, row: &Node, now: Timestamp, keys: &mut StandIns<'_>) -> Result<Case> {
    let members: BTreeMap<_, _> = place.members(row, &MEMBERS)?.into_iter().collect();
    let text = |name: &str| members.get(name).map(|node| place.text(node, name)).transpose();
    let missing = |name: &str| anyhow!("{}: missing field `{name}`: add it", place.of(row));
    let at = |name: &str| place.of(members.get(name).copied().unwrap_or(row));
    let name = text("name")?.ok_or_else(|| missing("name"))?.to_owned();
    let path = text("path")?.ok_or_else(|| missing("path"))?;
    request_spec::path(path).with_context(|| at("path"))?;
    let time =
        |text: &str| text.parse().map(|when: When| when.from(now)).with_context(|| format!("invalid time {text:?}"));
    let now = text("now")?.map(time).transpose().with_context(|| at("now"))?.unwrap_or(now);
    let authority = text("authority")?.unwrap_or("localhost");
    let mut spec = RequestSpec::new(text("method")?.unwrap_or("GET"), path, authority, now);
    if let Some(headers) = members.get("headers") {
        if !matches!(headers.tree, Tree::Map(_)) {
            bail!("{}: headers: expected an object: NAME: VALUE, or NAME: [VALUE, VALUE]", place.of(headers));
        }
        for (name, value) in headers.members() {
            let values = if let Tree::List(values) = &value.tree { values } else { std::slice::from_ref(value) };
            for value in values {
                let added = spec.header(&name.text, place.text(value, "headers")?);
                added.map_err(|error| anyhow!("{}: headers: {error}", place.of(value)))?;
            }
        }
    }
    if let Some(id) = text("key")? {
        keys.present(id, &mut spec).with_context(|| at("key"))?;
    }
    spec.peer = text("peer")?.map(request_spec::peer).transpose().with_context(|| at("peer"))?;
    spec.identity = text("identity")?.map(str::to_owned);
    if let Some(state) = members.get("filter_state") {
        let [(key, address)] = state.members() else {
            bail!("{}: filter_state: expected an object: KEY: ADDRESS", place.of(state))
        };
        spec.filter_state = Some((key.text.clone(), place.text(address, "filter_state")?.to_owned()));
    }
    let expected = members.get("expect").ok_or_else(|| missing("expect"))?;
    Ok(Case { place: place.of(row), name, spec, expected: Expectation::read(place, expected)? })
}
