//! Matches a path against a trie, depth by depth. Each segment is hashed once.

use arrayvec::ArrayVec;
use memchr::memchr_iter;

use super::nodes::{NONE, PatternTrie, ROOT, hash};
use super::segments::Segments;
use crate::path::ambiguity::Ambiguity;
use crate::path::budget::Budget;
use crate::path::normalization::Ending;

/// The maximum number of nodes of one depth. A policy needs many only if its patterns mix literals and `*` at that depth.
const MAX_NODES: usize = 32;

/// The nodes of one depth that match the path so far.
type Level = ArrayVec<usize, MAX_NODES>;

/// How patterns match a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matching {
    /// As written: `*` matches a segment that is not empty, and a segment has no alternative names.
    Exact,
    /// As some router may match:
    ///
    /// * `*` matches an empty segment if more segments follow (Fastify, gin, Falcon).
    /// * The last segment also matches without each suffix: routers that serve several formats find `/a` for `/a.json`.
    /// * With `names`, each segment may have [alternative names](alternative_names).
    Lenient { names: bool },
}

/// The changes to a path before it was matched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alteration<'a> {
    /// The number of bytes that were cut off its end.
    cut: usize,
    /// The segments that were replaced by alternative names, by their depth.
    names: &'a [(usize, &'a [u8])],
}

impl Alteration<'_> {
    pub(crate) fn apply(&self, path: &[u8], ending: Ending) -> Vec<u8> {
        let replaced = |depth: usize| self.names.iter().find(|(place, _)| *place == depth).map(|(_, name)| *name);
        let segments = Segments::of(path, ending).enumerate();
        let segments = segments.map(|(depth, segment)| replaced(depth).unwrap_or(segment));
        let mut path: Vec<u8> = segments.flat_map(|one| core::iter::once(b'/').chain(one.iter().copied())).collect();
        path.truncate(path.len().saturating_sub(self.cut));
        path
    }
}

