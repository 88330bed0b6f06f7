//! Many path patterns as one tree: a path is compared with all of them at once, and the cost does not depend on how many
//! there are.
//!
//! A node stands for the segments that some patterns begin with. It has a child for each text that comes next, found by hash,
//! and one for `*`. A path goes down by the text of its segment and by `*`, so it may be at several nodes of one depth; but a
//! node is entered from its parent alone, and by one of its texts. So a walk enters each node once at most: it is bounded by
//! the size of the policy, whatever the path, and for the usual policy it is a node or two for each segment.

mod folded;
mod names;
mod walk;

use core::fmt;

use crate::fold::Fold;
use crate::pattern::{PathPattern, Segment};
pub(crate) use folded::FoldedTrees;
#[cfg(test)]
pub(crate) use names::Names;
pub(crate) use walk::{Change, Matching};

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
    /// How long the longest literal is.
    longest: usize,
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

    /// Whether there is no pattern.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty()
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
        let is_text = |literal: &[u8]| literal == text;
        let known = self.literals(parent, hash(text), is_text).find(|literal| {
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
        self.longest = self.longest.max(text.len());
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
        let hash = self.text_of(literal).map_or(0, hash);
        let hash = below(literal.parent, hash);
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

    /// The literals below a node whose text has this hash, and is what is looked for: one, but where texts fold alike.
    fn literals(&self, parent: usize, hash: usize, is_text: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = &Literal> {
        let hash = below(parent, hash);
        (0..self.slots.len())
            .map_while(move |step| self.literals.get(*self.slots.get(self.slot(hash, step))?))
            .filter(move |literal| literal.parent == parent && self.text_of(literal).is_some_and(&is_text))
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

/// FNV-1a. Only who writes the policy can choose what stands in the table.
fn hash(text: &[u8]) -> usize {
    text.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ usize::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The hash of a text below a node.
fn below(parent: usize, hash: usize) -> usize {
    let hash = (hash ^ parent).wrapping_mul(0x9E37_79B1);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::trail::Ambiguity;
    use crate::variant::Budget;

    fn pattern(text: &str) -> PathPattern {
        text.parse::<PathPattern>().unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
    }

    fn covering(tree: &Tree, path: &str) -> Result<Vec<usize>, Ambiguity> {
        let all = RefCell::new(Vec::new());
        tree.first(path.as_bytes(), &mut Budget::new(), |number| {
            all.borrow_mut().push(number);
            false
        })?;
        let mut all = all.into_inner();
        all.sort_unstable();
        Ok(all)
    }

    /// At each depth both ways lead on, so that there are more routes through the patterns than a program could ever take.
    #[test]
    fn a_walk_that_would_take_long_is_given_up() {
        let patterns: Vec<PathPattern> = (0..12)
            .flat_map(|bits| (0..1 << bits).map(move |choice| (bits, choice)))
            .map(|(bits, choice)| {
                let segment = |bit: usize| if choice >> bit & 1 == 1 { "/a" } else { "/*" };
                pattern(&((0..bits).map(segment).collect::<String>() + "/end"))
            })
            .collect();
        let tree = Tree::new(&patterns.iter().collect::<Vec<_>>(), Fold::EXACT);
        assert_eq!(covering(&tree, &format!("{}/end", "/a".repeat(4))).map(|all| all.len()), Ok(1 << 4));
        assert_eq!(covering(&tree, &format!("{}/end", "/a".repeat(5))), Err(Ambiguity::TooWide));
    }

    #[test]
    fn a_tree_grows_with_its_patterns() {
        let patterns: Vec<PathPattern> = (0..3_000).map(|number| pattern(&format!("/v2/m{number}/{{x}}/go"))).collect();
        let tree = Tree::new(&patterns.iter().collect::<Vec<_>>(), Fold::EXACT);
        for number in [0, 1, 17, 2_999] {
            assert_eq!(covering(&tree, &format!("/v2/m{number}/1/go")), Ok(vec![number]));
            assert_eq!(covering(&tree, &format!("/v2/m{number}/1/gone")), Ok(vec![]));
        }
        assert!(tree.slots.len() <= 4 * tree.literals.len() && tree.literals.len() <= 1 + 2 * patterns.len());
    }
}
