//! Real backends decide how a path is read. Thousands of spellings, and headers that move a path, go to nginx, Apache httpd,
//! Tomcat, gunicorn, daphne, uvicorn, Bottle, Node and PHP, set up in the ways that operators use, and to the same through Envoy
//! with the gate in front. Whatever the gate lets through without a key must be public to each of them; whatever any of them
//! serves as restricted, the gate must restrict.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial, run};
use portcullis::Policy;
use portcullis_tests::areas::{ADMIN, GUEST, decide_with, is_public, is_restricted, policy};
use portcullis_tests::backends::Backends;
use portcullis_tests::forms::Probe;
use portcullis_tests::front::{Front, Handling, dial, request};
use portcullis_tests::message::Reply;
use portcullis_tests::sites::{Dialogue, Pace, Site, Stream, resource};
use portcullis_tests::spellings::{CLASSICS, probes};
use portcullis_tests::stage::verdict;

/// On how many paths each site must find something restricted under another name than its own, or the suite proves little: one
/// that is asked everything, and one that is asked a part.
const FEWEST_DISGUISED: [usize; 2] = [400, 100];
/// On how many a site must find something restricted because of a header, where it heeds one.
const FEWEST_MOVED: [(&str, &str, usize); 6] = [
    ("gunicorn-wsgi", "SCRIPT_NAME", 10),
    ("gunicorn-flask", "SCRIPT_NAME", 10),
    ("daphne-django", "Daphne-Root-Path", 10),
    ("php-headers", "X-Original-URL", 10),
    ("php-headers", "x_original_url", 10),
    ("php-headers", "X-Rewrite-URL", 10),
];
/// A slow site is asked one in so many of those that are not written by hand.
const SLOW_STEP: usize = 5;
/// How often a path that the gate calls public must be served under another name than its own, by all sites together.
const FEWEST_RESPELLED: usize = 1_000;
/// How often each must happen through Envoy: something is reached without a key, a guest is refused, an admin is let through to
/// something restricted in disguise.
const FEWEST_PASSED: usize = 300;
/// How many paths of each site go through Envoy too, at most: restricted places in a disguise that the gate lets an admin through
/// with, in one that it refuses, public ones under another name, and restricted ones by a header. Of a slow site, half as many.
const THROUGH_ENVOY: [usize; 4] = [200, 50, 50, 50];

/// The backends, and how each site reads each path.
struct Bench {
    backends: Backends,
    probes: Vec<Probe>,
    readings: BTreeMap<&'static str, Vec<Option<String>>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let bench: Arc<OnceLock<Bench>> = Arc::default();
    type Test = fn(&Bench) -> Result<(), Failed>;
    let tests: [(&str, Test); 6] = [
        ("every site finds restricted places under other names", disguised),
        ("headers move the path where a site heeds them", moved),
        ("what the gate calls public is public to every site", public),
        ("what any site finds restricted asks for the role", restricted),
        ("through an Envoy that leaves paths alone", through_envoy_as_sent),
        ("through an Envoy with the shipped settings", through_envoy_as_shipped),
    ];
    let trials = tests.map(|(name, test)| {
        let bench = Arc::clone(&bench);
        Trial::test(name, move || test(bench.get_or_init(Bench::start)))
    });
    run(&arguments, trials.into()).exit_code()
}

impl Bench {
    /// Starts the backends and sends to every site what it is asked.
    fn start() -> Self {
        let (backends, (probes, by_hand)) = (Backends::start(), probes());
        let all = &probes;
        let readings = thread::scope(|scope| {
            let read = |site| (site, scope.spawn(move || read(site, all, by_hand)));
            let readers: Vec<_> = backends.sites.iter().map(read).collect();
            readers.into_iter().map(|(site, reader)| (site.name, reader.join().expect("a site answers"))).collect()
        });
        Self { backends, probes, readings }
    }

