//! Checks the roles that a path requires, in every variant.

use super::trace::{Event, Observer};
use crate::document::access::RuleEntry;
use crate::keys::keyring::Consumer;
use crate::path::ambiguity::Ambiguity;
use crate::path::budget::Budget;
use crate::path::restricted::RestrictedPatterns;
use crate::path::target::{MAX_LENGTH, Target};
use crate::request::message::Request;
use crate::value::names::{Methods, RoleName};

/// The maximum number of URLs in override headers that are read.
const MAX_URLS: usize = 4;

/// The rules, in order. The first rule that matches a variant of the path applies to that variant.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    pub(super) patterns: RestrictedPatterns,
}

#[derive(Debug)]
struct Rule {
    methods: Option<Methods>,
    roles: Vec<RoleName>,
}

impl Rules {
    pub(super) fn new(rules: Vec<RuleEntry>) -> Self {
        let patterns = RestrictedPatterns::new(rules.iter().map(|rule| &rule.path));
        let rules = rules.into_iter().map(|rule| Rule { methods: rule.methods, roles: rule.roles }).collect();
        Self { rules, patterns }
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
        if defence!("long-override-urls") && bytes > MAX_LENGTH {
            return Err(Ambiguity::OverrideUrl);
        }
        for (index, url) in request.override_urls().enumerate().filter(|_| defence!("override-urls-compared")) {
            let targets = override_targets(url).filter(|_| index < MAX_URLS).ok_or(Ambiguity::OverrideUrl)?;
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
        self.patterns.check(target, budget, &applies, &mut |rule, path| {
            let permitted = permits(rule);
            observer.observe(|| Event::Variant { path: path(), rule, permitted });
            permitted
        })
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
