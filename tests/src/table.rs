//! A run of the table: every row of `tests/cases/*.yaml` through every available engine. Each row is one test for each
//! engine. The engines must agree: a row fails if two of them differ, even in something that the row does not expect.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial, run};

use crate::agreement::{Account, account, disagreements};
use crate::cases::{Cases, EngineName, Row, load_all};
use crate::core_engine::CoreEngine;
use crate::expect::{ANSWERS, DENIALS, ENVOY, GRANTS};
use crate::observation::{Discrepancy, Observation};
use crate::proxy_wasm::Vm;
use crate::report::{Failure, table};
use crate::wasm_engine::{Machine, WasmEngine};
use crate::wire_engine::WireEngine;

/// Fewer rows would mean that files are missing.
const FEWEST_ROWS: usize = 120;

/// An engine that was started for a file: it returns an observation for a row.
type Asked = Box<dyn FnMut(&Cases, &Row) -> Result<Vec<Observation>, String> + Send>;

/// An engine that is started at its first row.
type Started = OnceLock<Result<Mutex<Asked>, String>>;

/// An engine, and the rows that it runs.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// The kind of its tests, and its name in the summary.
    name: &'static str,
    /// It runs the rows of this engine.
    rows: EngineName,
    start: fn(&Cases) -> Result<Asked, String>,
}

impl Seat {
    /// The policy core.
    pub fn core() -> Self {
        let start = |cases: &Cases| {
            let core = CoreEngine::load(cases)?;
            Ok(Box::new(move |cases: &Cases, row: &Row| Ok(core.run(cases, row))) as Asked)
        };
        Self { name: EngineName::Core.name(), rows: EngineName::Core, start }
    }

    /// The built module in our own host.
    pub fn wasm() -> Self {
        Self::machine::<Vm>()
    }

    /// The built module in any host.
    pub fn machine<M: Machine + 'static>() -> Self {
        let start = |cases: &Cases| {
            let mut engine = WasmEngine::<M>::start(cases)?;
            Ok(Box::new(move |cases: &Cases, row: &Row| engine.run(cases, row)) as Asked)
        };
        Self { name: M::NAME, rows: EngineName::Wasm, start }
    }

    /// A real Envoy with the built module.
    pub fn envoy() -> Self {
        let start = |cases: &Cases| {
            let mut wire = WireEngine::start(cases).map_err(|log| {
                eprintln!("{log}");
                format!("Envoy does not start for {}", cases.name)
            })?;
            Ok(Box::new(move |cases: &Cases, row: &Row| Ok(wire.run(cases, row))) as Asked)
        };
        Self { name: EngineName::Envoy.name(), rows: EngineName::Envoy, start }
    }
}

/// A file and its engines, started when the first row needs them and ended when the last one is done.
struct Bench {
    cases: Cases,
    engines: Vec<(Seat, Started)>,
    /// For each row, the first engine that ran it and its account.
    accounts: Mutex<BTreeMap<String, (String, Account)>>,
    tally: Arc<Mutex<Tally>>,
}

