//! Real backends decide how a path is interpreted. Thousands of spellings, and headers that move a path, are sent to
//! nginx, Apache httpd, Tomcat, gunicorn, daphne, uvicorn, Bottle, Node and PHP, each in set-ups that operators use,
//! and to the same backends through Envoy with the gate in front. A request that the gate allows without a key must be
//! public to every backend. A request that any backend serves as restricted must be restricted by the gate.

#[path = "backends/bench.rs"]
mod bench;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;

use bench::{Bench, Found, is_disguised};
use libtest_mimic::{Arguments, Failed, Trial, run};
use portcullis_tests::areas::{ADMIN, GUEST, is_public, is_restricted};
use portcullis_tests::forms::Probe;
use portcullis_tests::front::{Front, Handling, dial, request};
use portcullis_tests::message::Reply;
use portcullis_tests::sites::{Dialogue, Site, Stream, resource};
use portcullis_tests::stage::verdict;

/// The headers that sites use, and how often a site must find something restricted in a disguised path with one. The
/// path without a header is disguised in two ways.
const HEEDED: [(&str, &str, usize); 6] = [
    ("gunicorn-wsgi", "SCRIPT_NAME", 10),
    ("gunicorn-flask", "SCRIPT_NAME", 10),
    ("daphne-django", "Daphne-Root-Path", 10),
    ("php-moved", "X-Original-URL", 6),
    ("php-moved", "x_original_url", 6),
    ("php-moved", "X-Rewrite-URL", 6),
];
/// How often, over all sites, a path that the gate calls public must be served under another name than its own.
const FEWEST_RESPELLED: usize = 1_000;
/// How often each must happen through Envoy: something is reached without a key, a guest is denied, an admin is allowed
/// to reach something restricted in a disguised path.
const FEWEST_PASSED: usize = 300;
/// How often an admin must reach something restricted with a header that moves the path.
const FEWEST_MOVED_THROUGH: usize = 15;

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

