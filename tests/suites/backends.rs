//! Real backends decide how a path is read. Thousands of spellings go to nginx, Apache httpd and Tomcat, set up in the ways
//! that operators use, and to the same through Envoy with the gate in front. Whatever the gate lets through without a key
//! must be public to each of them; whatever any of them serves as restricted, the gate must restrict.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial, run};
use portcullis_tests::areas::{ADMIN, GUEST, decide, is_public, is_restricted, policy};
use portcullis_tests::backends::{Backends, Dialogue, Site, Stream, resource};
use portcullis_tests::front::{Front, Handling, dial, request};
use portcullis_tests::message::Reply;
use portcullis_tests::spellings::{CLASSICS, spellings};
use portcullis_tests::stage::verdict;

/// On how many paths each site must find something restricted under another name than its own, or the suite proves little.
const FEWEST_DISGUISED: usize = 400;
/// How often a path that the gate calls public must be served under another name than its own, by all sites together.
const FEWEST_RESPELLED: usize = 1_000;
/// How often each must happen through Envoy: something is reached without a key, a guest is refused, an admin is let through to
/// something restricted in disguise.
const FEWEST_PASSED: usize = 300;
/// How many paths of each site go through Envoy too, at most: restricted places in a disguise that the gate lets an admin through
/// with, in one that it refuses, and public ones under another name.
const THROUGH_ENVOY: [usize; 3] = [200, 50, 50];

/// The backends, and how each site reads each path.
struct Bench {
    backends: Backends,
    paths: Vec<String>,
    readings: BTreeMap<&'static str, Vec<Option<String>>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let bench: Arc<OnceLock<Bench>> = Arc::default();
    type Test = fn(&Bench) -> Result<(), Failed>;
    let tests: [(&str, Test); 5] = [
        ("every site finds restricted places under other names", disguised),
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
    /// Starts the backends and sends every path to every site.
    fn start() -> Self {
        let (backends, paths) = (Backends::start(), spellings());
        let all = &paths;
        let readings = thread::scope(|scope| {
            let read = |site| (site, scope.spawn(move || read(site, all)));
            let readers: Vec<_> = backends.sites.iter().map(read).collect();
            readers.into_iter().map(|(site, reader)| (site.name, reader.join().expect("a site answers"))).collect()
        });
        Self { backends, paths, readings }
    }

    /// Each site, path and resource that the site takes the path for.
    fn found(&self) -> impl Iterator<Item = (&'static str, &str, &str)> {
        let pairs =
            self.readings.iter().flat_map(|(site, read)| read.iter().zip(&self.paths).map(move |pair| (*site, pair)));
        pairs.filter_map(|(site, (resource, path))| Some((site, path.as_str(), resource.as_deref()?)))
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

/// How the site reads each path, in their order.
fn read(site: &Site, paths: &[String]) -> Vec<Option<String>> {
    let mut dialogue = Dialogue::new(|| site.dial());
    let read = paths.iter().map(|path| resource(&dialogue.ask(&request(site, path, None)).ok()?)).collect();
    assert!(site.serves(), "{} no longer serves", site.name);
    read
}

/// Whether a resource is restricted, and the path does not say so.
fn is_disguised(path: &str, resource: &str) -> bool {
    is_restricted(resource) && !is_restricted(path.split('?').next().unwrap_or_default())
}

fn disguised(bench: &Bench) -> Result<(), Failed> {
    let (mut wrong, mut counts) = (Vec::new(), BTreeMap::<&str, [usize; 3]>::new());
    for (site, path, resource) in bench.found() {
        for name in [site, "all sites"] {
            let [served, restricted, disguised] = counts.entry(name).or_default();
            *served += 1;
            *restricted += usize::from(is_restricted(resource));
            *disguised += usize::from(is_disguised(path, resource));
        }
    }
    let lines = counts.iter().map(|(name, [served, restricted, disguised])| {
        format!("  {name:20} {served:6} served, {restricted:5} as restricted, {disguised:5} of them in disguise\n")
    });
    eprint!("{} paths:\n{}", bench.paths.len(), lines.collect::<String>());
    for site in bench.readings.keys() {
        let [.., disguised] = counts.get(site).copied().unwrap_or_default();
        if disguised < FEWEST_DISGUISED {
            wrong.push(format!("{site} finds only {disguised} restricted places in disguise"));
        }
    }
    bench.conclude(&wrong)
}

fn public(bench: &Bench) -> Result<(), Failed> {
    let policy = policy();
    let open = bench.found().filter(|(_, path, _)| decide(&policy, path, None) == "public_path");
    let (mut wrong, mut respelled) = (Vec::new(), 0);
    for (site, path, resource) in open {
        respelled += usize::from(path.split('?').next() != Some(resource));
        if !is_public(resource) {
            wrong.push(format!("{path} is public to the gate, {site} serves {resource}"));
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
    for (site, path, resource) in bench.found().filter(|(_, _, resource)| is_restricted(resource)) {
        let decision = decide(&policy, path, Some(GUEST));
        *answers.entry(decision).or_default() += 1;
        if !matches!(decision, "missing_role" | "bad_request_target") {
            wrong.push(format!("{path} is {resource} to {site}, and the gate says {decision} to a guest"));
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
        for (path, direct) in self.of_interest(site.name) {
            let mut ask =
                |key| dialogue.ask(&request(site, path, key)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let [nobody, guest, admin] = [None, Some(GUEST), Some(ADMIN)].map(&mut ask);
            let mut fail = |who: &str, reply: &Reply| {
                let (status, reason) = verdict(reply);
                let resource = resource(reply);
                passage.wrong.push(format!(
                    "{path} to {}: {who} gets {status} {reason} {resource:?}; directly {direct:?}",
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
            passage.reached += usize::from(resource(&admin).is_some_and(|resource| is_disguised(path, &resource)));
        }
        passage
    }

    /// The classics, and of the paths that a site takes for something restricted in disguise, or for something public that has
    /// another name, as many as there is time for, spread over all; each with what it takes them for.
    fn of_interest(&self, site: &str) -> Vec<(&str, Option<&str>)> {
        let all = self.paths.iter().map(String::as_str).zip(self.readings[site].iter().map(Option::as_deref));
        let (mut chosen, others): (Vec<_>, Vec<_>) = all.enumerate().partition(|(index, _)| *index < CLASSICS.len());
        let policy = policy();
        let mut kinds: [Vec<_>; 3] = Default::default();
        for one in others {
            let (_, (path, resource)) = one;
            let is_refused = || decide(&policy, path, Some(ADMIN)) == "bad_request_target";
            let kind = match resource {
                Some(resource) if is_disguised(path, resource) => usize::from(is_refused()),
                Some(resource) if path != resource && decide(&policy, path, None) == "public_path" => 2,
                _ => continue,
            };
            kinds[kind].push(one);
        }
        for (some, most) in kinds.into_iter().zip(THROUGH_ENVOY) {
            let step = some.len().div_ceil(most).max(1);
            chosen.extend(some.into_iter().step_by(step));
        }
        chosen.into_iter().map(|(_, pair)| pair).collect()
    }
}
