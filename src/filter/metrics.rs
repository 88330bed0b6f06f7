//! The gate's metrics. All gates of one Envoy share one set of stats, so each name contains the gate's name:
//!
//! * `wasmcustom.portcullis.NAME.allowed.REASON` and `.denied.REASON`
//! * `.reported.REASON`, instead of `.denied`, in `report` mode
//! * `.key.ID`, if the policy has `key_metrics`
//! * the gauges `.mode`, `.instances`, `.loaded_at_seconds`, `.policy_digest`, `.policy_keys.STATE`,
//!   `.next_key_expiry_seconds` and `.refused_entries`; `.enforcing` and `.keys` are deprecated: the next release removes
//!   them
//!
//! States are gauges, not counters: a configuration is loaded once for each VM.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::{Rc, Weak};

use proxy_wasm::hostcalls::{define_metric, increment_metric, record_metric};
use proxy_wasm::types::MetricType;

use super::host::Envoy;
use super::lease::Lease;
use crate::decision::{Caller, Decision, Host as _, Policy, Reason};
use crate::document::Mode;
use crate::keys::{Census, Digest, Keyring};
use crate::value::Timestamp;

thread_local! {
    /// The ids of the metrics that this VM has defined, by the digest of their names. Envoy stores an entry for each call
    /// of `define_metric` as long as the VM lives, even for a name that is already defined. Without this map, an update
    /// that defined all metrics again cost Envoy some 2 KiB permanently.
    static DEFINED: RefCell<Ids> = RefCell::default();

    /// The newest gate of each name. An older one stays until its last connection has ended, and must not set the gauges
    /// of the keys: its keys are others.
    static NEWEST: RefCell<Vec<(String, Weak<Counted>)>> = const { RefCell::new(Vec::new()) };
}

/// The time from which the gauges of the keys are true, and the time from which they are no longer.
type Counted = Cell<(Timestamp, Timestamp)>;

/// Gauges that are never true.
const NOT_COUNTED: (Timestamp, Timestamp) = (Timestamp::MAX, Timestamp::MIN);

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

/// The metrics of a gate.
pub(super) struct Metrics {
    /// The ids of the counters by reason; `None` if a metric could not be defined.
    reasons: Vec<Option<u32>>,
    keys: Option<RefCell<Keys>>,
    states: States,
}

/// The gauges of the keys by state.
struct States {
    usable: Gauge,
    disabled: Gauge,
    expired: Gauge,
    not_yet_valid: Gauge,
    next_expiry: Gauge,
    gate: String,
    counted: Rc<Counted>,
}

/// The id of a gauge, if it could be defined.
#[derive(Clone, Copy)]
struct Gauge(Option<u32>);

impl Gauge {
    fn define(gate: &str, name: &str) -> Self {
        Self(define(MetricType::Gauge, &format!("portcullis.{gate}.{name}")))
    }

    fn set(self, value: u64) {
        let _ = self.0.map(|gauge| record_metric(gauge, value));
    }
}

/// The counters of the keys that have been used. Each is defined on first use, since most of many keys are never used.
struct Keys {
    prefix: String,
    ids: Ids,
}

/// Takes a lease for a gate: it counts as loaded in the gauge `instances` until the lease is dropped.
pub(super) fn lease(gate: &str) -> Option<Lease> {
    Lease::take(gate, Gauge::define(gate, "instances").0?)
}

impl Metrics {
    /// Defines every metric, so that each exists with value 0 from the start, and sets the gauges.
    pub(super) fn define(policy: &Policy, refused_entries: usize) -> Self {
        let gate = policy.name();
        let set = |name: &str, value: u64| Gauge::define(gate, name).set(value);
        set("policy_digest", policy.digest().first_48_bits());
        set("refused_entries", refused_entries as u64);
        set("mode", mode(policy.mode()));
        set("loaded_at_seconds", seconds(Envoy.now()));
        set("enforcing", u64::from(policy.mode() == Mode::Enforce));
        set("keys", policy.keyring().len() as u64);
        let denied = if policy.mode() == Mode::Report { "reported" } else { "denied" };
        let counter = |reason: &Reason| {
            let group = if reason.is_allowed() { "allowed" } else { denied };
            define(MetricType::Counter, &format!("portcullis.{gate}.{group}.{}", reason.name()))
        };
        let metrics = Self {
            reasons: Reason::ALL.iter().map(counter).collect(),
            keys: policy.key_metrics().then(|| {
                let prefix = format!("portcullis.{gate}.key.");
                RefCell::new(Keys { prefix, ids: Ids::default() })
            }),
            states: States::define(gate),
        };
        metrics.refresh(policy.keyring());
        metrics
    }

    /// Sets the gauges of the keys by state, if a key has changed its state since they were set.
    pub(super) fn refresh(&self, keyring: &Keyring) {
        self.states.refresh(keyring);
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

impl States {
    fn define(gate: &str) -> Self {
        let gauge = |name| Gauge::define(gate, name);
        let states = Self {
            usable: gauge("policy_keys.usable"),
            disabled: gauge("policy_keys.disabled"),
            expired: gauge("policy_keys.expired"),
            not_yet_valid: gauge("policy_keys.not_yet_valid"),
            next_expiry: gauge("next_key_expiry_seconds"),
            gate: gate.to_owned(),
            counted: Rc::new(Cell::new(NOT_COUNTED)),
        };
        NEWEST.with(|newest| newest.try_borrow_mut().map(|mut newest| states.become_newest(&mut newest)).ok());
        states
    }

    fn become_newest(&self, newest: &mut Vec<(String, Weak<Counted>)>) {
        self.counted.set(NOT_COUNTED);
        newest.retain(|(gate, _)| *gate != self.gate);
        newest.push((self.gate.clone(), Rc::downgrade(&self.counted)));
    }

    fn refresh(&self, keyring: &Keyring) {
        let Some(now) = Envoy.now().filter(|_| self.is_newest()) else { return };
        let (from, until) = self.counted.get();
        // The clock may have been set back.
        if (from..until).contains(&now) {
            return;
        }
        let Census { usable, disabled, expired, not_yet_valid, next_expiry, valid_until } = keyring.census(now);
        self.usable.set(usable);
        self.disabled.set(disabled);
        self.expired.set(expired);
        self.not_yet_valid.set(not_yet_valid);
        self.next_expiry.set(seconds(next_expiry));
        self.counted.set((now, valid_until));
    }

    /// Whether this is the newest gate of its name. It becomes that when the newest is gone.
    fn is_newest(&self) -> bool {
        NEWEST.with(|newest| {
            let Ok(mut newest) = newest.try_borrow_mut() else { return false };
            let found = newest.iter().find(|(gate, _)| *gate == self.gate).and_then(|(_, counted)| counted.upgrade());
            let Some(counted) = found else {
                self.become_newest(&mut newest);
                return true;
            };
            Rc::ptr_eq(&counted, &self.counted)
        })
    }
}

/// The value of the gauge `mode`.
fn mode(mode: Mode) -> u64 {
    match mode {
        Mode::Disabled => 0,
        Mode::Report => 1,
        Mode::Enforce => 2,
    }
}

/// Seconds since 1970; 0 for no time.
fn seconds(time: Option<Timestamp>) -> u64 {
    time.and_then(|Timestamp(seconds)| u64::try_from(seconds).ok()).unwrap_or_default()
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
