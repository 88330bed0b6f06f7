//! The way of a path through a tree: level by level, each name hashed once, whatever many nodes it is looked for below.

use arrayvec::ArrayVec;
use memchr::{memchr_iter, memchr2};

use super::names::Names;
use super::{NONE, ROOT, Tree, hash};
use crate::fold::Ending;
use crate::trail::Ambiguity;
use crate::variant::Budget;

/// The most nodes of one depth that a path may be at: as many ways as patterns have to mix literals and `*` there.
const WIDEST: usize = 32;

/// The nodes of one depth that a path is at.
type Level = ArrayVec<usize, WIDEST>;

/// How much a path is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matching {
    /// As patterns say: `*` is a segment that is not empty, and the last name counts as it is.
    Strict,
    /// As some backend may have it. `*` may be empty where more follows; and what stands before a dot of the last name is
    /// looked for too: routers that serve several formats find `/a` in `/a.json`.
    Wide,
    /// The same, for a path with names that some backend takes for others: see [`others`].
    Wider,
}

impl Matching {
    /// How much a path is compared with the other paths of files: their names are other names already.
    pub(crate) fn of_files(self) -> Self {
        if self == Self::Wider { Self::Wide } else { self }
    }
}

/// How a path is read where it is not read as it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'c> {
    /// How many bytes it loses at its end.
    pub(crate) cut: usize,
    /// The names that stand for others, by how many names are before them.
    pub(crate) names: &'c [(usize, &'c [u8])],
}

impl Change<'_> {
    /// The path, as it is read so.
    pub(crate) fn path(&self, path: &[u8], ending: Ending) -> Vec<u8> {
        let other = |depth: usize| self.names.iter().find(|(place, _)| *place == depth).map(|(_, other)| *other);
        let names = Names::of(path, ending).enumerate().map(|(depth, name)| other(depth).unwrap_or(name));
        let mut path: Vec<u8> = names.flat_map(|name| core::iter::once(b'/').chain(name.iter().copied())).collect();
        path.truncate(path.len().saturating_sub(self.cut));
        path
    }
}

/// Hears the first pattern that covers a reading of a path, if any, and how the path is read.
type Holds<'h> = &'h mut dyn FnMut(Option<usize>, Change<'_>) -> bool;

impl Tree {
    /// The first pattern in their order that covers `path`, as it is, and is accepted. Every request asks it, and of one reading
    /// alone: so it goes its own way down, with nobody to hear of others.
    pub(crate) fn first(
        &self,
        path: &[u8],
        budget: &mut Budget,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<usize>, Ambiguity> {
        let mut walk = self.walk(Matching::Strict, budget, &accept);
        let (mut names, mut here, mut there) = (Names::of(path, Ending::Exact), Level::new(), Level::new());
        walk.enter(ROOT, &mut here)?;
        let mut next = walk.next(&mut names)?;
        while let Some(name) = next.filter(|_| !here.is_empty()) {
            next = walk.next(&mut names)?;
            if next.is_none() {
                walk.end(&here, name)?;
                break;
            }
            walk.step(&here, name, false, &mut there)?;
            core::mem::swap(&mut here, &mut there);
            there.clear();
        }
        Ok((walk.found != NONE).then_some(walk.found))
    }

    fn walk<'w>(&'w self, matching: Matching, budget: &'w mut Budget, accept: &'w dyn Fn(usize) -> bool) -> Walk<'w> {
        Walk { tree: self, matching, accept, budget, found: NONE, looked: 0, changed: Vec::new() }
    }

    /// Whether `holds` for the first pattern that covers the path and is accepted, or for none; and so, in a wide matching,
    /// for what is left of the path without each suffix, and with other names.
    ///
    /// # Errors
    /// Where this would take long, which only an unusual policy brings about.
    pub(crate) fn each(
        &self,
        path: &[u8],
        ending: Ending,
        matching: Matching,
        budget: &mut Budget,
        accept: &dyn Fn(usize) -> bool,
        holds: Holds<'_>,
    ) -> Result<bool, Ambiguity> {
        let mut walk = self.walk(matching, budget, accept);
        let mut start = Level::new();
        walk.enter(ROOT, &mut start)?;
        walk.descend(Names::of(path, ending), 0, start, holds)
    }
}

