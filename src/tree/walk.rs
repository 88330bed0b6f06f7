//! The way of a path through a tree: level by level, each name hashed once, whatever many nodes it is looked for below.

use arrayvec::ArrayVec;
use memchr::memchr_iter;

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
    /// As some backend may have it. `*` may be empty (Fastify, gin, Falcon); and what stands before a dot of the last name
    /// is looked for too: routers that serve several formats find `/a` in `/a.json`.
    Wide,
}

impl Tree {
    /// The first pattern in their order that covers `path`, as it is, and is accepted.
    pub(crate) fn first(
        &self,
        path: &[u8],
        budget: &mut Budget,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<usize>, Ambiguity> {
        let mut first = None;
        self.each(path, Ending::Exact, Matching::Strict, budget, &accept, |found, _| {
            first = found;
            true
        })?;
        Ok(first)
    }

    /// Whether `holds` for the first pattern that covers the path and is accepted, or for none; and so, in a wide matching,
    /// for what is left of the path without each suffix. It hears how many bytes the path loses at its end.
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
        mut holds: impl FnMut(Option<usize>, usize) -> bool,
    ) -> Result<bool, Ambiguity> {
        let mut walk = Walk { tree: self, matching, accept, budget, found: NONE };
        let mut names = Names::of(path, ending);
        let (mut here, mut there) = (Level::new(), Level::new());
        walk.enter(ROOT, &mut here)?;
        let mut next = names.next();
        while let Some(name) = next {
            if here.is_empty() {
                break;
            }
            let before = names.unread();
            next = names.next();
            // A name is a visit, and so are so many bytes of empty segments and of long names.
            let read = before.saturating_sub(names.unread());
            walk.budget.visit(1_usize.saturating_add(read >> 6))?;
            if next.is_none() {
                return walk.last(&here, name, holds);
            }
            walk.step(&here, name, &mut there)?;
            core::mem::swap(&mut here, &mut there);
            there.clear();
        }
        Ok(holds((walk.found != NONE).then_some(walk.found), 0))
    }
}

struct Walk<'w> {
    tree: &'w Tree,
    matching: Matching,
    accept: &'w dyn Fn(usize) -> bool,
    budget: &'w mut Budget,
    /// The first pattern that was accepted so far.
    found: usize,
}

impl Walk<'_> {
    /// Enters the nodes that a name leads to.
    fn step(&mut self, from: &[usize], name: &[u8], to: &mut Level) -> Result<(), Ambiguity> {
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
            if !name.is_empty() || self.matching == Matching::Wide {
                self.enter(node.any, to)?;
            }
        }
        Ok(())
    }

    /// The last name, and then what is left of it without each suffix.
    fn last(
        &mut self,
        from: &[usize],
        name: &[u8],
        mut holds: impl FnMut(Option<usize>, usize) -> bool,
    ) -> Result<bool, Ambiguity> {
        let before = self.found;
        if !holds(self.end(from, name)?, 0) {
            return Ok(false);
        }
        if self.matching == Matching::Wide {
            for dot in memchr_iter(b'.', name) {
                self.found = before;
                let rest = name.get(..dot).unwrap_or_default();
                if !holds(self.end(from, rest)?, name.len().saturating_sub(dot)) {
                    return Ok(false);
                }
                // `/a/.json` is `/a` to some (Django REST framework).
                if rest.is_empty() {
                    self.found = before;
                    self.ends_all(from)?;
                    if !holds((self.found != NONE).then_some(self.found), name.len().saturating_add(1)) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// What is found where the path ends with a name.
    fn end(&mut self, from: &[usize], name: &[u8]) -> Result<Option<usize>, Ambiguity> {
        self.budget.visit(1)?;
        let mut to = Level::new();
        self.step(from, name, &mut to)?;
        self.ends_all(&to)?;
        Ok((self.found != NONE).then_some(self.found))
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
