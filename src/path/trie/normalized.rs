//! Tries of the same patterns, one for each normalization.

use arrayvec::ArrayVec;

use super::nodes::PatternTrie;
use crate::path::ambiguity::Ambiguity;
use crate::path::normalization::{Ending, Normalization};
use crate::path::pattern::PathPattern;
use crate::path::variant::Variant;

/// The same patterns in each normalization.
#[derive(Debug)]
pub(crate) struct NormalizedTries {
    /// One trie for all normalizations in which the patterns are the same. If no pattern has an upper-case letter or a
    /// trailing slash, there is a single trie.
    tries: Vec<PatternTrie>,
    /// The index of the trie for each of [`Normalization::ALL`].
    index: [usize; Normalization::ALL.len()],
}

impl NormalizedTries {
    pub(crate) fn new(patterns: &[&PathPattern]) -> Self {
        let mut distinct: Vec<Normalization> = Vec::new();
        let index = Normalization::ALL.map(|normalization| {
            let is_alike = |other: &Normalization| patterns.iter().all(|one| one.is_alike(normalization, *other));
            distinct.iter().position(is_alike).unwrap_or_else(|| {
                distinct.push(normalization);
                distinct.len().saturating_sub(1)
            })
        });
        Self { tries: distinct.into_iter().map(|one| PatternTrie::new(patterns, one)).collect(), index }
    }

    /// Whether `check` returns `true` for the path in every normalization that changes it. Stops at the first that fails.
    pub(crate) fn all(
        &self,
        variant: &Variant<'_>,
        mut check: impl FnMut(&PatternTrie, &[u8], Ending) -> Result<bool, Ambiguity>,
    ) -> Result<bool, Ambiguity> {
        let mut checked: ArrayVec<_, { Normalization::ALL.len() }> = ArrayVec::new();
        for pair in Normalization::ALL.into_iter().map(|one| one.of(variant.scan)).zip(self.index) {
            let (normalization, number) = pair;
            let path = if normalization.case { variant.case_folded() } else { &variant.path };
            if !checked.contains(&pair)
                && let Some(trie) = self.tries.get(number)
                && !check(trie, path, normalization.ending)?
            {
                return Ok(false);
            }
            let _ = checked.try_push(pair);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::path::budget::Budget;
    use crate::path::pattern::Segment;
    use crate::path::trie::segments::normalized;
    use crate::path::trie::walk::Matching;

    fn pattern(text: &str) -> PathPattern {
        text.parse::<PathPattern>().unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
    }

    /// A generator of pseudo-random numbers, the same in each run.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap().checked_rem(bound).unwrap()
        }

        fn joined(&mut self, names: &str, most: usize) -> String {
            let names: Vec<&str> = names.split(' ').collect();
            (0..=self.below(most)).map(|_| format!("/{}", names[self.below(names.len())])).collect()
        }
    }

    /// Few names, so that patterns overlap. Some normalize to the same text, and some have encoded forms that do or do not.
    const NAMES: &str = "a A b b. ab * * {x} K \u{212a} k \u{e9} \u{c9} \u{17f} s \u{ff05}41";
    const PARTS: &str = "a A b b. ab abc   x k %E2%84%AA %e2%84%aa \u{e9} %C3%A9 %c3%a9 %C5%BF s %41";

    const LENIENT: Matching = Matching::Lenient { names: false };

    /// Whether a pattern matches a path in the same normalization, segment by segment. `LENIENT`: `*` also matches an empty
    /// segment if more segments follow.
    fn covers(pattern: &PathPattern, normalization: Normalization, matching: Matching, path: &[u8]) -> bool {
        let mut names = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
        let mut segments = pattern.segments(normalization);
        let covered = segments.all(|segment| {
            let Some(name) = names.next() else { return false };
            match segment {
                Segment::Any => !name.is_empty() || (matching != Matching::Exact && names.peek().is_some()),
                Segment::Literal { text, encoded } => name == &*text || encoded.as_deref() == Some(name),
            }
        });
        covered && (pattern.goes_below() || names.next().is_none())
    }

