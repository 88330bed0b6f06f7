//! Reads the state of the gates in one Envoy.
//!
//! A gate has its own statistics (`wasmcustom.portcullis.NAME.`). For a policy by ECDS, Envoy has more: the version
//! that is served, when it was loaded, and how many were refused. The configuration dump has the last version that
//! arrived, loaded or not: if it arrived later than the one that is served, it was refused.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ExpectedPolicy;
use crate::admin::Client;
use crate::output::printable;
use crate::served::Served;

/// A running Envoy.
#[derive(Debug, Default)]
pub(super) struct Envoy {
    /// Its version, such as `1.40.0`; empty if it is not known.
    pub(super) version: String,
    /// Its uptime in seconds.
    pub(super) uptime: i64,
    /// Its gates by name.
    pub(super) gates: BTreeMap<String, Gate>,
    /// Updates of filters by ECDS, by filter name. The gate is one of these filters, perhaps under another name.
    pub(super) updates: BTreeMap<String, Updates>,
}

/// A gate. Its numbers are from its statistics; missing ones are 0.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// 48 bits of the digest of the policy that it serves.
    pub(super) digest: u64,
    /// The number of keys by state (`usable`, `disabled`, `expired`, `not_yet_valid`).
    pub(super) keys: BTreeMap<String, u64>,
    /// The number of key entries that were refused.
    pub(super) refused_entries: u64,
    /// Its mode: 0 for `disabled`, 1 for `report`, 2 for `enforce`. A gate of before 2026-12 does not tell.
    pub(super) mode: Option<u64>,
    /// How many of it are loaded: one for each worker, and one for the main thread.
    pub(super) instances: u64,
    /// When a policy was last loaded, in seconds since 1970.
    pub(super) loaded_at: u64,
    /// The next expiry of a key, in seconds since 1970; 0 for none.
    pub(super) next_key_expiry: u64,
    /// Decisions since Envoy started, by outcome (`allowed`, `denied`, `reported`) and reason.
    pub(super) decisions: BTreeMap<String, BTreeMap<String, u64>>,
    /// Uses of each key since Envoy started, by its id; empty without `key_metrics`.
    pub(super) key_uses: BTreeMap<String, u64>,
}

/// The updates of a filter since Envoy started.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// The version that is served; empty if there is none.
    pub(super) version: String,
    /// The number of updates that were refused.
    pub(super) refused: u64,
    /// The version of the last update, if it was refused.
    pub(super) last_refused: Option<String>,
    /// When the served version was loaded, in milliseconds since 1970.
    taken: u64,
}

/// The hint if a store may have vanished.
const VANISHED: &str = "; there is no key store beside it: if it has vanished, restore it first (`portcullis keys remove \
                        --all` revokes all keys)";
const GATE: &str = "wasmcustom.portcullis.";
const UPDATES: &str = "extension_config_discovery.http_filter.";

impl Envoy {
    /// Queries an Envoy.
    ///
    /// # Errors
    /// If it does not answer, or is not an Envoy.
    pub(super) fn ask(admin: &Client, timeout: Duration) -> Result<Self> {
        let get = |page: &str, query: &[(&str, &str)]| admin.json(page, query, timeout);
        let info = get("/server_info", &[])?;
        let text = |name: &str| info.get(name).and_then(Value::as_str);
        // COMMIT/VERSION/STATE/BUILD/TLS
        let version = text("version").and_then(|version| version.split('/').nth(1));
        let uptime = text("uptime_current_epoch").and_then(|text| text.strip_suffix('s')?.parse().ok());
        let (version, uptime) = version
            .zip(uptime)
            .context("its /server_info has no version and uptime: is this Envoy's admin interface?")?;
        let mut envoy = Self { version: printable(version), uptime, gates: BTreeMap::new(), updates: BTreeMap::new() };
        let filter = r"^(wasmcustom\.portcullis|extension_config_discovery\.http_filter)\.";
        let stats = get("/stats", &[("format", "json"), ("filter", filter)])?;
        for stat in stats.get("stats").and_then(Value::as_array).into_iter().flatten() {
            // Histograms have no name.
            if let Some((name, value)) = stat.get("name").and_then(Value::as_str).zip(stat.get("value")) {
                envoy.note(name, value);
            }
        }
        for (name, updates) in envoy.updates.iter_mut().filter(|(_, updates)| updates.refused > 0) {
            // The mask excludes the policy, which may contain keys.
            let query = [
                ("resource", "ecds_filters"),
                ("mask", "version_info,last_updated"),
                ("name_regex", &format!("^{}$", escaped(name))),
            ];
            updates.note_last(&get("/config_dump", &query)?);
        }
        Ok(envoy)
    }

    fn note(&mut self, name: &str, value: &Value) {
        if let Some((gate, name)) = name.strip_prefix(GATE).and_then(|rest| rest.split_once('.')) {
            self.note_gate(gate, name, value.as_u64().unwrap_or_default());
        } else if let Some((filter, name)) = name.strip_prefix(UPDATES).and_then(|rest| rest.rsplit_once('.')) {
            self.updates.entry(printable(filter)).or_default().note(name, value);
        }
    }