fn disguised(bench: &Bench) -> Result<(), Failed> {
    let (mut wrong, mut counts) = (Vec::new(), BTreeMap::<&str, [usize; 3]>::new());
    for Found { site, probe, resource, .. } in bench.found() {
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
    for site in &bench.backends.sites {
        let [.., disguised] = counts.get(site.name).copied().unwrap_or_default();
        if disguised < site.fewest {
            wrong.push(format!(
                "{} finds only {disguised} restricted places in disguise, not {}",
                site.name, site.fewest
            ));
        }
    }
    bench.conclude(&wrong)
}

/// Whether the request has a header that the site uses.
fn heeds(site: &Site, probe: &Probe) -> bool {
    let header = probe.header.map(|(name, _)| name);
    HEEDED.iter().any(|(heeding, name, _)| *heeding == site.name && header == Some(name))
}

fn moved(bench: &Bench) -> Result<(), Failed> {
    let mut counts = BTreeMap::<(&str, &str), usize>::new();
    for found in bench.found().filter(|found| is_disguised(found.probe, found.resource)) {
        if let Some((name, _)) = found.probe.header {
            *counts.entry((found.site, name)).or_default() += 1;
        }
    }
    let mut wrong = Vec::new();
    for (site, name, fewest) in HEEDED {
        let count = counts.get(&(site, name)).copied().unwrap_or_default();
        eprintln!("{site} finds something restricted {count} times with {name}");
        if count < fewest {
            wrong.push(format!("{site} finds something restricted only {count} times with {name}"));
        }
    }
    bench.conclude(&wrong)
}

fn public(bench: &Bench) -> Result<(), Failed> {
    let (mut wrong, mut respelled) = (Vec::new(), 0);
    for Found { site, probe, resource, .. } in bench.found().filter(|found| found.decisions.nobody == "public_path") {
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
    let (mut wrong, mut answers) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for Found { site, probe, decisions, resource } in bench.found().filter(|found| is_restricted(found.resource)) {
        let decision = decisions.guest;
        *answers.entry(decision).or_default() += 1;
        if !matches!(decision, "missing_role" | "bad_request_target") {
            wrong.push(format!("{probe} is {resource} to {site}, and the gate says {decision} to a guest"));
        }
        if decisions.by_protected == "public_path" {
            wrong.push(format!("{probe} is {resource} to {site}, and not protected to the gate"));
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

/// The results of the requests through Envoy.
#[derive(Default)]
struct Passage {
    wrong: Vec<String>,
    /// Requests without a key that reached something.
    open: usize,
    /// Requests of a guest that were denied.
    refused: usize,
    /// Requests of an admin that reached something restricted in a disguised path.
    reached: usize,
    /// Those of them with a header that the site uses.
    moved: usize,
}

impl Bench {
    fn through_envoy(&self, handling: Handling) -> Result<(), Failed> {
        let front = Front::start(&self.backends.sites, handling);
        let address = front.address();
        let passages: Result<Vec<Passage>, String> = thread::scope(|scope| {
            let pass = |site| scope.spawn(move || self.pass(site, handling, Dialogue::new(|| dial(address))));
            let passing: Vec<_> = self.backends.sites.iter().map(pass).collect();
            passing.into_iter().map(|passage| passage.join().expect("no panic")).collect()
        });
        let passages = passages.map_err(|error| format!("{error}\n{}", front.log()))?;
        let sum = |count: fn(&Passage) -> usize| passages.iter().map(count).sum::<usize>();
        let counts = [sum(|passage| passage.open), sum(|passage| passage.refused), sum(|passage| passage.reached)];
        let ([open, refused, reached], moved) = (counts, sum(|passage| passage.moved));
        eprintln!(
            "{handling:?}: {open} times something was reached without a key, {refused} times a guest was refused, {reached} \
             times an admin reached something restricted in disguise, {moved} of them with a header that moves the path"
        );
        let mut wrong: Vec<String> = passages.into_iter().flat_map(|passage| passage.wrong).collect();
        if counts.iter().any(|count| *count < FEWEST_PASSED) || moved < FEWEST_MOVED_THROUGH {
            wrong.push("hardly anything passes: this proves little".to_owned());
        }
        self.conclude(&wrong)
    }

    /// Sends the relevant requests to a site without a key, as a guest and as an admin. An error is a request without a
    /// reply.
    fn pass(
        &self,
        site: &Site,
        handling: Handling,
        mut dialogue: Dialogue<impl Fn() -> io::Result<Box<dyn Stream>>>,
    ) -> Result<Passage, String> {
        let mut passage = Passage::default();
        for (probe, direct) in self.of_interest(site) {
            let mut ask = |key| {
                let reply = dialogue.ask(&request(site, probe, key));
                reply.map_err(|error| format!("{probe} to {}: no reply, {error}", site.name))
            };
            let (nobody, guest, admin) = (ask(None)?, ask(Some(GUEST))?, ask(Some(ADMIN))?);
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
            // Envoy's own settings may change the path, or reject the request.
            let must_be_refused = handling == Handling::AsSent && direct.is_some_and(is_restricted);
            let (status, reason) = verdict(&guest);
            // `-`: answered by Envoy, before the gate.
            let is_refused =
                matches!((status, reason.as_str()), (403, "missing_role") | (400, "bad_request_target" | "-"));
            if resource(&guest).is_some_and(|resource| is_restricted(&resource)) || must_be_refused && !is_refused {
                fail("a guest", &guest);
            }
            passage.open += usize::from(resource(&nobody).is_some());
            passage.refused += usize::from(is_refused);
            let is_reached = resource(&admin).is_some_and(|resource| is_disguised(probe, &resource));
            passage.reached += usize::from(is_reached);
            passage.moved += usize::from(is_reached && heeds(site, probe));
        }
        Ok(passage)
    }
}
