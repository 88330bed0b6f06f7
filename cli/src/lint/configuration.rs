//! Whole configurations: reads the files, finds the gates in them, and checks each gate and all of them together.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use portcullis::Timestamp;

use super::code::Code;
use super::files::syntax;
use super::finding::Finding;
use super::gate::{Gate, shared_vms};
use super::{Examined, listener, mesh, normalization, routes};
use crate::yaml::{Node, Place, Position, Tree};

/// A file of a configuration.
pub(super) struct Source {
    /// As it was given.
    pub(super) file: String,
    text: String,
    /// Its documents.
    pub(super) documents: Vec<Node>,
}

impl Source {
    /// Converts the positions of a tree that was parsed from a text in this file into positions of the file. If the
    /// text is not there line by line, all get the position of the text.
    pub(super) fn outer(&self, mut node: Node, value: &Node, text: &str) -> Option<Node> {
        let start = value.at?;
        let first = usize::try_from(start.line.checked_sub(1)?).ok()?;
        let mut lines = self.text.lines().skip(first);
        let is_block = text.lines().all(|inner| lines.next().is_some_and(|outer| outer.trim() == inner.trim()));
        shift(&mut node, &|at| match at {
            Some(at) if is_block => Position {
                line: start.line.saturating_add(at.line).saturating_sub(1),
                column: start.column.saturating_add(at.column).saturating_sub(1),
            },
            _ => start,
        });
        Some(node)
    }
}

fn shift(node: &mut Node, to: &dyn Fn(Option<Position>) -> Position) {
    node.at = Some(to(node.at));
    match &mut node.tree {
        Tree::List(items) => items.iter_mut().for_each(|item| shift(item, to)),
        Tree::Map(members) => {
            for (name, value) in members {
                name.at = Some(to(name.at));
                shift(value, to);
            }
        }
        _ => {}
    }
}

/// A member by its name in a `.proto` file or by its JSON name: Envoy accepts both.
pub(super) fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.get(name).or_else(|| {
        let mut words = name.split('_');
        let mut camel = words.next()?.to_owned();
        for word in words {
            let (first, rest) = word.split_at_checked(1)?;
            camel.push_str(&first.to_ascii_uppercase());
            camel.push_str(rest);
        }
        node.get(&camel)
    })
}

/// The text of a member.
pub(super) fn text_of<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    field(node, name).and_then(Node::text)
}

/// Whether a member is true. Text counts too: Envoy parses it like protobuf's `safe_strtob`.
pub(super) fn is_set(node: &Node, name: &str) -> bool {
    field(node, name).is_some_and(|value| match &value.tree {
        Tree::Bool(value) => *value,
        Tree::Text(text) => ["true", "t", "yes", "y", "1"].iter().any(|yes| text.eq_ignore_ascii_case(yes)),
        _ => false,
    })
}

/// Whether a member is there and false, as [`is_set`] reads it.
pub(super) fn is_off(node: &Node, name: &str) -> bool {
    field(node, name).is_some() && !is_set(node, name)
}

/// Whether a value is a variant of an enum: by name in any letter case, or by number, which may be text. Envoy accepts
/// all of these.
pub(super) fn is_enum(value: &Node, name: &str, number: u64) -> bool {
    match &value.tree {
        Tree::Text(text) => text.eq_ignore_ascii_case(name) || text.parse() == Ok(number),
        Tree::Number(value) => value.as_u64() == Some(number),
        _ => false,
    }
}

/// The type and the value of a `google.protobuf.Any`, including one in a `TypedStruct`.
pub(super) fn typed(any: &Node) -> Option<(&str, &Node)> {
    let kind = any.get("@type").and_then(Node::text)?;
    if kind.ends_with(".TypedStruct") {
        Some((text_of(any, "type_url")?, any.get("value")?))
    } else {
        Some((kind, any))
    }
}

/// Calls `see` with each map, outermost first.
pub(super) fn walk<'a>(node: &'a Node, see: &mut dyn FnMut(&'a Node)) {
    if matches!(node.tree, Tree::Map(_)) {
        see(node);
    }
    let members = node.members().iter().map(|(_, value)| value);
    members.chain(node.items()).for_each(|inner| walk(inner, see));
}

