//! Which roles a path asks for, by the widest reading.

use crate::document::{self, Methods, RoleName};
use crate::keyring::Consumer;
use crate::reading::Readings;
use crate::request::Request;
use crate::target::Target;
use crate::trail::{Event, Recorder};
use crate::tree::{FoldedTrees, Tree};

/// The most URLs in override headers that are read.
const MOST_URLS: usize = 4;

/// The rules, in order: the first that matches a reading counts for that reading.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    paths: FoldedTrees,
}

#[derive(Debug)]
struct Rule {
    methods: Option<Methods>,
    roles: Vec<RoleName>,
}

impl Rules {
    pub(crate) fn new(rules: Vec<document::Rule>) -> Self {
        let paths = FoldedTrees::new(&rules.iter().map(|rule| &rule.path).collect::<Vec<_>>());
        let compile = |rule: document::Rule| Rule { methods: rule.methods, roles: rule.roles };
        Self { rules: rules.into_iter().map(compile).collect(), paths }
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
        if self.rules.is_empty() {
            return true;
        }
        if !request.is_overridden {
            return self.permit_path(consumer, Some(request.method), target, trail);
        }
        let urls: Vec<_> = request.override_urls().take(MOST_URLS.saturating_add(1)).collect();
        if urls.len() > MOST_URLS {
            return self.permit_anything(consumer, trail);
        }
        self.permit_path(consumer, None, target, trail)
            && urls.into_iter().all(|url| match override_targets(url) {
                Some(targets) => targets.iter().all(|target| self.permit_path(consumer, None, target, trail)),
                None => self.permit_anything(consumer, trail),
            })
    }

    /// What cannot be read may be anything.
    fn permit_anything(&self, consumer: &Consumer, trail: &mut impl Recorder) -> bool {
        let permitted = self.rules.iter().all(|rule| consumer.has_any(&rule.roles));
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
        readings.all(&self.paths, |tree, path| {
            let mut permits = |number: Option<usize>| {
                let rule = number.and_then(|number| self.rules.get(number));
                let permitted = rule.is_none_or(|rule| consumer.has_any(&rule.roles));
                trail.record(|| Event::Reading { path: path.to_vec(), rule: number, permitted });
                permitted
            };
            if let Some(method) = method {
                return permits(self.first(tree, path, |methods| methods.cover(method)));
            }
            // The method may be one of a rule's, and may not: that rule counts, and so does the next.
            let last = self.first(tree, path, |_| false);
            let narrowed = tree.all(path).into_iter().take_while(|number| last.is_none_or(|last| *number < last));
            narrowed.map(Some).all(&mut permits) && permits(last)
        })
    }

    /// The first rule for a path that has no methods, or such methods.
    fn first(&self, tree: &Tree, path: &[u8], such: impl Fn(&Methods) -> bool) -> Option<usize> {
        tree.first(path, |number| self.rules.get(number).is_some_and(|rule| rule.methods.as_ref().is_none_or(&such)))
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
