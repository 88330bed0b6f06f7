//! The gate's metrics. Their names hold the gate's name, because all gates of one Envoy share one set of stats:
//! `wasmcustom.portcullis.NAME.allowed.REASON`, `.denied.REASON`, and `.reported.REASON` for what `report` mode would
//! have denied. What is a state and no event is a gauge: a configuration is loaded once a VM.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::document::Mode;
use crate::{DENIALS, Decision, GRANTS, Policy};

/// The ids of the counters, by the place of the reason's name.
pub(super) struct Metrics {
    allowed: [u32; GRANTS.len()],
    denied: [u32; DENIALS.len()],
}

impl Metrics {
    /// Defines every metric, so that each is there with 0 from the start, and sets the gauges.
    pub(super) fn define(policy: &Policy, refused_entries: usize) -> Self {
        let metric = |kind, name: &str| {
            hostcalls::define_metric(kind, &format!("portcullis.{}.{name}", policy.name())).unwrap_or_default()
        };
        let gauge = |name: &str, value: u64| {
            let _ = hostcalls::record_metric(metric(MetricType::Gauge, name), value);
        };
        gauge("policy_digest", policy.digest().first_48_bits());
        gauge("keys", policy.keyring().len() as u64);
        gauge("refused_entries", refused_entries as u64);
        gauge("enforcing", u64::from(policy.mode() == Mode::Enforce));
        let counter = |group: &str, reason: &str| metric(MetricType::Counter, &format!("{group}.{reason}"));
        let denied = if policy.mode() == Mode::Report { "reported" } else { "denied" };
        Self {
            allowed: GRANTS.map(|reason| counter("allowed", reason)),
            denied: DENIALS.map(|reason| counter(denied, reason)),
        }
    }

    /// Counts a decision.
    pub(super) fn count(&self, decision: &Decision<'_>) {
        let id = match decision {
            Decision::Allow(grant) => self.allowed.get(grant.index()),
            Decision::Deny(denial) => self.denied.get(denial.index()),
        };
        if let Some(id) = id {
            let _ = hostcalls::increment_metric(*id, 1);
        }
    }
}