struct Walk<'w> {
    tree: &'w Tree,
    matching: Matching,
    accept: &'w dyn Fn(usize) -> bool,
    budget: &'w mut Budget,
    /// The first pattern that was accepted so far.
    found: usize,
    /// How often other names were looked for, and no visit was taken yet.
    looked: usize,
    /// The names that are read as others, on the way to where the walk is.
    changed: Vec<(usize, &'w [u8])>,
}

/// How many other names are looked for in the time of a visit.
const LOOKS: usize = 8;

/// Whether there is something of which [`others`] are made.
fn may_be_another(name: &[u8]) -> bool {
    memchr2(b'.', b',', name).is_some() || name.starts_with(b"@@")
}

/// What some backends take a name for, beside what stands before a dot of the last one: what follows `@@` (Pyramid, Zope), each
/// item of a list (tRPC, Elasticsearch, Solr), and what stands before a dot of any (connect; `.git`).
fn others(name: &[u8], is_last: bool) -> impl Iterator<Item = &[u8]> {
    let bare = name.strip_prefix(b"@@").filter(|_| defence!("views")).unwrap_or(name);
    let items = bare.split(|byte| *byte == b',' && defence!("lists"));
    items.flat_map(move |item| {
        let is_name = item.len() == name.len();
        let dots = memchr_iter(b'.', item).filter(move |_| !(is_name && is_last) && defence!("suffixes-in-the-middle"));
        let itself = Some(item).filter(|_| !is_name);
        itself.into_iter().chain(dots.filter_map(|dot| item.get(..dot)))
    })
}

impl<'w> Walk<'w> {
    /// Goes down from the nodes of one depth, behind so many names.
    fn descend(
        &mut self,
        mut names: Names<'w>,
        mut depth: usize,
        mut here: Level,
        holds: Holds<'_>,
    ) -> Result<bool, Ambiguity> {
        let mut there = Level::new();
        let mut next = self.next(&mut names)?;
        while let Some(name) = next {
            if here.is_empty() {
                break;
            }
            if self.matching == Matching::Wider
                && may_be_another(name)
                && !self.otherwise(&here, name, &names, depth, holds)?
            {
                return Ok(false);
            }
            next = self.next(&mut names)?;
            if next.is_none() {
                return self.last(&here, name, holds);
            }
            // `*` may be empty to some where more follows (Fastify, gin, Falcon).
            self.step(&here, name, self.matching != Matching::Strict, &mut there)?;
            core::mem::swap(&mut here, &mut there);
            there.clear();
            depth = depth.saturating_add(1);
        }
        Ok(self.holds(0, holds))
    }

