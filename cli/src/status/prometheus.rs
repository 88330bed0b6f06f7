//! Reads the state of the gates from Prometheus, which has scraped their Envoys.
//!
//! Both forms of names are read: with the labels of docs/policy/metrics.md (`portcullis_mode{gate="edge"}`), and those that
//! Envoy has without `stats_tags` (`portcullis_edge_mode`).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::from_value;

use super::envoy::Envoy;
use crate::admin::Client;

/// All series of gates, and when each Envoy started.
const QUERY: &str = r#"{__name__=~"portcullis_.+|envoy_server_uptime"}"#;
const UPTIME: &str = "envoy_server_uptime";
/// The statistics of a gate, and the beginnings of those that have a reason, a state or an id after them.
const GAUGES: [&str; 6] =
    ["policy_digest", "refused_entries", "mode", "instances", "loaded_at_seconds", "next_key_expiry_seconds"];
const GROUPS: [&str; 5] = ["allowed", "denied", "reported", "policy_keys", "key"];

/// An instant vector of <https://prometheus.io/docs/prometheus/latest/querying/api/>.
#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    /// The time, and the value as text.
    value: (f64, String),
}

/// Returns the Envoys that have a gate, by their `instance` label.
///
/// # Errors
/// If Prometheus does not answer, or has no gate.
pub(super) fn ask(prometheus: &Client, timeout: Duration) -> Result<BTreeMap<String, Envoy>> {
    let answer = prometheus.json("/api/v1/query", &[("query", QUERY)], timeout)?;
    let Ok(Answer { data }) = from_value(answer) else {
        bail!("its answer is not an instant vector: is this Prometheus?")
    };
    let mut envoys: BTreeMap<String, Envoy> = BTreeMap::new();
    for Series { metric, value: (_, value) } in data.result {
        let label = |name: &str| metric.get(name).map(String::as_str);
        let envoy = envoys.entry(label("instance").unwrap_or("-").to_owned()).or_default();
        let value = whole(&value);
        match label("__name__") {
            Some(UPTIME) => envoy.uptime = i64::try_from(value).unwrap_or_default(),
            Some(name) => {
                let detail = ["reason", "state", "key"].into_iter().find_map(label);
                let name = name.strip_prefix("portcullis_").unwrap_or(name);
                match label("gate").map(|gate| (gate, name, detail)).or_else(|| parted(name)) {
                    Some((gate, name, Some(detail))) => envoy.note_gate(gate, &format!("{name}.{detail}"), value),
                    Some((gate, name, None)) => envoy.note_gate(gate, name, value),
                    None => {}
                }
            }
            None => {}
        }
    }
    // Those that have only an uptime have no gate.
    envoys.retain(|_, envoy| !envoy.gates.is_empty());
    if envoys.is_empty() {
        bail!("it has no gate: expected series whose names begin with portcullis_ (does it scrape /stats/prometheus?)");
    }
    Ok(envoys)
}

/// Parts the name of a series without labels: the gate's name, the statistic, and what follows it.
fn parted(name: &str) -> Option<(&str, &str, Option<&str>)> {
    let gauge = GAUGES.iter().find_map(|gauge| Some((name.strip_suffix(gauge)?.strip_suffix('_')?, *gauge, None)));
    gauge.or_else(|| {
        // The first group: what follows `denied` is a reason, and what follows `key` may be anything.
        let groups = GROUPS.iter().filter_map(|group| {
            let at = name.find(&format!("_{group}_"))?;
            let (gate, rest) = name.split_at_checked(at)?;
            Some((at, (gate, *group, rest.get(group.len().checked_add(2)?..))))
        });
        groups.min_by_key(|(at, _)| *at).map(|(_, found)| found)
    })
}

/// A value that is a whole number; 0 if it is not.
fn whole(value: &str) -> u64 {
    let value: f64 = value.parse().unwrap_or_default();
    // A digest has 48 bits: the conversion loses none of them.
    if value.is_finite() && value >= 0.0 { value as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{parted, whole};

    #[test]
    fn a_name_without_labels_is_parted() {
        for (name, expected) in [
            ("edge_mode", Some(("edge", "mode", None))),
            ("my_edge_policy_digest", Some(("my_edge", "policy_digest", None))),
            ("edge_denied_no_credential", Some(("edge", "denied", Some("no_credential")))),
            ("edge_policy_keys_not_yet_valid", Some(("edge", "policy_keys", Some("not_yet_valid")))),
            ("edge_key_ci_2026", Some(("edge", "key", Some("ci_2026")))),
            ("edge_enforcing", None),
        ] {
            assert_eq!(parted(name), expected, "{name}");
        }
        assert_eq!(whole("183295634823941"), 183_295_634_823_941);
        assert_eq!([whole("NaN"), whole("-1"), whole("x")], [0; 3]);
    }
}