    /// Each site, request and resource that the site takes it to be for.
    fn found(&self) -> impl Iterator<Item = (&'static str, &Probe, &str)> {
        let pairs =
            self.readings.iter().flat_map(|(site, read)| read.iter().zip(&self.probes).map(move |pair| (*site, pair)));
        pairs.filter_map(|(site, (resource, probe))| Some((site, probe, resource.as_deref()?)))
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
    fn conclude(&self, wrong: &[String]) -> Result<(), Failed> {
        if wrong.is_empty() {
            return Ok(());
        }
        let shown = wrong.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
        Err(format!("{} findings:\n{shown}\n\nWhat the sites make of the classics:\n{}", wrong.len(), self.classics())
            .into())
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
fn is_disguised(probe: &Probe, resource: &str) -> bool {
    is_restricted(resource) && !is_restricted(probe.path.split('?').next().unwrap_or_default())
}

/// What the gate decides.
fn decide(policy: &Policy, probe: &Probe, key: Option<&str>) -> &'static str {
    decide_with(policy, &probe.path, probe.header, key)
}

fn disguised(bench: &Bench) -> Result<(), Failed> {
    let (mut wrong, mut counts) = (Vec::new(), BTreeMap::<&str, [usize; 3]>::new());
    for (site, probe, resource) in bench.found() {
        for name in [site, "all sites"] {
            let [served, restricted, disguised] = counts.entry(name).or_default();
            *served += 1;
            *restricted += usize::from(is_restricted(resource));
            *disguised += usize::from(is_disguised(probe, resource));
        }
    }
    let lines = counts.iter().map(|(name, [served, restricted, disguised])| {
        format!("  {name:20} {served:6} served, {restricted:5} as restricted, {disguised:5} of them in disguise\n")
    });
    eprint!("{} requests:\n{}", bench.probes.len(), lines.collect::<String>());
    let [of_all, of_some] = FEWEST_DISGUISED;
    for site in &bench.backends.sites {
        let [.., disguised] = counts.get(site.name).copied().unwrap_or_default();
        if disguised < (if site.pace == Pace::Quick { of_all } else { of_some }) {
            wrong.push(format!("{} finds only {disguised} restricted places in disguise", site.name));
        }
    }
    bench.conclude(&wrong)
}

fn moved(bench: &Bench) -> Result<(), Failed> {
    let mut counts = BTreeMap::<(&str, &str), usize>::new();
    for (site, probe, _) in bench.found().filter(|(_, probe, resource)| is_disguised(probe, resource)) {
        if let Some((name, _)) = probe.header {
            *counts.entry((site, name)).or_default() += 1;
        }
    }
    let wrong: Vec<_> = FEWEST_MOVED
        .iter()
        .filter(|(site, name, fewest)| counts.get(&(site, name)).is_none_or(|count| count < fewest))
        .map(|(site, name, fewest)| format!("{site} finds something restricted by {name} fewer than {fewest} times"))
        .collect();
    bench.conclude(&wrong)
}

fn public(bench: &Bench) -> Result<(), Failed> {
    let policy = policy();
    let open = bench.found().filter(|(_, probe, _)| decide(&policy, probe, None) == "public_path");
    let (mut wrong, mut respelled) = (Vec::new(), 0);
    for (site, probe, resource) in open {
        respelled += usize::from(probe.path.split('?').next() != Some(resource));
        if !is_public(resource) {
            wrong.push(format!("{probe} is public to the gate, {site} serves {resource}"));
        }
    }
    eprintln!("public to the gate, and served under another name than the path: {respelled}");
    if respelled < FEWEST_RESPELLED {
        wrong.push(format!("only {respelled} paths are public to the gate and served under another name"));
    }
    bench.conclude(&wrong)
}

fn restricted(bench: &Bench) -> Result<(), Failed> {
    let policy = policy();
    let (mut wrong, mut answers) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for (site, probe, resource) in bench.found().filter(|(_, _, resource)| is_restricted(resource)) {
        let decision = decide(&policy, probe, Some(GUEST));
        *answers.entry(decision).or_default() += 1;
        if !matches!(decision, "missing_role" | "bad_request_target") {
            wrong.push(format!("{probe} is {resource} to {site}, and the gate says {decision} to a guest"));
        }
    }
    eprintln!("what the gate says to a guest where a site finds something restricted: {answers:?}");
    if answers.len() < 2 {
        wrong.push(format!("not each kind of answer occurs: {answers:?}"));
    }
    bench.conclude(&wrong)
}

fn through_envoy_as_sent(bench: &Bench) -> Result<(), Failed> {
    bench.through_envoy(Handling::AsSent)
}

fn through_envoy_as_shipped(bench: &Bench) -> Result<(), Failed> {
    bench.through_envoy(Handling::Shipped)
}

/// What came of the requests through Envoy.
#[derive(Default)]
struct Passage {
    wrong: Vec<String>,
    /// Requests without a key that reached something.
    open: usize,
    /// Requests of a guest that were refused.
    refused: usize,
    /// Requests of an admin that reached something restricted in disguise.
    reached: usize,
}

impl Bench {
    fn through_envoy(&self, handling: Handling) -> Result<(), Failed> {
        let front = Front::start(&self.backends.sites, handling);
        let address = front.address();
        let passages: Vec<Passage> = thread::scope(|scope| {
            let pass = |site| scope.spawn(move || self.pass(site, handling, Dialogue::new(|| dial(address))));
            let passing: Vec<_> = self.backends.sites.iter().map(pass).collect();
            passing.into_iter().map(|passage| passage.join().expect("Envoy answers")).collect()
        });
        let sum = |count: fn(&Passage) -> usize| passages.iter().map(count).sum::<usize>();
        let counts = [sum(|passage| passage.open), sum(|passage| passage.refused), sum(|passage| passage.reached)];
        let [open, refused, reached] = counts;
        eprintln!(
            "{handling:?}: {open} times something was reached without a key, {refused} times a guest was refused, {reached} \
             times an admin reached something restricted in disguise"
        );
        let mut wrong: Vec<String> = passages.into_iter().flat_map(|passage| passage.wrong).collect();
        if counts.iter().any(|count| *count < FEWEST_PASSED) {
            wrong.push("hardly anything passes: this proves little".to_owned());
        }
        self.conclude(&wrong)
    }

    /// Sends what is of interest to a site without a key, as a guest and as an admin.
    fn pass(
        &self,
        site: &Site,
        handling: Handling,
        mut dialogue: Dialogue<impl Fn() -> io::Result<Box<dyn Stream>>>,
    ) -> Passage {
        let mut passage = Passage::default();
        for (probe, direct) in self.of_interest(site) {
            let mut ask =
                |key| dialogue.ask(&request(site, probe, key)).unwrap_or_else(|error| panic!("{probe}: {error}"));
            let [nobody, guest, admin] = [None, Some(GUEST), Some(ADMIN)].map(&mut ask);
            let mut fail = |who: &str, reply: &Reply| {
                let (status, reason) = verdict(reply);
                let resource = resource(reply);
                passage.wrong.push(format!(
                    "{probe} to {}: {who} gets {status} {reason} {resource:?}; directly {direct:?}",
                    site.name
                ));
            };
            if resource(&nobody).is_some_and(|resource| !is_public(&resource)) {
                fail("nobody", &nobody);
            }
            // Envoy's own settings may make another path of it, or refuse it.
            let must_be_refused = handling == Handling::AsSent && direct.is_some_and(is_restricted);
            let (status, reason) = verdict(&guest);
            // `-`: by Envoy, before the gate.
            let is_refused =
                matches!((status, reason.as_str()), (403, "missing_role") | (400, "bad_request_target" | "-"));
            if resource(&guest).is_some_and(|resource| is_restricted(&resource)) || must_be_refused && !is_refused {
                fail("a guest", &guest);
            }
            passage.open += usize::from(resource(&nobody).is_some());
            passage.refused += usize::from(is_refused);
            passage.reached += usize::from(resource(&admin).is_some_and(|resource| is_disguised(probe, &resource)));
        }
        passage
    }

    /// The classics, and of the requests that a site takes for something restricted in disguise, or for something public that
    /// has another name, as many as there is time for, spread over all; each with what it takes them for.
    fn of_interest(&self, site: &Site) -> Vec<(&Probe, Option<&str>)> {
        let all = self.probes.iter().zip(self.readings[site.name].iter().map(Option::as_deref));
        let (mut chosen, others): (Vec<_>, Vec<_>) = all.enumerate().partition(|(index, _)| *index < CLASSICS.len());
        let policy = policy();
        let mut kinds: [Vec<_>; 4] = Default::default();
        for one in others {
            let (_, (probe, resource)) = one;
            let is_refused = || decide(&policy, probe, Some(ADMIN)) == "bad_request_target";
            let kind = match resource {
                Some(resource) if is_disguised(probe, resource) && probe.header.is_some() => 3,
                Some(resource) if is_disguised(probe, resource) => usize::from(is_refused()),
                Some(resource) if probe.path != resource && decide(&policy, probe, None) == "public_path" => 2,
                _ => continue,
            };
            kinds[kind].push(one);
        }
        for (some, most) in kinds.into_iter().zip(THROUGH_ENVOY) {
            let most = if site.pace == Pace::Quick { most } else { most / 2 };
            let step = some.len().div_ceil(most).max(1);
            chosen.extend(some.into_iter().step_by(step));
        }
        chosen.into_iter().map(|(_, pair)| pair).collect()
    }
}
