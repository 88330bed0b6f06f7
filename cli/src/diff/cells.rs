//! The kinds of path that a set of patterns distinguishes, with one example path of each kind.
//!
//! Patterns compare segment by segment. So a walk over all patterns at once, one segment at each step, reaches every
//! kind: the next segment is one that a pattern names, or one that no pattern names.

use std::collections::{BTreeSet, VecDeque};

use portcullis::PathPattern;

/// One kind of path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    /// An example path, as in a request.
    pub(super) path: String,
    /// The kind, written like a pattern.
    pub(super) shown: String,
}

/// The name of the kind that no pattern covers.
pub(super) const OTHERS: &str = "any other path";

/// The maximum number of kinds.
pub(super) const MAX_CELLS: usize = 2_000;

struct Pattern<'a> {
    segments: Vec<Option<&'a str>>,
    below: bool,
}

/// The state of the walk: the path so far, the patterns that may still match, and those that match whatever follows.
struct Walk {
    cell: Cell,
    alive: Vec<usize>,
    done: BTreeSet<usize>,
    depth: usize,
}

/// Returns the kinds, and whether these are all of them.
pub(super) fn of(patterns: &[&PathPattern]) -> (Vec<Cell>, bool) {
    let patterns: Vec<_> = patterns.iter().map(|pattern| Pattern::of(pattern)).collect();
    let other = unnamed(&patterns);
    let below =
        |index: &usize| patterns.get(*index).is_some_and(|pattern| pattern.below && pattern.segments.is_empty());
    let all: Vec<_> = (0..patterns.len()).collect();
    let start = Walk {
        cell: Cell { path: String::new(), shown: String::new() },
        done: all.iter().copied().filter(below).collect(),
        alive: all,
        depth: 0,
    };
    let mut cells = vec![Cell { path: "/".to_owned(), shown: "/".to_owned() }];
    let mut seen = BTreeSet::new();
    let mut next = VecDeque::from([start]);
    while let Some(walk) = next.pop_front() {
        let mut names: BTreeSet<&str> =
            walk.alive.iter().filter_map(|index| patterns.get(*index)?.name(walk.depth)).collect();
        names.remove("");
        // The segment that no pattern names comes first, so that a kind gets the simplest example path.
        for name in [None].into_iter().chain(names.into_iter().map(Some)) {
            let step = walk.step(&patterns, name, &other);
            // Without a pattern that may still match, all depths are one kind.
            let depth = if step.alive.is_empty() { 0 } else { step.depth };
            // Paths that are not ASCII are a separate kind: they are never public for lack of a protected path.
            let is_ascii = !step.cell.path.contains('%');
            if !seen.insert((depth, is_ascii, step.alive.clone(), step.done.clone())) {
                continue;
            }
            if cells.len() >= MAX_CELLS {
                return (cells, false);
            }
            let Cell { path, shown } = &step.cell;
            if step.alive.is_empty() && step.done.is_empty() {
                cells.push(Cell { path: path.clone(), shown: OTHERS.to_owned() });
            } else {
                let end = if step.alive.is_empty() { "/**" } else { "" };
                cells.push(Cell { path: path.clone(), shown: format!("{shown}{end}") });
                if !step.alive.is_empty() {
                    cells.push(Cell { path: format!("{path}/"), shown: format!("{shown}/") });
                    next.push_back(step);
                }
            }
        }
    }
    (cells, true)
}

impl<'a> Pattern<'a> {
    fn of(pattern: &'a PathPattern) -> Self {
        Self { segments: pattern.names().collect(), below: pattern.goes_below() }
    }

    /// The name that it requires at this depth; `None` for any name.
    fn name(&self, depth: usize) -> Option<&'a str> {
        self.segments.get(depth).copied().flatten()
    }
}

impl Walk {
    /// Adds a segment: this name, or one that no pattern names.
    fn step(&self, patterns: &[Pattern<'_>], name: Option<&str>, other: &str) -> Self {
        let depth = self.depth.saturating_add(1);
        let mut done = self.done.clone();
        let mut alive = Vec::new();
        for index in &self.alive {
            let Some(pattern) = patterns.get(*index).filter(|pattern| pattern.segments.len() >= depth) else {
                continue;
            };
            if pattern.name(self.depth).is_some_and(|wanted| Some(wanted) != name) {
                continue;
            }
            if pattern.below && pattern.segments.len() == depth {
                done.insert(*index);
            } else {
                alive.push(*index);
            }
        }
        let encoded = |name: &str| -> String {
            let byte = |byte: u8| {
                if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            };
            name.bytes().map(byte).collect()
        };
        let Cell { path, shown } = &self.cell;
        let cell = Cell {
            path: format!("{path}/{}", name.map_or_else(|| other.to_owned(), encoded)),
            shown: format!("{shown}/{}", name.unwrap_or("*")),
        };
        Self { cell, alive, done, depth }
    }
}

/// A name that is in no pattern, in any letter case.
fn unnamed(patterns: &[Pattern<'_>]) -> String {
    let mut name = "some".to_owned();
    let taken = |name: &str| {
        let mut names = patterns.iter().flat_map(|pattern| pattern.segments.iter().flatten());
        names.any(|segment| segment.eq_ignore_ascii_case(name))
    };
    while taken(&name) {
        name.push('e');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<PathPattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        of(&patterns.iter().collect::<Vec<_>>()).0.into_iter().map(|cell| cell.shown).collect()
    }

    #[test]
    fn each_kind_of_path_is_there_once() {
        assert_eq!(shown(&[]), ["/", "any other path"]);
        assert_eq!(shown(&["/"]), ["/", "any other path"]);
        assert_eq!(shown(&["/**"]), ["/", "/*/**"]);
        assert_eq!(shown(&["/a/*"]), ["/", "any other path", "/a", "/a/", "/a/*", "/a/*/"]);
        assert_eq!(
            shown(&["/docs/**", "/docs/*"]),
            ["/", "any other path", "/docs", "/docs/", "/docs/*", "/docs/*/", "/docs/*/*/**"]
        );
    }
}