/// Checks all files as parts of one configuration.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn examine(files: &[PathBuf], times: (Timestamp, Timestamp)) -> Result<Vec<Examined>> {
    let mut all = Vec::new();
    let mut sources = Vec::new();
    for path in files {
        let path = if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path };
        let file = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read the configuration {file}"))?;
        let mut examined = Examined { file: file.clone(), findings: Vec::new(), policies: Vec::new() };
        match Node::parse_all(&text) {
            Ok(documents) => {
                sources.push(Source { file, text, documents: documents.into_iter().flat_map(items_of_list).collect() })
            }
            Err(error) => examined.findings.push(syntax(&file, &error)),
        }
        all.push(examined);
    }
    let mut gates: Vec<Gate<'_>> = sources.iter().flat_map(gates_of).collect();
    let managers: Vec<_> = sources.iter().flat_map(listener::managers_of).collect();
    let in_listener: Vec<_> =
        gates.iter().map(|gate| managers.iter().any(|manager| manager.has(gate, &gates))).collect();
    for (gate, in_listener) in gates.iter_mut().zip(in_listener) {
        let Some(examined) = all.iter_mut().find(|one| one.file == gate.source.file) else { continue };
        gate.examine(in_listener, times, examined);
    }
    let mut findings = Vec::new();
    let has_gate = listener::examine(&sources, &managers, &gates, &mut findings);
    sources.iter().for_each(|source| mesh::examine(source, &mut findings));
    normalization::examine(&sources, &managers, &mut findings);
    routes::examine(&sources, &managers, &gates, &mut findings);
    mesh::examine_gates(&gates, &mut findings);
    shared_vms(&gates, &mut findings);
    sources.iter().for_each(|source| switched_off(source, &gates, &mut findings));
    if let Some(source) = sources.first().filter(|_| !has_gate) {
        let place = Place { file: source.file.clone(), at: None };
        let fix = "add one before the router (`portcullis render` writes it), or also give the file that contains it";
        findings.push(Finding::new(Code::NoGate, place, "there is no gate in this configuration", fix));
    }
    for finding in findings {
        if let Some(examined) = all.iter_mut().find(|one| one.file == finding.place.file) {
            examined.findings.push(finding);
        }
    }
    Ok(all)
}

/// The items of a `List` of Kubernetes; any other document is one itself.
fn items_of_list(document: Node) -> Vec<Node> {
    match document.get("items") {
        Some(Node { tree: Tree::List(items), .. })
            if text_of(&document, "kind").is_some_and(|kind| kind.ends_with("List")) =>
        {
            items.clone()
        }
        _ => vec![document],
    }
}

fn gates_of(source: &Source) -> Vec<Gate<'_>> {
    let mut gates = Vec::new();
    for document in &source.documents {
        walk(document, &mut |node| {
            let configs = [field(node, "typed_config"), field(node, "default_config")];
            gates.extend(configs.into_iter().flatten().filter_map(|config| Gate::of_filter(source, node, config)));
        });
        gates.extend(mesh::gates_of(source, document));
    }
    gates
}

/// Finds gates that are disabled: `disabled` at the filter or for a route, `is_optional`.
fn switched_off(source: &Source, gates: &[Gate<'_>], findings: &mut Vec<Finding>) {
    let mut find = |code, node: &Node, message: &str, fix: &str| {
        findings.push(Finding::new(code, Place { file: source.file.clone(), at: node.at }, message, fix));
    };
    let is_gate = |name: &str| name.contains("portcullis") || gates.iter().any(|gate| gate.name == name);
    for document in &source.documents {
        walk(document, &mut |node| {
            for (name, config) in field(node, "typed_per_filter_config").map(Node::members).unwrap_or_default() {
                if is_gate(&name.text) && is_set(config, "disabled") {
                    let message = format!("disabled: the gate {} does not run here", name.text);
                    find(Code::GateDisabled, config, &message, "remove it, and list public paths in public_paths");
                }
            }
            let is_filter = field(node, "typed_config").or_else(|| field(node, "config_discovery")).is_some();
            if !is_filter || !text_of(node, "name").is_some_and(is_gate) {
                return;
            }
            if let Some(disabled) = field(node, "disabled").filter(|_| is_set(node, "disabled")) {
                let message = "disabled: the gate runs only where a route enables it";
                find(Code::GateDisabled, disabled, message, "remove it, and list public paths in public_paths");
            }
            if let Some(optional) = field(node, "is_optional").filter(|_| is_set(node, "is_optional")) {
                let message = "is_optional: an Envoy without wasm runs without the gate";
                find(Code::OptionalGate, optional, message, "remove it");
            }
        });
    }
}