    /// Notes a statistic of a gate.
    pub(super) fn note_gate(&mut self, gate: &str, name: &str, value: u64) {
        self.gates.entry(printable(gate)).or_default().note(name, value);
    }

    /// Returns the problems of this Envoy, as messages that follow its address.
    pub(super) fn examined(self, expected: Option<&ExpectedPolicy>) -> (Self, Vec<String>) {
        let mut findings = Vec::new();
        let mut names: Vec<&str> = self.gates.keys().map(String::as_str).collect();
        if names.is_empty() {
            names.push("none");
        }
        match expected {
            Some(ExpectedPolicy { file, gate, digest, digest_in_run, keys, has_store }) => {
                match self.gates.get(gate).or_else(|| self.gates.get(&gate.replace('-', "_"))) {
                    Some(serves) if ![*digest, *digest_in_run].contains(&serves.digest) => {
                        let mut versions = self.updates.values().map(|updates| updates.version.as_str());
                        let chosen = versions.find_map(|version| Served::chosen_in(version, *digest));
                        let has_lost_keys =
                            !has_store && usize::try_from(serves.key_count()).is_ok_and(|served| served > *keys);
                        let store = if has_lost_keys { VANISHED } else { "" };
                        findings.push(match chosen {
                        Some(chosen) => format!("gate {gate} serves {file} with changes by `portcullis run`: {chosen}"),
                        None => format!(
                            "gate {gate} serves policy {:012x}, but {file} has policy {digest:012x}: render and deliver it \
                             again{store}",
                            serves.digest
                        ),
                    });
                    }
                    Some(_) => {}
                    None => findings.push(format!("gate {gate} of {file} not found (gates: {})", names.join(", "))),
                }
            }
            None if self.gates.is_empty() => {
                findings.push(
                    "no gate found: check that the filter is in Envoy's configuration, and that Envoy keeps its \
                           statistics"
                        .into(),
                );
            }
            None => {}
        }
        for (name, gate) in self.gates.iter().filter(|(_, gate)| gate.refused_entries > 0) {
            let entries = if gate.refused_entries == 1 { "key entry is" } else { "key entries are" };
            findings.push(format!("gate {name}: {} {entries} refused: Envoy's log says why", gate.refused_entries));
        }
        for (name, updates) in &self.updates {
            if let Some(version) = &updates.last_refused {
                let kept = if updates.version.is_empty() {
                    "no policy is served, and every request is denied".to_owned()
                } else {
                    format!("version {} stays active", updates.version)
                };
                findings.push(format!(
                    "filter {name} refused its last update, version {version}: {kept}; Envoy's log says why"
                ));
            }
        }
        (self, findings)
    }
}

impl Gate {
    /// The number of its keys in all states.
    pub(super) fn key_count(&self) -> u64 {
        self.keys.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn note(&mut self, name: &str, value: u64) {
        match name {
            "policy_digest" => self.digest = value,
            "refused_entries" => self.refused_entries = value,
            "mode" => self.mode = Some(value),
            "instances" => self.instances = value,
            "loaded_at_seconds" => self.loaded_at = value,
            "next_key_expiry_seconds" => self.next_key_expiry = value,
            _ => {
                if let Some(state) = name.strip_prefix("policy_keys.") {
                    self.keys.insert(printable(state), value);
                    return;
                }
                if let Some(id) = name.strip_prefix("key.").filter(|_| value > 0) {
                    self.key_uses.insert(printable(id), value);
                    return;
                }
                if let Some((outcome, reason)) = name.split_once('.').filter(|_| value > 0) {
                    self.decisions.entry(printable(outcome)).or_default().insert(printable(reason), value);
                }
            }
        }
    }
}

impl Updates {
    fn note(&mut self, name: &str, value: &Value) {
        match name {
            "version_text" => self.version = printable(value.as_str().unwrap_or_default()),
            "update_rejected" => self.refused = value.as_u64().unwrap_or_default(),
            "update_time" => self.taken = value.as_u64().unwrap_or_default(),
            _ => {}
        }
    }

    /// Reads from a configuration dump whether the last update was refused.
    fn note_last(&mut self, dump: &Value) {
        for config in dump.get("configs").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
            if milliseconds(text("last_updated")).is_some_and(|came| came > self.taken) {
                self.last_refused = Some(printable(text("version_info")));
            }
        }
    }
}

/// A time as Envoy writes it, in milliseconds since 1970.
fn milliseconds(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A name as a regular expression: characters other than letters and digits match any character.
fn escaped(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_envoy_has_milliseconds() {
        assert_eq!(milliseconds("2026-11-24T17:33:27.485Z"), Some(1_795_541_607_485));
        assert_eq!(milliseconds("2026-11-24T17:33:27.4Z"), Some(1_795_541_607_400));
        assert_eq!(milliseconds("2026-11-24T17:33:27Z"), Some(1_795_541_607_000));
        assert_eq!(milliseconds("yesterday"), None);
    }
}
