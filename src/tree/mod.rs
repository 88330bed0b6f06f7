//! Many path patterns as one tree: a path is compared with all of them at once, and the cost does not depend on how many
//! there are.
//!
//! A node stands for the segments that some patterns begin with. It has a child for each text that comes next, found by hash,
//! and one for `*`. A path goes down by the text of its segment and by `*`, so it may be at several nodes of one depth; but a
//! node is entered from its parent alone, and by one of its texts. So a walk enters each node once at most: it is bounded by
//! the size of the policy, whatever the path, and for the usual policy it is a node or two for each segment.

mod folded;

use core::fmt;
use std::collections::BinaryHeap;

use crate::fold::Fold;
use crate::pattern::{PathPattern, Segment};
pub(crate) use folded::FoldedTrees;

/// No node, literal or pattern: no list is so long.
const NONE: usize = usize::MAX;
/// The node where each path begins.
const ROOT: usize = 0;

/// Patterns in one fold, by their numbers.
#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    literals: Vec<Literal>,
    /// Where the literals are, by hash; open addressing, at most half full.
    slots: Vec<usize>,
    text: Vec<u8>,
    /// For each pattern, the next one that ends at the same place in the same way.
    next: Vec<usize>,
}

struct Node {
    /// The child for any segment that is not empty.
    any: usize,
    /// Whether there are children for literals.
    has_literals: bool,
    /// The first pattern that ends here.
    exact: usize,
    /// The first pattern that ends here with `**`.
    below: usize,
    /// The first pattern of all that end here or further down.
    first: usize,
}

/// A text that leads from one node to another.
struct Literal {
    parent: usize,
    start: usize,
    end: usize,
    node: usize,
    /// The literal that is the encoded form of this one.
    encoded: usize,
}

impl Tree {
    /// Of patterns, which are numbered in their order.
    pub(crate) fn new(patterns: &[&PathPattern], fold: Fold) -> Self {
        let mut tree = Self { next: vec![NONE; patterns.len()], ..Self::default() };
        tree.add_node();
        // From the last to the first: what is added is first wherever it goes.
        for (number, pattern) in patterns.iter().enumerate().rev() {
            tree.add(number, pattern, fold);
        }
        tree.nodes.shrink_to_fit();
        tree.literals.shrink_to_fit();
        tree.text.shrink_to_fit();
        tree
    }

    /// The first pattern in their order that covers `path` and is accepted.
    #[inline]
    pub(crate) fn first(&self, path: &[u8], mut accept: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut walk = Walk { tree: self, accept: &mut accept, found: NONE };
        walk.enter(ROOT, Some(path.strip_prefix(b"/").unwrap_or(path)));
        (walk.found != NONE).then_some(walk.found)
    }

    /// Whether any pattern covers `path`.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        self.first(path, |_| true).is_some()
    }

    /// All patterns that cover `path`, in their order.
    pub(crate) fn all(&self, path: &[u8]) -> Vec<usize> {
        // A heap: to sort a list of numbers would be 9 KB of code, for what is seldom more than three.
        let mut all = BinaryHeap::new();
        let _ = self.first(path, |number| {
            all.push(number);
            false
        });
        all.into_sorted_vec()
    }

    fn add(&mut self, number: usize, pattern: &PathPattern, fold: Fold) {
        let mut at = ROOT;
        self.is_first(at, number);
        for segment in pattern.segments(fold) {
            at = match segment {
                Segment::Any => self.child_for_any(at),
                Segment::Literal { text, encoded } => self.child(at, &text, encoded.as_deref()),
            };
            self.is_first(at, number);
        }
        let Some(node) = self.nodes.get_mut(at) else { return };
        let end = if pattern.goes_below() { &mut node.below } else { &mut node.exact };
        if let Some(next) = self.next.get_mut(number) {
            *next = core::mem::replace(end, number);
        }
    }

    fn is_first(&mut self, node: usize, number: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.first = number;
        }
    }

    fn add_node(&mut self) -> usize {
        let new = self.nodes.len();
        self.nodes.push(Node { any: NONE, has_literals: false, exact: NONE, below: NONE, first: NONE });
        new
    }

    fn child_for_any(&mut self, parent: usize) -> usize {
        let child = self.nodes.get(parent).map_or(NONE, |node| node.any);
        if child != NONE {
            return child;
        }
        let child = self.add_node();
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.any = child;
        }
        child
    }

    /// The child for a literal. Two that fold to one text have a child each if their encoded forms do not: a path that is
    /// encoded as one of them is not under the other.
    fn child(&mut self, parent: usize, text: &[u8], encoded: Option<&[u8]>) -> usize {
        let encoded = encoded.filter(|encoded| *encoded != text);
        let known = self.literals(parent, text, hash(parent, text)).find(|literal| {
            let other = self.literals.get(literal.encoded).and_then(|literal| self.text_of(literal));
            other == encoded
        });
        if let Some(literal) = known {
            return literal.node;
        }
        let node = self.add_node();
        let encoded = encoded.map_or(NONE, |encoded| {
            // Its own encoded form, so that it is nobody's text.
            let own = self.literals.len();
            self.add_literal(parent, encoded, node, own);
            own
        });
        self.add_literal(parent, text, node, encoded);
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.has_literals = true;
        }
        node
    }

    fn add_literal(&mut self, parent: usize, text: &[u8], node: usize, encoded: usize) {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        self.literals.push(Literal { parent, start, end: self.text.len(), node, encoded });
        if self.literals.len().saturating_mul(2) > self.slots.len() {
            self.slots = vec![NONE; self.literals.len().saturating_mul(2).next_power_of_two()];
            (0..self.literals.len()).for_each(|literal| self.place(literal));
        } else {
            self.place(self.literals.len().saturating_sub(1));
        }
    }

    /// Puts a literal into the first free slot from its hash on.
    fn place(&mut self, index: usize) {
        let Some(literal) = self.literals.get(index) else { return };
        let hash = self.text_of(literal).map_or(0, |text| hash(literal.parent, text));
        if let Some(slot) = (0..self.slots.len()).map(|step| self.slot(hash, step)).find(|slot| self.is_free(*slot))
            && let Some(slot) = self.slots.get_mut(slot)
        {
            *slot = index;
        }
    }

    fn is_free(&self, slot: usize) -> bool {
        self.slots.get(slot) == Some(&NONE)
    }

    /// The slot to look into after so many steps: their number is a power of two.
    fn slot(&self, hash: usize, step: usize) -> usize {
        hash.wrapping_add(step) & self.slots.len().wrapping_sub(1)
    }

    /// The literals with this text below a node: one, but where texts fold alike.
    fn literals(&self, parent: usize, text: &[u8], hash: usize) -> impl Iterator<Item = &Literal> {
        (0..self.slots.len())
            .map_while(move |step| self.literals.get(*self.slots.get(self.slot(hash, step))?))
            .filter(move |literal| literal.parent == parent && self.text_of(literal) == Some(text))
    }

    fn text_of(&self, literal: &Literal) -> Option<&[u8]> {
        self.text.get(literal.start..literal.end)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} patterns)", self.next.len())
    }
}