/// A check of the first pattern that matches a path, if any, and of the changes to the path.
type Check<'c> = &'c mut dyn FnMut(Option<usize>, Alteration<'_>) -> bool;

impl PatternTrie {
    /// Finds the first pattern that matches `path` exactly and that `accept` accepts.
    ///
    /// # Errors
    /// If the budget is exceeded, which only an unusual policy causes.
    pub(crate) fn first(
        &self,
        path: &[u8],
        budget: &mut Budget,
        accept: impl Fn(usize) -> bool,
    ) -> Result<Option<usize>, Ambiguity> {
        let mut first = None;
        self.check(path, Ending::Exact, Matching::Exact, budget, &accept, &mut |found, _| {
            first = found;
            true
        })?;
        Ok(first)
    }

    /// Whether `check` returns `true` for the first pattern that matches the path and that `accept` accepts, or for none.
    /// Unless the matching is exact, this includes the path without each suffix and with each alternative name. Stops at
    /// the first that fails.
    ///
    /// # Errors
    /// If the budget is exceeded, which only an unusual policy causes.
    pub(crate) fn check(
        &self,
        path: &[u8],
        ending: Ending,
        matching: Matching,
        budget: &mut Budget,
        accept: &dyn Fn(usize) -> bool,
        check: Check<'_>,
    ) -> Result<bool, Ambiguity> {
        let mut walk =
            Walk { trie: self, matching, accept, check, budget, found: NONE, lookups: 0, replaced: Vec::new() };
        let mut start = Level::new();
        walk.enter(ROOT, &mut start)?;
        walk.descend(Segments::of(path, ending), 0, start)
    }
}

struct Walk<'w> {
    trie: &'w PatternTrie,
    matching: Matching,
    accept: &'w dyn Fn(usize) -> bool,
    check: Check<'w>,
    budget: &'w mut Budget,
    /// The first pattern that was accepted so far.
    found: usize,
    /// The number of look-ups of alternative names that were not yet charged to the budget.
    lookups: usize,
    /// The segments that are currently replaced by alternative names.
    replaced: Vec<(usize, &'w [u8])>,
}

/// The number of look-ups of alternative names that cost as much as one visit of a node.
const LOOKUPS_PER_VISIT: usize = 8;

/// Returns the names that some upstream uses instead of a segment:
///
/// * the part after `@@` (Pyramid, Zope)
/// * each item of a list, separated by commas (tRPC, Elasticsearch, Solr) or pipes (Spring Cloud Function)
/// * the part before a dot (connect, `.git`)
///
/// The suffixes of a last segment are not included: [`Walk::last`] cuts them off.
fn alternative_names(segment: &[u8], is_last: bool) -> impl Iterator<Item = &[u8]> {
    let bare = segment.strip_prefix(b"@@").filter(|_| defence!("views")).unwrap_or(segment);
    let items = bare.split(|byte| matches!(byte, b',' | b'|') && defence!("lists"));
    items.flat_map(move |item| {
        let is_whole = item.len() == segment.len();
        let dots =
            memchr_iter(b'.', item).filter(move |_| !(is_whole && is_last) && defence!("suffixes-in-the-middle"));
        let itself = Some(item).filter(|_| !is_whole);
        itself.into_iter().chain(dots.filter_map(|dot| item.get(..dot)))
    })
}

impl<'w> Walk<'w> {
    /// Descends from the nodes of one depth to the end of the path, and checks the result.
    fn descend(&mut self, mut segments: Segments<'w>, mut depth: usize, mut here: Level) -> Result<bool, Ambiguity> {
        let mut next = self.next(&mut segments)?;
        while let Some(segment) = next.filter(|_| !here.is_empty()) {
            if self.matching == (Matching::Lenient { names: true })
                && !self.check_alternatives(&here, segment, &segments, depth)?
            {
                return Ok(false);
            }
            next = self.next(&mut segments)?;
            if next.is_none() {
                return self.last(&here, segment);
            }
            here = self.step(&here, segment, self.matching != Matching::Exact)?;
            depth = depth.saturating_add(1);
        }
        self.end_at(&here)?;
        Ok(self.holds(0))
    }

    /// Returns the next segment. Charges the budget one visit for it, one for each segment that was left out before it, and
    /// one for each 64 bytes that were read.
    fn next(&mut self, segments: &mut Segments<'w>) -> Result<Option<&'w [u8]>, Ambiguity> {
        let (unread, dropped) = (segments.unread(), segments.dropped());
        let next = segments.next();
        let read = unread.saturating_sub(segments.unread());
        let dropped = segments.dropped().saturating_sub(dropped);
        self.budget.visit(usize::from(next.is_some()).saturating_add(dropped).saturating_add(read >> 6))?;
        Ok(next)
    }

    fn holds(&mut self, cut: usize) -> bool {
        (self.check)((self.found != NONE).then_some(self.found), Alteration { cut, names: &self.replaced })
    }

    /// Checks the path with each alternative name instead of this segment. A name is checked only if:
    ///
    /// * a pattern has this name, and
    /// * no pattern with the unchanged segment matches the path.
    ///
    /// So common segments with dots or commas cost one look-up for each name.
    #[inline(never)]
    fn check_alternatives(
        &mut self,
        from: &Level,
        segment: &'w [u8],
        behind: &Segments<'w>,
        depth: usize,
    ) -> Result<bool, Ambiguity> {
        let trie = self.trie;
        let is_last = behind.clone().next().is_none();
        // For each node, whether the unchanged path matches below it. Computed on first use, once for all names.
        let mut matches: ArrayVec<Option<bool>, MAX_NODES> = from.iter().map(|_| None).collect();
        // The names that were already checked, since lists may repeat names. If this is full, a name may be checked again.
        let mut known: ArrayVec<usize, MAX_NODES> = ArrayVec::new();
        for name in alternative_names(segment, is_last) {
            // Empty names are charged too: a caller may send thousands. Hashing a long name costs as much as several look-ups.
            self.lookups = self.lookups.saturating_add(from.len()).saturating_add(name.len().min(trie.longest) >> 4);
            self.budget.visit(self.lookups / LOOKUPS_PER_VISIT)?;
            self.lookups %= LOOKUPS_PER_VISIT;
            if name.is_empty() || name.len() > trie.longest {
                continue;
            }
            let hash = hash(name);
            let mut first = None;
            for (index, matches) in from.iter().zip(&mut matches) {
                let Some(literal) = trie.literals(*index, hash, name).next() else { continue };
                let is_matched = match *matches {
                    Some(is_matched) => is_matched,
                    None => *matches.insert(self.matches_unchanged(*index, segment, behind)?),
                };
                if !is_matched {
                    first = Some(literal.node);
                    break;
                }
            }
            let Some(first) = first.filter(|first| !known.contains(first)) else { continue };
            let _ = known.try_push(first);
            let found = self.found;
            self.replaced.push((depth, name));
            let below = self.step(from, name, false)?;
            let holds = self.descend(behind.clone(), depth.saturating_add(1), below)?;
            self.replaced.pop();
            self.found = found;
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a pattern with this segment below this node matches the unchanged path.
    fn matches_unchanged(&mut self, index: usize, segment: &[u8], behind: &Segments<'w>) -> Result<bool, Ambiguity> {
        if segment.len() > self.trie.longest {
            return Ok(false);
        }
        let Some(literal) = self.trie.literals(index, hash(segment), segment).next() else { return Ok(false) };
        let mut is_matched = false;
        // The first check is of the unchanged path.
        let mut check = |found: Option<usize>, _: Alteration<'_>| {
            is_matched = found.is_some();
            false
        };
        let mut walk = Walk {
            matching: Matching::Lenient { names: false },
            check: &mut check,
            budget: self.budget,
            found: NONE,
            replaced: Vec::new(),
            ..*self
        };
        let mut level = Level::new();
        walk.enter(literal.node, &mut level)?;
        walk.descend(behind.clone(), 0, level)?;
        Ok(is_matched)
    }

    /// Enters the nodes that a segment leads to. `or_empty`: whether `*` also matches an empty segment.
    fn step(&mut self, from: &[usize], segment: &[u8], or_empty: bool) -> Result<Level, Ambiguity> {
        let (trie, mut below) = (self.trie, Level::new());
        let mut hashed = None;
        for index in from {
            let Some(node) = trie.nodes.get(*index) else { continue };
            if !defence!("whole-segments") {
                for literal in trie.literals.iter().filter(|literal| literal.parent == *index) {
                    if segment.starts_with(&literal.text) {
                        self.enter(literal.node, &mut below)?;
                    }
                }
            }
            if node.has_literals && segment.len() <= trie.longest {
                let hash = *hashed.get_or_insert_with(|| hash(segment));
                for literal in trie.literals(*index, hash, segment) {
                    self.enter(literal.node, &mut below)?;
                }
            }
            if !segment.is_empty() || or_empty {
                self.enter(node.any, &mut below)?;
            }
        }
        Ok(below)
    }

    /// Checks the path at its last segment, then without each suffix.
    fn last(&mut self, from: &[usize], segment: &[u8]) -> Result<bool, Ambiguity> {
        let before = self.found;
        self.end(from, segment)?;
        if !self.holds(0) {
            return Ok(false);
        }
        let is_lenient = self.matching != Matching::Exact;
        for dot in memchr_iter(b'.', segment).filter(|_| is_lenient) {
            self.found = before;
            let rest = segment.get(..dot).unwrap_or_default();
            self.end(from, rest)?;
            if !self.holds(segment.len().saturating_sub(dot)) {
                return Ok(false);
            }
            // `/a/.json` is `/a` to some routers (Django REST framework).
            if rest.is_empty() {
                self.found = before;
                self.end_at(from)?;
                if !self.holds(segment.len().saturating_add(1)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn end(&mut self, from: &[usize], segment: &[u8]) -> Result<(), Ambiguity> {
        self.budget.visit((segment.len() >> 6).saturating_add(1))?;
        let below = self.step(from, segment, false)?;
        self.end_at(&below)
    }

    fn end_at(&mut self, level: &[usize]) -> Result<(), Ambiguity> {
        level.iter().try_for_each(|index| self.accept(self.trie.nodes.get(*index).map_or(NONE, |node| node.exact)))
    }

    /// Enters a node, if it may have an earlier pattern than the one that was found.
    fn enter(&mut self, index: usize, level: &mut Level) -> Result<(), Ambiguity> {
        let Some(node) = self.trie.nodes.get(index).filter(|node| node.first < self.found) else { return Ok(()) };
        self.budget.visit(1)?;
        self.accept(node.below)?;
        if node.any != NONE || node.has_literals || node.exact != NONE {
            level.try_push(index).map_err(|_| Ambiguity::TooWide)?;
        }
        Ok(())
    }

    /// Selects the first accepted pattern of those that end at one node, from `number` on.
    fn accept(&mut self, mut number: usize) -> Result<(), Ambiguity> {
        while number < self.found {
            self.budget.visit(1)?;
            if (self.accept)(number) {
                self.found = number;
                return Ok(());
            }
            number = self.trie.next.get(number).copied().unwrap_or(NONE);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::normalization::Normalization;
    use crate::path::pattern::PathPattern;

    #[test]
    fn alternative_names_count_where_patterns_have_them() {
        let patterns = ["/a/x", "/a.b/**", "/*/c/d"].map(|text| text.parse::<PathPattern>().unwrap());
        let trie = PatternTrie::new(&patterns.iter().collect::<Vec<_>>(), Normalization::EXACT);
        for (path, expected) in [
            ("/a.c/x", &[(Some(0), "/a/x"), (None, "/a.c/x")][..]),
            ("/a.b/x", &[(Some(1), "/a.b/x")]),
            ("/b.c/c.e/d", &[(Some(2), "/b.c/c/d"), (None, "/b.c/c.e/d")]),
            ("/q,a,a,a/x", &[(Some(0), "/a/x"), (None, "/q,a,a,a/x")]),
            ("/m.c/x.y/d", &[(None, "/m.c/x.y/d")]),
        ] {
            let mut all = Vec::new();
            let (path, matching, mut budget) = (path.as_bytes(), Matching::Lenient { names: true }, Budget::new());
            let check = trie.check(path, Ending::Exact, matching, &mut budget, &|_| true, &mut |found, alteration| {
                all.push((found, String::from_utf8(alteration.apply(path, Ending::Exact)).unwrap()));
                true
            });
            assert_eq!(check, Ok(true));
            let expected: Vec<_> = expected.iter().map(|(found, path)| (*found, (*path).to_owned())).collect();
            assert_eq!(all, expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_list_that_would_take_long_is_given_up() {
        let patterns: Vec<PathPattern> = (0..60).map(|number| format!("/a{number}/x").parse().unwrap()).collect();
        let trie = PatternTrie::new(&patterns.iter().collect::<Vec<_>>(), Normalization::EXACT);
        let check = |path: String| {
            let (matching, mut budget) = (Matching::Lenient { names: true }, Budget::new());
            trie.check(path.as_bytes(), Ending::Exact, matching, &mut budget, &|_| true, &mut |found, _| {
                found.is_none()
            })
        };
        assert_eq!(check(format!("/{}/x", "b,".repeat(3_000))), Ok(true), "6,000 bytes of names that no pattern has");
        assert_eq!(check(format!("/{}/x", "b,".repeat(9_000))), Err(Ambiguity::TooWide));
        let names: Vec<String> = (0..60).map(|number| format!("a{number}")).collect();
        assert_eq!(check(format!("/{}/{}", names.join(","), "y".repeat(2_000))), Err(Ambiguity::TooWide));
    }
}