/// The results of a run.
#[derive(Default)]
struct Tally {
    rows: BTreeSet<String>,
    observations: BTreeMap<usize, (&'static str, usize)>,
    disagreements: usize,
    failures: Vec<Failure>,
}

/// Runs the rows through these engines, the fastest first; returns the exit code of a test binary.
pub fn run_through(seats: &[Seat]) -> ExitCode {
    let arguments = Arguments::from_args();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let trials = match load_all() {
        Ok(files) => trials(files, seats, &tally),
        Err(error) => vec![Trial::test("the files load", || Err(Failed::from(error)))],
    };
    let conclusion = run(&arguments, trials);
    let tally = locked(&tally);
    if !tally.failures.is_empty() {
        eprintln!("{}", table(&tally.failures));
    }
    if !arguments.list {
        eprintln!("{}", tally.summary());
    }
    conclusion.exit_code()
}

impl Tally {
    fn summary(&self) -> String {
        let engines = self.observations.values().map(|(engine, count)| format!("{engine} {count}"));
        let engines = engines.collect::<Vec<_>>().join(", ");
        format!("{} rows, observations: {engines}; {} disagreements", self.rows.len(), self.disagreements)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn trials(files: Vec<Cases>, seats: &[Seat], tally: &Arc<Mutex<Tally>>) -> Vec<Trial> {
    let rows: usize = files.iter().map(|cases| cases.rows.len()).sum();
    let shown: BTreeSet<String> =
        files.iter().flat_map(|cases| &cases.rows).map(|row| row.expect.reason.clone()).collect();
    let mut trials = vec![
        Trial::test("the table has its rows", move || enough(rows)),
        Trial::test("every grant and denial occurs in a row", move || complete(&shown)),
    ];
    for cases in files {
        let rows = cases.rows.clone();
        let engines = seats.iter().map(|seat| (*seat, OnceLock::new())).collect();
        let bench = Arc::new(Bench { cases, engines, accounts: Mutex::default(), tally: Arc::clone(tally) });
        for row in rows {
            for (place, seat) in seats.iter().enumerate().filter(|(_, seat)| row.runs_on(seat.rows)) {
                let (bench, row) = (Arc::clone(&bench), row.clone());
                let name = row.title();
                trials.push(Trial::test(name, move || bench.judge(&row, place)).with_kind(seat.name));
            }
        }
    }
    trials
}

fn enough(rows: usize) -> Result<(), Failed> {
    if rows < FEWEST_ROWS { Err(format!("{rows} rows, {FEWEST_ROWS} are wanted").into()) } else { Ok(()) }
}

fn complete(shown: &BTreeSet<String>) -> Result<(), Failed> {
    let grant = |name| (name, ANSWERS.contains(&name).then_some(200));
    let pinned = GRANTS.map(grant).into_iter().chain(DENIALS.map(|(name, status)| (name, Some(status))));
    if !pinned.eq(portcullis::Reason::ALL.iter().map(|reason| (reason.name(), reason.status()))) {
        return Err("the names of grants and denials are stable: the filter has other ones than this suite".into());
    }
    let names = GRANTS.into_iter().chain(DENIALS.map(|(name, _)| name));
    let missing: Vec<&str> = names.filter(|name| !shown.contains(*name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no row shows {}", missing.join(", ")).into()) }
}

impl Bench {
    fn judge(&self, row: &Row, place: usize) -> Result<(), Failed> {
        let (seat, engine) = &self.engines[place];
        let engine = engine.get_or_init(|| (seat.start)(&self.cases).map(Mutex::new));
        let observations = locked(engine.as_ref().map_err(Clone::clone)?)(&self.cases, row)?;
        // Envoy's own answer depends on the protocol, and no other engine gives one.
        let differing = if row.expect.reason == ENVOY { Vec::new() } else { self.compare(row, &observations) };
        let mut found = self.unexpected(row, seat.name, &observations);
        let mut tally = locked(&self.tally);
        tally.rows.insert(row.id.clone());
        tally.observations.entry(place).or_insert((seat.name, 0)).1 += observations.len();
        tally.disagreements += differing.len();
        found.extend(differing);
        if found.is_empty() {
            return Ok(());
        }
        let text = table(&found);
        tally.failures.extend(found);
        Err(text.into())
    }

    /// The differences between an observation and the row's expectations.
    fn unexpected(&self, row: &Row, engine: &str, observations: &[Observation]) -> Vec<Failure> {
        let report_mode = self.cases.policies[&row.policy]["mode"] == "report";
        let mut found = Vec::<Failure>::new();
        for observation in observations {
            for discrepancy in row.expect.discrepancies(row, report_mode, observation) {
                let engine = observation.engine.clone();
                match found.iter_mut().find(|failure| failure.discrepancy == discrepancy) {
                    Some(failure) => failure.engines.push(engine),
                    None => found.push(failure(row, vec![engine], discrepancy)),
                }
            }
        }
        for failure in found.iter_mut().filter(|failure| failure.engines.len() == observations.len()) {
            failure.engines = vec![engine.to_owned()];
        }
        found
    }

    /// The differences between an observation and the first one of the row, from any engine.
    fn compare(&self, row: &Row, observations: &[Observation]) -> Vec<Failure> {
        let mut accounts = locked(&self.accounts);
        let mut found = Vec::new();
        for observation in observations {
            let account = account(observation, row.listener.unwrap_or(self.cases.listener));
            let new = || (observation.engine.clone(), account.clone());
            let (engine, first) = accounts.entry(row.id.clone()).or_insert_with(new);
            let engines = || vec![format!("{engine} against {}", observation.engine)];
            found.extend(disagreements(first, &account).into_iter().map(|one| failure(row, engines(), one)));
        }
        found
    }
}

fn failure(row: &Row, engines: Vec<String>, discrepancy: Discrepancy) -> Failure {
    Failure { id: row.id.clone(), row: row.name.clone(), engines, discrepancy }
}
