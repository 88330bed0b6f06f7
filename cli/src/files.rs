//! The policy (`policy.yaml`, written by people), the key store (`keys.json`, written by the command), and the
//! effective policy that the gate gets: both merged into one document.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use portcullis::document::Refusal;
use portcullis::{Document, Loaded, Policy};
use portcullis_explain::Written;
use portcullis_explain::refusal::{meant, refused_at};

use crate::output::note;
use crate::store::{Located, Store};
use crate::teams::{self, Member, Part, Parts, combine};
use crate::yaml::{Node, Place, Tree};

/// The default file name of the policy.
pub(crate) const POLICY: &str = "policy.yaml";

/// The options that select a policy and its key store.
#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyFile {
    /// The policy, as YAML or JSON; of a platform and its teams: the platform's file first, or their folder
    #[arg(id = "policy", default_value = POLICY, value_name = "POLICY", num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,
    /// The key store of the (first) policy [default: keys.json beside it, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
}

impl PolicyFile {
    /// Selects one file, or a folder.
    pub(crate) fn of(file: PathBuf, store: Option<PathBuf>) -> Self {
        Self { files: vec![file], store }
    }

    /// The policy as it was given: the folder, or the first file.
    pub(crate) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(POLICY), PathBuf::as_path)
    }

    /// The files, each with its store.
    ///
    /// # Errors
    /// If a folder cannot be read, or if the files do not fit together.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        teams::members(&self.files, self.store.as_deref())
    }

    /// The stores that there are; those that were named, also if they do not exist.
    pub(crate) fn store_paths(&self) -> Vec<PathBuf> {
        let members = self.members().unwrap_or_default();
        members.iter().filter_map(Member::store_path).map(Path::to_owned).collect()
    }

    /// Says so, if this is the file of a team alone.
    pub(crate) fn note_if_part(&self) {
        if let [file] = self.files.as_slice() {
            teams::part_of_folder(file).iter().for_each(note);
        }
    }

    /// Reads all files, and merges them.
    ///
    /// # Errors
    /// If a file cannot be read, or where they contradict each other.
    pub(crate) fn read(&self) -> Result<EffectivePolicy> {
        combine(read_parts(&self.members()?)?)
    }

    /// Reads files that are read again whenever they change.
    ///
    /// # Errors
    /// As [`read`](Self::read), or if a store has vanished: without it, all of its keys would be revoked.
    pub(crate) fn read_again(&self, followed: &Followed) -> Result<EffectivePolicy> {
        let members = self.members()?;
        let read = read_parts(&members).and_then(|parts| {
            followed.read.replace(Some(parts.clone()));
            combine(parts)
        });
        let is_gone =
            |store: &&PathBuf| read.as_ref().map_or_else(|_| !is_there(store), |merged| !merged.stores.contains(store));
        let mut had = members.iter().map(|member| &member.store).filter(|store| followed.had(store));
        if let Some(store) = had.find(is_gone) {
            let store = store.display();
            bail!(
                "the key store {store} has vanished: restore it. Its keys are still valid; to revoke them all, use \
                 `portcullis keys remove --all --store {store}`"
            );
        }
        let merged = read?;
        followed.had_stores.replace(merged.stores.iter().cloned().collect());
        Ok(merged)
    }

    /// Returns what was accepted last, without what the stores have revoked since: a key can be revoked while the policy is
    /// invalid. What they have added waits for a valid policy, whose roles and rules may differ. `None` if there was no
    /// store, or if none can be read.
    pub(crate) fn accepted_without_revoked(&self, followed: &Followed) -> Option<EffectivePolicy> {
        let mut parts = followed.accepted.borrow().clone()?;
        let mut has_read = false;
        for stored in parts.iter_mut().filter_map(|part| part.store.as_mut()) {
            // A pipe would be waited for.
            if let Some(now) = stored.file.is_file().then(|| Store::read(&stored.file).ok()).flatten() {
                stored.store = stored.store.without_revoked(&now);
                has_read = true;
            }
        }
        if has_read { combine(parts).ok() } else { None }
    }

    /// Reads all files, and compiles the effective policy as the gate does.
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
        // Of a folder that is wrong, its own directory is watched.
        let inside = self.files.iter().map(|file| file.join(POLICY)).filter(|_| self.path().is_dir());
        let Ok(members) = self.members() else { return self.files.iter().cloned().chain(inside).collect() };
        members.into_iter().flat_map(|member| [member.file, member.store]).collect()
    }
}

