//! `delegations` of the platform's file: which team may write rules below which prefix, and which roles of others its
//! consumers may have.

use std::path::Path;

use portcullis::value::RoleName;

use super::portion::Portion;
use super::{Conflict, stem};
use crate::similar::did_you_mean;
use crate::yaml::{Node, Place, Tree};

/// The field with the delegations.
pub(crate) const DELEGATIONS: &str = "delegations";
/// The field with the platform's rules that are tried after those of the teams.
pub(crate) const FINAL_RULES: &str = "final_rules";

const MEMBERS: [&str; 4] = ["file", "prefix", "roles", "description"];

/// One delegation.
#[derive(Debug)]
pub(super) struct Grant {
    /// The team's file, with or without its extension.
    file: String,
    /// The prefix, as segments.
    pub(super) prefix: Vec<String>,
    /// The roles that rules of others name, and that consumers of the team may have nevertheless.
    pub(super) roles: Vec<String>,
    /// Its place.
    pub(super) place: Place,
}

impl Grant {
    /// Whether it is for this file.
    pub(super) fn is_for(&self, file: &Path) -> bool {
        self.file == stem(file) || file.file_name().is_some_and(|name| *name == *self.file)
    }

    /// The prefix as text.
    pub(super) fn prefix(&self) -> String {
        self.prefix.iter().map(|segment| format!("/{segment}")).collect()
    }
}

/// Reads the delegations, and checks them against the files that are there.
pub(super) fn read(first: &Portion, teams: &[Portion], conflicts: &mut Vec<Conflict>) -> Vec<Grant> {
    for name in [DELEGATIONS, FINAL_RULES] {
        if first.own.get(name).is_some_and(|list| !matches!(list.tree, Tree::List(_))) {
            conflicts.push(Conflict::new(first.place(name), format!("{name}: wrong type"), "expected a list"));
        }
    }
    if first.own.get(DELEGATIONS).is_none() && !teams.is_empty() {
        let fix = "add `delegations: [{file: FILE, prefix: /PREFIX}]` to it, or [] if no team may write rules; otherwise \
                   give this file alone";
        conflicts.push(Conflict::new(
            Place::new(&first.file, None),
            "there are more policy files beside this one",
            fix,
        ));
    }
    let mut grants = Vec::new();
    for (index, item) in first.own.items_of(DELEGATIONS).iter().enumerate() {
        grants.extend(grant(first, index, item, conflicts));
    }
    for (index, grant) in grants.iter().enumerate() {
        let given: Vec<&Portion> = teams.iter().filter(|team| grant.is_for(&team.file)).collect();
        let file = &grant.file;
        if let [one, other, ..] = given.as_slice() {
            let (one, other) = (one.file.display(), other.file.display());
            let message = format!("{DELEGATIONS}: {file} may be {one} or {other}");
            conflicts.push(Conflict::new(grant.place.clone(), message, "rename one of the files, or remove it"));
        }
        if given.is_empty() {
            let endings = if Path::new(file).extension().is_some() { "" } else { ".yaml, .yml or .json" };
            let fix = format!(
                "expected a file {file}{endings} after the first one: give all files, or the folder that has them"
            );
            let message = format!("{DELEGATIONS}: no policy file {file} is given");
            conflicts.push(Conflict::new(grant.place.clone(), message, fix));
        }
        for earlier in grants.iter().take(index).filter(|earlier| overlap(&earlier.prefix, &grant.prefix)) {
            let message = format!(
                "{DELEGATIONS}: the prefix {} overlaps with {} at {}",
                grant.prefix(),
                earlier.prefix(),
                earlier.place
            );
            let fix = "use prefixes that differ in more than letter case and extensions, none of them below another";
            conflicts.push(Conflict::new(grant.place.clone(), message, fix));
        }
    }
    grants
}

