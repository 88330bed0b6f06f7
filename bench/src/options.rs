//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

const EXAMPLES: &str = "\
examples:
  portcullis-bench                                            everything (about 20 minutes)
  portcullis-bench --quick                                    only the comparison, less accurate (under 2 minutes)
  portcullis-bench --quick --only public,lua:              contenders whose name contains one of these
  portcullis-bench --quick --module old=a.wasm --module new=b.wasm --only old,new
                                                              two modules in one run
  portcullis-bench --hostile --shapes cookie,query            only some of the hostile requests
  portcullis-bench --native                                   hostile requests in the core, without Envoy (seconds)";

/// Side-by-side benchmarks of the gate and its alternatives, in one Envoy.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The filter, as FILE or NAME=FILE; may be repeated [default: portcullis=target/portcullis.wasm]
    #[arg(long = "module", value_name = "[NAME=]FILE")]
    pub modules: Vec<Module>,
    /// Only contenders whose name contains one of these; the baseline and those compared with are always included
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Fewer rounds, and only the comparison
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
    /// Also load a policy of 1,000,000 keys (two minutes more, 2 GB of memory)
    #[arg(long)]
    pub million: bool,
    /// The folder for latest.json, latest.md, latest.svg, hostile.json and hostile.md; without it, nothing is written
    #[arg(long, value_name = "FOLDER")]
    pub write: Option<PathBuf>,
    /// Only hostile requests: the cost of each, and the effect of an attack on another caller (about 8 minutes)
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    pub hostile: bool,
    /// Only the attacks
    #[arg(long, conflicts_with_all = ["quick", "only", "hostile"])]
    pub stall: bool,
    /// The time of hostile requests in the core that this command was built with, natively and without Envoy
    #[arg(long, conflicts_with_all = ["modules", "quick", "only", "hostile", "stall", "write"])]
    pub native: bool,
    /// Search for more expensive paths in the core that this command was built with, for this number of seconds
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["modules", "quick", "only", "hostile", "stall", "write"])]
    pub search: Option<u64>,
    /// The seed of the search
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Only hostile requests whose shape's name contains one of these
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub shapes: Vec<String>,
    /// How many of the most expensive requests --native prints
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    pub most: usize,
    /// The filter on the bare SDK
    #[arg(long, value_name = "FILE", default_value = "target/portcullis-bench-sdk.wasm")]
    pub sdk: PathBuf,
}

/// A filter with its name in the tables.
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
