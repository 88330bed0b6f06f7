//! `portcullis diff`: shows which access a policy change opens and closes.

mod cells;
mod keys;
mod networks;
mod paths;
#[cfg(test)]
mod property;
mod settings;

use std::path::PathBuf;

use anstyle::Style;
use anyhow::Result;
use clap::Args;
use portcullis::Timestamp;
use portcullis::document::{Document, Mode};
use serde_json::json;

use crate::files::{EffectivePolicy, PolicyFile};
use crate::output::{GREEN, Output, RED, YELLOW, note, print};
use crate::when::When;

const EXAMPLES: &str = "Examples:
  portcullis diff old.yaml new.yaml
  git show main:policy.yaml > old.yaml
  git show main:keys.json > old.json
  portcullis diff old.yaml policy.yaml --old-store old.json --fail-on-open
  portcullis diff policy.yaml policy.yaml \\
      --old-store before.json --new-store keys.json
  portcullis diff old-policies policies

Exit status: 0 compared, 1 with --fail-on-open: something opens, or may open; 2 usage or input error.";

/// Show which access a policy change opens and closes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    /// The old policy, or the folder of a platform and its teams
    old: PathBuf,
    /// The new policy, or such a folder
    new: PathBuf,
    /// The old key store [default: keys.json beside OLD, if it exists]
    #[arg(long, value_name = "FILE")]
    old_store: Option<PathBuf>,
    /// The new key store [default: keys.json beside NEW, if it exists]
    #[arg(long, value_name = "FILE")]
    new_store: Option<PathBuf>,
    /// The time, instead of now: 30d, 2027-02-01, or a date-time; expired keys open nothing
    #[arg(long, value_name = "WHEN")]
    now: Option<When>,
    /// Exit with 1 if any access opens or may open
    #[arg(long)]
    fail_on_open: bool,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// The effect of a change on access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    Opens,
    MayOpen,
    Closes,
    Neither,
}

/// One line of the comparison.
#[derive(Debug)]
struct Change {
    effect: Effect,
    /// The subject: a field of the policy, `keys`, `roles` or `paths`.
    about: &'static str,
    what: String,
    place: Option<String>,
}

/// One of the two policies.
#[derive(Debug)]
struct Side {
    merged: EffectivePolicy,
    document: Document,
    /// The paths of key entries that the gate refuses.
    refused: Vec<String>,
}

impl Effect {
    /// In the order of the output.
    const ALL: [Self; 4] = [Self::Opens, Self::MayOpen, Self::Closes, Self::Neither];

    fn title(self) -> (&'static str, Style) {
        match self {
            Self::Opens => ("OPENS", RED),
            Self::MayOpen => ("MAY OPEN", YELLOW),
            Self::Closes => ("CLOSES", GREEN),
            Self::Neither => ("NEITHER", Style::new().bold()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::MayOpen => "may_open",
            Self::Closes => "closes",
            Self::Neither => "neither",
        }
    }
}

impl Change {
    fn new(effect: Effect, about: &'static str, what: impl Into<String>) -> Self {
        Self { effect, about, what: what.into(), place: None }
    }
}

impl Side {
    fn of(merged: EffectivePolicy) -> Result<Self> {
        let document = merged.document()?;
        // Every variable counts as set, to a different value each.
        let loaded = merged.compile(&|name| Some(stand_in(name).into_bytes()))?;
        let refused = loaded.refused_entries.into_iter().map(|entry| entry.path).collect();
        Ok(Self { merged, document, refused })
    }
}

/// The assumed value of a variable.
fn stand_in(variable: &str) -> String {
    format!("the-value-of-{variable}")
}

impl Diff {
    pub(crate) fn run(self) -> Result<bool> {
        let now = When::or_now(self.now);
        let (old, new) = (PolicyFile::of(self.old, self.old_store), PolicyFile::of(self.new, self.new_store));
        let stores = |side: &PolicyFile| -> Vec<PathBuf> {
            side.store_paths().iter().filter_map(|store| store.canonicalize().ok()).collect()
        };
        let (stores, others) = (stores(&old), stores(&new));
        if let Some(store) = stores.iter().find(|store| others.contains(store)) {
            note(format_args!(
                "both policies are compared with the same keys, of {}: a change of keys does not show without --old-store",
                store.display()
            ));
        }
        let (old, new) = (Side::of(old.read()?)?, Side::of(new.read()?)?);
        let changes = compare(&old, &new, now)?;
        if self.output == Output::Json {
            let row = |change: &Change| {
                json!({
                    "effect": change.effect.name(), "about": change.about, "what": change.what, "place": change.place,
                })
            };
            print(&format!("{:#}\n", json!({"changes": changes.iter().map(row).collect::<Vec<_>>()})))?;
        } else {
            print(&as_text(&changes, new.document.mode))?;
        }
        let opens = changes.iter().any(|change| matches!(change.effect, Effect::Opens | Effect::MayOpen));
        Ok(!(self.fail_on_open && opens))
    }
}

fn as_text(changes: &[Change], mode: Mode) -> String {
    let mut text = String::new();
    for effect in Effect::ALL {
        let (title, style) = effect.title();
        let mut lines = changes.iter().filter(|change| change.effect == effect).peekable();
        if lines.peek().is_some() {
            text.push_str(&format!("{style}{title}{style:#}\n"));
        }
        for change in lines {
            let place = change.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            text.push_str(&format!("  {}: {}{place}\n", change.about, change.what));
        }
    }
    if text.is_empty() {
        return "no change in access\n".to_owned();
    }
    if mode != Mode::Enforce {
        text.push_str("The new policy does not enforce: the other changes take effect once it does.\n");
    }
    text
}

/// Returns all changes, those that open access first.
///
/// # Errors
/// A policy that the gate would refuse.
fn compare(old: &Side, new: &Side, now: Timestamp) -> Result<Vec<Change>> {
    let mut changes = settings::compare(old, new);
    changes.extend(paths::compare(old, new)?);
    changes.extend(networks::compare(old, new));
    changes.extend(keys::compare(old, new, now));
    changes.sort_by_key(|change| change.effect);
    Ok(changes)
}