/// Reads each file, and its store.
///
/// # Errors
/// If one of them cannot be read.
pub(crate) fn read_parts(members: &[Member]) -> Result<Vec<Part>> {
    let read = |member: &Member| {
        let policy = read_policy(&member.file)?;
        let store = member.store_path().map(Located::read).transpose()?;
        Ok(Part { file: member.file.clone(), policy, store })
    };
    members.iter().map(read).collect()
}

/// What was read of files that are read again whenever they change.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// The stores that existed the last time.
    had_stores: RefCell<BTreeSet<PathBuf>>,
    /// What was read last.
    read: RefCell<Option<Vec<Part>>>,
    /// What was accepted last.
    accepted: RefCell<Option<Vec<Part>>>,
}

impl Followed {
    /// Notes that the gate would accept what was read last.
    pub(crate) fn accept(&self) {
        let read = self.read.take();
        self.accepted.replace(read);
    }

    fn had(&self, store: &Path) -> bool {
        self.had_stores.borrow().contains(store)
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

/// The document that the gate gets: the policy with the keys and the mode of the store.
#[derive(Debug, Clone)]
pub(crate) struct EffectivePolicy {
    /// The document. Members from the store have no position.
    pub(crate) node: Node,
    /// The mode of the policy itself, if the store overrides it.
    pub(crate) overridden_mode: Option<String>,
    /// The stores that it includes, as far as they are files.
    pub(crate) stores: Vec<PathBuf>,
    /// The files and stores that it is made of.
    pub(crate) parts: Option<Rc<Parts>>,
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
        let Place { file, at } = self.at(&refusal.path);
        Place { file, at: refused_at(&self.node, refusal, at) }
    }

    /// The place of `path`: in a policy file, or in a store.
    pub(crate) fn at(&self, path: &str) -> Place {
        let alone = || Place::new(&self.file, self.node.position(path));
        self.parts.as_ref().map_or_else(alone, |parts| parts.place(path))
    }

    /// Makes it the policy of `portcullis run`, whose line for each request needs the decision.
    pub(crate) fn set_access_log(&mut self) {
        self.node.set("access_log", true.into());
    }

    /// The place of a key entry, as `FILE:LINE:COLUMN`, if it is not in the store.
    pub(crate) fn place_of_key(&self, path: &str) -> String {
        if self.node.at_path(path).is_some_and(|key| key.at.is_some()) {
            return self.place(path);
        }
        match self.parts.as_ref().filter(|parts| parts.origins().next().is_some()) {
            Some(parts) => format!("in the key store {}", parts.place(path).file),
            None => "in the key store".to_owned(),
        }
    }

    /// The place of a consumer, as `FILE:LINE:COLUMN`, if the policy defines it.
    pub(crate) fn place_of_consumer(&self, name: &str) -> Option<String> {
        let is_it = |one: &Node| one.get("name").and_then(Node::text) == Some(name);
        let index = self.node.items_of("consumers").iter().position(is_it)?;
        Some(self.place(&format!("consumers[{index}]")))
    }

    /// The place of `path`, as `FILE:LINE:COLUMN`.
    pub(crate) fn place(&self, path: &str) -> String {
        self.at(path).to_string()
    }
}

impl Written for EffectivePolicy {
    fn node(&self) -> &Node {
        &self.node
    }

    fn known_place(&self, path: &str) -> Option<String> {
        self.node.at_path(path)?.at.map(|_| self.place(path))
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
    Ok(EffectivePolicy { node: policy, overridden_mode, stores: Vec::new(), parts: None, file: file.to_owned() })
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
