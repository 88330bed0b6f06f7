//! `portcullis consumers`: the consumers of the key store and their roles. Those of the policy are listed too, and changed
//! there.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use portcullis::Document;
use serde_json::json;

use crate::files::EffectivePolicy;
use crate::keys::entry::check_no_key;
use crate::keys::known::{AllKeys, State};
use crate::output::{Output, count, note, print, print_table};
use crate::similar::did_you_mean;
use crate::store::Locked;
use crate::store_file::StoreFile;
use crate::when::{Span, now};

const EXAMPLES: &str = "Examples:
  portcullis consumers list
  portcullis consumers set alice --roles predict,admin
  portcullis consumers remove alice

A change takes effect when the policy is rendered and delivered again. `portcullis run` and `portcullis render \
--watch` do that automatically.

Exit status: 0 done, 2 usage or input error.";

/// List, change and remove the consumers of the key store
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Consumers {
    #[command(flatten)]
    files: StoreFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all consumers, with their roles and the number of their keys
    #[command(after_help = "Examples:
  portcullis consumers list
  portcullis consumers list --output json

Exit status: 0 done, 2 usage or input error.")]
    List {
        /// The output format
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Replace the roles of a consumer
    #[command(after_help = "Examples:
  portcullis consumers set alice --roles predict,admin
  portcullis consumers set alice --roles ''

Exit status: 0 done, 2 usage or input error.")]
    Set {
        /// The name of a consumer of the store
        name: String,
        /// All of its roles; '' for none
        #[arg(long, alias = "role", value_name = "ROLES", value_delimiter = ',', required = true)]
        roles: Vec<String>,
        /// A note for the log of the store, such as the number of a ticket
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Remove a consumer with all of its keys
    #[command(after_help = "Examples:
  portcullis consumers remove alice

Exit status: 0 done, 2 usage or input error.")]
    Remove {
        /// The name of a consumer of the store
        name: String,
        /// A note for the log of the store, such as the number of a ticket
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

impl Consumers {
    pub(crate) fn run(self) -> Result<bool> {
        let named = match &self.command {
            Command::List { .. } => None,
            Command::Set { name, .. } | Command::Remove { name, .. } => Some(name.as_str()),
        };
        let files = &self.files.of_consumer(named)?;
        match self.command {
            Command::List { output } => list(files, output),
            Command::Set { name, roles, note } => {
                let roles = roles.into_iter().map(|role| role.trim().to_owned()).filter(|role| !role.is_empty());
                let mut roles: Vec<String> = roles.collect();
                let mut seen = HashSet::new();
                roles.retain(|role| seen.insert(role.clone()));
                set(files, &name, roles, note)
            }
            Command::Remove { name, note } => remove(files, &name, note),
        }?;
        Ok(true)
    }
}

fn list(files: &StoreFile, output: Output) -> Result<()> {
    let store = files.store()?;
    // Those of the store can be listed even if the policy is invalid.
    let together = |policy: Option<EffectivePolicy>| Ok((AllKeys::of(&store, policy.as_ref())?, policy));
    let (all, policy) = files.policy().and_then(together).or_else(|error| {
        note(format_args!("consumers in the policy are not listed: {error:#}"));
        together(None)
    })?;
    let now = now();
    let mut states: HashMap<&str, Vec<State>> = HashMap::new();
    for key in &all.keys {
        states.entry(&key.consumer).or_default().push(key.state(now, Span::seconds(0)));
    }
    let mut rows = Vec::new();
    for (name, (roles, in_policy)) in all.consumers() {
        let states = states.remove(name).unwrap_or_default();
        let valid = states.iter().filter(|state| state.is_valid()).count();
        let place = policy.as_ref().filter(|_| in_policy).and_then(|policy| policy.place_of_consumer(name));
        rows.push((name, roles, valid, states.len(), place));
    }
    if output == Output::Json {
        let row = |(name, roles, valid, keys, place): &(_, _, _, _, _)| json!({"name": name, "roles": roles, "valid_keys": valid, "keys": keys, "policy": place});
        return print(&format!("{:#}\n", json!({"consumers": rows.iter().map(row).collect::<Vec<_>>()})));
    }
    if rows.is_empty() {
        note("no consumer: `portcullis keys generate --consumer NAME` creates one");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["CONSUMER", "ROLES", "VALID KEYS", "WHERE"]);
    let own = files.path().display().to_string();
    for (name, roles, valid, keys, place) in rows {
        table.add_row([name.to_owned(), roles.join(","), format!("{valid} of {keys}"), place.unwrap_or(own.clone())]);
    }
    print_table(&table)
}

/// Locks the store, which must have the consumer, and reads the policy, which must not.
fn open(files: &StoreFile, name: &str, instead: &str) -> Result<(Locked, Option<EffectivePolicy>)> {
    let (locked, policy) = (files.lock()?, files.policy()?);
    if let Some(place) = policy.as_ref().and_then(|policy| policy.place_of_consumer(name)) {
        bail!("the policy defines the consumer {name}: {instead} there ({place})");
    }
    if !locked.store.consumers.contains_key(name) {
        let hint = did_you_mean(name, locked.store.consumers.keys().map(String::as_str));
        bail!("unknown consumer {name}: it is not in {}{hint}", files.path().display());
    }
    Ok((locked, policy))
}

fn set(files: &StoreFile, name: &str, roles: Vec<String>, why: Option<String>) -> Result<()> {
    if let [role] = roles.as_slice()
        && role == "none"
    {
        bail!("--roles: none is not a role: for no role, write --roles ''");
    }
    let document = json!({"consumers": [{"name": name, "roles": roles}]});
    Document::read(&serde_json::to_vec(&document)?).map_err(|mut refusal| {
        let is_role = refusal.path.contains("roles");
        refusal.path = if is_role { "--roles" } else { "NAME" }.to_owned();
        anyhow!("{refusal}")
    })?;
    let (mut locked, policy) = open(files, name, "write its roles")?;
    let names = roles.iter().map(|role| ("--roles", role.as_str())).chain(why.as_deref().map(|note| ("--note", note)));
    check_no_key(names, &AllKeys::of(&locked.store, policy.as_ref())?)?;
    locked.why = why;
    let consumer = locked.store.consumers.entry(name.to_owned()).or_default();
    let said = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
    consumer.roles = roles;
    let keys = count(consumer.keys.len(), "key");
    files.check_with_others(&locked)?;
    locked.save()?;
    note(format_args!("{name} now has {said}; this applies to {keys}"));
    Ok(())
}

fn remove(files: &StoreFile, name: &str, why: Option<String>) -> Result<()> {
    let instead = format!("use `portcullis keys remove --consumer {name}` for keys in the store, and remove the rest");
    let (mut locked, _) = open(files, name, &instead)?;
    locked.why = why;
    let removed = locked.store.consumers.remove(name).unwrap_or_default();
    locked.save()?;
    note(format_args!("{name} is removed, with {}", count(removed.keys.len(), "key")));
    Ok(())
}
