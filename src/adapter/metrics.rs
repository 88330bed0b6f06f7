//! The gate's metrics. Their names hold the gate's name, because all gates of one Envoy share one set of stats:
//! `wasmcustom.portcullis.NAME.allowed.REASON`, `.denied.REASON`, and `.reported.REASON` for what `report` mode would
//! have denied; `.key.ID`, where the policy asks for it. What is a state and no event is a gauge: a configuration is loaded once a VM.

use std::cell::RefCell;
use std::collections::BTreeMap;

use portcullis_abi::{self as abi, Kind, Metric};

use crate::digest::Digest;
use crate::document::Mode;
use crate::{Caller, DENIALS, Decision, GRANTS, Grant, Policy};

/// The counters that the host has, by the place of the reason's name.
pub(super) struct Metrics {
    allowed: [Option<Metric>; GRANTS.len()],
    denied: [Option<Metric>; DENIALS.len()],
    keys: Option<RefCell<Keys>>,
}

/// The counters of the keys that have been used: nobody sees a hundred thousand of them for the three that are.
struct Keys {
    prefix: String,
    ids: BTreeMap<Digest, Option<Metric>>,
}

impl Metrics {
    /// Defines every metric, so that each is there with 0 from the start, and sets the gauges.
    pub(super) fn define(policy: &Policy, refused_entries: usize) -> Self {
        let metric = |kind, name: &str| abi::define_metric(kind, &format!("portcullis.{}.{name}", policy.name())).ok();
        let gauge = |name: &str, value: u64| {
            let _ = metric(Kind::Gauge, name).map(|gauge| abi::record_metric(gauge, value));
        };
        gauge("policy_digest", policy.digest().first_48_bits());
        gauge("keys", policy.keyring().len() as u64);
        gauge("refused_entries", refused_entries as u64);
        gauge("enforcing", u64::from(policy.mode() == Mode::Enforce));
        let counter = |group: &str, reason: &str| metric(Kind::Counter, &format!("{group}.{reason}"));
        let denied = if policy.mode() == Mode::Report { "reported" } else { "denied" };
        Self {
            allowed: GRANTS.map(|reason| counter("allowed", reason)),
            denied: DENIALS.map(|reason| counter(denied, reason)),
            keys: policy.key_metrics().then(|| {
                let prefix = format!("portcullis.{}.key.", policy.name());
                RefCell::new(Keys { prefix, ids: BTreeMap::new() })
            }),
        }
    }

    /// Counts a decision.
    pub(super) fn count(&self, decision: &Decision<'_>) {
        let id = match decision {
            Decision::Allow(grant) => self.allowed.get(grant.index()),
            Decision::Deny(denial) => self.denied.get(denial.index()),
        };
        if let Some(Some(id)) = id {
            let _ = abi::increment_metric(*id);
        }
        if let (Some(keys), Decision::Allow(Grant::Key(caller))) = (&self.keys, decision)
            && let Ok(mut keys) = keys.try_borrow_mut()
        {
            keys.count(caller);
        }
    }
}

impl Keys {
    #[cold]
    fn count(&mut self, caller: &Caller<'_>) {
        let Self { prefix, ids } = self;
        let id = ids
            .entry(caller.key.digest())
            .or_insert_with(|| abi::define_metric(Kind::Counter, &format!("{prefix}{}", caller.key.id())).ok());
        let _ = id.map(abi::increment_metric);
    }
}
