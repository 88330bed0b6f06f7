//! What the command line says.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

const EXAMPLES: &str = "\
examples:
  portcullis-bench                                            everything (about 20 minutes)
  portcullis-bench --quick                                    the comparison alone, less sure (under 2 minutes)
  portcullis-bench --quick --only public,lua:              contenders whose name contains one of these
  portcullis-bench --quick --module old=a.wasm --module new=b.wasm --only old,new
                                                              two modules in one run
  portcullis-bench --hostile --shapes cookie,query            some of the hostile requests alone
  portcullis-bench --native                                   their time in the core alone, in seconds";

/// Side-by-side benchmarks: the gate and what a user would pick instead, in one Envoy.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The filter, as FILE or NAME=FILE; may be given again [default: portcullis=target/portcullis.wasm]
    #[arg(long = "module", value_name = "[NAME=]FILE")]
    pub modules: Vec<Module>,
    /// Contenders whose name contains one of these; the baseline and what is compared with take part anyway
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Fewer rounds, and the comparison alone
    #[arg(long)]
    pub quick: bool,
    /// The number of rounds
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Requests of each contender before the first round
    #[arg(long)]
    pub warm_up: Option<usize>,
    /// Requests of each contender in a round
    #[arg(long)]
    pub requests: Option<usize>,
    /// Connections
    #[arg(long)]
    pub connections: Option<usize>,
    /// Load a policy of 1,000,000 keys too (two minutes more, 2 GB of memory)
    #[arg(long)]
    pub million: bool,
    /// Where latest.json, latest.md and latest.svg go, and hostile.json and hostile.md; nothing is written without
    #[arg(long, value_name = "FOLDER")]
    pub write: Option<PathBuf>,
    /// Hostile requests alone: the price of each, and what an attack does to another caller (about 8 minutes)
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    pub hostile: bool,
    /// The attacks alone
    #[arg(long, conflicts_with_all = ["quick", "only", "hostile"])]
    pub stall: bool,
    /// The time of hostile requests in the core that this command was built with, natively and without Envoy
    #[arg(long, conflicts_with_all = ["modules", "quick", "only", "hostile", "stall", "write"])]
    pub native: bool,
    /// Search for more expensive paths in the core that this command was built with, for so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["modules", "quick", "only", "hostile", "stall", "write"])]
    pub search: Option<u64>,
    /// Where the search begins: another number, another search
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Hostile requests whose shape's name contains one of these
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub shapes: Vec<String>,
    /// How many of the most expensive are printed of those that are timed natively
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    pub most: usize,
    /// The filter on the bare SDK
    #[arg(long, value_name = "FILE", default_value = "target/portcullis-bench-sdk.wasm")]
    pub sdk: PathBuf,
}

/// A filter by the name that the tables give it.
#[derive(Debug, Clone)]
pub struct Module {
    /// The name.
    pub name: String,
    /// The file, absolute.
    pub file: PathBuf,
}

impl FromStr for Module {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('=').unwrap_or(("portcullis", text));
        let file = PathBuf::from(file).canonicalize().map_err(|error| format!("{file}: {error}"))?;
        Ok(Self { name: name.to_owned(), file })
    }
}
