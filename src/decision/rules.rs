//! Checks the roles that a path requires, in every variant.

use super::public::matching;
use super::trace::{Event, Observer};
use crate::document::access::RuleEntry;
use crate::keys::keyring::Consumer;
use crate::path::ambiguity::Ambiguity;
use crate::path::budget::Budget;
use crate::path::normalization::Ending;
use crate::path::pattern::PathPattern;
use crate::path::target::{LONGEST, Target};
use crate::path::trie::normalized::NormalizedTries;
use crate::path::trie::walk::{Alteration, Matching};
use crate::path::variant::Variants;
use crate::request::message::Request;
use crate::value::names::{Methods, RoleName};

/// The maximum number of URLs in override headers that are read.
const MOST_URLS: usize = 4;

/// The rules, in order. The first rule that matches a variant of the path applies to that variant.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    pub(super) tries: NormalizedTries,
    /// The [other paths](PathPattern::of_file) by which servers find files among the paths. They have an order of their
    /// own, so that none of them hides a rule for such a path.
    pub(super) of_files: NormalizedTries,
    rules_of_files: Vec<usize>,
}

#[derive(Debug)]
struct Rule {
    methods: Option<Methods>,
    roles: Vec<RoleName>,
}

impl Rules {
    pub(super) fn new(rules: Vec<RuleEntry>) -> Self {
        let tries = NormalizedTries::new(&rules.iter().map(|rule| &rule.path).collect::<Vec<_>>());
        let of_file =
            |(number, rule): (usize, &RuleEntry)| rule.path.of_file().into_iter().map(move |path| (number, path));
        let (rules_of_files, paths): (Vec<usize>, Vec<PathPattern>) =
            rules.iter().enumerate().flat_map(of_file).unzip();
        let of_files = NormalizedTries::new(&paths.iter().collect::<Vec<_>>());
        let rules = rules.into_iter().map(|rule| Rule { methods: rule.methods, roles: rule.roles }).collect();
        Self { rules, tries, of_files, rules_of_files }
    }

    /// Whether the consumer has one of the roles that each variant of the path requires.
    ///
    /// * If a header may override the method, rules of every method apply.
    /// * A URL that overrides the path is checked as an additional path.
    #[inline(never)]
    pub(super) fn permit(
        &self,
        consumer: &Consumer,
        request: &Request<'_>,
        target: &Target<'_>,
        budget: &mut Budget,
        observer: &mut impl Observer,
    ) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let method = (!request.is_overridden).then_some(request.method);
        let permitted = self.permit_path(consumer, method, target, budget, observer).and_then(|permitted| {
            Ok(permitted && (!request.is_overridden || self.permit_overrides(consumer, request, budget, observer)?))
        });
        permitted.unwrap_or_else(|why| {
            // Every rule applies to a path that may be anything.
            let permitted = consumer.permits_everything(|| self.rules.iter().all(|rule| consumer.has_any(&rule.roles)));
            observer.observe(|| Event::AnyPath { why, permitted });
            permitted
        })
    }

    fn permit_overrides(
        &self,
        consumer: &Consumer,
        request: &Request<'_>,
        budget: &mut Budget,
        observer: &mut impl Observer,
    ) -> Result<bool, Ambiguity> {
        if defence!("moved-root") && request.moves_the_root {
            return Err(Ambiguity::MovedRoot);
        }
        let bytes = request.override_urls().fold(0_usize, |bytes, url| bytes.saturating_add(url.len()));
        if defence!("long-override-urls") && bytes > LONGEST {
            return Err(Ambiguity::OverrideUrl);
        }
        for (index, url) in request.override_urls().enumerate().filter(|_| defence!("override-urls-compared")) {
            let targets = override_targets(url).filter(|_| index < MOST_URLS).ok_or(Ambiguity::OverrideUrl)?;
            for target in targets {
                if !self.permit_path(consumer, None, &target, budget, observer)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Checks the variants of one path. `method` is the method as sent, or `None` for any method.
    fn permit_path(
        &self,
        consumer: &Consumer,
        method: Option<&[u8]>,
        target: &Target<'_>,
        budget: &mut Budget,
        observer: &mut impl Observer,
    ) -> Result<bool, Ambiguity> {
        let permits = |number: Option<usize>| {
            number.and_then(|number| self.rules.get(number)).is_none_or(|rule| consumer.has_any(&rule.roles))
        };
        let applies = |number: usize| {
            self.rules.get(number).and_then(|rule| rule.methods.as_ref()).is_none_or(|methods| match method {
                Some(method) => methods.cover(method),
                // The method may or may not be one of these. If the rule permits the request, the next rule applies too.
                None => !permits(Some(number)),
            })
        };
        let rule_of_file = |number: usize| self.rules_of_files.get(number).copied();
        let applies_to_file = |number: usize| rule_of_file(number).is_none_or(applies);
        let mut variants = Variants::default();
        for variant in variants.find(target, budget)? {
            let matching = if defence!("rule-suffixes") { matching(variant) } else { Matching::Exact };
            let mut check = |path: &[u8], ending: Ending, number: Option<usize>, alteration: Alteration<'_>| {
                let permitted = permits(number);
                let variant = || Event::Variant { path: alteration.apply(path, ending), rule: number, permitted };
                observer.observe(variant);
                permitted
            };
            let is_permitted = self.tries.all(variant, |trie, path, ending| {
                trie.check(path, ending, matching, budget, &applies, &mut |number, alteration| {
                    check(path, ending, number, alteration)
                })
            })? && (self.of_files.is_empty()
                || !defence!("rule-files")
                || self.of_files.all(variant, |trie, path, ending| {
                    let matching = matching.of_files();
                    trie.check(path, ending, matching, budget, &applies_to_file, &mut |number, alteration| {
                        number.is_none() || check(path, ending, number.and_then(rule_of_file), alteration)
                    })
                })?);
            if !is_permitted {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns the targets that an override URL may mean: a path, an absolute URL, or both for `//host/path`. `None` for
/// anything else.
#[inline]
fn override_targets(url: &[u8]) -> Option<Vec<Target<'_>>> {
    let lower = |length: usize| url.get(..length).map(<[u8]>::to_ascii_lowercase);
    let host = match url {
        [b'/', b'/', host @ ..] => host,
        [b'/', ..] => return Target::parse(url).ok().map(|target| vec![target]),
        _ if lower(7).as_deref() == Some(b"http://") => url.get(7..)?,
        _ if lower(8).as_deref() == Some(b"https://") => url.get(8..)?,
        _ => return None,
    };
    let end = host.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(host.len());
    let (host, path) = host.split_at_checked(end)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    if host.is_empty() || !host.iter().all(is_plain) {
        return None;
    }
    // A URL without a path means `/`.
    let mut targets = vec![Target::parse(if path.first() == Some(&b'/') { path } else { b"/" }).ok()?];
    if url.first() == Some(&b'/') {
        targets.push(Target::parse(url).ok()?);
    }
    Some(targets)
}
