//! Matches a path against a trie, depth by depth. Each segment is hashed once.

use arrayvec::ArrayVec;
use memchr::{memchr_iter, memchr2};

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
    Lenient,
    /// As [`Lenient`](Self::Lenient), and each segment may have [alternative names](alternative_names).
    LenientNames,
}

impl Matching {
    /// Returns how the [other paths of a file](crate::path::pattern::PathPattern::of_file) match. They are alternative
    /// names already.
    pub(crate) fn of_files(self) -> Self {
        if self == Self::LenientNames { Self::Lenient } else { self }
    }
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
    /// Applies the changes to a path.
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
        let mut walk = Walk { trie: self, matching, accept, budget, found: NONE, lookups: 0, replaced: Vec::new() };
        let mut start = Level::new();
        walk.enter(ROOT, &mut start)?;
        walk.descend(Segments::of(path, ending), 0, start, check)
    }
}

struct Walk<'w> {
    trie: &'w PatternTrie,
    matching: Matching,
    accept: &'w dyn Fn(usize) -> bool,
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

fn may_have_alternatives(segment: &[u8]) -> bool {
    memchr2(b'.', b',', segment).is_some() || segment.starts_with(b"@@")
}

/// Returns the names that some upstream uses instead of a segment:
///
/// * the part after `@@` (Pyramid, Zope)
/// * each item of a comma-separated list (tRPC, Elasticsearch, Solr)
/// * the part before a dot (connect, `.git`)
///
/// The suffixes of a last segment are not included: [`Walk::without_suffixes`] cuts them off.
fn alternative_names(segment: &[u8], is_last: bool) -> impl Iterator<Item = &[u8]> {
    let bare = segment.strip_prefix(b"@@").filter(|_| defence!("views")).unwrap_or(segment);
    let items = bare.split(|byte| *byte == b',' && defence!("lists"));
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
    fn descend(
        &mut self,
        mut segments: Segments<'w>,
        mut depth: usize,
        mut here: Level,
        check: Check<'_>,
    ) -> Result<bool, Ambiguity> {
        let mut below = Level::new();
        let mut next = self.next(&mut segments)?;
        while let Some(segment) = next.filter(|_| !here.is_empty()) {
            if self.matching == Matching::LenientNames
                && may_have_alternatives(segment)
                && !self.check_alternatives(&here, segment, &segments, depth, check)?
            {
                return Ok(false);
            }
            next = self.next(&mut segments)?;
            if next.is_none() {
                return self.last(&here, segment, check);
            }
            self.step(&here, segment, self.matching != Matching::Exact, &mut below)?;
            core::mem::swap(&mut here, &mut below);
            below.clear();
            depth = depth.saturating_add(1);
        }
        Ok(self.holds(0, check))
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

    fn holds(&self, cut: usize, check: Check<'_>) -> bool {
        check((self.found != NONE).then_some(self.found), Alteration { cut, names: &self.replaced })
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
        check: Check<'_>,
    ) -> Result<bool, Ambiguity> {
        let trie = self.trie;
        let is_last = behind.clone().next().is_none();
        // For each node, whether the unchanged path matches below it. Computed on first use, once for all names.
        let mut matches: ArrayVec<Option<bool>, MAX_NODES> = from.iter().map(|_| None).collect();
        // The names that were already checked, since lists may repeat names. If this is full, a name may be checked again.
        let mut known: ArrayVec<usize, MAX_NODES> = ArrayVec::new();
        for name in alternative_names(segment, is_last) {
            // Empty names are charged too: a caller may send thousands.
            self.lookups = self.lookups.saturating_add(from.len());
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
                    None => *matches.insert(self.matches_as_it_stands(*index, segment, behind, depth, is_last)?),
                };
                if !is_matched {
                    first = Some(literal.node);
                    break;
                }
            }
            let Some(first) = first.filter(|first| !known.contains(first)) else { continue };
            let _ = known.try_push(first);
            let (found, mut below) = (self.found, Level::new());
            self.replaced.push((depth, name));
            self.step(from, name, false, &mut below)?;
            let holds = if is_last {
                self.end_at(&below)?;
                self.holds(0, check)
            } else {
                self.descend(behind.clone(), depth.saturating_add(1), below, check)?
            };
            self.replaced.pop();
            self.found = found;
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a pattern with this segment below this node matches the unchanged path.
    fn matches_as_it_stands(
        &mut self,
        index: usize,
        segment: &'w [u8],
        behind: &Segments<'w>,
        depth: usize,
        is_last: bool,
    ) -> Result<bool, Ambiguity> {
        if segment.len() > self.trie.longest {
            return Ok(false);
        }
        let Some(literal) = self.trie.literals(index, hash(segment), segment).next() else { return Ok(false) };
        let before =
            (core::mem::replace(&mut self.found, NONE), core::mem::replace(&mut self.matching, Matching::Lenient));
        let mut level = Level::new();
        self.enter(literal.node, &mut level)?;
        let mut is_matched = false;
        if is_last {
            self.end_at(&level)?;
            is_matched = self.found != NONE;
        } else {
            // The first check is of the unchanged path.
            self.descend(behind.clone(), depth.saturating_add(1), level, &mut |found, _| {
                is_matched = found.is_some();
                false
            })?;
        }
        (self.found, self.matching) = before;
        Ok(is_matched)
    }

    /// Enters the nodes that a segment leads to. `or_empty`: whether `*` also matches an empty segment.
    fn step(&mut self, from: &[usize], segment: &[u8], or_empty: bool, below: &mut Level) -> Result<(), Ambiguity> {
        let trie = self.trie;
        let mut hashed = None;
        for index in from {
            let Some(node) = trie.nodes.get(*index) else { continue };
            if !defence!("whole-segments") {
                for literal in trie.literals.iter().filter(|literal| literal.parent == *index) {
                    if segment.starts_with(&literal.text) {
                        self.enter(literal.node, below)?;
                    }
                }
            }
            if node.has_literals && segment.len() <= trie.longest {
                let hash = *hashed.get_or_insert_with(|| hash(segment));
                for literal in trie.literals(*index, hash, segment) {
                    self.enter(literal.node, below)?;
                }
            }
            if !segment.is_empty() || or_empty {
                self.enter(node.any, below)?;
            }
        }
        Ok(())
    }

    /// Checks the path at its last segment, then without each suffix.
    fn last(&mut self, from: &[usize], segment: &[u8], check: Check<'_>) -> Result<bool, Ambiguity> {
        let before = self.found;
        self.end(from, segment)?;
        if !self.holds(0, check) {
            return Ok(false);
        }
        if self.matching == Matching::Exact { Ok(true) } else { self.without_suffixes(before, from, segment, check) }
    }

    /// Checks the path without each suffix of its last segment. `before` is the pattern that was found above this segment.
    #[inline(never)]
    fn without_suffixes(
        &mut self,
        before: usize,
        from: &[usize],
        segment: &[u8],
        check: Check<'_>,
    ) -> Result<bool, Ambiguity> {
        for dot in memchr_iter(b'.', segment) {
            self.found = before;
            let rest = segment.get(..dot).unwrap_or_default();
            self.end(from, rest)?;
            if !self.holds(segment.len().saturating_sub(dot), check) {
                return Ok(false);
            }
            // `/a/.json` is `/a` to some routers (Django REST framework).
            if rest.is_empty() {
                self.found = before;
                self.end_at(from)?;
                if !self.holds(segment.len().saturating_add(1), check) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Finds the patterns that end with this segment.
    fn end(&mut self, from: &[usize], segment: &[u8]) -> Result<(), Ambiguity> {
        self.budget.visit(1)?;
        let mut below = Level::new();
        self.step(from, segment, false, &mut below)?;
        self.end_at(&below)
    }

    /// Finds the patterns that end at these nodes.
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
    fn a_segment_has_alternative_names() {
        let all = |segment: &str, is_last| {
            let names = alternative_names(segment.as_bytes(), is_last).filter(|name| !name.is_empty());
            names.map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(all("a.b.c", false), "a a.b");
        assert_eq!(all("a.b.c", true), "");
        assert_eq!(all("a,b.c,,d", true), "a b.c b d");
        assert_eq!(all("@@a.b", true), "a.b a");
        assert_eq!(all("@@a,@@b", false), "a @@b");
        for segment in ["", "@@", ",", ".", ".a", "abc", "a@b"] {
            assert_eq!(all(segment, false), "", "{segment}");
        }
    }

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
            let (path, matching, mut budget) = (path.as_bytes(), Matching::LenientNames, Budget::new());
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
            let (matching, mut budget) = (Matching::LenientNames, Budget::new());
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
