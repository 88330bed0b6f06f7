//! How every site interprets every request, and what the gate decides about it.

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

/// A slow site gets one in so many of the requests that are not hand-written.
const SLOW_STEP: usize = 8;
/// The maximum number of paths of each site that also go through Envoy: restricted places in a disguised path that the
/// gate allows an admin, those that it rejects, public places under another name, and restricted ones by a header. Half
/// as many for a slow site.
const THROUGH_ENVOY: [usize; 4] = [200, 50, 50, 50];

/// The backends, the requests, the gate's decisions, and each site's interpretation.
pub(crate) struct Bench {
    pub(crate) backends: Backends,
    pub(crate) probes: Vec<Probe>,
    decisions: Vec<Decisions>,
    pub(crate) readings: BTreeMap<&'static str, Vec<Option<String>>>,
}

/// The gate's decision about a request without a key, with the key of a guest, and with that of an admin.
#[derive(Clone, Copy)]
pub(crate) struct Decisions {
    pub(crate) nobody: &'static str,
    pub(crate) guest: &'static str,
    pub(crate) admin: &'static str,
    /// Without a key, under the policy that lists protected paths instead of public ones.
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
    /// Starts the backends and sends the requests to every site.
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

    /// The requests, the gate's decisions, and a site's interpretation.
    fn asked(&self, site: &str) -> impl Iterator<Item = (&Probe, Decisions, Option<&str>)> {
        let asked = self.probes.iter().zip(&self.decisions).zip(&self.readings[site]);
        asked.map(|((probe, decisions), resource)| (probe, *decisions, resource.as_deref()))
    }

    /// All requests that any site answers with a resource.
    pub(crate) fn found(&self) -> impl Iterator<Item = Found<'_>> {
        self.readings.keys().flat_map(|site| {
            let found = self.asked(site);
            found.filter_map(|(probe, decisions, resource)| Some(Found { site, probe, decisions, resource: resource? }))
        })
    }

    /// Each site's interpretation of the classics, for the reader of a failure.
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

    /// Fails with all errors, one on each line.
    pub(crate) fn conclude(&self, wrong: &[String]) -> Result<(), Failed> {
        if wrong.is_empty() {
            return Ok(());
        }
        let shown = wrong.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
        Err(format!("{} findings:\n{shown}\n\nWhat the sites make of the classics:\n{}", wrong.len(), self.classics())
            .into())
    }

    /// The classics, and as many as there is time for, evenly distributed, of the requests that a site interprets as
    /// something restricted in a disguised path, or as something public under another name; each with its
    /// interpretations.
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

/// The site's interpretation of each path, in order; `None` if it is not asked.
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

/// Whether a resource is restricted, and the path does not contain its name.
pub(crate) fn is_disguised(probe: &Probe, resource: &str) -> bool {
    is_restricted(resource) && !is_restricted(probe.path.split('?').next().unwrap_or_default())
}
