//! The policy (`policy.yaml`, written by people), the key store (`keys.json`, written by the command), and the
//! effective policy that the gate gets: both merged into one document.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use portcullis::document::{Problem, Refusal};
use portcullis::{Document, Loaded, Policy};

use crate::import::orchestra::NAME as ORCHESTRA;
use crate::similar::did_you_mean;
use crate::store::{Locked, Store};
use crate::yaml::{Node, Place, Position, Tree};

/// The default file name of the policy.
pub(crate) const POLICY: &str = "policy.yaml";

/// The options that select a policy and its key store.
#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyFile {
    /// The policy, as YAML or JSON
    #[arg(id = "policy", default_value = POLICY, value_name = "POLICY")]
    pub(crate) file: PathBuf,
    /// The key store [default: keys.json beside the policy, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
}

impl PolicyFile {
    /// The path of the policy as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// The path of the store, if there is one: as given, or beside the policy.
    pub(crate) fn store_path(&self) -> Option<PathBuf> {
        // Not `is_file`: a broken link is not a policy without a store.
        Some(self.expected_store()).filter(|path| self.store.is_some() || is_there(path))
    }

    /// The path of the store, which may not exist yet.
    fn expected_store(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(|| self.file.with_file_name(Store::NAME))
    }

    /// Reads both files, and merges them.
    ///
    /// # Errors
    /// If a file cannot be read, or where the two contradict each other.
    pub(crate) fn read(&self) -> Result<EffectivePolicy> {
        merge(read_policy(&self.file)?, self.read_store()?.as_ref(), &self.file)
    }

    fn read_store(&self) -> Result<Option<Store>> {
        self.store_path().map(|path| Store::read(&path)).transpose()
    }

    /// Reads files that are read again whenever they change.
    ///
    /// # Errors
    /// As [`read`](Self::read), or if the store has vanished: without it, all of its keys would be revoked.
    pub(crate) fn read_again(&self, followed: &Followed) -> Result<EffectivePolicy> {
        let read = read_policy(&self.file).and_then(|policy| {
            let store = self.read_store()?;
            let merged = merge(policy.clone(), store.as_ref(), &self.file);
            followed.read.replace(Some((policy, store)));
            merged
        });
        let path = self.expected_store();
        let is_gone = read.as_ref().map_or_else(|_| !is_there(&path), |merged| !merged.has_store);
        if followed.had_store.get() && is_gone {
            let store = path.display();
            bail!(
                "the key store {store} has vanished: restore it. Its keys are still valid; to revoke them all, use \
                 `portcullis keys remove --all --store {store}`"
            );
        }
        let merged = read?;
        followed.had_store.set(merged.has_store);
        Ok(merged)
    }

    /// Returns what was accepted last, without what the store has revoked since: a key can be revoked while the policy is
    /// invalid. What the store has added waits for a valid policy, whose roles and rules may differ. `None` if there was no
    /// store, or if it cannot be read.
    pub(crate) fn accepted_without_revoked(&self, followed: &Followed) -> Option<EffectivePolicy> {
        let (policy, Some(accepted)) = followed.accepted.borrow().clone()? else { return None };
        let path = self.expected_store();
        // A pipe would be waited for.
        let now = path.is_file().then(|| Store::read(&path).ok())??;
        merge(policy, Some(&accepted.without_revoked(&now)), &self.file).ok()
    }

    /// Reads both files, and compiles the effective policy as the gate does.
    ///
    /// # Errors
    /// If the gate would refuse it.
    pub(crate) fn load(&self) -> Result<(EffectivePolicy, Loaded)> {
        let merged = self.read()?;
        let loaded = merged.compile(&environment)?;
        Ok((merged, loaded))
    }

    /// Every file that [`read`](Self::read) uses, including those that do not exist yet.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone(), self.expected_store()]
    }
}

/// What was read of files that are read again whenever they change.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Whether the store existed the last time.
    had_store: Cell<bool>,
    /// The policy and the store that were read last.
    read: RefCell<Option<(Node, Option<Store>)>>,
    /// The last ones that were accepted.
    accepted: RefCell<Option<(Node, Option<Store>)>>,
}