    #[test]
    fn a_trie_finds_what_the_patterns_find_one_by_one() {
        let (mut chance, mut found, mut missed) = (Chance(1), 0, 0);
        for _ in 0..400 {
            let count = 1 + chance.below(24);
            let texts = (0..count).map(|_| chance.joined(NAMES, 3) + ["", "", "/", "/**"][chance.below(4)]);
            let mut patterns: Vec<PathPattern> = texts.map(|text| pattern(&text)).collect();
            if chance.below(4) == 0 {
                let at = chance.below(count);
                patterns[at] = pattern(["/", "/**"][chance.below(2)]);
            }
            let tries = NormalizedTries::new(&patterns.iter().collect::<Vec<_>>());
            for _ in 0..20 {
                let path = chance.joined(PARTS, 4);
                let accepted: Vec<bool> = patterns.iter().map(|_| chance.below(3) > 0).collect();
                // Compares with every normalization and suffix. A normalization that `all` skips must not add a result.
                let variant = Variant::new(path.as_bytes().into());
                let mut lazy = BTreeSet::new();
                let every = tries.all(&variant, |trie, path, ending| {
                    let accept = |number: usize| accepted[number];
                    trie.check(path, ending, LENIENT, &mut Budget::new(), &accept, &mut |first, _| {
                        lazy.insert(first);
                        true
                    })
                });
                assert_eq!(every, Ok(true));
                let mut eager = BTreeSet::new();
                for normalization in Normalization::ALL {
                    let path = normalized(path.as_bytes(), normalization);
                    let name = path.iter().rposition(|byte| *byte == b'/').unwrap();
                    let dots = (name..path.len()).filter(|at| path[*at] == b'.').map(|dot| &path[..dot]);
                    let bare = path[name..].starts_with(b"/.").then(|| &path[..name]).filter(|bare| !bare.is_empty());
                    for path in std::iter::once(&path[..]).chain(dots).chain(bare) {
                        let covers = |number: &usize| covers(&patterns[*number], normalization, LENIENT, path);
                        let first = (0..count).filter(covers).find(|number| accepted[*number]);
                        eager.insert(first);
                        if first.is_none() { missed += 1 } else { found += 1 }
                    }
                }
                assert_eq!(lazy, eager, "{path} under {patterns:?}, of which {accepted:?}");
            }
        }
        assert!(found > 5_000 && missed > 5_000, "{found} paths were found, {missed} not");
    }

    #[test]
    fn normalizations_in_which_the_patterns_are_the_same_share_a_trie() {
        for (texts, count) in [
            (&[][..], 1),
            (&["/a/{B}", "/**", "/"][..], 1),
            (&["/A"], 2),
            (&["/a/"], 2),
            (&["/a/", "/A"], 4),
            (&["/\u{e9}"], 2),
        ] {
            let patterns: Vec<PathPattern> = texts.iter().map(|text| pattern(text)).collect();
            assert_eq!(NormalizedTries::new(&patterns.iter().collect::<Vec<_>>()).tries.len(), count, "{texts:?}");
        }
    }

    /// Tests many paths in each normalization, for each pair of patterns of which one includes the other.
    #[test]
    fn a_pattern_matches_whatever_a_pattern_that_it_includes_matches() {
        let parts = ["", "a", "A", "b.", "*", "**", "\u{e9}"];
        let mut texts: Vec<String> = parts.iter().map(|part| format!("/{part}")).collect();
        texts.extend(parts.iter().flat_map(|one| parts.iter().map(move |two| format!("/{one}/{two}"))));
        let patterns: Vec<PathPattern> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let names = ["", "a", "A", "a.", "b", "b.", "c", "%C3%A9", "\u{e9}", "...", " "];
        let mut paths: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
        paths.extend(names.iter().flat_map(|one| names.iter().map(move |two| format!("/{one}/{two}"))));
        paths.extend(names.iter().map(|name| format!("/a/{name}/c")));
        let mut seen = 0;
        for (wide, narrow) in patterns.iter().flat_map(|wide| patterns.iter().map(move |narrow| (wide, narrow))) {
            if wide == narrow || !wide.includes(narrow) {
                continue;
            }
            for normalization in Normalization::ALL {
                for path in &paths {
                    let there = normalized(path.as_bytes(), normalization);
                    let covers = |pattern: &PathPattern| covers(pattern, normalization, Matching::Exact, &there);
                    if covers(narrow) {
                        seen += 1;
                        assert!(covers(wide), "{path} of {narrow:?} is under {wide:?}");
                    }
                }
            }
        }
        assert!(seen > 1000, "paths were tried: {seen}");
    }
}
