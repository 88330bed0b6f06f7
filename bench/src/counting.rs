//! Counts that are the same in every run: the hostcalls of a request, Envoy's entries into the VM for it, and its
//! instructions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::http1::Client;
use portcullis_tests::net::connect;
use portcullis_tests::proxy_wasm::{Program, Vm};
use serde::Serialize;

use crate::contender::Contender;
use crate::contenders::gate::{self, Case};
use crate::contenders::wasm::{self, stream};
use crate::options::Module;
use crate::stage;

/// The counts of one case.
#[derive(Debug, Serialize)]
pub struct Count {
    /// The module and the case.
    pub name: String,
    /// The hostcalls of the module, in order.
    pub hostcalls: Vec<String>,
    /// Envoy's calls into the module for one request, in order, including allocations for returned data.
    pub callbacks: Vec<String>,
    /// The instructions of one request, as the interpreter counts them.
    pub instructions: u64,
}

/// A module with its configuration, as in the contender.
#[derive(Debug)]
pub struct Subject {
    /// The filter, with the name and the request.
    pub contender: Contender,
    /// The module.
    pub module: PathBuf,
    /// Its configuration.
    pub configuration: String,
}

/// The gate in each case, and the filter on the bare SDK.
pub fn subjects(modules: &[Module], sdk: Option<&Path>) -> Vec<Subject> {
    let cases = gate::cases();
    let of = |module: &Module, case: &Case| Subject {
        contender: gate::contender(module, case),
        module: module.file.clone(),
        configuration: case.policy.to_string(),
    };
    let bare = sdk.map(|file| Subject {
        contender: wasm::on_sdk(file),
        module: file.to_owned(),
        configuration: String::new(),
    });
    bare.into_iter().chain(modules.iter().flat_map(|module| cases.iter().map(move |case| of(module, case)))).collect()
}

/// Counts, in the interpreter and in an Envoy that logs each call.
///
/// # Errors
/// If a module does not load, or a listener does not answer.
pub fn count(subjects: &[Subject]) -> Result<Vec<Count>, String> {
    let all: Vec<Contender> = subjects.iter().map(|subject| subject.contender.clone()).collect();
    // No contender here calls the authorization server.
    let document = stage::document(&all, ([127, 0, 0, 1], 9).into());
    let envoy = Envoy::start_with(&document, Options { wasm_log: "trace", ..Options::default() });
    let mut programs = BTreeMap::new();
    let mut count = |subject: &Subject| {
        let Subject { contender, module, configuration } = subject;
        let program = programs.entry(module.clone()).or_insert_with(|| Program::read(module, true));
        let mut vm = Vm::start_on(program, configuration.as_bytes(), &wasm::environment(), None)?;
        // The first request finds an initial state that later ones do not.
        vm.serve(stream(contender), None);
        let before = vm.spent().unwrap_or_default();
        let exchange = vm.serve(stream(contender), None);
        let instructions = vm.spent().unwrap_or_default() - before;
        let callbacks = callbacks(&envoy, contender)?;
        Ok(Count { name: contender.name.clone(), hostcalls: exchange.calls, callbacks, instructions })
    };
    subjects.iter().map(&mut count).collect()
}

/// The lines between the replies to two requests on one connection belong to one request: some to the first, the rest
/// to the second.
fn callbacks(envoy: &Envoy, contender: &Contender) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", contender.name);
    let mut client = Client::new(connect(V4, envoy.address(&contender.name, V4)).map_err(failed)?);
    client.send(&contender.request()).map_err(failed)?;
    client.send(&contender.request()).map_err(failed)?;
    let before = envoy.log().len();
    client.send(&contender.request()).map_err(failed)?;
    let log = envoy.log();
    let entries = log[before..].lines().filter_map(|line| line.split_once("[host->vm] ")?.1.split('(').next());
    Ok(entries.map(str::to_owned).collect())
}
