//! `portcullis keys`: manages the keys of the store.

mod add;
mod change;
pub(crate) mod entry;
mod generate;
mod input;
pub(crate) mod key_format;
pub(crate) mod known;
mod list;
mod log;
mod rotate;
mod selection;
mod verify;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::store_file::StoreFile;

const EXAMPLES: &str = "Examples:
  KEY=$(portcullis keys generate --consumer ci --expires 90d)
  portcullis keys list
  portcullis keys rotate 209c6ca829ca9a60 --overlap 7d
  portcullis keys disable 209c6ca829ca9a60
  portcullis keys remove --consumer alice
  portcullis keys generate --policy policies --consumer a-batch

A change takes effect when the policy is rendered and delivered again. `portcullis run` and `portcullis render \
--watch` do that automatically.

Exit status: 0 done, 1 refused (`verify`), 2 usage or input error.";

/// Create, list, change and remove keys
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Keys {
    #[command(flatten)]
    files: StoreFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(alias = "create")]
    Generate(generate::Generate),
    Add(add::Add),
    #[command(alias = "ls")]
    List(list::List),
    #[command(aliases = ["delete", "rm"])]
    Remove(change::Remove),
    Prune(change::Prune),
    Disable(change::Disable),
    Enable(change::Enable),
    Expire(change::Expire),
    Rotate(rotate::Rotate),
    Verify(verify::Verify),
    Log(log::Log),
}

impl Command {
    /// The consumer whose keys are meant, if one is named.
    fn consumer(&self) -> Option<&str> {
        match self {
            Self::Generate(generate) => Some(&generate.entry.consumer),
            Self::Add(add) => Some(&add.entry.consumer),
            Self::List(list) => list.consumer.as_deref(),
            Self::Remove(remove) => remove.consumer.as_deref(),
            Self::Disable(disable) => disable.selection.consumer.as_deref(),
            Self::Enable(enable) => enable.selection.consumer.as_deref(),
            Self::Expire(expire) => expire.selection.consumer.as_deref(),
            Self::Prune(_) | Self::Rotate(_) | Self::Verify(_) | Self::Log(_) => None,
        }
    }
}

impl Keys {
    pub(crate) fn run(self) -> Result<bool> {
        let files = &self.files.of_consumer(self.command.consumer())?;
        match self.command {
            Command::Generate(generate) => generate.run(files),
            Command::Add(add) => add.run(files),
            Command::List(list) => list.run(files),
            Command::Remove(remove) => remove.run(files),
            Command::Prune(prune) => prune.run(files),
            Command::Disable(disable) => disable.run(files),
            Command::Enable(enable) => enable.run(files),
            Command::Expire(expire) => expire.run(files),
            Command::Rotate(rotate) => rotate.run(files),
            Command::Verify(verify) => verify.run(files),
            Command::Log(log) => log.run(files),
        }
    }
}
