//! `portcullis-bench`: measures, and writes the results.
#![allow(clippy::print_stdout, reason = "a command")]

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use portcullis_bench::contender::Contender;
use portcullis_bench::contenders::wasm::Workshop;
use portcullis_bench::contenders::{self, scale};
use portcullis_bench::counting::{count, subjects};
use portcullis_bench::machine::Machine;
use portcullis_bench::options::Options;
use portcullis_bench::race::{Plan, race};
use portcullis_bench::reload::reload;
use portcullis_bench::report::Report;
use portcullis_bench::stage::Stage;
use portcullis_bench::table::{Row, rows};
use portcullis_bench::{authorization, cpu, hostile};

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> Result<(), String> {
    if options.native {
        let (reference, timed) = hostile::native::time(hostile::cells(&options.shapes))?;
        println!("{}", hostile::native::lines(reference, &timed, options.most));
        return Ok(());
    }
    if let Some(seconds) = options.search {
        println!("{}", hostile::search::search(Duration::from_secs(seconds), options.seed)?);
        return Ok(());
    }
    if options.modules.is_empty() {
        options.modules.push("target/portcullis.wasm".parse()?);
    }
    let machine = Machine::here();
    if options.hostile || options.stall {
        return hostile(&options, machine);
    }
    compare(&options, machine.clone())?;
    if !options.quick && options.only.is_empty() { hostile(&options, machine) } else { Ok(()) }
}

/// Compares the gate with its alternatives.
fn compare(options: &Options, machine: Machine) -> Result<(), String> {
    let shop = Workshop::open().map_err(|error| error.to_string())?;
    let authorization = authorization::start().map_err(|error| error.to_string())?;
    let sdk = options.sdk.canonicalize().ok();
    let plan = if options.quick { Plan::QUICK } else { Plan::FULL };
    let plan = Plan {
        rounds: options.rounds.unwrap_or(plan.rounds),
        requests: options.requests.unwrap_or(plan.requests),
        warm_up: options.warm_up.unwrap_or(plan.warm_up),
        connections: options.connections.unwrap_or(plan.connections),
        ..plan
    };
    let chosen = |all| chosen(all, &options.only);
    let comparison =
        measure("contenders", chosen(contenders::all(&options.modules, sdk.as_deref(), &shop)?), plan, authorization)?;
    let (mut at_scale, mut counts, mut reloads) = (Vec::new(), Vec::new(), Vec::new());
    let sizes = if options.million { scale::MILLION } else { scale::FULL };
    if !options.quick {
        let all = chosen(scale::all(&options.modules, &shop, &sizes)?);
        at_scale = measure("scale", all, plan, authorization)?;
    }
    if options.only.is_empty() {
        eprintln!("counting");
        counts = count(&subjects(&options.modules, sdk.as_deref()))?;
    }
    if !options.quick && options.only.is_empty() {
        for module in &options.modules {
            for &keys in sizes.keys {
                eprintln!("loading {} keys: {}", scale::grouped(keys), module.name);
                reloads.push(reload(module, keys, &shop)?);
            }
        }
    }
    let modules = Report::sizes(&options.modules);
    let report = Report { machine, plan, modules, comparison, scale: at_scale, counts, reloads };
    println!("{}", report.markdown());
    match &options.write {
        Some(directory) => report.write(directory).map_err(|error| format!("{}: {error}", directory.display())),
        None => Ok(()),
    }
}

/// Measures hostile requests. An exceeded bound is an error; the tables are printed and written anyway.
fn hostile(options: &Options, machine: Machine) -> Result<(), String> {
    let progress = |what: &str| eprintln!("hostile requests: {what}");
    let table = if options.stall {
        None
    } else {
        let cells = hostile::cells(&options.shapes);
        let plan = hostile::race::Plan::FULL;
        let plan = hostile::race::Plan {
            rounds: options.rounds.unwrap_or(plan.rounds),
            requests: options.requests.unwrap_or(plan.requests),
            warm_up: options.warm_up.unwrap_or(plan.warm_up),
            connections: options.connections.unwrap_or(plan.connections),
            ..plan
        };
        Some(hostile::race::race(&options.modules, &cells, plan, progress)?)
    };
    let mut stalls = Vec::new();
    for module in &options.modules {
        stalls.extend(hostile::stall::stall(module, &options.shapes, hostile::stall::Plan::FULL, progress)?);
    }
    let report = hostile::report::Report { machine, table, stalls };
    println!("{}", report.markdown());
    if let Some(directory) = &options.write {
        report.write(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    report.over().map_or(Ok(()), Err)
}

fn measure(what: &str, all: Vec<Contender>, plan: Plan, authorization: SocketAddr) -> Result<Vec<Row>, String> {
    if all.len() < 2 {
        return Ok(Vec::new());
    }
    eprintln!("{what}: {} of them, {} rounds of {} requests", all.len(), plan.rounds, plan.requests);
    let stage = Stage::start(&all, authorization);
    cpu::keep_here_on(1);
    let is_watched = std::io::stderr().is_terminal();
    let runs = race(&stage, &all, plan, |done| {
        if is_watched {
            eprint!("\r{what}: round {done} of {}{}", plan.rounds, if done == plan.rounds { "\n" } else { "" });
        }
    })?;
    Ok(rows(&all, &runs))
}

/// The selected contenders, and those that they are compared with.
fn chosen(all: Vec<Contender>, only: &[String]) -> Vec<Contender> {
    let asked = |name: &str| only.is_empty() || only.iter().any(|text| name.contains(text.as_str()));
    let of = |one: &Contender| [Some(one.baseline.to_owned()), one.lua.map(str::to_owned), one.floor.clone()];
    let mut wanted: Vec<String> = all.iter().filter(|one| asked(&one.name)).map(|one| one.name.clone()).collect();
    for _ in 0..2 {
        let compared: Vec<String> =
            all.iter().filter(|one| wanted.contains(&one.name)).flat_map(of).flatten().collect();
        wanted.extend(compared);
    }
    all.into_iter().filter(|one| wanted.contains(&one.name)).collect()
}
