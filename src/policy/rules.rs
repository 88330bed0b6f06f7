//! Which roles a path asks for, by the widest reading.

use super::Consumer;
use crate::document::{self, Methods, ProtectedPath, RoleName};
use crate::reading::{FoldedPattern, Readings};
use crate::request::Request;
use crate::target::Target;

/// The rules, in order: the first that matches a reading counts for that reading.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: FoldedPattern,
    methods: Option<Methods>,
    roles: Vec<RoleName>,
}

impl Rules {
    pub(crate) fn new(rules: Vec<document::Rule>) -> Self {
        let compile = |rule: document::Rule| Rule {
            pattern: FoldedPattern::new(&rule.path),
            methods: rule.methods,
            roles: rule.roles,
        };
        Self(rules.into_iter().map(compile).collect())
    }

    /// Whether the consumer has what every reading of the path asks for. Where a header may override the method, rules of
    /// every method count; a URL that overrides the path is one more path.
    pub(crate) fn permit(&self, consumer: &Consumer, request: &Request<'_>, target: &Target<'_>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let method = (!request.is_overridden).then_some(request.method);
        self.permit_path(consumer, method, target)
            && request.override_urls().all(|url| match override_target(url) {
                Some(target) => self.permit_path(consumer, method, &target),
                // What cannot be read may be anything.
                None => self.0.iter().all(|rule| consumer.has_any(&rule.roles)),
            })
    }

    /// `method`: as sent, or `None` for any.
    fn permit_path(&self, consumer: &Consumer, method: Option<&[u8]>, target: &Target<'_>) -> bool {
        Readings::of(target).iter().all(|(fold, path)| {
            for rule in self.0.iter().filter(|rule| rule.pattern.matches(fold, path)) {
                let covers = match (&rule.methods, method) {
                    (None, _) => Some(true),
                    (Some(methods), Some(method)) => Some(methods.cover(method)),
                    // The method may be one of the rule's, and may not: this rule counts, and so does the next.
                    (Some(_), None) => None,
                };
                match covers {
                    Some(true) => return consumer.has_any(&rule.roles),
                    None if !consumer.has_any(&rule.roles) => return false,
                    _ => {}
                }
            }
            true
        })
    }
}

/// The target in an `X-Original-URL` or `X-Rewrite-URL`: a path, or a whole URL.
fn override_target(url: &[u8]) -> Option<Target<'_>> {
    if url.first() == Some(&b'/') {
        return Target::parse(url);
    }
    let host = url.windows(3).position(|part| part == b"://").and_then(|at| url.get(at.checked_add(3)?..))?;
    match host.iter().position(|byte| matches!(byte, b'/' | b'?')) {
        Some(start) if host.get(start) == Some(&b'/') => Target::parse(host.get(start..)?),
        _ => Target::parse(b"/"),
    }
}

/// The paths that need a key, where all others do not.
#[derive(Debug)]
pub(crate) struct Protected(Vec<FoldedPattern>);

impl Protected {
    pub(crate) fn new(paths: &[ProtectedPath]) -> Self {
        Self(paths.iter().map(|path| FoldedPattern::new(&path.path)).collect())
    }

    /// Whether any reading of the path falls under a protected one.
    pub(crate) fn covers(&self, target: &Target<'_>) -> bool {
        Readings::of(target).iter().any(|(fold, path)| self.0.iter().any(|pattern| pattern.matches(fold, path)))
    }
}
