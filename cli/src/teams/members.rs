//! Which files make a policy, and where the store of each is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::delegation::DELEGATIONS;
use super::stem;
use crate::files::{POLICY, is_there};
use crate::store::Store;
use crate::yaml::Node;

/// What the names of the stores of teams end with: `team-a.keys.json` beside `team-a.yaml`.
const STORE_ENDING: &str = ".keys.json";

/// A policy file, and the store that goes with it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its store, which may not exist.
    pub(crate) store: PathBuf,
    /// Whether the store was named by the user: then it must exist.
    is_named: bool,
}

impl Member {
    /// The path of the store, if there is one.
    pub(crate) fn store_path(&self) -> Option<&Path> {
        // Not `is_file`: a broken link is not a policy without a store.
        Some(self.store.as_path()).filter(|store| self.is_named || is_there(store))
    }
}

/// The members of a policy: the given files, the platform's first; or those of a folder. `store` is that of the first one.
///
/// # Errors
/// If a folder cannot be read, or two files would have the same store.
pub(crate) fn members(given: &[PathBuf], store: Option<&Path>) -> Result<Vec<Member>> {
    let (files, is_folder) = match given {
        [folder] if folder.is_dir() => (in_folder(folder)?, true),
        _ => (given.to_vec(), false),
    };
    if let Some(folder) = files.iter().find(|file| file.is_dir()) {
        bail!("{} is a folder: give it alone, or give the files in it", folder.display());
    }
    // The files of a folder have such names.
    if let Some(index) = files.iter().skip(1).position(|file| !has_name_of_policy(file)) {
        bail!(
            "policy number {} (not shown, it may be a key): expected the file of a team, whose name ends with .yaml, .yml \
             or .json",
            index.saturating_add(2)
        );
    }
    let is_alone = files.len() == 1;
    let mut stems: BTreeMap<&str, &Path> = BTreeMap::new();
    let mut members: Vec<Member> = Vec::new();
    for file in &files {
        if let Some(other) = stems.insert(stem(file), file) {
            let (file, other) = (file.display(), other.display());
            bail!("{file} and {other} have the same name up to the extension: rename one of them, or give it once");
        }
        let member = match members.first() {
            None if let Some(store) = store => Member { file: file.clone(), store: store.to_owned(), is_named: true },
            None if is_alone => Member { file: file.clone(), store: store_beside(file), is_named: false },
            None => Member { file: file.clone(), store: file.with_file_name(Store::NAME), is_named: false },
            Some(first) => {
                let own = file.with_file_name(format!("{}{STORE_ENDING}", stem(file)));
                let other = file.with_file_name(Store::NAME);
                if !is_there(&own) && other != first.store && is_there(&other) {
                    let (file, own, other) = (file.display(), own.display(), other.display());
                    bail!("{other} is not used: the keys of {file} are in {own}: rename it");
                }
                Member { file: file.clone(), store: own, is_named: false }
            }
        };
        if is_folder {
            check_regular(&member.store)?;
        }
        members.push(member);
    }
    Ok(members)
}

/// Checks that a file of a folder can be read to its end: a pipe would be waited for, and a device may have no end. What is
/// missing, also a broken link, is reported when it is read.
fn check_regular(file: &Path) -> Result<()> {
    if fs::metadata(file).is_ok_and(|file| !file.is_file()) {
        bail!("{}: expected a regular file: remove it from the folder", file.display());
    }
    Ok(())
}

/// The policy files of a folder: `policy.yaml`, then the others by name.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let (mut others, mut stores) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let name = entry.with_context(cannot)?.file_name();
        let file = folder.join(&name);
        // Editors and Kubernetes have files of their own, whose names begin with a dot.
        if !has_name_of_policy(&file) || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let Some(name) = name.to_str().filter(|name| !name.contains(char::is_control)) else {
            bail!("{}: a file name with control characters, or not UTF-8: rename {name:?}", folder.display());
        };
        if name == Store::NAME || name == POLICY {
            continue;
        }
        match name.strip_suffix(STORE_ENDING) {
            Some(team) => stores.push((team.to_owned(), file)),
            None if !file.is_dir() => others.push(file),
            None => {}
        }
    }
    if !is_there(&folder.join(POLICY)) {
        let stem = Path::new(POLICY).with_extension("");
        if let Some(other) = others.iter().find(|other| other.file_stem() == stem.file_name()) {
            bail!("{}: expected {POLICY}: rename it to {POLICY}", other.display());
        }
    }
    stores.sort();
    // Its policy was renamed, and the keys in it would be lost without a word.
    if let Some((_, store)) = stores.iter().find(|(team, _)| others.iter().all(|other| stem(other) != *team)) {
        bail!("{}: this key store belongs to no policy file: rename it, or remove it", store.display());
    }
    others.sort();
    let files: Vec<PathBuf> = std::iter::once(folder.join(POLICY)).chain(others).collect();
    files.iter().try_for_each(|file| check_regular(file))?;
    Ok(files)
}

fn has_name_of_policy(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml" || ending == "json")
}

/// The store of a policy file that is given alone: `keys.json` beside it, or that of a team.
pub(crate) fn store_beside(file: &Path) -> PathBuf {
    if is_of_team(file) {
        file.with_file_name(format!("{}{STORE_ENDING}", stem(file)))
    } else {
        file.with_file_name(Store::NAME)
    }
}

/// Whether the platform's file of the same folder makes this file one of a team.
pub(crate) fn is_of_team(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name != POLICY) && has_delegations(&file.with_file_name(POLICY))
}

/// The folder of a policy file, if it is that of a platform and its teams.
pub(crate) fn folder_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    has_delegations(&folder.join(POLICY)).then(|| folder.to_owned())
}

/// Says that a file is only a part of a policy, if the platform's file beside it names it.
pub(crate) fn part_of_folder(file: &Path) -> Option<String> {
    let folder = folder_of(file).filter(|_| is_of_team(file))?;
    let platform = Node::parse(&read_regular(&folder.join(POLICY))?).ok()?;
    let names = |name: &str| name == stem(file) || file.file_name().is_some_and(|own| own == name);
    let is_named = |one: &Node| one.get("file").and_then(Node::text).is_some_and(names);
    let (file, folder) = (file.display(), folder.display());
    let note = || format!("{file} is the file of a team, and only a part of the policy: give the folder, {folder}");
    platform.items_of(DELEGATIONS).iter().any(is_named).then(note)
}

/// The text of a file, unless it is a pipe or the like, which would be waited for.
fn read_regular(file: &Path) -> Option<String> {
    file.is_file().then(|| fs::read_to_string(file).ok()).flatten()
}

fn has_delegations(platform: &Path) -> bool {
    let Some(text) = read_regular(platform) else { return false };
    // A file with an error in it still says whose keys these are.
    Node::parse(&text).map_or_else(|_| text.contains(DELEGATIONS), |node| node.get(DELEGATIONS).is_some())
}

/// The policy of a team's store, if the name is one of a team's store and the policy exists.
pub(crate) fn policy_of_store(store: &Path) -> Option<PathBuf> {
    let team = store.file_name()?.to_str()?.strip_suffix(STORE_ENDING)?;
    let files = ["yaml", "yml", "json"].map(|ending| store.with_file_name(format!("{team}.{ending}")));
    files.into_iter().find(|file| file.is_file())
}
