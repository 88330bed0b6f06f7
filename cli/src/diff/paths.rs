//! Compares public paths and required roles, by deciding a request for one path of every kind under both policies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use portcullis::decision::trace::{Event, Public};
use portcullis::value::Methods;
use portcullis::{HeaderBlock, PathPattern, Policy, Reason, Request};
use serde_json::json;

use super::Effect::{Closes, MayOpen, Neither, Opens};
use super::cells::{self, Cell};
use super::{Change, Effect, Side};
use crate::yaml::Node;

/// The maximum number of kinds of path that a line names.
const SHOWN: usize = 6;

/// The key of the consumer that has every role.
const KEY: &str = "a-key-with-every-role";

/// A method that no policy names.
const OTHER: &str = "OTHER";

/// The access that a request needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    /// Nothing.
    Open,
    /// A key, and of each of these sets one role.
    Key(BTreeSet<BTreeSet<String>>),
}

/// A difference for a kind of path: the effect, the access before and after, and the place. Equal differences become
/// one line.
type Difference = (Effect, Access, Access, Option<String>);

/// The differences that are already reported, by kind of path and by change.
#[derive(Default)]
struct Reported {
    kinds: BTreeSet<(usize, Effect)>,
    changes: BTreeSet<(Effect, Access, Access)>,
}

/// The method of a request, and how it is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum RequestKind {
    /// With this method.
    Method(String),
    /// With this method in lower case.
    Lower(String),
    /// With a header that overrides the method in some backends.
    Overridden,
}

pub(super) fn compare(old: &Side, new: &Side) -> Result<Vec<Change>> {
    if written(old) == written(new) {
        return Ok(Vec::new());
    }
    let gates = (Gate::of(old)?, Gate::of(new)?);
    let request_kinds = request_kinds(old, new);
    let patterns = [old, new].into_iter().flat_map(patterns).map(|pattern| (pattern.as_str().to_owned(), pattern));
    let patterns: BTreeMap<String, PathPattern> = patterns.collect();
    let (kinds, complete) = cells::of(&patterns.values().collect::<Vec<_>>());
    let mut differences: BTreeMap<Difference, BTreeMap<usize, BTreeSet<RequestKind>>> = BTreeMap::new();
    let mut reported = Reported::default();
    for (index, cell) in kinds.iter().enumerate() {
        for request_kind in request_kinds.iter().filter(|request_kind| matches!(request_kind, RequestKind::Method(_))) {
            for line in answers(&gates, &cell.path, request_kind) {
                reported.kinds.insert((index, line.0));
                reported.changes.insert((line.0, line.1.clone(), line.2.clone()));
                differences.entry(line).or_default().entry(index).or_default().insert(request_kind.clone());
            }
        }
    }
    let mut changes: Vec<_> =
        differences.into_iter().flat_map(|(line, found)| lines(line, found, &kinds, &request_kinds)).collect();
    changes.extend(respelled(&gates, &kinds, &request_kinds, &reported));
    if !complete {
        let what =
            format!("the patterns distinguish more than {} kinds of path: the rest was not compared", cells::MAX_CELLS);
        changes.push(Change::new(MayOpen, "paths", what));
    }
    if changes.is_empty() {
        changes.push(Change::new(Neither, "paths", "changed, with the same effect on every kind of path"));
    }
    Ok(changes)
}

/// The differences for one request: both effects if roles are exchanged.
fn answers(gates: &(Gate<'_>, Gate<'_>), path: &str, request_kind: &RequestKind) -> Vec<Difference> {
    let (Some((before, old_place)), Some((after, new_place))) =
        (gates.0.access(path, request_kind), gates.1.access(path, request_kind))
    else {
        return Vec::new();
    };
    let place = new_place.or(old_place);
    let mut differences = Vec::new();
    if !before.includes(&after) {
        differences.push((Opens, before.clone(), after.clone(), place.clone()));
    }
    if !after.includes(&before) {
        differences.push((Closes, before, after, place));
    }
    differences
}