    /// The next name: a visit, and so are so many bytes of empty segments and of long names.
    fn next(&mut self, names: &mut Names<'w>) -> Result<Option<&'w [u8]>, Ambiguity> {
        let before = names.unread();
        let next = names.next();
        let read = before.saturating_sub(names.unread());
        self.budget.visit(usize::from(next.is_some()).saturating_add(read >> 6))?;
        Ok(next)
    }

    fn holds(&self, cut: usize, holds: Holds<'_>) -> bool {
        holds((self.found != NONE).then_some(self.found), Change { cut, names: &self.changed })
    }

    /// The same path with each other name in the place of this one that a pattern has there, unless a pattern that has the name
    /// itself covers the path: then the name is no other. So names with dots or commas, which are usual, cost a look for each.
    #[inline(never)]
    fn otherwise(
        &mut self,
        from: &Level,
        name: &'w [u8],
        behind: &Names<'w>,
        depth: usize,
        holds: Holds<'_>,
    ) -> Result<bool, Ambiguity> {
        let tree = self.tree;
        let is_last = behind.clone().next().is_none();
        // For each node, whether the path is covered as it stands below it, once somebody asked: it is so for every other name.
        let mut covered: ArrayVec<Option<bool>, WIDEST> = from.iter().map(|_| None).collect();
        // Lists repeat names.
        let mut known: ArrayVec<usize, WIDEST> = ArrayVec::new();
        for other in others(name, is_last) {
            self.looked = self.looked.saturating_add(from.len());
            self.budget.visit(self.looked / LOOKS)?;
            self.looked %= LOOKS;
            // Empty ones are counted too: a caller may send thousands.
            if other.is_empty() || other.len() > tree.longest {
                continue;
            }
            let hashed = hash(other);
            let mut first = None;
            for (index, covered) in from.iter().zip(&mut covered) {
                let Some(literal) = tree.literals(*index, hashed, |text| text == other).next() else { continue };
                let is_covered = match *covered {
                    Some(is_covered) => is_covered,
                    None => *covered.insert(self.covers_itself(*index, name, behind, depth, is_last)?),
                };
                if !is_covered {
                    first = Some(literal.node);
                    break;
                }
            }
            let Some(first) = first.filter(|first| !known.contains(first)) else { continue };
            // Where there is no room, it is looked for again.
            let _ = known.try_push(first);
            let (found, mut to) = (self.found, Level::new());
            self.changed.push((depth, other));
            self.step(from, other, false, &mut to)?;
            let all_hold = if is_last {
                self.ends_all(&to)?;
                self.holds(0, holds)
            } else {
                self.descend(behind.clone(), depth.saturating_add(1), to, holds)?
            };
            self.changed.pop();
            self.found = found;
            if !all_hold {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a pattern that has this name below this node covers the path as it stands.
    fn covers_itself(
        &mut self,
        index: usize,
        name: &'w [u8],
        behind: &Names<'w>,
        depth: usize,
        is_last: bool,
    ) -> Result<bool, Ambiguity> {
        // A name that is longer than all literals is none of them.
        if name.len() > self.tree.longest {
            return Ok(false);
        }
        let Some(literal) = self.tree.literals(index, hash(name), |text| text == name).next() else { return Ok(false) };
        let before =
            (core::mem::replace(&mut self.found, NONE), core::mem::replace(&mut self.matching, Matching::Wide));
        let mut level = Level::new();
        self.enter(literal.node, &mut level)?;
        let mut is_covered = false;
        if is_last {
            self.ends_all(&level)?;
            is_covered = self.found != NONE;
        } else {
            // The first that is heard of is the path as it stands.
            self.descend(behind.clone(), depth.saturating_add(1), level, &mut |found, _| {
                is_covered = found.is_some();
                false
            })?;
        }
        (self.found, self.matching) = before;
        Ok(is_covered)
    }

    /// Enters the nodes that a name leads to. `is_any`: `*` stands for an empty one too.
    fn step(&mut self, from: &[usize], name: &[u8], is_any: bool, to: &mut Level) -> Result<(), Ambiguity> {
        let tree = self.tree;
        // A name that is longer than all literals is none of them.
        let mut hashed = None;
        for index in from {
            let Some(node) = tree.nodes.get(*index) else { continue };
            if !defence!("whole-segments") {
                for literal in tree.literals.iter().filter(|literal| literal.parent == *index) {
                    if tree.text_of(literal).is_some_and(|text| name.starts_with(text)) {
                        self.enter(literal.node, to)?;
                    }
                }
            }
            if node.has_literals && name.len() <= tree.longest {
                let hash = *hashed.get_or_insert_with(|| hash(name));
                for literal in tree.literals(*index, hash, |text| name == text) {
                    self.enter(literal.node, to)?;
                }
            }
            if !name.is_empty() || is_any {
                self.enter(node.any, to)?;
            }
        }
        Ok(())
    }

    /// The last name, and then what is left of it without each suffix.
    fn last(&mut self, from: &[usize], name: &[u8], holds: Holds<'_>) -> Result<bool, Ambiguity> {
        let before = self.found;
        self.end(from, name)?;
        if !self.holds(0, holds) {
            return Ok(false);
        }
        if self.matching == Matching::Strict { Ok(true) } else { self.without_suffixes(before, from, name, holds) }
    }

    /// What is left of the last name without each suffix. `before`: what was found before it.
    #[inline(never)]
    fn without_suffixes(
        &mut self,
        before: usize,
        from: &[usize],
        name: &[u8],
        holds: Holds<'_>,
    ) -> Result<bool, Ambiguity> {
        for dot in memchr_iter(b'.', name) {
            self.found = before;
            let rest = name.get(..dot).unwrap_or_default();
            self.end(from, rest)?;
            if !self.holds(name.len().saturating_sub(dot), holds) {
                return Ok(false);
            }
            // `/a/.json` is `/a` to some (Django REST framework).
            if rest.is_empty() {
                self.found = before;
                self.ends_all(from)?;
                if !self.holds(name.len().saturating_add(1), holds) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Finds what there is where the path ends with a name.
    fn end(&mut self, from: &[usize], name: &[u8]) -> Result<(), Ambiguity> {
        self.budget.visit(1)?;
        let mut to = Level::new();
        self.step(from, name, false, &mut to)?;
        self.ends_all(&to)
    }

    /// The patterns that end at each node.
    fn ends_all(&mut self, level: &[usize]) -> Result<(), Ambiguity> {
        level.iter().try_for_each(|index| self.ends(self.tree.nodes.get(*index).map_or(NONE, |node| node.exact)))
    }

    /// Enters a node, if anything may be found there.
    fn enter(&mut self, index: usize, level: &mut Level) -> Result<(), Ambiguity> {
        let Some(node) = self.tree.nodes.get(index).filter(|node| node.first < self.found) else { return Ok(()) };
        self.budget.visit(1)?;
        self.ends(node.below)?;
        if node.any != NONE || node.has_literals || node.exact != NONE {
            level.try_push(index).map_err(|_| Ambiguity::TooWide)?;
        }
        Ok(())
    }

    /// The patterns that end at one place, in their order: the first that is accepted counts.
    fn ends(&mut self, mut number: usize) -> Result<(), Ambiguity> {
        while number < self.found {
            self.budget.visit(1)?;
            if (self.accept)(number) {
                self.found = number;
                return Ok(());
            }
            number = self.tree.next.get(number).copied().unwrap_or(NONE);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Fold;
    use crate::pattern::PathPattern;

    #[test]
    fn a_name_may_be_others() {
        let all = |name: &str, is_last| {
            let others = others(name.as_bytes(), is_last).filter(|other| !other.is_empty());
            others.map(|other| String::from_utf8_lossy(other).into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(all("a.b.c", false), "a a.b");
        assert_eq!(all("a.b.c", true), "", "the suffixes of a last name are cut off by themselves");
        assert_eq!(all("a,b.c,,d", true), "a b.c b d");
        assert_eq!(all("@@a.b", true), "a.b a");
        assert_eq!(all("@@a,@@b", false), "a @@b");
        for name in ["", "@@", ",", ".", ".a", "abc", "a@b"] {
            assert_eq!(all(name, false), "", "{name}");
        }
    }

    /// What is read for each other name, with the path and the pattern.
    #[test]
    fn another_name_is_read_where_patterns_have_it() {
        let patterns = ["/a/x", "/a.b/**", "/*/c/d"].map(|text| text.parse::<PathPattern>().unwrap());
        let tree = Tree::new(&patterns.iter().collect::<Vec<_>>(), Fold::EXACT);
        for (path, readings) in [
            ("/a.c/x", &[(Some(0), "/a/x"), (None, "/a.c/x")][..]),
            ("/a.b/x", &[(Some(1), "/a.b/x")]),
            ("/b.c/c.e/d", &[(Some(2), "/b.c/c/d"), (None, "/b.c/c.e/d")]),
            ("/q,a,a,a/x", &[(Some(0), "/a/x"), (None, "/q,a,a,a/x")]),
            ("/m.c/x.y/d", &[(None, "/m.c/x.y/d")]),
        ] {
            let mut all = Vec::new();
            let each = tree.each(
                path.as_bytes(),
                Ending::Exact,
                Matching::Wider,
                &mut Budget::new(),
                &|_| true,
                &mut |found, change| {
                    all.push((found, String::from_utf8(change.path(path.as_bytes(), Ending::Exact)).unwrap()));
                    true
                },
            );
            assert_eq!(each, Ok(true));
            let readings: Vec<(Option<usize>, String)> =
                readings.iter().map(|(found, path)| (*found, (*path).to_owned())).collect();
            assert_eq!(all, readings, "{path}");
        }
    }

    #[test]
    fn a_list_that_would_take_long_is_given_up() {
        let patterns: Vec<PathPattern> = (0..60).map(|number| format!("/a{number}/x").parse().unwrap()).collect();
        let tree = Tree::new(&patterns.iter().collect::<Vec<_>>(), Fold::EXACT);
        let each = |path: String| {
            tree.each(
                path.as_bytes(),
                Ending::Exact,
                Matching::Wider,
                &mut Budget::new(),
                &|_| true,
                &mut |found, _| found.is_none(),
            )
        };
        assert_eq!(each(format!("/{}/x", "b,".repeat(3_000))), Ok(true), "six thousand bytes of names that nobody has");
        assert_eq!(each(format!("/{}/x", "b,".repeat(9_000))), Err(Ambiguity::TooWide));
        let names: Vec<String> = (0..60).map(|number| format!("a{number}")).collect();
        assert_eq!(each(format!("/{}/{}", names.join(","), "y".repeat(2_000))), Err(Ambiguity::TooWide));
    }
}
