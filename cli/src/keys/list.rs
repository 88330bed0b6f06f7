//! `portcullis keys list`: lists the properties of all keys, never a key itself.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};
use clap::Args;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::known::{AllKeys, KnownKey, State};
use crate::files::EffectivePolicy;
use crate::mode::{Modes, Own};
use crate::output::{Output, RED, YELLOW, note, print};
use crate::similar::did_you_mean;
use crate::store_file::StoreFile;
use crate::when::{Span, now, rfc3339};

const EXAMPLES: &str = "Examples:
  portcullis keys list
  portcullis keys list --consumer ci --soon 30d
  portcullis keys list --output json

Exit status: 0 done, 2 usage or input error.";

/// List the ids, consumers and states of keys
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Only the keys of this consumer
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: Option<String>,
    /// Mark keys that expire within this time
    #[arg(long, value_name = "SPAN", default_value = "14d")]
    soon: Span,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl List {
    pub(crate) fn run(self, files: &StoreFile) -> Result<bool> {
        let store = files.store()?;
        // Keys can be listed even if the policy is invalid.
        let together = |policy: Option<EffectivePolicy>| {
            let all = AllKeys::of(&store, policy.as_ref())?;
            Ok((all, policy.as_ref().map_or(Own::Default, Own::of)))
        };
        let (all, own) = files.policy().and_then(together).or_else(|error| {
            note(format_args!("keys in the policy are not listed: {error:#}"));
            together(None).map(|(all, _)| (all, Own::Unknown))
        })?;
        let modes = Modes { own, store: store.mode_override };
        if let Some(name) = self.consumer.as_deref().filter(|name| all.roles(name).is_none()) {
            bail!("unknown consumer {name}{}", did_you_mean(name, all.consumers().into_keys()));
        }
        let now = now();
        let chosen = all.keys.iter().filter(|key| self.consumer.as_deref().is_none_or(|name| *key.consumer == *name));
        let keys: Vec<_> = chosen.map(|key| (key, key.state(now, self.soon))).collect();
        if self.output == Output::Json {
            let rows = keys.iter().map(|(key, state)| as_json(key, *state)).collect::<Vec<_>>();
            print(&format!("{:#}\n", json!({"mode_override": store.mode_override, "keys": rows})))?;
            return Ok(true);
        }
        let mut text = if store.mode_override.is_some() { format!("{modes}\n") } else { String::new() };
        if keys.is_empty() {
            let (whose, name) = self
                .consumer
                .map_or_else(|| ("no key".to_owned(), "NAME".to_owned()), |name| (format!("{name} has no key"), name));
            note(format_args!("{whose}: `portcullis keys generate --consumer {name}` creates one"));
        } else {
            text.push_str(&as_table(&keys, &files.path().display().to_string())?);
        }
        print(&text)?;
        Ok(true)
    }
}

fn style(state: State) -> Style {
    match state {
        State::Active => Style::new(),
        State::ExpiresIn(_) => YELLOW,
        State::ValidIn(_) | State::Disabled => Style::new().dimmed(),
        State::Expired => AnsiColor::Red.on_default(),
        State::Refused | State::Unset => RED,
    }
}

/// The table has room in 80 columns: days without a time of the day, and the place of a key only if some are in the
/// policy. JSON has all of it.
fn as_table(keys: &[(&KnownKey, State)], store: &str) -> Result<String> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let columns = ["ID", "CONSUMER", "ROLES", "STATE", "EXPIRES", "WHERE"];
    let has_places = keys.iter().any(|(key, _)| key.place.is_some());
    let shown = if has_places { columns.len() } else { columns.len() - 1 };
    table.set_header(columns.iter().take(shown));
    for (key, state) in keys {
        let expires = key.expires.map(rfc3339);
        let day = expires.as_deref().and_then(|expires| expires.split('T').next());
        let cells = [
            key.id.as_str(),
            &key.consumer,
            &key.roles.join(","),
            &state.to_string(),
            day.unwrap_or("never"),
            key.place.as_deref().unwrap_or(store),
        ];
        table.add_row(cells.iter().take(shown));
    }
    let mut text = String::new();
    let styles = std::iter::once(Style::new().bold()).chain(keys.iter().map(|(_, state)| style(*state)));
    for (line, style) in table.lines().zip(styles) {
        writeln!(text, "{style}{}{style:#}", line.trim())?;
    }
    Ok(text)
}

fn as_json(key: &KnownKey, state: State) -> Value {
    json!({
        "id": key.id,
        "consumer": *key.consumer,
        "roles": *key.roles,
        "description": key.description,
        "state": state.name(),
        "note": key.note,
        "created": key.created,
        "created_by": key.created_by,
        "not_before": key.not_before.map(rfc3339),
        "expires": key.expires.map(rfc3339),
        "policy": key.place,
    })
}
