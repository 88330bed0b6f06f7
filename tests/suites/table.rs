//! Every row of `tests/cases/*.yaml`, through every engine: the policy core, the built module in a host of ours, a real
//! Envoy. Each row is one test an engine, and the engines must agree: a row fails where two of them differ, even if it says
//! nothing about the difference.
//!
//! ```text
//! cargo test -p portcullis-tests --test table                 # all of it
//! cargo test -p portcullis-tests --test table -- keys::       # the rows of keys.yaml
//! cargo test -p portcullis-tests --test table -- "[core]"     # one engine: [core] (in a second), [wasm] or [envoy]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial, run};
use portcullis_tests::agreement::{Account, account, disagreements};
use portcullis_tests::cases::{Cases, EngineName, Row, load_all};
use portcullis_tests::core_engine::CoreEngine;
use portcullis_tests::expect::{DENIALS, ENVOY, GRANTS};
use portcullis_tests::observation::{Discrepancy, Observation};
use portcullis_tests::report::{Failure, table};
use portcullis_tests::wasm_engine::WasmEngine;
use portcullis_tests::wire_engine::WireEngine;

/// Fewer rows would mean that files were lost.
const FEWEST_ROWS: usize = 120;

/// A file and its engines, started when the first row needs them and ended when the last one is done.
struct Bench {
    cases: Cases,
    core: OnceLock<Result<CoreEngine, String>>,
    wasm: OnceLock<Result<Mutex<WasmEngine>, String>>,
    wire: OnceLock<Result<Mutex<WireEngine>, String>>,
    /// Of each row, the first engine that ran it and its account.
    accounts: Mutex<BTreeMap<String, (String, Account)>>,
    tally: Arc<Mutex<Tally>>,
}

