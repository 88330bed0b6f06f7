//! Which paths are public and which roles they ask for, by asking the core about one path of every kind, in both policies.

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

/// The most kinds of path that a line names.
const SHOWN: usize = 6;

/// The key of the consumer that has every role.
const KEY: &str = "a-key-with-every-role";

/// A method that no policy names.
const OTHER: &str = "OTHER";

/// What a request has to present.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    /// Nothing.
    Open,
    /// A key, and of each of these sets one role.
    Key(BTreeSet<BTreeSet<String>>),
}

/// What a line tells: how a kind of path changes. Lines are put together from many answers.
type Told = (Effect, Access, Access, Option<String>);

/// What is told already: effects by kind of path, and changes of any kind.
#[derive(Default)]
struct Said {
    kinds: BTreeSet<(usize, Effect)>,
    changes: BTreeSet<(Effect, Access, Access)>,
}

/// How a request is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    /// With this method.
    Method(String),
    /// With this method in lower case.
    Lower(String),
    /// With a header from which some backends take the method.
    Overridden,
}

pub(super) fn compare(old: &Side, new: &Side) -> Result<Vec<Change>> {
    if written(old) == written(new) {
        return Ok(Vec::new());
    }
    let gates = (Gate::of(old)?, Gate::of(new)?);
    let shapes = shapes(old, new);
    let patterns = [old, new].into_iter().flat_map(patterns).map(|pattern| (pattern.as_str().to_owned(), pattern));
    let patterns: BTreeMap<String, PathPattern> = patterns.collect();
    let (kinds, complete) = cells::of(&patterns.values().collect::<Vec<_>>());
    let mut told: BTreeMap<Told, BTreeMap<usize, BTreeSet<Shape>>> = BTreeMap::new();
    let mut said = Said::default();
    for (index, cell) in kinds.iter().enumerate() {
        for shape in shapes.iter().filter(|shape| matches!(shape, Shape::Method(_))) {
            for line in answers(&gates, &cell.path, shape) {
                said.kinds.insert((index, line.0));
                said.changes.insert((line.0, line.1.clone(), line.2.clone()));
                told.entry(line).or_default().entry(index).or_default().insert(shape.clone());
            }
        }
    }
    let mut changes: Vec<_> = told.into_iter().flat_map(|(line, found)| lines(line, found, &kinds, &shapes)).collect();
    changes.extend(disguised(&gates, &kinds, &shapes, &said));
    if !complete {
        let what =
            format!("the patterns tell more than {} kinds of path apart: the rest was not compared", cells::MOST);
        changes.push(Change::new(MayOpen, "paths", what));
    }
    if changes.is_empty() {
        changes.push(Change::new(Neither, "paths", "written otherwise: no kind of path asks for anything else"));
    }
    Ok(changes)
}

/// What changes for one request; both where roles are exchanged.
fn answers(gates: &(Gate<'_>, Gate<'_>), path: &str, shape: &Shape) -> Vec<Told> {
    let (Some((before, old_place)), Some((after, new_place))) =
        (gates.0.access(path, shape), gates.1.access(path, shape))
    else {
        return Vec::new();
    };
    let place = new_place.or(old_place);
    let mut told = Vec::new();
    if !before.includes(&after) {
        told.push((Opens, before.clone(), after.clone(), place.clone()));
    }
    if !after.includes(&before) {
        told.push((Closes, before, after, place));
    }
    told
}

/// One line for all kinds that are sent in the same ways.
fn lines(line: Told, found: BTreeMap<usize, BTreeSet<Shape>>, kinds: &[Cell], all: &[Shape]) -> Vec<Change> {
    let (effect, before, after, place) = line;
    let mut by_shapes: BTreeMap<BTreeSet<Shape>, Vec<&str>> = BTreeMap::new();
    for (kind, shapes) in found.into_iter().filter_map(|(index, shapes)| Some((kinds.get(index)?, shapes))) {
        by_shapes.entry(shapes).or_default().push(&kind.shown);
    }
    let line = |(shapes, mut kinds): (BTreeSet<Shape>, Vec<&str>)| {
        kinds.sort_by_key(|kind| *kind != cells::OTHERS);
        let more = kinds.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let kinds = kinds.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
        let what = format!("{} {kinds}{more}: {} -> {}", methods(&shapes, all), before.words(), after.words());
        Change { place: place.clone(), ..Change::new(effect, "paths", what) }
    };
    by_shapes.into_iter().map(line).collect()
}