/// One line for all kinds with the same difference for the same methods.
fn lines(
    line: Difference,
    found: BTreeMap<usize, BTreeSet<RequestKind>>,
    kinds: &[Cell],
    all: &[RequestKind],
) -> Vec<Change> {
    let (effect, before, after, place) = line;
    let mut by_request_kinds: BTreeMap<BTreeSet<RequestKind>, Vec<&str>> = BTreeMap::new();
    for (kind, request_kinds) in
        found.into_iter().filter_map(|(index, request_kinds)| Some((kinds.get(index)?, request_kinds)))
    {
        by_request_kinds.entry(request_kinds).or_default().push(&kind.shown);
    }
    let line = |(request_kinds, mut kinds): (BTreeSet<RequestKind>, Vec<&str>)| {
        kinds.sort_by_key(|kind| *kind != cells::OTHERS);
        let more = kinds.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let kinds = kinds.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
        let what = format!("{} {kinds}{more}: {} -> {}", methods(&request_kinds, all), before.words(), after.words());
        Change { place: place.clone(), ..Change::new(effect, "paths", what) }
    };
    by_request_kinds.into_iter().map(line).collect()
}

/// Differences only for other spellings of paths and methods that some backends treat as the same: one line for each
/// effect, except for what is already `reported`.
fn respelled(
    gates: &(Gate<'_>, Gate<'_>),
    kinds: &[Cell],
    request_kinds: &[RequestKind],
    reported: &Reported,
) -> Vec<Change> {
    let mut found: BTreeMap<Effect, (usize, Change)> = BTreeMap::new();
    for (index, cell) in kinds.iter().enumerate() {
        for (path, request_kind) in respellings(&cell.path)
            .iter()
            .flat_map(|path| request_kinds.iter().map(move |request_kind| (path, request_kind)))
        {
            for (effect, before, after, place) in answers(gates, path, request_kind) {
                let change = (effect, before, after);
                if !reported.kinds.contains(&(index, effect)) && !reported.changes.contains(&change) {
                    let request_kind = methods(&BTreeSet::from([request_kind.clone()]), request_kinds);
                    let what = format!("{request_kind} {path}: {} -> {}", change.1.words(), change.2.words());
                    let first = || (0, Change { place, ..Change::new(effect, "paths", what) });
                    let count = &mut found.entry(effect).or_insert_with(first).0;
                    *count = count.saturating_add(1);
                }
            }
        }
    }
    let line = |(count, change): (usize, Change)| Change {
        what: format!("{} with another spelling, such as {}", crate::output::count(count, "request"), change.what),
        ..change
    };
    found.into_values().map(line).collect()
}

fn methods(request_kinds: &BTreeSet<RequestKind>, all: &[RequestKind]) -> String {
    let is_method = |request_kind: &&RequestKind| matches!(request_kind, RequestKind::Method(_));
    if request_kinds.iter().filter(is_method).count() == all.iter().filter(is_method).count() {
        return "every method".to_owned();
    }
    let name = |request_kind: &RequestKind| match request_kind {
        RequestKind::Method(method) if method == OTHER => "other methods".to_owned(),
        RequestKind::Method(method) => method.clone(),
        RequestKind::Lower(method) => method.to_ascii_lowercase(),
        RequestKind::Overridden => "with a header that overrides the method".to_owned(),
    };
    request_kinds.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Access {
    /// Whether every caller with `other` access has this access too: each set of roles required here contains a whole
    /// set that the other requires.
    fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open, _) => true,
            (Self::Key(_), Self::Open) => false,
            (Self::Key(own), Self::Key(others)) => {
                own.iter().all(|set| others.iter().any(|other| other.is_subset(set)))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Open => "no key".to_owned(),
            Self::Key(sets) if sets.is_empty() => "any key".to_owned(),
            Self::Key(sets) => {
                // A set that contains another one requires nothing more.
                let least = |set: &&BTreeSet<String>| !sets.iter().any(|other| other != *set && other.is_subset(set));
                let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" or ");
                format!("role {}", sets.iter().filter(least).map(words).collect::<Vec<_>>().join(" and "))
            }
        }
    }
}

/// A policy with only the paths and rules of one side, and a consumer that has every role.
struct Gate<'a> {
    side: &'a Side,
    policy: Policy,
}

impl<'a> Gate<'a> {
    fn of(side: &'a Side) -> Result<Self> {
        let mut merged = side.merged.clone();
        let given = ["public_paths", "protected_paths", "rules"];
        let kept = given.iter().filter_map(|name| Some((*name, side.merged.node.get(name)?.clone())));
        let roles: BTreeSet<_> =
            side.document.rules.iter().flat_map(|rule| &rule.roles).map(|role| role.as_str()).collect();
        let consumers = json!([{"name": "everyone", "roles": roles, "keys": [{"plaintext": KEY}]}]);
        merged.node = Node::map(kept.chain([("consumers", consumers.into())]));
        Ok(Self { side, policy: merged.compile(&|_| None)?.policy })
    }

