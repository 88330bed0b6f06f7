//! Instructions of hostile requests, as an interpreter counts them: the same on every run, and there in seconds. What Envoy
//! does for a hostcall is not in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portcullis_tests::proxy_wasm::{Program, Stream, Verdict, Vm};

use super::policies::Under;
use super::{Cell, LENGTHS, Request, cells, usual};
use crate::contenders::scale::grouped;
use crate::options::Module;

/// What was counted of one cell.
#[derive(Debug)]
pub struct Counted {
    /// The cell.
    pub cell: Cell,
    /// Instructions of the one request.
    pub instructions: u64,
    /// How often the module asked Envoy for something.
    pub hostcalls: usize,
    /// What became of the request: a status, or that it went on.
    pub outcome: String,
}

/// The counts of every cell, and the instructions of the usual request.
///
/// # Errors
/// A policy that is refused, a trap.
pub fn count(module: &Module, only: &[String]) -> Result<(u64, Vec<Counted>), String> {
    let program = Program::read(&module.file, true);
    let mut vms: BTreeMap<Under, Vm> = BTreeMap::new();
    let reference = serve(&mut start(&program, Under::Usual)?, &usual())?.0;
    let mut count = |cell: Cell| {
        if !vms.contains_key(&cell.under) {
            vms.insert(cell.under, start(&program, cell.under)?);
        }
        let vm = vms.get_mut(&cell.under).ok_or("no VM")?;
        let failed = |error: String| format!("{}: {error}", cell.name());
        let (instructions, hostcalls, outcome) = serve(vm, &cell.request).map_err(failed)?;
        Ok::<_, String>(Counted { cell, instructions, hostcalls, outcome })
    };
    Ok((reference, cells(only).into_iter().map(&mut count).collect::<Result<_, _>>()?))
}

/// A VM that has served before: its first request finds things that later ones have.
fn start(program: &Program, under: Under) -> Result<Vm, String> {
    let policy = under.policy().to_string();
    let failed = |error: String| format!("{}: {error}", under.name());
    let mut vm = Vm::start_on(program, policy.as_bytes(), &BTreeMap::new(), None).map_err(failed)?;
    serve(&mut vm, &usual())?;
    Ok(vm)
}

fn serve(vm: &mut Vm, request: &Request) -> Result<(u64, usize, String), String> {
    let properties = BTreeMap::from([("source.address".to_owned(), b"127.0.0.1:40000".to_vec())]);
    let stream = Stream { headers: request.pairs(), properties, now: 1_800_000_000, ..Stream::default() };
    let before = vm.spent().unwrap_or_default();
    let exchange = vm.serve(stream, None);
    let spent = vm.spent().unwrap_or_default() - before;
    let outcome = match (exchange.verdict, exchange.reply) {
        (Verdict::Continue, _) => "passes".to_owned(),
        (Verdict::Reply, Some(reply)) => reply.status.to_string(),
        (verdict, _) => return Err(format!("{verdict:?}")),
    };
    Ok((spent, exchange.calls.len(), outcome))
}

/// A table of the shapes, the most expensive first: in each length, the most instructions under any policy, in those of the usual
/// request. Then the cells of most instructions.
pub fn lines(reference: u64, counted: &[Counted], most: usize) -> String {
    let number = |instructions: u64| grouped(usize::try_from(instructions).unwrap_or(usize::MAX));
    let times = |instructions: u64| instructions as f64 / reference as f64;
    let mut text = format!("the usual request with a key: {} instructions\n\n", number(reference));
    let mut shapes: BTreeMap<&str, BTreeMap<Option<usize>, u64>> = BTreeMap::new();
    for one in counted {
        let worst = shapes.entry(one.cell.shape).or_default().entry(one.cell.length).or_default();
        *worst = one.instructions.max(*worst);
    }
    let mut shapes: Vec<_> = shapes.into_iter().collect();
    shapes.sort_by_key(|(_, lengths)| std::cmp::Reverse(lengths.values().max().copied()));
    let _ = writeln!(text, "x usual, the worst policy; by length {LENGTHS:?}, or the only one");
    for (shape, lengths) in shapes {
        let lengths = lengths.values().map(|worst| format!("{:>11.1}", times(*worst)));
        let _ = writeln!(text, "{}  {shape}", lengths.collect::<String>());
    }
    let mut sorted: Vec<&Counted> = counted.iter().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse(one.instructions));
    let _ = writeln!(text, "\n{:>14} {:>9} {:>9} {:>7}  cell", "instructions", "x usual", "hostcalls", "outcome");
    for one in sorted.iter().take(most) {
        let _ = writeln!(
            text,
            "{:>14} {:>9.1} {:>9} {:>7}  {}",
            number(one.instructions),
            times(one.instructions),
            one.hostcalls,
            one.outcome,
            one.cell.name()
        );
    }
    text
}