impl Followed {
    /// Notes that the gate would accept what was read last.
    pub(crate) fn accept(&self) {
        let read = self.read.take();
        self.accepted.replace(read);
    }
}

/// The text of a file; `-` is standard input.
///
/// # Errors
/// If it cannot be read as text.
pub(crate) fn read_or_stdin(file: &Path) -> io::Result<String> {
    if file == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) }
}

/// Whether there is something of this name, even if it cannot be read.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The options that select a key store and its policy.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreFile {
    /// The key store [default: keys.json, beside the policy if that is given]
    // Not called `file`: a subcommand with an argument of that name would get this one's value.
    #[arg(long, value_name = "FILE", global = true)]
    store: Option<PathBuf>,
    /// The policy [default: policy.yaml beside the store, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    policy: Option<PathBuf>,
}

impl StoreFile {
    /// The path of the store.
    pub(crate) fn path(&self) -> PathBuf {
        let beside =
            || self.policy.as_ref().map_or(PathBuf::from(Store::NAME), |file| file.with_file_name(Store::NAME));
        self.store.clone().unwrap_or_else(beside)
    }

    /// Reads the store. If only the policy is there, the store has no key.
    ///
    /// # Errors
    /// If it cannot be read, or if there is neither.
    pub(crate) fn store(&self) -> Result<Store> {
        let path = self.path();
        let is_policy_alone = self.store.is_none() && !is_there(&path) && self.policy_path().is_some();
        if is_policy_alone { Ok(Store::default()) } else { Store::read(&path) }
    }

    /// Locks a store that exists.
    ///
    /// # Errors
    /// If it does not exist.
    pub(crate) fn lock(&self) -> Result<Locked> {
        let path = self.path();
        if !path.exists() {
            // Report a missing store instead of creating a lock for it.
            Store::read(&path)?;
        }
        Locked::open(&path)
    }

    /// Reads only the policy, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn policy(&self) -> Result<Option<EffectivePolicy>> {
        self.policy_path().map(|file| merge(read_policy(&file)?, None, &file)).transpose()
    }

    /// A note if keys of the store are probably not used: beside it is Orchestra's file, and no policy.
    pub(crate) fn unused(&self) -> Option<String> {
        let store = self.path();
        let beside = store.with_file_name(ORCHESTRA);
        let is_alone = self.policy_path().is_none() && beside.is_file();
        let (store, beside) = (store.display(), beside.display());
        is_alone.then(|| {
            format!(
                "`portcullis run --api-keys {beside}` does not use the keys of {store}: `portcullis import orchestra \
                 {beside}` takes its keys into the store, for `portcullis run` with a policy"
            )
        })
    }

    /// The path of the policy, if there is one.
    pub(crate) fn policy_path(&self) -> Option<PathBuf> {
        self.policy.clone().or_else(|| {
            let beside = self.path().with_file_name(POLICY);
            beside.is_file().then_some(beside)
        })
    }
}

/// The document that the gate gets: the policy with the keys and the mode of the store.
#[derive(Debug, Clone)]
pub(crate) struct EffectivePolicy {
    /// The document. Members from the store have no position.
    pub(crate) node: Node,
    /// The mode of the policy itself, if the store overrides it.
    pub(crate) overridden_mode: Option<String>,
    /// Whether it includes a store.
    pub(crate) has_store: bool,
    file: PathBuf,
}

impl EffectivePolicy {
    /// Parses the document.
    ///
    /// # Errors
    /// The first thing that the gate would refuse.
    pub(crate) fn document(&self) -> Result<Document> {
        let json = self.node.to_json()?;
        Document::read(&json)
            .map_err(|refusal| anyhow!("{}: {refusal}{}", self.place_of(&refusal), meant(&refusal.problem)))
    }

