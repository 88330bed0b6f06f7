//! Every row of `tests/cases/*.yaml`, through the policy core and through a real Envoy. Each row is one test an engine.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial, run};
use portcullis_tests::cases::{Cases, EngineName, Row, load_all};
use portcullis_tests::core_engine::CoreEngine;
use portcullis_tests::expect::{DENIALS, GRANTS};
use portcullis_tests::observation::Observation;
use portcullis_tests::report::{Failure, table};
use portcullis_tests::wire_engine::WireEngine;

/// Fewer rows would mean that files were lost.
const FEWEST_ROWS: usize = 120;

/// A file and its engines, started when the first row needs them and ended when the last one is done.
struct Bench {
    cases: Cases,
    core: OnceLock<Result<CoreEngine, String>>,
    wire: OnceLock<Result<Mutex<WireEngine>, String>>,
    failures: Arc<Mutex<Vec<Failure>>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let failures = Arc::new(Mutex::new(Vec::new()));
    let trials = match load_all() {
        Ok(files) => trials(files, &failures),
        Err(error) => vec![Trial::test("the files load", || Err(Failed::from(error)))],
    };
    let conclusion = run(&arguments, trials);
    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    if !failures.is_empty() {
        eprintln!("{}", table(&failures));
    }
    conclusion.exit_code()
}

fn trials(files: Vec<Cases>, failures: &Arc<Mutex<Vec<Failure>>>) -> Vec<Trial> {
    let rows: usize = files.iter().map(|cases| cases.rows.len()).sum();
    let shown: BTreeSet<String> =
        files.iter().flat_map(|cases| &cases.rows).map(|row| row.expect.reason.clone()).collect();
    let mut trials = vec![
        Trial::test("the table has its rows", move || enough(rows)),
        Trial::test("every grant and denial occurs in a row", move || complete(&shown)),
    ];
    for cases in files {
        let rows = cases.rows.clone();
        let (core, wire) = (OnceLock::new(), OnceLock::new());
        let bench = Arc::new(Bench { cases, core, wire, failures: Arc::clone(failures) });
        for row in rows {
            let engines = [(EngineName::Core, row.runs_in_core()), (EngineName::Envoy, row.runs_on_wire())];
            for (engine, _) in engines.into_iter().filter(|(_, runs)| *runs) {
                let (bench, row) = (Arc::clone(&bench), row.clone());
                let name = format!("{}::{}", bench.cases.name, row.name);
                let kind = if engine == EngineName::Core { "core" } else { "envoy" };
                trials.push(Trial::test(name, move || bench.judge(&row, engine)).with_kind(kind));
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
            EngineName::Envoy => self.ask_envoy(row)?,
        };
        let report_mode = self.cases.policies[&row.policy]["mode"] == "report";
        let (mut found, all) = (Vec::<Failure>::new(), observations.len());
        for observation in observations {
            for discrepancy in row.expect.discrepancies(row, report_mode, &observation) {
                let engine = observation.engine.clone();
                match found.iter_mut().find(|failure| failure.discrepancy == discrepancy) {
                    Some(failure) => failure.engines.push(engine),
                    None => found.push(Failure {
                        file: self.cases.name.clone(),
                        row: row.name.clone(),
                        engines: vec![engine],
                        discrepancy,
                    }),
                }
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        for failure in found.iter_mut().filter(|failure| failure.engines.len() == all) {
            let name = if engine == EngineName::Core { "core" } else { "envoy" };
            failure.engines = vec![name.to_owned()];
        }
        let text = table(&found);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        Err(text.into())
    }

    fn ask_core(&self, row: &Row) -> Result<Vec<Observation>, String> {
        let core = self.core.get_or_init(|| CoreEngine::load(&self.cases));
        Ok(core.as_ref().map_err(Clone::clone)?.run(&self.cases, row))
    }

    fn ask_envoy(&self, row: &Row) -> Result<Vec<Observation>, String> {
        let start = || WireEngine::start(&self.cases).map(Mutex::new).inspect_err(|log| eprintln!("{log}"));
        let wire = self.wire.get_or_init(start);
        let wire = wire.as_ref().map_err(|_| format!("Envoy does not start for {}", self.cases.name))?;
        let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
        let observations = wire.run(&self.cases, row);
        match wire.leaked() {
            Some(secret) => Err(format!("Envoy's log holds the key {secret}")),
            None => Ok(observations),
        }
    }
}
