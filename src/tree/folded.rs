//! A tree for each way of not telling paths apart.

use super::Tree;
use crate::fold::Fold;
use crate::pattern::PathPattern;

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

    /// The trees that differ, in the order of [`Fold::ALL`].
    pub(crate) fn distinct(&self) -> &[Tree] {
        &self.trees
    }

    /// The number of the tree for a fold, by its place in [`Fold::ALL`]: where that is the same, so are the patterns.
    pub(crate) fn number(&self, fold: usize) -> usize {
        self.of_fold.get(fold).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::read::Text as _;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::read(text).unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"))
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
                for (index, fold) in Fold::ALL.into_iter().enumerate() {
                    let path = fold.path(path.as_bytes());
                    let covers = |number: &usize| patterns[*number].covers(fold, &path);
                    let all: Vec<usize> = (0..count).filter(covers).collect();
                    let first = all.iter().copied().find(|number| accepted[*number]);
                    let tree = &trees.distinct()[trees.number(index)];
                    let shown = || format!("{} in {fold:?} under {patterns:?}", path.escape_ascii());
                    assert_eq!(tree.all(&path), all, "{}", shown());
                    assert_eq!(tree.first(&path, |number| accepted[number]), first, "{}", shown());
                    assert_eq!(tree.covers(&path), !all.is_empty(), "{}", shown());
                    if all.is_empty() { missed += 1 } else { found += 1 }
                }
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
            assert_eq!(FoldedTrees::new(&patterns.iter().collect::<Vec<_>>()).distinct().len(), trees, "{texts:?}");
        }
    }
}
