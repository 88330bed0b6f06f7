//! Lints of the policy file and the store beside it, or of several files that make one policy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use portcullis::Timestamp;

use super::Examined;
use super::code::Code;
use super::finding::Finding;
use super::policy::{Subject, Variables};
use crate::files::{EMPTY, PolicyFile, policy_alone, read_text};
use crate::store::{Located, Store};
use crate::teams::{Conflict, Part, Whole};
use crate::yaml::{Node, Place, Position, Tree, position_in};

/// Checks a policy with its store; or the files of a platform and its teams, each with its store.
///
/// # Errors
/// If a file cannot be read, or a policy is a whole configuration.
pub(super) fn examine(files: &PolicyFile, times: (Timestamp, Timestamp)) -> Result<Examined> {
    let mut examined =
        Examined { file: files.path().display().to_string(), findings: Vec::new(), policies: Vec::new() };
    let members = files.members()?;
    let mut parts = Vec::new();
    for member in &members {
        if let Some(policy) = read_own(&member.file, &mut examined.findings)? {
            let store = match member.store_path() {
                Some(path) => read_store(path, &policy, &member.file, &mut examined.findings)?,
                None => None,
            };
            parts.push(Part { file: member.file.clone(), policy, store });
        }
    }
    if parts.len() < members.len() {
        return Ok(examined);
    }
    let whole = Whole::of(parts)?;
    if !whole.conflicts.is_empty() {
        let finding = |one: &Conflict| Finding::new(Code::TeamConflict, one.place.clone(), &one.message, &one.fix);
        examined.findings.extend(whole.conflicts.iter().map(finding));
        return Ok(examined);
    }
    let merged = &whole.merged;
    let bytes = merged.node.to_json()?;
    let subject = Subject {
        node: &merged.node,
        bytes: &bytes,
        place: &|path: &str| merged.at(path),
        variables: &Variables::Here,
        has_listener: false,
        times,
    };
    let (mut findings, accepted) = subject.examine();
    if examined.findings.iter().any(|finding| finding.code == Code::BrokenStore) {
        // Its keys are not known.
        findings.retain(|finding| !matches!(finding.code, Code::NoKeys | Code::IdleConsumer));
    }
    examined.findings.extend(findings);
    if let Some((stored, mode)) = whole.first_store().and_then(|stored| Some((stored, stored.store.mode_override?))) {
        let mode = mode.as_str();
        // If the store sets the mode, the finding is at the store.
        examined.findings.retain(|finding| finding.code != Code::NotEnforcing);
        let own = merged.overridden_mode.as_deref().unwrap_or(mode);
        let message = format!("mode_override: the mode is {mode} (the policy has {own})");
        let place = stored.place(&["mode_override"]);
        examined.findings.push(Finding::new(Code::ModeOverride, place, message, "`portcullis mode` changes it"));
    }
    if let Some(place) = whole.open_rest() {
        let message = "delegations: any valid key of any team is enough on a path that no rule matches";
        let fix = "close the rest with a role of your own consumers: `final_rules: [{path: \"/**\", roles: [ROLE]}]`";
        examined.findings.push(Finding::new(Code::OpenRest, place, message, fix));
    }
    examined.policies.extend(accepted.map(|accepted| (accepted.document.name.as_str().to_owned(), accepted.digest)));
    Ok(examined)
}

/// Reads a policy without its store; `None`, with a finding, if it is empty or no YAML.
fn read_own(path: &Path, findings: &mut Vec<Finding>) -> Result<Option<Node>> {
    let file = path.display().to_string();
    match Node::parse(&read_text(path)?) {
        Ok(Node { tree: Tree::Null, .. }) => {
            let (message, fix) = EMPTY;
            let place = Place { file, at: Some(Position { line: 1, column: 1 }) };
            findings.push(Finding::new(Code::Refused, place, format!("the policy {message}"), fix));
            Ok(None)
        }
        Ok(node) => policy_alone(node, path).map(Some),
        Err(error) => {
            findings.push(syntax(&file, &error));
            Ok(None)
        }
    }
}

/// A finding for invalid YAML. The parser's message begins with line and column, if known.
pub(super) fn syntax(file: &str, error: &str) -> Finding {
    let (at, message) = position_in(error);
    let place = Place { file: file.to_owned(), at };
    Finding::new(Code::Syntax, place, format!("not valid YAML: {message}"), "correct it there, or in the line before")
}

/// Reads the store; `None` if it is invalid. Adds findings for an invalid store and for roles that contradict the
/// policy, which are removed.
fn read_store(path: &Path, policy: &Node, policy_file: &Path, findings: &mut Vec<Finding>) -> Result<Option<Located>> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the key store {file}"))?;
    let here = Place { file: file.clone(), at: None };
    if fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0) {
        let message = "users other than the owner can read or write the key store: it shows which digest belongs to \
                       whom, and write access allows adding keys";
        findings.push(Finding::new(Code::StoreReadable, here.clone(), message, format!("chmod 600 {file}")));
    }
    let mut store = match Store::parse(&text) {
        Ok(store) => store,
        Err(error) => {
            let error = error.to_string();
            let (message, fix) = error.rsplit_once(": ").unwrap_or((&error, "restore a copy"));
            findings.push(Finding::new(Code::BrokenStore, here, format!("invalid key store: {message}"), fix));
            return Ok(None);
        }
    };
    for (index, consumer) in policy.items_of("consumers").iter().enumerate() {
        let name = consumer.get("name").and_then(Node::text).unwrap_or_default();
        if let Some(stored) = store.consumers.get_mut(name).filter(|stored| !stored.roles.is_empty()) {
            let place = Place::new(policy_file, consumer.at);
            let message = format!("consumers[{index}]: {name} is defined here, but also has roles in {file}");
            let fix = "define its roles here, and remove them from the store";
            findings.push(Finding::new(Code::RolesTwice, place, message, fix));
            stored.roles.clear();
        }
    }
    Ok(Some(Located::new(store, path, text)))
}
