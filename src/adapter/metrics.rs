//! The gate's metrics. Their names hold the gate's name, because all gates of one Envoy share one set of stats:
//! `wasmcustom.portcullis.NAME.allowed.REASON`, `.denied.REASON`, and `.reported.REASON` for what `report` mode would
//! have denied; `.key.ID`, where the policy asks for it. What is a state and no event is a gauge: a configuration is loaded once a VM.

use std::cell::RefCell;
use std::collections::BTreeMap;

use portcullis_abi::{self as abi, Kind, Metric};

use crate::digest::Digest;
use crate::document::Mode;
use crate::{Caller, DENIALS, Decision, GRANTS, Grant, Policy};

thread_local! {
    /// The metrics that this VM has defined, by the digest of the name. Envoy keeps an entry for each call of `define_metric` as
    /// long as the VM lives, also where it knows the name: an update that defined all metrics again cost it some 2 KiB for good.
    static DEFINED: RefCell<BTreeMap<Digest, Option<Metric>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The metric of that name, which is of that kind in every policy; defined once in a VM.
fn define(kind: Kind, name: &str) -> Option<Metric> {
    let defined = DEFINED.try_with(|defined| {
        let mut defined = defined.try_borrow_mut().ok()?;
        let metric = defined.entry(Digest::of(name.as_bytes())).or_default();
        *metric = metric.or_else(|| abi::define_metric(kind, name).ok());
        *metric
    });
    defined.ok().flatten()
}

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
        let metric = |kind, name: &str| define(kind, &format!("portcullis.{}.{name}", policy.name()));
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
            .or_insert_with(|| define(Kind::Counter, &format!("{prefix}{}", caller.key.id())));
        let _ = id.map(abi::increment_metric);
    }
}
