//! Several policy files that make one policy: the file of a platform, and those of its teams.
//!
//! 1. The first file is the platform's. It may have every field, and must have `delegations`.
//! 2. A team's file has consumers, and rules below a prefix that the platform delegates to it. Rules only narrow: the
//!    other fields could open something.
//! 3. A role that a rule of another file names would satisfy that rule, so a team's consumers may have it only if the
//!    delegation grants it.
//! 4. The platform's rules are tried first, then those of the teams in the order of the delegations, then the platform's
//!    `final_rules`. The same files always give the same document.
//! 5. A consumer and a key belong to one file.
//!
//! The gate gets one document, without `delegations` and `final_rules`, which only the command knows.

mod delegation;
mod limits;
mod members;
mod portion;
mod twice;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Result, bail};

pub(crate) use self::delegation::{DELEGATIONS, FINAL_RULES};
pub(crate) use self::members::{Member, folder_of, is_of_team, members, part_of_folder, policy_of_store, store_beside};
use self::portion::Portion;
use crate::files::{EffectivePolicy, merge};
use crate::store::Located;
use crate::yaml::{Node, Place, Tree};

/// A policy file that was read, with its store.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its document.
    pub(crate) policy: Node,
    /// Its store, if there is one.
    pub(crate) store: Option<Located>,
}

/// Why files do not make one policy. It contains no value that may be a key.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// The place.
    pub(crate) place: Place,
    /// What is wrong.
    pub(crate) message: String,
    /// How to fix it.
    pub(crate) fix: String,
}

impl Conflict {
    fn new(place: Place, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place, message: message.into(), fix: fix.into() }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.message, self.fix)
    }
}

/// The part of a merged document that a team's file has brought.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The file.
    pub(crate) file: PathBuf,
    consumers: Range<usize>,
    rules: Range<usize>,
    /// The roles of others that its consumers may have.
    granted: Vec<String>,
}

impl Origin {
    /// The name of a consumer that has a role without a grant.
    pub(crate) fn takes<'a>(&self, document: &'a Node, role: &str) -> Option<&'a str> {
        if self.granted.iter().any(|granted| granted == role) {
            return None;
        }
        let consumers = document.items_of("consumers").iter().enumerate();
        let mut own = consumers.filter(|(index, _)| self.consumers.contains(index));
        let has_it = |consumer: &Node| consumer.items_of("roles").iter().any(|one| one.text() == Some(role));
        let (_, consumer) = own.find(|(_, consumer)| has_it(consumer))?;
        Some(consumer.get("name").and_then(Node::text).unwrap_or_default())
    }

    fn range(&self, list: &str) -> &Range<usize> {
        if list == "rules" { &self.rules } else { &self.consumers }
    }
}

/// All files together.
#[derive(Debug)]
pub(crate) struct Whole {
    /// The document that the gate gets.
    pub(crate) merged: EffectivePolicy,
    /// Why these files do not make one policy.
    pub(crate) conflicts: Vec<Conflict>,
    parts: Rc<Parts>,
}

/// What a merged document is made of: where each path of it is.
#[derive(Debug)]
pub(crate) struct Parts {
    first: Portion,
    teams: Vec<(Portion, Origin)>,
    /// The number of the first of the final rules in the merged document, if there is one.
    first_final_rule: Option<usize>,
}

impl Whole {
    /// Puts parts together. The first one is the platform's, or the only one.
    ///
    /// # Errors
    /// If there is no part, or if a file and its store contradict each other.
    pub(crate) fn of(parts: Vec<Part>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let Some(Part { file, mut policy, store }) = parts.next() else { bail!("expected a policy file") };
        let own = policy.clone();
        let delegations = policy.take(DELEGATIONS);
        let final_rules = policy.take(FINAL_RULES);
        let mut merged = merge(policy, store.as_ref().map(|stored| &stored.store), &file)?;
        merged.stores.extend(store.iter().map(|stored| stored.file.clone()));
        let first = Portion { file, own, merged: merged.node.clone(), store };
        let mut teams = parts.map(Portion::of).collect::<Result<Vec<_>>>()?;
        let mut conflicts = Vec::new();
        if delegations.is_none() && final_rules.is_none() && teams.is_empty() {
            return Ok(Self::new(merged, conflicts, first, Vec::new(), None));
        }
        let grants = delegation::read(&first, &teams, &mut conflicts);
        // Stable, whatever the order of the arguments.
        teams.sort_by_cached_key(|team| {
            let order = grants.iter().position(|grant| grant.is_for(&team.file)).unwrap_or(usize::MAX);
            (order, team.file.file_name().map(ToOwned::to_owned))
        });
        limits::check(&first, &teams, &grants, &mut conflicts);
        twice::check(&first, &teams, &mut conflicts);
        let mut placed = Vec::new();
        for team in teams {
            let consumers = append(&mut merged.node, "consumers", team.merged.items_of("consumers"));
            let rules = append(&mut merged.node, "rules", team.merged.items_of("rules"));
            merged.stores.extend(team.store.iter().map(|stored| stored.file.clone()));
            let granted = grants.iter().filter(|grant| grant.is_for(&team.file));
            let granted = granted.flat_map(|grant| grant.roles.iter().cloned()).collect();
            let file = team.file.clone();
            placed.push((team, Origin { file, consumers, rules, granted }));
        }
        let last = append(&mut merged.node, "rules", final_rules.as_ref().map(Node::items).unwrap_or_default());
        let first_final_rule = (!last.is_empty()).then_some(last.start);
        Ok(Self::new(merged, conflicts, first, placed, first_final_rule))
    }

