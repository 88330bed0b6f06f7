//! The nodes of the pattern trie, and how patterns are added.
//!
//! * A node represents the first segments of some patterns. It has one child for each literal that comes next, found by
//!   hash, and one child for `*`.
//! * A path descends by the literal and by `*`, so it may be at several nodes of one depth.
//! * Each node has one parent and one literal that leads to it, so a walk enters each node at most once.
//! * So the cost of a walk is bounded by the size of the policy, whatever the path is. With a usual policy it is one or two
//!   nodes for each segment.

use core::fmt;

use hashbrown::HashTable;

use crate::path::normalization::Normalization;
use crate::path::pattern::{PathPattern, Segment};

/// The index of no node and of no pattern: no list is that long.
pub(super) const NONE: usize = usize::MAX;
pub(super) const ROOT: usize = 0;

/// A trie of patterns in one normalization. Patterns are identified by their numbers.
#[derive(Default)]
pub(crate) struct PatternTrie {
    pub(super) nodes: Vec<Node>,
    pub(super) literals: HashTable<Literal>,
    /// The maximum length of a literal, in bytes.
    pub(super) longest: usize,
    /// For each pattern, the next one that ends at the same node in the same way.
    pub(super) next: Vec<usize>,
}

pub(super) struct Node {
    /// The child for any segment that is not empty.
    pub(super) any: usize,
    pub(super) has_literals: bool,
    /// The first pattern that ends here.
    pub(super) exact: usize,
    /// The first pattern that ends here with `**`.
    pub(super) below: usize,
    /// The first pattern that ends here or further down.
    pub(super) first: usize,
}

/// A literal segment that leads from one node to another.
pub(super) struct Literal {
    pub(super) parent: usize,
    pub(super) text: Box<[u8]>,
    /// The percent-encoded form, if it differs. If this literal is itself an encoded form: its text.
    encoded: Option<Box<[u8]>>,
    pub(super) node: usize,
}

impl PatternTrie {
    /// Builds the trie of patterns, which are numbered in their order.
    pub(crate) fn new(patterns: &[&PathPattern], normalization: Normalization) -> Self {
        let mut trie = Self { next: vec![NONE; patterns.len()], ..Self::default() };
        trie.add_node();
        // Adds the last pattern first: a pattern that is added later precedes the others.
        for (number, pattern) in patterns.iter().enumerate().rev() {
            trie.add(number, pattern, normalization);
        }
        trie.nodes.shrink_to_fit();
        trie
    }

    fn add(&mut self, number: usize, pattern: &PathPattern, normalization: Normalization) {
        let mut at = ROOT;
        self.set_first(at, number);
        for segment in pattern.segments(normalization) {
            at = match segment {
                Segment::Any => self.child_for_any(at),
                Segment::Literal { text, encoded } => self.child(at, &text, encoded.as_deref()),
            };
            self.set_first(at, number);
        }
        let Some(node) = self.nodes.get_mut(at) else { return };
        let end = if pattern.goes_below() { &mut node.below } else { &mut node.exact };
        if let Some(next) = self.next.get_mut(number) {
            *next = core::mem::replace(end, number);
        }
    }

    fn set_first(&mut self, node: usize, number: usize) {
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
        let new = self.nodes.len();
        if let Some(parent) = self.nodes.get_mut(parent) {
            if parent.any != NONE {
                return parent.any;
            }
            parent.any = new;
        }
        self.add_node()
    }

    /// Finds or adds the child for a literal. Two literals with the same normalized text have separate children if their
    /// encoded forms differ: a path that is encoded as one of them does not match the other.
    fn child(&mut self, parent: usize, text: &[u8], encoded: Option<&[u8]>) -> usize {
        let encoded = encoded.filter(|encoded| *encoded != text);
        if let Some(known) = self.literals(parent, hash(text), text).find(|known| known.encoded.as_deref() == encoded) {
            return known.node;
        }
        let node = self.add_node();
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.has_literals = true;
        }
        self.add_literal(Literal { parent, text: text.into(), encoded: encoded.map(Box::from), node });
        if let Some(encoded) = encoded {
            self.add_literal(Literal { parent, text: encoded.into(), encoded: Some(encoded.into()), node });
        }
        node
    }

    fn add_literal(&mut self, literal: Literal) {
        let hash = |literal: &Literal| below(literal.parent, hash(&literal.text));
        self.longest = self.longest.max(literal.text.len());
        self.literals.insert_unique(hash(&literal), literal, hash);
    }

    /// Finds the literals below a node with this text and its hash. There is more than one only if several normalize to the
    /// same text.
    pub(super) fn literals(&self, parent: usize, hash: usize, text: &[u8]) -> impl Iterator<Item = &Literal> {
        self.literals
            .iter_hash(below(parent, hash))
            .filter(move |literal| literal.parent == parent && *literal.text == *text)
    }
}

impl fmt::Debug for PatternTrie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatternTrie({} patterns)", self.next.len())
    }
}

/// Hashes a segment's text (FNV-1a). A weak hash is enough: only the author of the policy chooses the entries of the table.
pub(super) fn hash(text: &[u8]) -> usize {
    text.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ usize::from(*byte)).wrapping_mul(0x0100_0193))
}

fn below(parent: usize, hash: usize) -> u64 {
    ((hash ^ parent) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::path::ambiguity::Ambiguity;
    use crate::path::budget::Budget;

    fn pattern(text: &str) -> PathPattern {
        text.parse::<PathPattern>().unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
    }

    fn covering(trie: &PatternTrie, path: &str) -> Result<Vec<usize>, Ambiguity> {
        let all = RefCell::new(Vec::new());
        trie.first(path.as_bytes(), &mut Budget::new(), |number| {
            all.borrow_mut().push(number);
            false
        })?;
        let mut all = all.into_inner();
        all.sort_unstable();
        Ok(all)
    }

    /// At each depth, both a literal and `*` match, so the number of routes through the patterns is exponential.
    #[test]
    fn a_walk_that_would_take_long_is_given_up() {
        let patterns: Vec<PathPattern> = (0..12)
            .flat_map(|bits| (0..1 << bits).map(move |choice| (bits, choice)))
            .map(|(bits, choice)| {
                let segment = |bit: usize| if choice >> bit & 1 == 1 { "/a" } else { "/*" };
                pattern(&((0..bits).map(segment).collect::<String>() + "/end"))
            })
            .collect();
        let trie = PatternTrie::new(&patterns.iter().collect::<Vec<_>>(), Normalization::EXACT);
        assert_eq!(covering(&trie, &format!("{}/end", "/a".repeat(4))).map(|all| all.len()), Ok(1 << 4));
        assert_eq!(covering(&trie, &format!("{}/end", "/a".repeat(5))), Err(Ambiguity::TooWide));
    }

    #[test]
    fn a_pattern_is_found_among_thousands() {
        let patterns: Vec<PathPattern> = (0..3_000).map(|number| pattern(&format!("/v2/m{number}/{{x}}/go"))).collect();
        let trie = PatternTrie::new(&patterns.iter().collect::<Vec<_>>(), Normalization::EXACT);
        for number in [0, 1, 17, 2_999] {
            assert_eq!(covering(&trie, &format!("/v2/m{number}/1/go")), Ok(vec![number]));
            assert_eq!(covering(&trie, &format!("/v2/m{number}/1/gone")), Ok(vec![]));
        }
    }
}