    /// Compiles the document with the same core as the filter.
    ///
    /// # Errors
    /// The first thing that the gate would refuse.
    pub(crate) fn compile(&self, environment: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Loaded> {
        Policy::load(&self.node.to_json()?, environment).map_err(|refusal| {
            let (place, hint) = (self.place_of(&refusal), meant(&refusal.problem));
            anyhow!("{place}: the gate would refuse this policy: {refusal}{hint}")
        })
    }

    fn place_of(&self, refusal: &Refusal) -> Place {
        Place::new(&self.file, refused_at(&self.node, refusal, self.node.position(&refusal.path)))
    }

    /// Makes it the policy of `portcullis run`, whose line for each request needs the decision.
    pub(crate) fn set_access_log(&mut self) {
        self.node.set("access_log", true.into());
    }

    /// The place of a key entry, as `FILE:LINE:COLUMN`, if it is not in the store.
    pub(crate) fn place_of_key(&self, path: &str) -> String {
        let own = self.node.at_path(path).and_then(|key| key.at);
        own.map_or_else(|| "in the key store".to_owned(), |at| Place::new(&self.file, Some(at)).to_string())
    }

    /// The place of a consumer, as `FILE:LINE:COLUMN`, if the policy defines it.
    pub(crate) fn place_of_consumer(&self, name: &str) -> Option<String> {
        let is_it = |one: &Node| one.get("name").and_then(Node::text) == Some(name);
        let index = self.node.items_of("consumers").iter().position(is_it)?;
        Some(self.place(&format!("consumers[{index}]")))
    }

    /// The place of `path`, as `FILE:LINE:COLUMN`.
    pub(crate) fn place(&self, path: &str) -> String {
        Place::new(&self.file, self.node.position(path)).to_string()
    }
}

/// `: did you mean NAME?` for an unknown field, if one is like it.
pub(crate) fn meant(problem: &Problem) -> String {
    match problem {
        Problem::UnknownField { name: Some(name), known } => did_you_mean(name, known.iter().copied()),
        _ => String::new(),
    }
}

/// The position of what the gate refuses, if `path` of the refusal is at `otherwise`: an unknown field has one of its own. Of a
/// field of the whole document whose name is not shown, there is none.
pub(crate) fn refused_at(policy: &Node, refusal: &Refusal, otherwise: Option<Position>) -> Option<Position> {
    match &refusal.problem {
        Problem::UnknownField { name: Some(name), .. } => policy.name_position(&refusal.path, name).or(otherwise),
        Problem::UnknownField { name: None, .. } if refusal.path.is_empty() => None,
        _ => otherwise,
    }
}

/// Reads a policy without its store.
///
/// # Errors
/// If it cannot be read, is not YAML, is empty, or is a whole configuration of Envoy or Kubernetes.
pub(crate) fn read_policy(file: &Path) -> Result<Node> {
    let place = file.display();
    let text = read_text(file)?;
    let node = Node::parse(&text).map_err(|error| anyhow!("{place} is not valid YAML: {error}"))?;
    if node.tree == Tree::Null {
        let (message, fix) = EMPTY;
        bail!("{place} {message}: {fix}");
    }
    policy_alone(node, file)
}

/// The message for a file without a policy, and what to do. A command that failed has probably emptied it, and `{}` in its
/// place would drop all rules.
pub(crate) const EMPTY: (&str, &str) = (
    "is empty, perhaps because a command that should write it has failed",
    "restore it, or write {} for a policy without any settings",
);

/// The text of a policy.
///
/// # Errors
/// If it cannot be read. If it does not exist, the message says how to create one.
pub(crate) fn read_text(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| {
        // A file that somebody named is not the one that `init` writes.
        let is_default = file.file_name().is_some_and(|name| name == POLICY);
        let is_missing = file.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let remedy = if is_default && is_missing { " (`portcullis init` writes one)" } else { "" };
        format!("cannot read the policy {}{remedy}", file.display())
    })
}

/// Checks that a file contains only a policy.
///
/// # Errors
/// If it is a whole configuration of Envoy or Kubernetes.
pub(crate) fn policy_alone(node: Node, file: &Path) -> Result<Node> {
    let place = file.display();
    if ["static_resources", "dynamic_resources", "apiVersion"].iter().any(|member| node.get(member).is_some()) {
        bail!(
            "{place} is a whole configuration: give only the policy, which is the value of the filter's \
             `configuration` (or `pluginConfig`), or check all of it with `portcullis lint --envoy {place}`"
        );
    }
    Ok(node)
}