/// What came of all that was run.
#[derive(Default)]
struct Tally {
    rows: BTreeSet<(String, String)>,
    observations: BTreeMap<EngineName, usize>,
    disagreements: usize,
    failures: Vec<Failure>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let trials = match load_all() {
        Ok(files) => trials(files, &tally),
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
        let engines = self.observations.iter().map(|(engine, count)| format!("{} {count}", engine.name()));
        let engines = engines.collect::<Vec<_>>().join(", ");
        format!("{} rows, observations: {engines}; {} disagreements", self.rows.len(), self.disagreements)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn trials(files: Vec<Cases>, tally: &Arc<Mutex<Tally>>) -> Vec<Trial> {
    let rows: usize = files.iter().map(|cases| cases.rows.len()).sum();
    let shown: BTreeSet<String> =
        files.iter().flat_map(|cases| &cases.rows).map(|row| row.expect.reason.clone()).collect();
    let mut trials = vec![
        Trial::test("the table has its rows", move || enough(rows)),
        Trial::test("every grant and denial occurs in a row", move || complete(&shown)),
    ];
    for cases in files {
        let rows = cases.rows.clone();
        let (core, wasm, wire) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let bench = Bench { cases, core, wasm, wire, accounts: Mutex::default(), tally: Arc::clone(tally) };
        let bench = Arc::new(bench);
        for row in rows {
            for engine in EngineName::ALL.into_iter().filter(|engine| row.runs_on(*engine)) {
                let (bench, row) = (Arc::clone(&bench), row.clone());
                let name = format!("{}::{}", bench.cases.name, row.name);
                trials.push(Trial::test(name, move || bench.judge(&row, engine)).with_kind(engine.name()));
            }
        }
    }
    trials
}

fn enough(rows: usize) -> Result<(), Failed> {
    if rows < FEWEST_ROWS { Err(format!("{rows} rows, {FEWEST_ROWS} are wanted").into()) } else { Ok(()) }
}

fn complete(shown: &BTreeSet<String>) -> Result<(), Failed> {
    if GRANTS != portcullis::GRANTS || DENIALS.map(|(name, _)| name) != portcullis::DENIALS {
        return Err("the names of grants and denials are stable: the filter has other ones than this suite".into());
    }
    let names = GRANTS.into_iter().chain(DENIALS.map(|(name, _)| name));
    let missing: Vec<&str> = names.filter(|name| !shown.contains(*name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no row shows {}", missing.join(", ")).into()) }
}

impl Bench {
    fn judge(&self, row: &Row, engine: EngineName) -> Result<(), Failed> {
        let observations = match engine {
            EngineName::Core => self.ask_core(row)?,
            EngineName::Wasm => self.ask_wasm(row)?,
            EngineName::Envoy => self.ask_envoy(row)?,
        };
        // Envoy's own answer depends on the protocol, and nobody else gives one.
        let differing = if row.expect.reason == ENVOY { Vec::new() } else { self.compare(row, &observations) };
        let mut found = self.unexpected(row, engine, &observations);
        let mut tally = locked(&self.tally);
        tally.rows.insert((self.cases.name.clone(), row.name.clone()));
        *tally.observations.entry(engine).or_default() += observations.len();
        tally.disagreements += differing.len();
        found.extend(differing);
        if found.is_empty() {
            return Ok(());
        }
        let text = table(&found);
        tally.failures.extend(found);
        Err(text.into())
    }

    /// Where an observation is not what the row expects.
    fn unexpected(&self, row: &Row, engine: EngineName, observations: &[Observation]) -> Vec<Failure> {
        let report_mode = self.cases.policies[&row.policy]["mode"] == "report";
        let mut found = Vec::<Failure>::new();
        for observation in observations {
            for discrepancy in row.expect.discrepancies(row, report_mode, observation) {
                let engine = observation.engine.clone();
                match found.iter_mut().find(|failure| failure.discrepancy == discrepancy) {
                    Some(failure) => failure.engines.push(engine),
                    None => found.push(self.failure(row, vec![engine], discrepancy)),
                }
            }
        }
        for failure in found.iter_mut().filter(|failure| failure.engines.len() == observations.len()) {
            failure.engines = vec![engine.name().to_owned()];
        }
        found
    }

    /// Where an observation differs from the first one of the row, whichever engine made that.
    fn compare(&self, row: &Row, observations: &[Observation]) -> Vec<Failure> {
        let mut accounts = locked(&self.accounts);
        let mut found = Vec::new();
        for observation in observations {
            let account = account(observation, row.listener.unwrap_or(self.cases.listener));
            let new = || (observation.engine.clone(), account.clone());
            let (engine, first) = accounts.entry(row.name.clone()).or_insert_with(new);
            let engines = || vec![format!("{engine} against {}", observation.engine)];
            found.extend(disagreements(first, &account).into_iter().map(|one| self.failure(row, engines(), one)));
        }
        found
    }

    fn failure(&self, row: &Row, engines: Vec<String>, discrepancy: Discrepancy) -> Failure {
        Failure { file: self.cases.name.clone(), row: row.name.clone(), engines, discrepancy }
    }

    fn ask_core(&self, row: &Row) -> Result<Vec<Observation>, String> {
        let core = self.core.get_or_init(|| CoreEngine::load(&self.cases));
        Ok(core.as_ref().map_err(Clone::clone)?.run(&self.cases, row))
    }

    fn ask_wasm(&self, row: &Row) -> Result<Vec<Observation>, String> {
        let wasm = self.wasm.get_or_init(|| WasmEngine::start(&self.cases).map(Mutex::new));
        locked(wasm.as_ref().map_err(Clone::clone)?).run(&self.cases, row)
    }

    fn ask_envoy(&self, row: &Row) -> Result<Vec<Observation>, String> {
        let start = || WireEngine::start(&self.cases).map(Mutex::new).inspect_err(|log| eprintln!("{log}"));
        let wire = self.wire.get_or_init(start);
        let mut wire = locked(wire.as_ref().map_err(|_| format!("Envoy does not start for {}", self.cases.name))?);
        Ok(wire.run(&self.cases, row))
    }
}