fn grant(first: &Portion, index: usize, item: &Node, conflicts: &mut Vec<Conflict>) -> Option<Grant> {
    let path = format!("{DELEGATIONS}[{index}]");
    let refused = |at: &str, what: &str, fix: &str| {
        Conflict::new(first.place(&format!("{path}{at}")), format!("{path}{at}: {what}"), fix)
    };
    let Tree::Map(members) = &item.tree else {
        conflicts.push(refused("", "wrong type", "expected {file: FILE, prefix: /PREFIX}"));
        return None;
    };
    for (name, _) in members.iter().filter(|(name, _)| !MEMBERS.contains(&name.text.as_str())) {
        // The name is not shown: it may be a key.
        let place = Place::new(&first.file, name.at);
        let fix = format!("expected {}{}", MEMBERS.join(", "), did_you_mean(&name.text, MEMBERS));
        conflicts.push(Conflict::new(place, format!("{path}: unknown field"), fix));
    }
    let file = item.get("file").and_then(Node::text).filter(|file| {
        let is_of_name = |letter: char| letter != '/' && !letter.is_control();
        !file.is_empty() && file.chars().all(is_of_name)
    });
    if file.is_none() {
        let fix = "expected the name of the team's file, such as team-a or team-a.yaml, without its folder";
        conflicts.push(refused(".file", "missing or invalid file", fix));
    }
    let prefix = item.get("prefix").and_then(Node::text).and_then(segments);
    if prefix.is_none() {
        let fix = "expected a path such as /team-a: segments of letters, digits, -, _ and inner dots, without a slash at \
                   the end";
        conflicts.push(refused(".prefix", "missing or invalid prefix", fix));
    }
    let roles = item.get("roles");
    let is_list = roles.is_none_or(|roles| matches!(roles.tree, Tree::List(_)));
    let given = roles.map(Node::items).unwrap_or_default();
    let names: Vec<String> = given.iter().filter_map(Node::text).map(str::to_owned).collect();
    if !is_list || names.len() != given.len() || names.iter().any(|name| name.parse::<RoleName>().is_err()) {
        conflicts.push(refused(".roles", "invalid roles", "expected a list of the names of roles"));
    }
    if item.get("description").is_some_and(|description| description.text().is_none()) {
        conflicts.push(refused(".description", "invalid description", "expected text"));
    }
    Some(Grant { file: file?.to_owned(), prefix: prefix?, roles: names, place: first.place(&path) })
}

/// The segments of a prefix. The gate compares paths in several variants; these characters are the same in all of them,
/// except for letter case and what follows a dot.
fn segments(prefix: &str) -> Option<Vec<String>> {
    let is_plain = |segment: &str| {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        !segment.is_empty() && segment.chars().all(fits) && !segment.starts_with('.') && !segment.ends_with('.')
    };
    let segments = prefix.strip_prefix('/')?.split('/');
    segments.map(|segment| is_plain(segment).then(|| segment.to_owned())).collect()
}

/// Whether one prefix may be, in some variant of a path, the same as the other or above it.
fn overlap(one: &[String], other: &[String]) -> bool {
    one.iter().zip(other).all(|(one, other)| {
        let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
        // A rule for `/admin` also covers `/admin.json`.
        let is_extension = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
        one == other || is_extension(&one, &other) || is_extension(&other, &one)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_made_of_plain_segments() {
        for prefix in ["/team-a", "/v1.2/Team_A", "/orders.OrderService"] {
            assert!(segments(prefix).is_some(), "{prefix}");
        }
        for prefix in
            ["", "/", "team-a", "/a/", "//a", "/a/*", "/{a}", "/a/**", "/%61", "/a;b", "/a.", "/.a", "/é", "/a b"]
        {
            assert_eq!(segments(prefix), None, "{prefix}");
        }
    }

    #[test]
    fn prefixes_overlap_if_a_path_can_be_below_both() {
        let overlaps = |one: &str, other: &str| {
            let (one, other) = (segments(one).unwrap(), segments(other).unwrap());
            assert_eq!(overlap(&one, &other), overlap(&other, &one));
            overlap(&one, &other)
        };
        for (one, other) in [("/a", "/a"), ("/a", "/a/b"), ("/Team", "/team/x"), ("/a", "/a.json")] {
            assert!(overlaps(one, other), "{one} {other}");
        }
        for (one, other) in [("/a", "/b"), ("/a", "/ab"), ("/a/b", "/a/c"), ("/a.b", "/a.c"), ("/a-b", "/a_b")] {
            assert!(!overlaps(one, other), "{one} {other}");
        }
    }
}