    fn new(
        mut merged: EffectivePolicy,
        conflicts: Vec<Conflict>,
        first: Portion,
        teams: Vec<(Portion, Origin)>,
        first_final_rule: Option<usize>,
    ) -> Self {
        let parts = Rc::new(Parts { first, teams, first_final_rule });
        merged.parts = Some(Rc::clone(&parts));
        Self { merged, conflicts, parts }
    }

    /// The store of the first file.
    pub(crate) fn first_store(&self) -> Option<&Located> {
        self.parts.first.store.as_ref()
    }

    /// The place of `delegations`, if there are teams, and if a path may match none of the platform's rules: any valid
    /// key is enough there.
    pub(crate) fn open_rest(&self) -> Option<Place> {
        let all = |rule: &Node| rule.get("path").and_then(Node::text) == Some("/**") && rule.get("methods").is_none();
        let lists = ["rules", FINAL_RULES];
        let is_closed = lists.iter().any(|list| self.parts.first.own.items_of(list).iter().any(all));
        (!is_closed && !self.parts.teams.is_empty()).then(|| self.parts.first.place(DELEGATIONS))
    }
}

impl Parts {
    /// What the files of teams have brought.
    pub(crate) fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.teams.iter().map(|(_, origin)| origin)
    }

    /// The place of a path of the merged document: in a policy file, or in a store.
    pub(crate) fn place(&self, path: &str) -> Place {
        let Some((list, index, rest)) = numbered(path) else { return self.first.place(path) };
        if let Some((team, origin)) = self.teams.iter().find(|(_, origin)| origin.range(list).contains(&index)) {
            return team.place(&format!("{list}[{}]{rest}", index.saturating_sub(origin.range(list).start)));
        }
        match self.first_final_rule.and_then(|start| index.checked_sub(start)) {
            Some(index) if list == "rules" => self.first.place(&format!("{FINAL_RULES}[{index}]{rest}")),
            _ => self.first.place(path),
        }
    }
}

/// Puts parts together, and merges them into one policy.
///
/// # Errors
/// The first reason why they do not make one policy.
pub(crate) fn combine(parts: Vec<Part>) -> Result<EffectivePolicy> {
    let Whole { merged, conflicts, .. } = Whole::of(parts)?;
    match conflicts.first() {
        Some(conflict) => bail!("{conflict}"),
        None => Ok(merged),
    }
}

/// Takes out the fields that only the command knows, where a file is read alone and access does not matter.
pub(crate) fn without_teams(mut policy: Node) -> Node {
    policy.take(DELEGATIONS);
    policy.take(FINAL_RULES);
    policy
}

/// Appends items to a list of the document, and returns their numbers. Where there is something else than a list, the
/// gate refuses it.
fn append(document: &mut Node, list: &str, more: &[Node]) -> Range<usize> {
    if document.get(list).is_none() && !more.is_empty() {
        document.set(list, Node::list([]));
    }
    let Some(Node { tree: Tree::List(items), .. }) = document.get_mut(list) else { return 0..0 };
    let start = items.len();
    items.extend_from_slice(more);
    start..items.len()
}

/// The parts of a path such as `rules[2].roles`, if it begins with an item of a list that teams have.
fn numbered(path: &str) -> Option<(&str, usize, &str)> {
    let (list, rest) = path.split_once('[').filter(|(list, _)| matches!(*list, "consumers" | "rules"))?;
    let (index, rest) = rest.split_once(']')?;
    Some((list, index.parse().ok()?, rest))
}

/// The name of a file without its extension.
fn stem(file: &Path) -> &str {
    file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}
