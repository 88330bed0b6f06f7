//! `portcullis mode`: overrides the mode of the policy. The override is in the store.

use std::fmt;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use portcullis::document::Mode;
use serde_json::json;

use crate::files::{EffectivePolicy, StoreFile};
use crate::output::{Output, RED, note, print};
use crate::store::{Locked, Store};
use crate::yaml::Node;

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
    #[arg(value_enum)]
    action: Action,
    #[command(flatten)]
    files: StoreFile,
    /// A note for the log of the store, such as the number of a ticket
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The output format of `status`
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
        let (policy, store) = (self.files.policy(), self.files.path());
        if matches!(policy, Ok(None)) && !store.is_symlink() && !store.exists() {
            // Without a policy and a store there is no gate whose mode could change: report the missing store.
            Store::read(store)?;
        }
        // The mode can be changed even if the policy cannot be read.
        let policy = policy.unwrap_or_else(|error| {
            note(format_args!("cannot read the mode of the policy: {error:#}"));
            None
        });
        if self.action == Action::Status {
            let modes = Modes::of(&Store::read(store)?, policy.as_ref());
            match self.output {
                Output::Text => print(&format!("{modes}\n"))?,
                Output::Json => print(&format!(
                    "{:#}\n",
                    json!({"mode": modes.effective(), "policy": modes.policy, "override": modes.store})
                ))?,
            }
            return Ok(true);
        }
        let mut locked = Locked::open(store)?;
        locked.why = self.note;
        let before = Modes::of(&locked.store, policy.as_ref());
        locked.store.mode_override = match self.action {
            Action::Override(mode) => Some(mode),
            Action::Toggle if before.effective() == "disabled" => Some(Mode::Enforce),
            Action::Toggle => Some(Mode::Disabled),
            Action::Policy | Action::Status => None,
        };
        locked.save()?;
        note(Modes::of(&locked.store, policy.as_ref()));
        Ok(true)
    }
}

/// The mode of the policy, and its override in the store.
#[derive(Debug)]
pub(crate) struct Modes {
    /// `None` if there is no policy, or if it cannot be read.
    policy: Option<String>,
    store: Option<Mode>,
}

impl Modes {
    /// Reads the modes of a store and its policy.
    pub(crate) fn of(store: &Store, policy: Option<&EffectivePolicy>) -> Self {
        let own =
            |policy: &EffectivePolicy| policy.node.get("mode").and_then(Node::text).unwrap_or("enforce").to_owned();
        Self { policy: policy.map(own), store: store.mode_override }
    }

    fn effective(&self) -> &str {
        self.store.map(Mode::as_str).or(self.policy.as_deref()).unwrap_or("enforce")
    }
}

/// Shows the mode as text; `disabled` stands out.
impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.effective() {
            "disabled" => {
                write!(f, "mode: {RED}disabled: THE GATE IS OPEN, every request passes without a key{RED:#}")?
            }
            mode => write!(f, "mode: {mode}")?,
        }
        match (self.store, &self.policy) {
            (Some(_), Some(own)) => write!(f, " (set in the store; the policy has {own})"),
            (Some(_), None) => f.write_str(" (set in the store)"),
            (None, Some(_)) => f.write_str(" (from the policy)"),
            (None, None) => f.write_str(" (the default)"),
        }
    }
}
