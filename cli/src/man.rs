//! `portcullis man`: writes the manual pages, from the same help as `--help`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::output::{count, note};
use crate::store::write_atomically;

const EXAMPLES: &str = "Examples:
  portcullis man ~/.local/share/man/man1
  portcullis man pages && man -l pages/portcullis-keys.1

Exit status: 0 done, 2 usage error, or a page cannot be written.";

/// Write the manual pages: one for the command, and one for each of its commands
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManPages {
    /// Where to write them; created if it does not exist. Pages of the same name are replaced
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl ManPages {
    pub(crate) fn run(self) -> Result<bool> {
        let directory = self.directory;
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let mut command = crate::Arguments::command().disable_help_subcommand(true);
        command.build();
        let written = write(&command, &directory)?;
        note(format_args!("wrote {} to {}", count(written, "manual page"), directory.display()));
        Ok(true)
    }
}

/// Writes the page of a command, and those of all commands below it. Returns how many.
fn write(command: &Command, directory: &Path) -> Result<usize> {
    let man = Man::new(command.clone());
    let path = directory.join(man.get_filename());
    write_atomically(&path, &text(&man, command)?, 0o644)?;
    let below = command.get_subcommands().map(|one| write(one, directory));
    below.sum::<Result<usize>>().map(|below| below.saturating_add(1))
}

/// The page. Its title and last sections are made here: the library would leave out the empty date, and fill the lines of the
/// examples.
fn text(man: &Man, command: &Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).replace('-', r"\-");
    writeln!(text, r#".TH "{name}" "1" "" "portcullis {}" "Portcullis""#, env!("CARGO_PKG_VERSION"))?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    last_sections(command).to_writer(&mut text)?;
    Ok(text)
}

/// The text after the options, in its sections: a paragraph each for the examples, for notes, and for the exit status.
fn last_sections(command: &Command) -> Roff {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (mut roff, mut has_notes) = (Roff::new(), false);
    for paragraph in help.split("\n\n") {
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        } else if let Some(statuses) = paragraph.strip_prefix("Exit status: ") {
            roff.control("SH", ["EXIT STATUS"]).text([roman(statuses)]);
        } else {
            let request = if has_notes { ("PP", None) } else { ("SH", Some("NOTES")) };
            roff.control(request.0, request.1).text([roman(paragraph.trim())]);
            has_notes = true;
        }
    }
    roff
}
