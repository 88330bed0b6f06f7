//! What one Envoy says of its gates.
//!
//! A gate tells in statistics of its own (`wasmcustom.portcullis.NAME.`). A policy that comes by ECDS has Envoy's own beside
//! them: the version that is served, when it was taken, and how many were refused. Of the last one that came, taken or not,
//! the configuration dump knows; where it came later than what is served, it was refused.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ExpectedPolicy;
use crate::admin::Client;
use crate::output::printable;

/// A running Envoy.
#[derive(Debug)]
pub(super) struct Envoy {
    /// Its version, such as `1.40.0`.
    pub(super) version: String,
    /// For how many seconds it runs.
    pub(super) uptime: i64,
    /// Its gates by name.
    pub(super) gates: BTreeMap<String, Gate>,
    /// Where filters come by ECDS: each by its name. The gate is one of them, and may go by another name.
    pub(super) updates: BTreeMap<String, Updates>,
}

/// A gate. Its numbers are those of its statistics, and 0 where it has none of the name.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// 48 bits of the digest of the policy that it serves.
    pub(super) digest: u64,
    /// The number of keys keys that has.
    pub(super) keys: u64,
    /// The number of keys key entries of it were refused.
    pub(super) refused_entries: u64,
    /// Whether it denies anything: mode `enforce`.
    pub(super) is_enforcing: bool,
    /// Decisions by what became of them (`allowed`, `denied`, `reported`) and why, since Envoy started.
    pub(super) decisions: BTreeMap<String, BTreeMap<String, u64>>,
    /// How often each key was used since Envoy started, by its id: of those that were, and where `key_metrics` counts
    /// them.
    pub(super) key_uses: BTreeMap<String, u64>,
}

/// What came of a filter's updates since Envoy started.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// The version that is served; empty where none ever was.
    pub(super) version: String,
    /// The number of keys were refused.
    pub(super) refused: u64,
    /// The version of the last one, where that was refused.
    pub(super) last_refused: Option<String>,
    /// When the served one was taken, in milliseconds since 1970.
    taken: u64,
}

const GATE: &str = "wasmcustom.portcullis.";
const UPDATES: &str = "extension_config_discovery.http_filter.";

impl Envoy {
    /// Asks an Envoy.
    ///
    /// # Errors
    /// If it cannot be asked, or is none.
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
            // The mask leaves the policy out, and the keys that may be in it.
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
            self.gates.entry(printable(gate)).or_default().note(name, value.as_u64().unwrap_or_default());
        } else if let Some((filter, name)) = name.strip_prefix(UPDATES).and_then(|rest| rest.rsplit_once('.')) {
            self.updates.entry(printable(filter)).or_default().note(name, value);
        }
    }

    /// With what is wrong, each in words that read on after the address.
    pub(super) fn examined(self, expected: Option<&ExpectedPolicy>) -> (Self, Vec<String>) {
        let mut findings = Vec::new();
        let mut names: Vec<&str> = self.gates.keys().map(String::as_str).collect();
        if names.is_empty() {
            names.push("none");
        }
        match expected {
            Some(ExpectedPolicy { file, gate, digest }) => match self.gates.get(gate) {
                Some(serves) if serves.digest != *digest => findings.push(format!(
                    "gate {gate} serves policy {:012x}, but {file} has policy {digest:012x}: render and deliver it \
                     again",
                    serves.digest
                )),
                Some(_) => {}
                None => findings.push(format!("gate {gate} of {file} not found (gates: {})", names.join(", "))),
            },
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
    fn note(&mut self, name: &str, value: u64) {
        match name {
            "policy_digest" => self.digest = value,
            "keys" => self.keys = value,
            "refused_entries" => self.refused_entries = value,
            "enforcing" => self.is_enforcing = value == 1,
            _ => {
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

    /// Takes from a configuration dump whether the last update is the one that is served.
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

/// A name in a regular expression: whatever is no letter and no digit matches any character.
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
