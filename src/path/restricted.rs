//! The patterns of protected paths and of rules. They restrict a path, so they match each of its variants.

use super::ambiguity::Ambiguity;
use super::budget::Budget;
use super::pattern::PathPattern;
use super::scan::Feature;
use super::target::Target;
use super::trie::normalized::NormalizedTries;
use super::trie::walk::Matching;
use super::variant::Variants;

/// Patterns that restrict, by their numbers.
#[derive(Debug)]
pub(crate) struct RestrictedPatterns {
    tries: NormalizedTries,
    /// The [other paths](PathPattern::of_file) by which servers find files among the paths. They have an order of their
    /// own, so that none of them hides a pattern for such a path.
    of_files: NormalizedTries,
    /// For each of these paths, the number of its pattern.
    patterns_of_files: Vec<usize>,
}

/// Checks the first pattern that matches a reading of the path, if any. The second argument builds that reading.
type Check<'c> = &'c mut dyn FnMut(Option<usize>, &dyn Fn() -> Vec<u8>) -> bool;

impl RestrictedPatterns {
    pub(crate) fn new<'p>(patterns: impl Iterator<Item = &'p PathPattern>) -> Self {
        let patterns: Vec<&PathPattern> = patterns.collect();
        let of_file =
            |(number, pattern): (usize, &&PathPattern)| pattern.of_file().into_iter().map(move |other| (number, other));
        let (patterns_of_files, others): (Vec<usize>, Vec<PathPattern>) =
            patterns.iter().enumerate().flat_map(of_file).unzip();
        let of_files = NormalizedTries::new(&others.iter().collect::<Vec<_>>());
        Self { tries: NormalizedTries::new(&patterns), of_files, patterns_of_files }
    }

    /// Whether `check` holds for every reading of every variant of the path, each with the first pattern that matches it and
    /// that `accept` takes. Stops at the first reading that fails.
    ///
    /// # Errors
    /// Why the path may be anything.
    pub(crate) fn check(
        &self,
        target: &Target<'_>,
        budget: &mut Budget,
        accept: &dyn Fn(usize) -> bool,
        check: Check<'_>,
    ) -> Result<bool, Ambiguity> {
        let pattern_of = |file: usize| self.patterns_of_files.get(file).copied();
        let accept_file = |file: usize| pattern_of(file).is_none_or(accept);
        let mut variants = Variants::default();
        for variant in variants.find(target, budget)? {
            let lenient = |names| if defence!("suffixes") { Matching::Lenient { names } } else { Matching::Exact };
            let matching = lenient(variant.scan.has(Feature::DOT | Feature::LIST));
            let holds = self.tries.all(variant, |trie, path, ending| {
                trie.check(path, ending, matching, budget, accept, &mut |number, alteration| {
                    check(number, &|| alteration.apply(path, ending))
                })
            })? && (self.patterns_of_files.is_empty()
                || !defence!("files")
                // The other paths of a file are alternative names already, and have none.
                || self.of_files.all(variant, |trie, path, ending| {
                    trie.check(path, ending, lenient(false), budget, &accept_file, &mut |file, alteration| {
                        file.is_none() || check(file.and_then(pattern_of), &|| alteration.apply(path, ending))
                    })
                })?);
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Why the path may be anything, if it may: matches it against all patterns, which is the most expensive case.
    pub(crate) fn ambiguity(&self, target: &Target<'_>) -> Option<Ambiguity> {
        self.check(target, &mut Budget::new(), &|_| false, &mut |_, _| true).err()
    }
}
