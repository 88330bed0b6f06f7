//! The `portcullis` command. Exit status: 0 done, 1 refused (a denied check, a failing lint), 2 usage or input error.

mod check;
mod lint;
mod policy_file;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// The API-key gate for Envoy and Istio: checks and lints its policies.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 done, 1 refused (a denied check, a failing lint), 2 usage or input error.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decide about one request with a policy, as the gate would
    Check(check::Check),
    /// Find what the gate would refuse in a policy, and what is unwise
    Lint(lint::Lint),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Check(check) => check.run(),
        Command::Lint(lint) => lint.run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            anstream::eprintln!("portcullis: {error:#}");
            ExitCode::from(2)
        }
    }
}
