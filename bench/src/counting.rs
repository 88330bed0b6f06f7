//! What can be counted, and is the same on every run: the hostcalls of a request, the times that Envoy enters the VM for it, and
//! the instructions that it takes.

use std::collections::BTreeMap;

use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::http1::Client;
use portcullis_tests::net::connect;
use portcullis_tests::proxy_wasm::{Program, Vm};
use serde::Serialize;

use crate::contender::Contender;
use crate::contenders::gate::Case;
use crate::contenders::wasm::stream;
use crate::options::Module;

/// The counts of one case.
#[derive(Debug, Serialize)]
pub struct Count {
    /// The module and the case.
    pub name: String,
    /// What the module asks Envoy for, in order.
    pub hostcalls: Vec<String>,
    /// What Envoy calls in the module for one request, in order; its allocations for what it hands over among them.
    pub callbacks: Vec<String>,
    /// The instructions of one request, as the interpreter counts them.
    pub instructions: u64,
}

/// Counts the cases of a module. `envoy` has a listener for each, and logs each call (`wasm:trace`).
///
/// # Errors
/// A module that does not load, a listener that does not answer.
pub fn count(module: &Module, cases: &[Case], envoy: &Envoy) -> Result<Vec<Count>, String> {
    let program = Program::read(&module.file, true);
    let count = |case: &Case| {
        let name = format!("{}: {}", module.name, case.contender.name);
        let mut vm = Vm::start_on(&program, case.policy.to_string().as_bytes(), &BTreeMap::new(), None)?;
        // The first request finds things that later ones have.
        vm.serve(stream(&case.contender), None);
        let before = vm.spent().unwrap_or_default();
        let exchange = vm.serve(stream(&case.contender), None);
        let instructions = vm.spent().unwrap_or_default() - before;
        let callbacks = callbacks(envoy, &name, &case.contender)?;
        Ok(Count { name, hostcalls: exchange.calls, callbacks, instructions })
    };
    cases.iter().map(count).collect()
}

/// The lines between the replies to two requests on one connection are one request's: some of the first, the rest of the second.
fn callbacks(envoy: &Envoy, listener: &str, contender: &Contender) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{listener}: {error}");
    let mut client = Client::new(connect(V4, envoy.address(listener, V4)).map_err(failed)?);
    client.send(&contender.request()).map_err(failed)?;
    client.send(&contender.request()).map_err(failed)?;
    let before = envoy.log().len();
    client.send(&contender.request()).map_err(failed)?;
    let log = envoy.log();
    let entries = log[before..].lines().filter_map(|line| line.split_once("[host->vm] ")?.1.split('(').next());
    Ok(entries.map(str::to_owned).collect())
}
