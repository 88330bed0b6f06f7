//! Which roles a path asks for, in every variant.

use super::open::compare_all;
use crate::document::{self, Methods, RoleName};
use crate::fold::Ending;
use crate::keyring::Consumer;
use crate::pattern::PathPattern;
use crate::request::Request;
use crate::target::{LONGEST, Target};
use crate::trail::{Ambiguity, Event, Recorder};
use crate::tree::{Change, FoldedTrees, Matching};
use crate::variant::{Budget, Variants};

/// The most URLs in override headers that are read.
const MOST_URLS: usize = 4;

/// The rules, in order: the first that matches a variant of the path counts for that variant.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    paths: FoldedTrees,
    /// Other paths by which files among the paths are found, and the rules of these. They have an order of their own, so
    /// that none of them hides a rule for such a path.
    of_files: FoldedTrees,
    rules_of_files: Vec<usize>,
}

#[derive(Debug)]
struct Rule {
    methods: Option<Methods>,
    roles: Vec<RoleName>,
}

impl Rules {
    pub(crate) fn new(rules: Vec<document::Rule>) -> Self {
        let paths = FoldedTrees::new(&rules.iter().map(|rule| &rule.path).collect::<Vec<_>>());
        let others =
            |(number, rule): (usize, &document::Rule)| rule.path.of_file().into_iter().map(move |path| (number, path));
        let (rules_of_files, others): (Vec<usize>, Vec<PathPattern>) =
            rules.iter().enumerate().flat_map(others).unzip();
        let of_files = FoldedTrees::new(&others.iter().collect::<Vec<_>>());
        let compile = |rule: document::Rule| Rule { methods: rule.methods, roles: rule.roles };
        Self { rules: rules.into_iter().map(compile).collect(), paths, of_files, rules_of_files }
    }

    /// Compares a path with all of them.
    pub(crate) fn compare(&self, target: &Target<'_>) -> Result<(), Ambiguity> {
        compare_all(&[&self.paths, &self.of_files], target)
    }

    /// Whether the consumer has what every variant of the path asks for. Where a header may override the method, rules of
    /// every method count; a URL that overrides the path is one more path.
    #[inline(never)]
    pub(crate) fn permit(
        &self,
        consumer: &Consumer,
        request: &Request<'_>,
        target: &Target<'_>,
        budget: &mut Budget,
        trail: &mut impl Recorder,
    ) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let method = (!request.is_overridden).then_some(request.method);
        let all = self.permit_path(consumer, method, target, budget, trail).and_then(|permitted| {
            Ok(permitted && (!request.is_overridden || self.permit_overrides(consumer, request, budget, trail)?))
        });
        all.unwrap_or_else(|why| {
            // What may be anything is under every rule.
            let permitted = consumer.permits_everything(|| self.rules.iter().all(|rule| consumer.has_any(&rule.roles)));
            trail.record(|| Event::AnyPath { why, permitted });
            permitted
        })
    }

    fn permit_overrides(
        &self,
        consumer: &Consumer,
        request: &Request<'_>,
        budget: &mut Budget,
        trail: &mut impl Recorder,
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
                if !self.permit_path(consumer, None, &target, budget, trail)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// `method`: as sent, or `None` for any.
    fn permit_path(
        &self,
        consumer: &Consumer,
        method: Option<&[u8]>,
        target: &Target<'_>,
        budget: &mut Budget,
        trail: &mut impl Recorder,
    ) -> Result<bool, Ambiguity> {
        let permits = |number: Option<usize>| {
            number.and_then(|number| self.rules.get(number)).is_none_or(|rule| consumer.has_any(&rule.roles))
        };
        let counts = |number: usize| {
            self.rules.get(number).and_then(|rule| rule.methods.as_ref()).is_none_or(|methods| match method {
                Some(method) => methods.cover(method),
                // The method may be one of these, and may not. Where the rule permits both, the next one counts too.
                None => !permits(Some(number)),
            })
        };
        let of_file = |number: usize| self.rules_of_files.get(number).copied();
        let counts_for_file = |number: usize| of_file(number).is_none_or(counts);
        let mut variants = Variants::default();
        for variant in variants.find(target, budget)? {
            let matching = if defence!("rule-suffixes") { variant.matching() } else { Matching::Strict };
            let mut holds = |path: &[u8], ending: Ending, number: Option<usize>, change: Change<'_>| {
                let permitted = permits(number);
                trail.record(|| Event::Variant { path: change.path(path, ending), rule: number, permitted });
                permitted
            };
            let is_permitted = self.paths.all(variant, |tree, path, ending| {
                tree.each(path, ending, matching, budget, &counts, &mut |number, change| {
                    holds(path, ending, number, change)
                })
            })? && (self.of_files.is_empty()
                || !defence!("rule-files")
                || self.of_files.all(variant, |tree, path, ending| {
                    tree.each(path, ending, matching.of_files(), budget, &counts_for_file, &mut |number, change| {
                        number.is_none() || holds(path, ending, number.and_then(of_file), change)
                    })
                })?);
            if !is_permitted {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The targets that an `X-Original-URL` or `X-Rewrite-URL` may mean: a path, a whole URL, or what is both at once, as
/// `//host/path` is. `None` for what is none of these.
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
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    if host.is_empty() || !host.iter().all(plain) {
        return None;
    }
    // Without a path, the root is meant.
    let mut targets = vec![Target::parse(if path.first() == Some(&b'/') { path } else { b"/" }).ok()?];
    if url.first() == Some(&b'/') {
        targets.push(Target::parse(url).ok()?);
    }
    Some(targets)
}
