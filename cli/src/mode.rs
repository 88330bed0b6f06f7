//! `portcullis mode`: overrides the mode of the policy. The override is in the store.

use std::fmt;

use anyhow::{Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use portcullis::document::Mode;
use serde_json::json;

use crate::files::{EffectivePolicy, is_there};
use crate::output::{Output, RED, note, print};
use crate::store::{Locked, Store};
use crate::store_file::StoreFile;

const EXAMPLES: &str = "Examples:
  portcullis mode status
  portcullis mode report
  portcullis mode toggle
  portcullis mode policy

A change takes effect when the policy is rendered and delivered again. `portcullis run` and `portcullis render \
--watch` do that automatically.

Exit status: 0 done, 2 usage or input error.";

/// Override the mode of the policy: enforce, report or disabled
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ModeCommand {
    /// The mode to set, or another action
    #[arg(value_enum, default_value = "status")]
    action: Action,
    #[command(flatten)]
    files: StoreFile,
    /// A note for the log of the store, such as the number of a ticket
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Override(Mode),
    Toggle,
    Policy,
    Status,
}

impl ValueEnum for Action {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Action; 6] = [
            Action::Override(Mode::Enforce),
            Action::Override(Mode::Report),
            Action::Override(Mode::Disabled),
            Action::Toggle,
            Action::Policy,
            Action::Status,
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Override(mode) => possible_value(*mode),
            Self::Toggle => PossibleValue::new("toggle")
                .alias("toggle-auth")
                .help("Switch from enforce or report to disabled, or from disabled to enforce"),
            Self::Policy => PossibleValue::new("policy").help("Remove the override: use the mode of the policy"),
            Self::Status => PossibleValue::new("status").help("Show the mode"),
        })
    }
}

/// Reads the value of an option that takes a mode.
pub(crate) fn parser() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.iter().copied().map(possible_value))
        .try_map(|text| Mode::ALL.iter().copied().find(|mode| mode.as_str() == text).ok_or("not a mode"))
}

fn possible_value(mode: Mode) -> PossibleValue {
    PossibleValue::new(mode.as_str()).help(match mode {
        Mode::Enforce => "Deny requests that are not allowed",
        Mode::Report => "Decide and count, but forward every request",
        Mode::Disabled => "Forward every request without a decision",
    })
}

impl ModeCommand {
    pub(crate) fn run(self) -> Result<bool> {
        let files = self.files.of_platform()?;
        let (policy, store) = (files.policy(), files.path());
        if matches!(policy, Ok(None)) && !is_there(&store) {
            // Without a policy and a store there is no gate whose mode could change: report the missing store.
            Store::read(&store)?;
        }
        let own = match policy {
            Ok(None) => Own::Default,
            Ok(Some(policy)) => Own::of(&policy),
            // The mode can be changed even if the policy cannot be read.
            Err(error) => {
                note(format_args!("cannot read the mode of the policy: {error:#}"));
                Own::Unknown
            }
        };
        if self.action == Action::Status {
            let modes = Modes { own, store: files.store()?.mode_override };
            print(&match self.output {
                Output::Text => format!("{modes}\n"),
                Output::Json => modes.as_json(),
            })?;
            return Ok(true);
        }
        let mut locked = Locked::open(&store)?;
        locked.why = self.note;
        let before = Modes { own, store: locked.store.mode_override };
        locked.store.mode_override = match (self.action, before.effective()) {
            (Action::Override(mode), _) => Some(mode),
            (Action::Toggle, None) => bail!("toggle: the mode of the policy is not known: give the mode to set"),
            // Back to the policy, so that a later change of its mode has an effect.
            (Action::Toggle, Some(Mode::Disabled)) if before.own.mode() == Some(Mode::Enforce) => None,
            (Action::Toggle, Some(Mode::Disabled)) => Some(Mode::Enforce),
            (Action::Toggle, Some(_)) => Some(Mode::Disabled),
            (Action::Policy | Action::Status, _) => None,
        };
        locked.save()?;
        let modes = Modes { own: before.own, store: locked.store.mode_override };
        match self.output {
            Output::Text => note(modes),
            Output::Json => print(&modes.as_json())?,
        }
        Ok(true)
    }
}

/// The mode of the policy itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// There is no policy: the default.
    Default,
    /// It has this one.
    Mode(Mode),
    /// It cannot be read, or is invalid.
    Unknown,
}

impl Own {
    /// The mode in a policy.
    pub(crate) fn of(policy: &EffectivePolicy) -> Self {
        let Some(mode) = policy.node.get("mode") else { return Self::Mode(Mode::Enforce) };
        let mode = Mode::ALL.iter().copied().find(|known| Some(known.as_str()) == mode.text());
        mode.map_or(Self::Unknown, Self::Mode)
    }

    fn mode(self) -> Option<Mode> {
        match self {
            Self::Default => Some(Mode::Enforce),
            Self::Mode(mode) => Some(mode),
            Self::Unknown => None,
        }
    }
}

/// The mode of the policy, and its override in the store.
#[derive(Debug)]
pub(crate) struct Modes {
    /// That of the policy.
    pub(crate) own: Own,
    /// That of the store.
    pub(crate) store: Option<Mode>,
}

impl Modes {
    fn effective(&self) -> Option<Mode> {
        self.store.or(self.own.mode())
    }

    fn as_json(&self) -> String {
        let name = |mode: Option<Mode>| mode.map(Mode::as_str);
        let own = if self.own == Own::Default { None } else { self.own.mode() };
        format!("{:#}\n", json!({"mode": name(self.effective()), "policy": name(own), "override": name(self.store)}))
    }
}

/// Shows the mode as text; `disabled` stands out.
impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.effective() {
            None => {
                return f.write_str("mode: unknown (the policy cannot be read, and the store does not override it)");
            }
            Some(Mode::Disabled) => {
                write!(f, "mode: {RED}disabled: THE GATE IS OPEN, every request passes without a key{RED:#}")?
            }
            Some(mode) => write!(f, "mode: {}", mode.as_str())?,
        }
        match (self.store, self.own) {
            (Some(_), Own::Mode(own)) => write!(f, " (set in the store; the policy has {})", own.as_str()),
            (Some(_), Own::Default | Own::Unknown) => f.write_str(" (set in the store)"),
            (None, Own::Default) => f.write_str(" (the default)"),
            (None, Own::Mode(_) | Own::Unknown) => f.write_str(" (from the policy)"),
        }
    }
}
