//! The gate's metrics. All gates of one Envoy share one set of stats, so each name contains the gate's name:
//!
//! * `wasmcustom.portcullis.NAME.allowed.REASON` and `.denied.REASON`
//! * `.reported.REASON`, instead of `.denied`, in `report` mode
//! * `.key.ID`, if the policy has `key_metrics`
//!
//! States are gauges, not counters: a configuration is loaded once for each VM.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use proxy_wasm::hostcalls::{define_metric, increment_metric, record_metric};
use proxy_wasm::types::MetricType;

use crate::decision::{Caller, Decision, Policy, Reason};
use crate::document::Mode;
use crate::keys::Digest;

thread_local! {
    /// The ids of the metrics that this VM has defined, by the digest of their names. Envoy stores an entry for each call
    /// of `define_metric` as long as the VM lives, even for a name that is already defined. Without this map, an update
    /// that defined all metrics again cost Envoy some 2 KiB permanently.
    static DEFINED: RefCell<Ids> = RefCell::default();
}

/// The ids of metrics, by the digest of a name or of a key.
type Ids = HashMap<Digest, u32, BuildHasherDefault<DefaultHasher>>;

/// Returns the id of a metric, and defines the metric once for each VM. A name has the same kind in every policy.
fn define(kind: MetricType, name: &str) -> Option<u32> {
    DEFINED.with(|defined| {
        let mut defined = defined.try_borrow_mut().ok()?;
        let digest = Digest::of(name.as_bytes());
        if let Some(id) = defined.get(&digest) {
            return Some(*id);
        }
        let id = define_metric(kind, name).ok()?;
        defined.insert(digest, id);
        Some(id)
    })
}

/// The ids of the counters.
pub(super) struct Metrics {
    /// The ids by reason; `None` if a metric could not be defined.
    reasons: Vec<Option<u32>>,
    keys: Option<RefCell<Keys>>,
}

/// The counters of the keys that have been used. Each is defined on first use, since most of many keys are never used.
struct Keys {
    prefix: String,
    ids: Ids,
}

impl Metrics {
    /// Defines every metric, so that each exists with value 0 from the start, and sets the gauges.
    pub(super) fn define(policy: &Policy, refused_entries: usize) -> Self {
        let metric = |kind, name: &str| define(kind, &format!("portcullis.{}.{name}", policy.name()));
        let gauge = |name: &str, value: u64| {
            let _ = metric(MetricType::Gauge, name).map(|gauge| record_metric(gauge, value));
        };
        gauge("policy_digest", policy.digest().first_48_bits());
        gauge("keys", policy.keyring().len() as u64);
        gauge("refused_entries", refused_entries as u64);
        gauge("enforcing", u64::from(policy.mode() == Mode::Enforce));
        let denied = if policy.mode() == Mode::Report { "reported" } else { "denied" };
        let counter = |reason: &Reason| {
            let group = if reason.is_allowed() { "allowed" } else { denied };
            metric(MetricType::Counter, &format!("{group}.{}", reason.name()))
        };
        Self {
            reasons: Reason::ALL.iter().map(counter).collect(),
            keys: policy.key_metrics().then(|| {
                let prefix = format!("portcullis.{}.key.", policy.name());
                RefCell::new(Keys { prefix, ids: Ids::default() })
            }),
        }
    }

    /// Counts a decision.
    pub(super) fn count(&self, decision: &Decision<'_>) {
        if let Some(Some(id)) = self.reasons.get(decision.reason as usize) {
            let _ = increment_metric(*id, 1);
        }
        if let (Some(keys), Some(caller)) = (&self.keys, &decision.caller)
            && decision.is_allowed()
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
        let id = ids.get(&caller.key.digest()).copied().or_else(|| {
            let id = define(MetricType::Counter, &format!("{prefix}{}", caller.key.id()))?;
            ids.insert(caller.key.digest(), id);
            Some(id)
        });
        let _ = id.map(|id| increment_metric(id, 1));
    }
}