/// FNV-1a, with the node in it. Only who writes the policy can choose what stands in the table.
fn hash(parent: usize, text: &[u8]) -> usize {
    finish(text.iter().fold(seed(parent), |hash, byte| step(hash, *byte)))
}

fn seed(parent: usize) -> usize {
    0x811C_9DC5 ^ parent.wrapping_mul(0x9E37_79B1)
}

fn step(hash: usize, byte: u8) -> usize {
    (hash ^ usize::from(byte)).wrapping_mul(0x0100_0193)
}

fn finish(hash: usize) -> usize {
    hash ^ (hash >> 15)
}

struct Walk<'t> {
    tree: &'t Tree,
    accept: &'t mut dyn FnMut(usize) -> bool,
    /// The first pattern that was accepted so far.
    found: usize,
}

impl Walk<'_> {
    /// Enters a node with the segments that are left; none where the path ends here. As deep as the longest pattern.
    fn enter(&mut self, index: usize, rest: Option<&[u8]>) {
        let Some(node) = self.tree.nodes.get(index) else { return };
        if node.first >= self.found {
            return;
        }
        self.ends(node.below);
        let Some(rest) = rest else { return self.ends(node.exact) };
        if node.any == NONE && !node.has_literals {
            return;
        }
        let (mut hash, mut length) = (seed(index), 0_usize);
        for byte in rest.iter().take_while(|byte| **byte != b'/') {
            hash = step(hash, *byte);
            length = length.saturating_add(1);
        }
        let name = rest.get(..length).unwrap_or_default();
        // Behind the slash, if there is one.
        let rest = rest.get(length.saturating_add(1)..);
        let tree = self.tree;
        for literal in tree.literals(index, name, finish(hash)) {
            self.enter(literal.node, rest);
        }
        if !name.is_empty() {
            self.enter(node.any, rest);
        }
    }

    /// The patterns that end at one place, in their order: the first that is accepted counts.
    fn ends(&mut self, mut number: usize) {
        while number < self.found {
            if (self.accept)(number) {
                self.found = number;
                return;
            }
            number = self.tree.next.get(number).copied().unwrap_or(NONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::read::Text as _;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::read(text).unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
    }

    /// At each depth both ways lead on, so that there are more routes through the patterns than a program could ever take.
    #[test]
    fn a_walk_enters_each_node_once_at_most() {
        let patterns: Vec<PathPattern> = (0..12)
            .flat_map(|bits| (0..1 << bits).map(move |choice| (bits, choice)))
            .map(|(bits, choice)| {
                let segment = |bit: usize| if choice >> bit & 1 == 1 { "/a" } else { "/*" };
                pattern(&((0..bits).map(segment).collect::<String>() + "/end"))
            })
            .collect();
        let tree = Tree::new(&patterns.iter().collect::<Vec<_>>(), Fold::EXACT);
        let mut asked = 0;
        assert_eq!(
            tree.first(format!("{}/end", "/a".repeat(11)).as_bytes(), |_| {
                asked += 1;
                false
            }),
            None
        );
        assert_eq!(asked, 1 << 11);
        assert!(!tree.covers("/a".repeat(64).as_bytes()));
    }

    #[test]
    fn a_tree_grows_with_its_patterns() {
        let patterns: Vec<PathPattern> = (0..3_000).map(|number| pattern(&format!("/v2/m{number}/{{x}}/go"))).collect();
        let tree = Tree::new(&patterns.iter().collect::<Vec<_>>(), Fold::EXACT);
        for number in [0, 1, 17, 2_999] {
            assert_eq!(tree.all(format!("/v2/m{number}/1/go").as_bytes()), [number]);
            assert!(!tree.covers(format!("/v2/m{number}/1/gone").as_bytes()));
        }
        assert!(tree.slots.len() <= 4 * tree.literals.len() && tree.literals.len() <= 1 + 2 * patterns.len());
    }
}