/// What changes only for paths and methods that are sent otherwise than as they are written, where some backend takes them
/// for the same: one line for each effect, and none for what is `said`.
fn disguised(gates: &(Gate<'_>, Gate<'_>), kinds: &[Cell], shapes: &[Shape], said: &Said) -> Vec<Change> {
    let mut found: BTreeMap<Effect, (usize, Change)> = BTreeMap::new();
    for (index, cell) in kinds.iter().enumerate() {
        for (path, shape) in disguises(&cell.path).iter().flat_map(|path| shapes.iter().map(move |shape| (path, shape)))
        {
            for (effect, before, after, place) in answers(gates, path, shape) {
                let change = (effect, before, after);
                if !said.kinds.contains(&(index, effect)) && !said.changes.contains(&change) {
                    let shape = methods(&BTreeSet::from([shape.clone()]), shapes);
                    let what = format!("{shape} {path}: {} -> {}", change.1.words(), change.2.words());
                    let first = || (0, Change { place, ..Change::new(effect, "paths", what) });
                    let count = &mut found.entry(effect).or_insert_with(first).0;
                    *count = count.saturating_add(1);
                }
            }
        }
    }
    let line = |(count, change): (usize, Change)| Change {
        what: format!("{} of another spelling, such as {}", crate::output::count(count, "request"), change.what),
        ..change
    };
    found.into_values().map(line).collect()
}

fn methods(shapes: &BTreeSet<Shape>, all: &[Shape]) -> String {
    let is_method = |shape: &&Shape| matches!(shape, Shape::Method(_));
    if shapes.iter().filter(is_method).count() == all.iter().filter(is_method).count() {
        return "every method".to_owned();
    }
    let name = |shape: &Shape| match shape {
        Shape::Method(method) if method == OTHER => "other methods".to_owned(),
        Shape::Method(method) => method.clone(),
        Shape::Lower(method) => method.to_ascii_lowercase(),
        Shape::Overridden => "with a header that overrides the method".to_owned(),
    };
    shapes.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Access {
    /// Whether whoever comes in with `other` comes in with this too: each set that this asks for holds a whole set that the
    /// other asks for.
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
                // A set that holds another asks for nothing more.
                let least = |set: &&BTreeSet<String>| !sets.iter().any(|other| other != *set && other.is_subset(set));
                let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" or ");
                format!("role {}", sets.iter().filter(least).map(words).collect::<Vec<_>>().join(" and "))
            }
        }
    }
}

/// One policy as it is asked: its paths and rules alone, and one consumer that has every role.
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

    /// What a request has to present, and where the policy says so; none where it is refused, whatever it presents.
    fn access(&self, path: &str, shape: &Shape) -> Option<(Access, Option<String>)> {
        let method = match shape {
            Shape::Method(method) => method.clone(),
            Shape::Lower(method) => method.to_ascii_lowercase(),
            Shape::Overridden => OTHER.to_owned(),
        };
        let mut pairs = vec![(":method", method.as_str()), (":authority", "gate"), (":path", path), ("x-api-key", KEY)];
        if *shape == Shape::Overridden {
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

/// Other ways to send a path, which some backend takes for the same.
fn disguises(path: &str) -> Vec<String> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let encoded = rest.bytes().next().map(|first| format!("/%{first:02X}{}", rest.get(1..).unwrap_or_default()));
    let mut disguises = vec![
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
    disguises.extend(encoded);
    disguises
}

/// Every method that a policy names, in either letter case, and one that none names.
fn shapes(old: &Side, new: &Side) -> Vec<Shape> {
    let named = [old, new].into_iter().flat_map(|side| {
        let public = side.document.public_paths.iter().map(|one| &one.methods);
        public.chain(side.document.rules.iter().map(|rule| &rule.methods)).flatten().flat_map(Methods::iter)
    });
    let mut methods: BTreeSet<_> = named.map(|method| method.as_str().to_owned()).collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods.insert(OTHER.to_owned());
    let lower = methods.iter().cloned().map(Shape::Lower);
    let own = methods.iter().cloned().map(Shape::Method);
    own.chain(lower).chain([Shape::Overridden]).collect()
}

fn patterns(side: &Side) -> Vec<PathPattern> {
    let document = &side.document;
    let public = document.public_paths.iter().map(|one| &one.path);
    let protected = document.protected_paths.iter().flatten().map(|one| &one.path);
    let restricted = protected.chain(document.rules.iter().map(|rule| &rule.path));
    // The gate has these beside what is written.
    let of_files = restricted.clone().flat_map(PathPattern::of_file);
    public.chain(restricted).cloned().chain(of_files).collect()
}

/// The paths and rules as they are written, without remarks.
fn written(side: &Side) -> Option<String> {
    let document = &side.document;
    let public: Vec<_> = document.public_paths.iter().map(|one| (&one.path, &one.methods)).collect();
    let protected: Option<Vec<_>> =
        document.protected_paths.as_ref().map(|paths| paths.iter().map(|one| &one.path).collect());
    let rules: Vec<_> = document.rules.iter().map(|one| (&one.path, &one.methods, &one.roles)).collect();
    serde_json::to_string(&(public, protected, rules)).ok()
}
