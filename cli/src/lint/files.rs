//! Lints of the policy file and the store beside it.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use portcullis::Timestamp;

use super::Examined;
use super::code::Code;
use super::finding::Finding;
use super::policy::{Subject, Variables};
use crate::files::{EMPTY, PolicyFile, merge, policy_alone, read_text};
use crate::store::Store;
use crate::yaml::{Node, Place, Position, Tree};

/// Checks a policy with its store.
///
/// # Errors
/// If a file cannot be read, or the policy is a whole configuration.
pub(super) fn examine(policy: PathBuf, store: Option<PathBuf>, times: (Timestamp, Timestamp)) -> Result<Examined> {
    let is_stdin = policy.as_os_str() == "-";
    let files = PolicyFile { file: if is_stdin { "/dev/stdin".into() } else { policy }, store };
    let file = files.path().display().to_string();
    let mut examined = Examined { file: file.clone(), findings: Vec::new(), policies: Vec::new() };
    let text = read_text(files.path())?;
    let own = match Node::parse(&text) {
        Ok(Node { tree: Tree::Null, .. }) => {
            let (message, fix) = EMPTY;
            let place = Place { file, at: Some(Position { line: 1, column: 1 }) };
            examined.findings.push(Finding::new(Code::Refused, place, format!("the policy {message}"), fix));
            return Ok(examined);
        }
        Ok(node) => policy_alone(node, files.path())?,
        Err(error) => {
            examined.findings.push(syntax(&file, &error));
            return Ok(examined);
        }
    };
    let store = match files.store_path() {
        Some(path) => read_store(&path, &own, &file, &mut examined.findings)?,
        None => None,
    };
    let merged = merge(own.clone(), store.as_ref().map(|stored| &stored.store), files.path())?;
    let bytes = merged.node.to_json()?;
    let place = |path: &str| place(path, &file, &own, &merged.node, store.as_ref());
    let subject = Subject {
        node: &merged.node,
        bytes: &bytes,
        place: &place,
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
    if let Some((stored, mode)) = store.as_ref().and_then(|stored| Some((stored, stored.store.mode_override?))) {
        let mode = mode.as_str();
        // If the store sets the mode, the finding is at the store.
        examined.findings.retain(|finding| finding.code != Code::NotEnforcing);
        let own = merged.overridden_mode.as_deref().unwrap_or(mode);
        let message = format!("mode_override: the mode is {mode} (the policy has {own})");
        let place = stored.place(&["mode_override"]);
        examined.findings.push(Finding::new(Code::ModeOverride, place, message, "`portcullis mode` changes it"));
    }
    examined.policies.extend(accepted.map(|accepted| (accepted.document.name.as_str().to_owned(), accepted.digest)));
    Ok(examined)
}

/// A finding for invalid YAML. The parser's message begins with line and column, if known.
pub(super) fn syntax(file: &str, error: &str) -> Finding {
    let position = |text: &str| {
        let (line, rest) = text.strip_prefix("line ")?.split_once(" column ")?;
        let (column, rest) = rest.split_once(": ")?;
        Some((Position { line: line.parse().ok()?, column: column.parse().ok()? }, rest.to_owned()))
    };
    let (at, message) = position(error).map_or((None, error.to_owned()), |(at, rest)| (Some(at), rest));
    let place = Place { file: file.to_owned(), at };
    Finding::new(Code::Syntax, place, format!("not valid YAML: {message}"), "correct it there, or in the line before")
}

/// A store, with the positions in its file.
struct Stored {
    store: Store,
    file: String,
    text: String,
    /// Parsed only when a position is needed: a store may be large.
    node: OnceCell<Option<Node>>,
}

impl Stored {
    fn place(&self, path: &[&str]) -> Place {
        let node = self.node.get_or_init(|| Node::parse(&self.text).ok()).as_ref();
        let mut at = None;
        let mut here = node;
        for step in path {
            here = here.and_then(|node| node.get(step).or_else(|| node.items().get(step.parse::<usize>().ok()?)));
            at = here.and_then(|node| node.at).or(at);
        }
        Place { file: self.file.clone(), at }
    }
}

/// Reads the store; `None` if it is invalid. Adds findings for an invalid store and for roles that contradict the
/// policy, which are removed.
fn read_store(path: &Path, policy: &Node, policy_file: &str, findings: &mut Vec<Finding>) -> Result<Option<Stored>> {
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
            let place = Place { file: policy_file.to_owned(), at: consumer.at };
            let message = format!("consumers[{index}]: {name} is defined here, but also has roles in {file}");
            let fix = "define its roles here, and remove them from the store";
            findings.push(Finding::new(Code::RolesTwice, place, message, fix));
            stored.roles.clear();
        }
    }
    Ok(Some(Stored { store, file, text, node: OnceCell::new() }))
}

/// The place of a path of the document: in the policy, or in the store.
fn place(path: &str, file: &str, own: &Node, merged: &Node, store: Option<&Stored>) -> Place {
    from_store(path, own, merged, store).unwrap_or_else(|| Place { file: file.to_owned(), at: own.position(path) })
}

fn from_store(path: &str, own: &Node, merged: &Node, store: Option<&Stored>) -> Option<Place> {
    let (consumer, rest) = path.strip_prefix("consumers[")?.split_once(']')?;
    let index: usize = consumer.parse().ok()?;
    let name = merged.get("consumers")?.items().get(index)?.get("name").and_then(Node::text)?;
    let own = own.get("consumers").and_then(|consumers| consumers.items().get(index));
    let own_keys = own.and_then(|consumer| consumer.get("keys")).map_or(0, |keys| keys.items().len());
    let key = rest
        .strip_prefix(".keys[")
        .and_then(|rest| rest.split_once(']'))
        .and_then(|(key, _)| key.parse::<usize>().ok());
    match key.map(|key| key.checked_sub(own_keys)) {
        Some(Some(key)) => Some(store?.place(&["consumers", name, "keys", &key.to_string()])),
        None if own.is_none() => Some(store?.place(&["consumers", name])),
        _ => None,
    }
}
