//! The key store that a command changes, and its policy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;

use crate::files::{EffectivePolicy, POLICY, is_there, merge, read_parts, read_policy};
use crate::import::orchestra::NAME as ORCHESTRA;
use crate::output::note;
use crate::store::{Located, Locked, Store};
use crate::teams::{self, Conflict, Member, Whole};
use crate::yaml::Node;

/// The options that select a key store and its policy.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreFile {
    /// The key store [default: keys.json, beside the policy if that is given]
    // Not called `file`: a subcommand with an argument of that name would get this one's value.
    #[arg(long, value_name = "FILE", global = true)]
    store: Option<PathBuf>,
    /// The policy, or the folder of a platform and its teams [default: policy.yaml beside the store, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    policy: Option<PathBuf>,
}

impl StoreFile {
    /// The path of the store.
    pub(crate) fn path(&self) -> PathBuf {
        let beside = || self.policy.as_deref().map_or(PathBuf::from(Store::NAME), teams::store_beside);
        self.store.clone().unwrap_or_else(beside)
    }

    /// Selects the file that has a consumer, if the policy is the folder of a platform and its teams.
    ///
    /// # Errors
    /// If no file in the folder has the consumer, or if a store is named too.
    pub(crate) fn of_consumer(mut self, consumer: Option<&str>) -> Result<Self> {
        let Some(folder) = self.policy.clone().filter(|policy| policy.is_dir()) else { return Ok(self) };
        if let Some(store) = &self.store {
            let (folder, store) = (folder.display(), store.display());
            bail!("--store {store}: {folder} is a folder, whose files have their own stores: give only one of them");
        }
        let members = teams::members(std::slice::from_ref(&folder), None)?;
        let Some(member) = members.iter().find(|member| consumer.is_some_and(|name| has_consumer(member, name))) else {
            let files: Vec<String> = members.iter().map(|member| member.file.display().to_string()).collect();
            let unknown = consumer.map(|_| "no file in it has this consumer: ").unwrap_or_default();
            bail!("--policy {}: {unknown}name the file whose keys are meant: {}", folder.display(), files.join(", "));
        };
        self.policy = Some(member.file.clone());
        Ok(self)
    }

    /// Selects the file of the platform, which alone has a mode.
    ///
    /// # Errors
    /// If the policy is that of a team.
    pub(crate) fn of_platform(mut self) -> Result<Self> {
        if let Some(folder) = self.policy.clone().filter(|policy| policy.is_dir()) {
            self.policy = Some(folder.join(POLICY));
        }
        let named = [self.policy_path(), teams::policy_of_store(&self.path())];
        if let Some(team) = named.into_iter().flatten().find(|policy| teams::is_of_team(policy)) {
            let platform = team.with_file_name(POLICY);
            bail!("{} is the file of a team: the mode is that of {}", team.display(), platform.display());
        }
        Ok(self)
    }

    /// Checks a change of the store against the other files of its folder, if that is one of a platform and its teams. What
    /// was wrong before does not matter here.
    ///
    /// # Errors
    /// If the files would not make one policy any more.
    pub(crate) fn check_with_others(&self, changed: &Locked) -> Result<()> {
        let Some(policy) = self.policy_path() else { return Ok(()) };
        let Some(folder) = teams::folder_of(&policy) else { return Ok(()) };
        let store = self.path();
        let read = || {
            let members = teams::members(std::slice::from_ref(&folder), None)?;
            let own = members.iter().position(|member| is_same(&member.store, &store));
            let own = own.or_else(|| members.iter().position(|member| is_same(&member.file, &policy)));
            let parts = read_parts(&members)?;
            let with = |new: &Store| {
                let mut parts = parts.clone();
                if let Some(part) = own.and_then(|own| parts.get_mut(own)) {
                    // Without a text, so that no place is told in a file that is not written.
                    part.store = Some(Located::new(new.clone(), &store, String::new()));
                }
                Whole::of(parts)
            };
            Ok::<_, anyhow::Error>((with(&changed.before)?, with(&changed.store)?))
        };
        match read() {
            Ok((before, after)) => {
                let is_new = |one: &&Conflict| before.conflicts.iter().all(|other| other.message != one.message);
                match after.conflicts.iter().find(is_new) {
                    Some(conflict) => {
                        bail!("nothing is changed, because {} would be refused: {conflict}", folder.display())
                    }
                    None => Ok(()),
                }
            }
            Err(error) => {
                note(format_args!("not checked against the other files of {}: {error:#}", folder.display()));
                Ok(())
            }
        }
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
        self.policy_path().map(|file| merge(teams::without_teams(read_policy(&file)?), None, &file)).transpose()
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
        self.policy.clone().or_else(|| teams::policy_of_store(&self.path())).or_else(|| {
            let beside = self.path().with_file_name(POLICY);
            beside.is_file().then_some(beside)
        })
    }
}

/// Whether two paths lead to the same file, which may not exist.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = || Some(fs::canonicalize(folder).ok()?.join(path.file_name()?));
        fs::canonicalize(path).ok().or_else(made)
    };
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// Whether a policy file or its store has a consumer.
fn has_consumer(member: &Member, name: &str) -> bool {
    let is_it = |one: &Node| one.get("name").and_then(Node::text) == Some(name);
    let in_policy = || read_policy(&member.file).is_ok_and(|policy| policy.items_of("consumers").iter().any(is_it));
    let store = member.store_path().and_then(|store| Store::read(store).ok());
    store.is_some_and(|store| store.consumers.contains_key(name)) || in_policy()
}
