//! What every site takes every request for, and what the gate decides about it.

use std::collections::BTreeMap;
use std::thread;

use libtest_mimic::Failed;
use portcullis::Policy;
use portcullis_tests::areas::{ADMIN, GUEST, decide_with, is_restricted, policy, protecting};
use portcullis_tests::backends::Backends;
use portcullis_tests::forms::Probe;
use portcullis_tests::front::request;
use portcullis_tests::sites::{Dialogue, Pace, Site, resource};
use portcullis_tests::spellings::{CLASSICS, probes};

/// A slow site is asked one in so many of those that are not written by hand.
const SLOW_STEP: usize = 8;
/// How many paths of each site go through Envoy too, at most: restricted places in a disguise that the gate lets an admin through
/// with, in one that it refuses, public ones under another name, and restricted ones by a header. Of a slow site, half as many.
const THROUGH_ENVOY: [usize; 4] = [200, 50, 50, 50];

/// The backends, what is asked, what the gate decides about it, and what each site takes it for.
pub(crate) struct Bench {
    pub(crate) backends: Backends,
    pub(crate) probes: Vec<Probe>,
    decisions: Vec<Decisions>,
    pub(crate) readings: BTreeMap<&'static str, Vec<Option<String>>>,
}

/// What the gate decides about a request without a key, with the key of a guest, and with that of an admin.
#[derive(Clone, Copy)]
pub(crate) struct Decisions {
    pub(crate) nobody: &'static str,
    pub(crate) guest: &'static str,
    pub(crate) admin: &'static str,
    /// Without a key, by the policy that says what is protected instead of what is public.
    pub(crate) by_protected: &'static str,
}

impl Decisions {
    fn new([policy, protecting]: &[Policy; 2], probe: &Probe) -> Self {
        let decide = |policy, key| decide_with(policy, &probe.path, probe.header, key);
        Self {
            nobody: decide(policy, None),
            guest: decide(policy, Some(GUEST)),
            admin: decide(policy, Some(ADMIN)),
            by_protected: decide(protecting, None),
        }
    }
}

/// A request that a site answers with a resource.
pub(crate) struct Found<'a> {
    pub(crate) site: &'static str,
    pub(crate) probe: &'a Probe,
    pub(crate) decisions: Decisions,
    pub(crate) resource: &'a str,
}

impl Bench {
    /// Starts the backends and sends to every site what it is asked.
    pub(crate) fn start() -> Self {
        let (backends, (probes, by_hand)) = (Backends::start(), probes());
        let all = &probes;
        let readings = thread::scope(|scope| {
            let read = |site| (site, scope.spawn(move || read(site, all, by_hand)));
            let readers: Vec<_> = backends.sites.iter().map(read).collect();
            readers.into_iter().map(|(site, reader)| (site.name, reader.join().expect("a site answers"))).collect()
        });
        let policies = [policy(), protecting()];
        let decisions = probes.iter().map(|probe| Decisions::new(&policies, probe)).collect();
        Self { backends, probes, decisions, readings }
    }

    /// What is asked, what the gate decides about it, and what a site takes it for.
    fn asked(&self, site: &str) -> impl Iterator<Item = (&Probe, Decisions, Option<&str>)> {
        let asked = self.probes.iter().zip(&self.decisions).zip(&self.readings[site]);
        asked.map(|((probe, decisions), resource)| (probe, *decisions, resource.as_deref()))
    }

    /// All that any site answers with a resource.
    pub(crate) fn found(&self) -> impl Iterator<Item = Found<'_>> {
        self.readings.keys().flat_map(|site| {
            let found = self.asked(site);
            found.filter_map(|(probe, decisions, resource)| Some(Found { site, probe, decisions, resource: resource? }))
        })
    }

    /// What each site makes of the classics, for the reader of a failure.
    fn classics(&self) -> String {
        let mut text = String::new();
        for (index, path) in CLASSICS.into_iter().enumerate() {
            let mut sites: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (site, read) in &self.readings {
                sites.entry(read[index].as_deref().unwrap_or("nothing")).or_default().push(site);
            }
            let lines = sites.iter().map(|(resource, sites)| format!("    {resource}: {}\n", sites.join(", ")));
            text.extend(std::iter::once(format!("{path}\n")).chain(lines));
        }
        text
    }

    /// Fails with all that is wrong, a line each.
    pub(crate) fn conclude(&self, wrong: &[String]) -> Result<(), Failed> {
        if wrong.is_empty() {
            return Ok(());
        }
        let shown = wrong.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
        Err(format!("{} findings:\n{shown}\n\nWhat the sites make of the classics:\n{}", wrong.len(), self.classics())
            .into())
    }

    /// The classics, and of the requests that a site takes for something restricted in disguise, or for something public that
    /// has another name, as many as there is time for, spread over all; each with what it takes them for.
    pub(crate) fn of_interest(&self, site: &Site) -> Vec<(&Probe, Option<&str>)> {
        let asked = self.asked(site.name).enumerate();
        let (mut chosen, others): (Vec<_>, Vec<_>) = asked.partition(|(index, _)| *index < CLASSICS.len());
        let mut kinds: [Vec<_>; 4] = Default::default();
        for one in others {
            let (_, (probe, decisions, resource)) = one;
            let kind = match resource {
                Some(resource) if is_disguised(probe, resource) && probe.header.is_some() => 3,
                Some(resource) if is_disguised(probe, resource) => usize::from(decisions.admin == "bad_request_target"),
                Some(resource) if probe.path != resource && decisions.nobody == "public_path" => 2,
                _ => continue,
            };
            kinds[kind].push(one);
        }
        for (some, most) in kinds.into_iter().zip(THROUGH_ENVOY) {
            let most = if site.pace == Pace::Quick { most } else { most / 2 };
            let step = some.len().div_ceil(most).max(1);
            chosen.extend(some.into_iter().step_by(step));
        }
        chosen.into_iter().map(|(_, (probe, _, resource))| (probe, resource)).collect()
    }
}

/// How the site reads each path, in their order; nothing where it is not asked.
fn read(site: &Site, probes: &[Probe], by_hand: usize) -> Vec<Option<String>> {
    let mut dialogue = Dialogue::new(|| site.dial());
    let is_asked = |index: usize| site.pace == Pace::Quick || index < by_hand || index.is_multiple_of(SLOW_STEP);
    let ask = |(index, probe)| {
        is_asked(index).then(|| dialogue.ask(&request(site, probe, None)).ok()).flatten().as_ref().and_then(resource)
    };
    let read = probes.iter().enumerate().map(ask).collect();
    assert!(site.serves(), "{} no longer serves", site.name);
    read
}

/// Whether a resource is restricted, and the path does not say so.
pub(crate) fn is_disguised(probe: &Probe, resource: &str) -> bool {
    is_restricted(resource) && !is_restricted(probe.path.split('?').next().unwrap_or_default())
}
