//! The `portcullis` command. Exit status: 0 done, 1 refused (a denied check, a failing lint), 2 usage or input error.

mod admin;
mod check;
mod completions;
mod consumers;
mod delivery;
mod diff;
mod files;
#[cfg(test)]
mod help;
mod import;
mod init;
mod keys;
mod lint;
mod log;
mod man;
mod mask;
mod mode;
mod module;
mod output;
mod render;
mod run;
mod schema;
mod served;
mod status;
mod store;
mod store_file;
mod teams;
mod watch;

use std::borrow::Cow;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use portcullis_explain::{similar, when, yaml};

const EXAMPLES: &str = "Examples:
  portcullis run --upstream 127.0.0.1:5000 --bearer-token \"$TOKEN\"
  portcullis init
  portcullis keys generate --consumer ci --expires 90d
  portcullis lint
  portcullis render envoy --upstream 127.0.0.1:5000 > envoy.yaml

Exit status: 0 done, 1 refused (a denied check, a failing lint), 2 usage or input error.";

/// The API-key gate for Envoy and Istio: keys, policies, and a gate to run.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a starter policy and an empty key store
    Init(init::Init),
    /// Create, list, change and remove keys
    Keys(keys::Keys),
    /// List, change and remove the consumers of the key store
    Consumers(consumers::Consumers),
    /// Override the mode of the policy: enforce, report or disabled
    Mode(mode::ModeCommand),
    /// Import keys and settings from another system
    Import(import::Import),
    /// Write the policy and its keys as configuration for Envoy, Istio or Envoy Gateway
    Render(Box<render::Render>),
    /// Decide a request, or a file of test cases, and explain the decision
    Check(Box<check::Check>),
    /// Find errors and risky settings in a policy, and in the configuration around it
    Lint(lint::Lint),
    /// Show which access a policy change opens and closes
    Diff(diff::Diff),
    /// Show which policy running Envoys serve
    Status(status::Status),
    /// Run Envoy with the gate in front of a service
    Run(run::Run),
    /// Print the JSON Schema of the policy
    Schema(schema::Schema),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Write the manual pages
    Man(man::ManPages),
}

/// How many valid values an error lists.
const MAX_VALUES: usize = 20;

/// Parses the arguments. An unexpected argument is not shown, since it may be a key, and the message may end up in a
/// log.
fn parse() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|mut error| {
        let is_option = |context: &ContextValue| matches!(context, ContextValue::String(one) if one.starts_with('-'));
        if error.kind() == ErrorKind::UnknownArgument && !error.get(ContextKind::InvalidArg).is_some_and(is_option) {
            error.insert(ContextKind::InvalidArg, ContextValue::String("value not shown, it may be a key".to_owned()));
            if std::env::args().skip(1).take(2).eq(["keys", "add"]) {
                let tip = "other users could see a key here: printf %s \"$KEY\" | portcullis keys add --consumer NAME";
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
            }
        }
        abridge(&mut error);
        show_tip(&mut error);
        let text = error.render().ansi().to_string();
        match mask::masked(&text) {
            Cow::Borrowed(_) => error.exit(),
            Cow::Owned(masked) => {
                output::note_line(masked.trim_end());
                std::process::exit(error.exit_code())
            }
        }
    })
}

/// Replaces the tip for options that other commands or tools have.
fn show_tip(error: &mut clap::Error) {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return };
    let tip = match option.as_str() {
        "--policy" => "the policy is an argument here: portcullis COMMAND POLICY",
        "--id" => "the id of a key is an argument here",
        "--json" => "--output json",
        _ => return,
    };
    if error.kind() == ErrorKind::UnknownArgument {
        let _ = error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

/// Replaces a long list of valid values, such as the codes of lint, by a hint: the nearest value would be far below it.
fn abridge(error: &mut clap::Error) {
    let is_long = |values: &ContextValue| matches!(values, ContextValue::Strings(all) if all.len() > MAX_VALUES);
    if error.kind() == ErrorKind::InvalidValue && error.get(ContextKind::ValidValue).is_some_and(is_long) {
        let _ = error.remove(ContextKind::ValidValue);
        let tip = "portcullis lint --explain lists all codes";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

fn main() -> ExitCode {
    if let Some(status) = run::keeper::run() {
        return status;
    }
    let result = match parse().command {
        Command::Init(init) => init.run(),
        Command::Keys(keys) => keys.run(),
        Command::Consumers(consumers) => consumers.run(),
        Command::Mode(mode) => mode.run(),
        Command::Import(import) => import.run(),
        Command::Render(render) => render.run(),
        Command::Check(check) => check.run(),
        Command::Lint(lint) => lint.run(),
        Command::Diff(diff) => diff.run(),
        Command::Status(status) => status.run(),
        Command::Run(run) => run.run(),
        Command::Schema(schema) => schema.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            log::tell(log::Level::Error, format_args!("{error:#}"));
            ExitCode::from(2)
        }
    }
}
