//! Which roles a path asks for, by the widest reading.

use crate::document::{self, Methods, ProtectedPath, RoleName};
use crate::keyring::Consumer;
use crate::pattern::FoldedPattern;
use crate::reading::Readings;
use crate::request::Request;
use crate::target::Target;
use crate::trail::{Event, Recorder};

/// The most URLs in override headers that are read.
const MOST_URLS: usize = 4;

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
    pub(crate) fn permit(
        &self,
        consumer: &Consumer,
        request: &Request<'_>,
        target: &Target<'_>,
        trail: &mut impl Recorder,
    ) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let method = (!request.is_overridden).then_some(request.method);
        let urls: Vec<_> = request.override_urls().take(MOST_URLS.saturating_add(1)).collect();
        if urls.len() > MOST_URLS {
            return self.permit_anything(consumer, trail);
        }
        self.permit_path(consumer, method, target, trail)
            && urls.into_iter().all(|url| match override_targets(url) {
                Some(targets) => targets.iter().all(|target| self.permit_path(consumer, method, target, trail)),
                None => self.permit_anything(consumer, trail),
            })
    }

    /// What cannot be read may be anything.
    fn permit_anything(&self, consumer: &Consumer, trail: &mut impl Recorder) -> bool {
        let permitted = self.0.iter().all(|rule| consumer.has_any(&rule.roles));
        trail.record(|| Event::AnyPath { permitted });
        permitted
    }

    /// `method`: as sent, or `None` for any.
    fn permit_path(
        &self,
        consumer: &Consumer,
        method: Option<&[u8]>,
        target: &Target<'_>,
        trail: &mut impl Recorder,
    ) -> bool {
        let Some(readings) = Readings::of(target) else { return self.permit_anything(consumer, trail) };
        readings.iter().all(|(fold, path)| {
            for (index, rule) in self.0.iter().enumerate().filter(|(_, rule)| rule.pattern.covers(fold, &path)) {
                let covers = match (&rule.methods, method) {
                    (None, _) => Some(true),
                    (Some(methods), Some(method)) => Some(methods.cover(method)),
                    // The method may be one of the rule's, and may not: this rule counts, and so does the next.
                    (Some(_), None) => None,
                };
                if covers == Some(false) {
                    continue;
                }
                let permitted = consumer.has_any(&rule.roles);
                trail.record(|| Event::Reading { path: path.to_path(), rule: Some(index), permitted });
                if !permitted || covers == Some(true) {
                    return permitted;
                }
            }
            trail.record(|| Event::Reading { path: path.to_path(), rule: None, permitted: true });
            true
        })
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

/// The paths that need a key, where all others do not.
#[derive(Debug)]
pub(crate) struct Protected(Vec<FoldedPattern>);

impl Protected {
    pub(crate) fn new(paths: &[ProtectedPath]) -> Self {
        Self(paths.iter().map(|path| FoldedPattern::new(&path.path)).collect())
    }

    /// Whether any reading of the path falls under a protected one, with or without a suffix.
    pub(crate) fn covers(&self, target: &Target<'_>) -> bool {
        let Some(readings) = Readings::of(target) else { return true };
        let mut all = readings.iter().chain(readings.without_suffix());
        all.any(|(fold, path)| self.0.iter().any(|pattern| pattern.covers(fold, &path)))
    }
}
