//! `portcullis-bench`: measures, and writes down what it has measured.
#![allow(clippy::print_stdout, reason = "a command")]

use std::process::ExitCode;

use clap::Parser as _;
use portcullis_bench::contender::Contender;
use portcullis_bench::contenders::wasm::Workshop;
use portcullis_bench::options::Options;
use portcullis_bench::race::{Plan, race};
use portcullis_bench::stage::Stage;
use portcullis_bench::{authorization, contenders, cpu, table};

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
    if options.modules.is_empty() {
        options.modules.push("gate=target/portcullis.wasm".parse()?);
    }
    let shop = Workshop::open().map_err(|error| error.to_string())?;
    let authorization = authorization::start().map_err(|error| error.to_string())?;
    let sdk = options.sdk.canonicalize().ok();
    let all = chosen(contenders::all(&options.modules, sdk.as_deref(), &shop)?, &options.only);
    let plan = if options.quick {
        Plan { rounds: 60, requests: 500, warm_up: 10_000, connections: 8, alone: 40 }
    } else {
        Plan { rounds: 200, requests: 500, warm_up: 20_000, connections: 8, alone: 60 }
    };
    let plan = Plan { rounds: options.rounds.unwrap_or(plan.rounds), ..plan };
    eprintln!("{} contenders, {} rounds of {} requests", all.len(), plan.rounds, plan.requests);
    let stage = Stage::start(&all, authorization);
    cpu::keep_here_on(1);
    let runs = race(&stage, &all, plan, |done| eprint!("\rround {done} of {}", plan.rounds))?;
    eprintln!();
    println!("{:<40} {:>7} {:>22} {:>22} {:>22} {:>8} {:>7}", "contender", "total", "added us (95 %)", "of lua", "of floor", "req/s", "p50 us");
    for row in table::rows(&all, &runs) {
        let ratio = |ratio: Option<portcullis_bench::statistics::Estimate>| {
            ratio.map_or_else(String::new, |ratio| format!("{:.2} [{:.2}, {:.2}]", ratio.value, ratio.low, ratio.high))
        };
        let added = format!("{:.2} [{:.2}, {:.2}]", row.added.value, row.added.low, row.added.high);
        println!(
            "{:<40} {:>7.2} {added:>22} {:>22} {:>22} {:>8.0} {:>7.1}",
            row.name, row.total.value, ratio(row.to_lua), ratio(row.to_floor), row.throughput.value, row.alone[0]
        );
    }
    Ok(())
}

/// Those asked for, the baseline, and what they are compared with.
fn chosen(all: Vec<Contender>, only: &[String]) -> Vec<Contender> {
    let asked = |name: &str| only.is_empty() || only.iter().any(|text| name.contains(text.as_str()));
    let compared: Vec<String> = all
        .iter()
        .filter(|one| asked(&one.name))
        .flat_map(|one| one.lua.map(str::to_owned).into_iter().chain(one.floor.clone()))
        .collect();
    let stays = |one: &Contender| one.name == contenders::NOTHING || asked(&one.name) || compared.contains(&one.name);
    all.into_iter().filter(stays).collect()
}
