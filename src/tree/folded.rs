//! A tree for each way of not telling paths apart.

use super::Tree;
use crate::fold::{Ending, Fold};
use crate::pattern::PathPattern;
use crate::trail::Ambiguity;
use crate::variant::Variant;

/// Patterns in each fold.
#[derive(Debug)]
pub(crate) struct FoldedTrees {
    /// One for all folds in which the patterns are the same: one in all, where they have neither a letter in upper case nor
    /// a slash at the end.
    trees: Vec<Tree>,
    /// Which of them it is, in the order of [`Fold::ALL`].
    of_fold: [usize; Fold::ALL.len()],
}

impl FoldedTrees {
    /// Of patterns, which are numbered in their order.
    pub(crate) fn new(patterns: &[&PathPattern]) -> Self {
        let mut folds: Vec<Fold> = Vec::new();
        let of_fold = Fold::ALL.map(|fold| {
            let is_alike = |other: &Fold| patterns.iter().all(|one| one.is_alike(fold, *other));
            folds.iter().position(is_alike).unwrap_or_else(|| {
                folds.push(fold);
                folds.len().saturating_sub(1)
            })
        });
        Self { trees: folds.into_iter().map(|fold| Tree::new(patterns, fold)).collect(), of_fold }
    }

    /// Whether there is no pattern.
    pub(crate) fn is_empty(&self) -> bool {
        self.trees.iter().all(Tree::is_empty)
    }

    /// Whether `holds` for each tree, each letter case and each ending in which a path may differ, until it does not.
    pub(crate) fn all(
        &self,
        variant: &Variant<'_>,
        mut holds: impl FnMut(&Tree, &[u8], Ending) -> Result<bool, Ambiguity>,
    ) -> Result<bool, Ambiguity> {
        let scan = variant.scan;
        if scan.is_lower_case() && scan.is_trimmed() && scan.ends_with_a_name() {
            for tree in &self.trees {
                if !holds(tree, &variant.path, Ending::Exact)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for (index, (fold, number)) in Fold::ALL.into_iter().zip(self.of_fold).enumerate() {
            let fold = fold.of(scan);
            let mut before = Fold::ALL.into_iter().zip(self.of_fold).take(index);
            let path = if fold.case { variant.lower_case() } else { &variant.path };
            if !before.any(|(other, same)| same == number && other.of(scan) == fold)
                && let Some(tree) = self.trees.get(number)
                && !holds(tree, path, fold.ending)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::pattern::Segment;
    use crate::tree::Matching;
    use crate::variant::Budget;

    fn pattern(text: &str) -> PathPattern {
        text.parse::<PathPattern>().unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
    }

    /// Numbers below some bound, the same in each run.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap().checked_rem(bound).unwrap()
        }

        fn joined(&mut self, names: &[&str], most: usize) -> String {
            (0..=self.below(most)).map(|_| format!("/{}", names[self.below(names.len())])).collect()
        }
    }

    /// Few names, so that patterns overlap; some that fold alike, and some whose encoded forms do or do not.
    const NAMES: [&str; 16] = [
        "a",
        "A",
        "b",
        "b.",
        "ab",
        "*",
        "*",
        "{x}",
        "K",
        "\u{212a}",
        "k",
        "\u{e9}",
        "\u{c9}",
        "\u{17f}",
        "s",
        "\u{ff05}41",
    ];
    const PARTS: [&str; 18] = [
        "a",
        "A",
        "b",
        "b.",
        "ab",
        "abc",
        "",
        "",
        "x",
        "k",
        "%E2%84%AA",
        "%e2%84%aa",
        "\u{e9}",
        "%C3%A9",
        "%c3%a9",
        "%C5%BF",
        "s",
        "%41",
    ];

    /// As [`PathPattern::covers`], but that `*` may be empty where more follows.
    fn covers_widely(pattern: &PathPattern, fold: Fold, path: &[u8]) -> bool {
        let mut names = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
        let mut segments = pattern.segments(fold);
        let covered = segments.all(|segment| {
            let name = names.next();
            let is_last = names.peek().is_none();
            name.is_some_and(|name| (segment == Segment::Any && !is_last) || segment.matches(name))
        });
        covered && (pattern.goes_below() || names.next().is_none())
    }

    #[test]
    fn a_tree_finds_what_the_patterns_find_one_by_one() {
        let (mut chance, mut found, mut missed) = (Chance(1), 0, 0);
        for _ in 0..400 {
            let count = 1 + chance.below(24);
            let texts = (0..count).map(|_| chance.joined(&NAMES, 3) + ["", "", "/", "/**"][chance.below(4)]);
            let mut patterns: Vec<PathPattern> = texts.map(|text| pattern(&text)).collect();
            if chance.below(4) == 0 {
                let at = chance.below(count);
                patterns[at] = pattern(["/", "/**"][chance.below(2)]);
            }
            let trees = FoldedTrees::new(&patterns.iter().collect::<Vec<_>>());
            for _ in 0..20 {
                let path = chance.joined(&PARTS, 4);
                let accepted: Vec<bool> = patterns.iter().map(|_| chance.below(3) > 0).collect();
                // Every fold, and the suffixes: whatever it is that `all` leaves out, it was there already.
                let variant = Variant::new(path.as_bytes().into());
                let mut lazy = BTreeSet::new();
                let every = trees.all(&variant, |tree, path, ending| {
                    let accept = |number: usize| accepted[number];
                    tree.each(path, ending, Matching::Wide, &mut Budget::new(), &accept, &mut |first, _| {
                        lazy.insert(first);
                        true
                    })
                });
                assert_eq!(every, Ok(true));
                let mut eager = BTreeSet::new();
                for fold in Fold::ALL {
                    let path = fold.path(path.as_bytes());
                    let name = path.iter().rposition(|byte| *byte == b'/').unwrap();
                    let dots = (name..path.len()).filter(|at| path[*at] == b'.').map(|dot| &path[..dot]);
                    let bare = path[name..].starts_with(b"/.").then(|| &path[..name]).filter(|bare| !bare.is_empty());
                    for path in std::iter::once(&path[..]).chain(dots).chain(bare) {
                        let covers = |number: &usize| covers_widely(&patterns[*number], fold, path);
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
    fn folds_in_which_the_patterns_are_the_same_share_a_tree() {
        for (texts, trees) in [
            (&[][..], 1),
            (&["/a/{B}", "/**", "/"][..], 1),
            (&["/A"], 2),
            (&["/a/"], 2),
            (&["/a/", "/A"], 4),
            (&["/\u{e9}"], 2),
        ] {
            let patterns: Vec<PathPattern> = texts.iter().map(|text| pattern(text)).collect();
            assert_eq!(FoldedTrees::new(&patterns.iter().collect::<Vec<_>>()).trees.len(), trees, "{texts:?}");
        }
    }
}