    /// The access that a request needs, and the place in the policy; `None` if the request is always denied.
    fn access(&self, path: &str, request_kind: &RequestKind) -> Option<(Access, Option<String>)> {
        let method = match request_kind {
            RequestKind::Method(method) => method.clone(),
            RequestKind::Lower(method) => method.to_ascii_lowercase(),
            RequestKind::Overridden => OTHER.to_owned(),
        };
        let mut pairs = vec![(":method", method.as_str()), (":authority", "gate"), (":path", path), ("x-api-key", KEY)];
        if *request_kind == RequestKind::Overridden {
            pairs.push(("x-http-method-override", OTHER));
        }
        let block = HeaderBlock::new(&pairs);
        let mut events = Vec::new();
        let place = |path: &str| Some(self.side.merged.place(path));
        match self.policy.decide(&Request::new(block.headers()), &(), &mut events).reason {
            Reason::PublicPath => {
                let place = events.iter().find_map(|event| match event {
                    Event::PublicPath(Ok(Public::Pattern(index))) => place(&format!("public_paths[{index}]")),
                    Event::PublicPath(Ok(Public::Unprotected)) => place("protected_paths"),
                    _ => None,
                });
                Some((Access::Open, place))
            }
            reason if reason.is_allowed() => {
                let rules = &self.side.document.rules;
                let met = events.iter().flat_map(|event| match event {
                    Event::Variant { rule: Some(rule), .. } => vec![*rule],
                    Event::AnyPath { .. } => (0..rules.len()).collect(),
                    _ => Vec::new(),
                });
                let met: Vec<_> = met.collect();
                let roles =
                    |rule: &usize| Some(rules.get(*rule)?.roles.iter().map(|role| role.as_str().to_owned()).collect());
                let place = met.first().and_then(|rule| place(&format!("rules[{rule}]")));
                Some((Access::Key(met.iter().filter_map(roles).collect()), place))
            }
            _ => None,
        }
    }
}

/// Other spellings of a path that some backends treat as the same.
fn respellings(path: &str) -> Vec<String> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let encoded = rest.bytes().next().map(|first| format!("/%{first:02X}{}", rest.get(1..).unwrap_or_default()));
    let mut respellings = vec![
        path.to_owned(),
        path.to_ascii_uppercase(),
        path.to_ascii_lowercase(),
        format!("{path};x"),
        format!("/{path}"),
        format!("{path}.json"),
        format!("{path}."),
        format!("{path}%C3%A9"),
        format!("{path}/%C3%A9"),
        format!("{path}/"),
    ];
    respellings.extend(encoded);
    respellings
}

/// Every method that a policy names, in either letter case, and one that no policy names.
fn request_kinds(old: &Side, new: &Side) -> Vec<RequestKind> {
    let named = [old, new].into_iter().flat_map(|side| {
        let public = side.document.public_paths.iter().map(|one| &one.methods);
        public.chain(side.document.rules.iter().map(|rule| &rule.methods)).flatten().flat_map(Methods::iter)
    });
    let mut methods: BTreeSet<_> = named.map(|method| method.as_str().to_owned()).collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods.insert(OTHER.to_owned());
    let lower = methods.iter().cloned().map(RequestKind::Lower);
    let own = methods.iter().cloned().map(RequestKind::Method);
    own.chain(lower).chain([RequestKind::Overridden]).collect()
}

fn patterns(side: &Side) -> Vec<PathPattern> {
    let document = &side.document;
    let public = document.public_paths.iter().map(|one| &one.path);
    let protected = document.protected_paths.iter().flatten().map(|one| &one.path);
    let restricted = protected.chain(document.rules.iter().map(|rule| &rule.path));
    // The gate adds these patterns itself.
    let of_files = restricted.clone().flat_map(PathPattern::of_file);
    public.chain(restricted).cloned().chain(of_files).collect()
}

/// The paths and rules, without descriptions.
fn written(side: &Side) -> Option<String> {
    let document = &side.document;
    let public: Vec<_> = document.public_paths.iter().map(|one| (&one.path, &one.methods)).collect();
    let protected: Option<Vec<_>> =
        document.protected_paths.as_ref().map(|paths| paths.iter().map(|one| &one.path).collect());
    let rules: Vec<_> = document.rules.iter().map(|one| (&one.path, &one.methods, &one.roles)).collect();
    serde_json::to_string(&(public, protected, rules)).ok()
}