/// Adds the keys of the store to their consumers, and applies its mode. The roles of a consumer are in the policy if it
/// defines the consumer, otherwise in the store.
pub(crate) fn merge(mut policy: Node, store: Option<&Store>, file: &Path) -> Result<EffectivePolicy> {
    let mut overridden_mode = None;
    if let Some(store) = store {
        if let Some(mode) = store.mode_override {
            let own = policy.get("mode").and_then(Node::text).unwrap_or("enforce").to_owned();
            overridden_mode = Some(own).filter(|own| own != mode.as_str());
            policy.set("mode", mode.as_str().into());
        }
        let named = |(index, one): (usize, &Node)| Some((one.get("name")?.text()?.to_owned(), index));
        let own = policy.items_of("consumers");
        let own: HashMap<String, usize> = own.iter().enumerate().filter_map(named).collect();
        for (name, stored) in &store.consumers {
            let keys = stored.keys.iter().map(|key| key.to_node());
            if policy.get("consumers").is_none() {
                policy.set("consumers", Node::list([]));
            }
            let Some(Node { tree: Tree::List(consumers), .. }) = policy.get_mut("consumers") else { break };
            match own.get(name).and_then(|index| consumers.get_mut(*index)) {
                Some(consumer) => {
                    if !stored.roles.is_empty() {
                        bail!(
                            "consumer {name} has roles in the store, but is defined in the policy ({}): define its \
                             roles in the policy, and remove them from the store",
                            Place::new(file, consumer.at)
                        );
                    }
                    match consumer.get_mut("keys") {
                        Some(Node { tree: Tree::List(own), .. }) => own.extend(keys),
                        // Not a list: the gate refuses it with its own message.
                        Some(_) => {}
                        None => consumer.set("keys", Node::list(keys)),
                    }
                }
                None => {
                    let mut members = vec![("name", Node::from(name.as_str()))];
                    if !stored.roles.is_empty() {
                        members.push(("roles", Node::list(stored.roles.iter().map(|role| role.as_str().into()))));
                    }
                    members.push(("keys", Node::list(keys)));
                    consumers.push(Node::map(members));
                }
            }
        }
    }
    Ok(EffectivePolicy { node: policy, overridden_mode, has_store: store.is_some(), file: file.to_owned() })
}

/// The environment of this process, for `env:` keys.
pub(crate) fn environment(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(policy: &str, store: &str) -> Result<EffectivePolicy> {
        let store = Store::parse(store)?;
        merge(Node::parse(policy).unwrap(), Some(&store), Path::new("policy.yaml"))
    }

    const STORE: &str = r#"{"version": 1, "mode_override": "report", "consumers": {
        "ci": {"keys": [{"id": "two", "sha256": "00", "note": "of somebody", "expires": "2027-01-01T00:00:00Z"}]},
        "new": {"roles": ["predict"], "keys": [{"id": "three", "sha256": "11"}]}}}"#;

    #[test]
    fn keys_come_to_their_consumers_and_the_mode_over_that_of_the_policy() {
        let merged = merged("mode: enforce\nconsumers: [{name: ci, keys: [{id: one}]}]\n", STORE).unwrap();
        assert_eq!(merged.overridden_mode.as_deref(), Some("enforce"));
        assert_eq!(
            String::from_utf8(merged.node.to_json().unwrap()).unwrap(),
            r#"{"mode":"report","consumers":[{"name":"ci","keys":[{"id":"one"},{"id":"two","sha256":"00","expires":"2027-01-01T00:00:00Z"}]},{"name":"new","roles":["predict"],"keys":[{"id":"three","sha256":"11"}]}]}"#
        );
    }

    #[test]
    fn roles_have_one_home() {
        let error = merged("consumers:\n  - name: new\n", STORE).unwrap_err().to_string();
        assert!(error.contains("consumer new has roles in the store") && error.contains("policy.yaml:2:5"), "{error}");
    }
}
