//! The proxy-wasm adapter: Envoy's callbacks in, hostcalls out. It has no rules of its own.

mod configuration;
mod host;
mod metrics;
#[cfg(feature = "trap-switch")]
mod trap;

use std::ffi::OsString;
use std::os::wasi::ffi::OsStringExt as _;

use portcullis_abi::{self as abi, Action, Level, Map, Plugin};

use crate::document::Mode;
use crate::headers::NO_HEADERS;
use crate::{Decision, Edit, Edits, Headers, Loaded, Outcome, Policy, Reply, Request};
use configuration::Configuration;
use host::Envoy;
use metrics::Metrics;

portcullis_abi::export!(super::Gate);

/// A policy at work. An update makes a new one, and this one goes when the last request that began under it is done.
struct Gate {
    policy: Policy,
    metrics: Metrics,
}

impl Plugin for Gate {
    /// Where a configuration is refused, Envoy keeps the one that it has, and fails to start where it has none.
    fn configure(size: usize) -> Option<Self> {
        let mut configuration = Configuration::new(size);
        let environment = |name: &str| std::env::var_os(name).map(OsString::into_vec);
        let loaded = Policy::load_from(&mut |into| configuration.read(into), &environment);
        match (loaded, configuration.failed) {
            (Ok(loaded), _) => return Some(start(loaded)),
            (Err(_), Some(status)) => {
                error(&format!("portcullis: policy refused: Envoy does not hand the configuration over ({status:?})"))
            }
            (Err(refusal), None) => error(&format!("portcullis: policy refused: {refusal}")),
        }
        None
    }

    fn on_request_headers(gate: Option<&Self>) -> Action {
        // Envoy sends no request to a plugin whose configuration was refused. Should another host do so, nobody comes in.
        let (Some(gate), Ok(block)) = (gate, abi::header_pairs(Map::RequestHeaders)) else { return send(UNCONFIGURED) };
        let Some(headers) = Headers::read(&block) else { return send(UNCONFIGURED) };
        #[cfg(feature = "trap-switch")]
        trap::at(trap::UNDECIDED, headers);
        let request = Request::new(headers);
        let decision = gate.policy.decide(&request, &Envoy, &mut ());
        gate.metrics.count(&decision);
        if gate.policy.access_log() || gate.policy.verdict(&decision) == "report" {
            record(&gate.policy, &decision);
        }
        match gate.policy.outcome(&request, &decision) {
            Outcome::Forward(edits) => {
                let action = forward(Map::RequestHeaders, &edits);
                #[cfg(feature = "trap-switch")]
                trap::at(trap::EDITED, headers);
                action
            }
            Outcome::Reply(reply) => send(reply),
        }
    }

    fn on_request_trailers(gate: Option<&Self>) -> Action {
        let map = Map::RequestTrailers;
        let (Some(gate), Ok(block)) = (gate, abi::header_pairs(map)) else { return send(UNCONFIGURED) };
        let Some(trailers) = Headers::read(&block) else { return send(UNCONFIGURED) };
        forward(map, &gate.policy.without_identity(&Request::new(trailers)))
    }
}

/// Says what is served from now on, in the log and in gauges.
fn start(loaded: Loaded) -> Gate {
    let Loaded { policy, refused_entries } = loaded;
    let name = policy.name();
    for entry in &refused_entries {
        error(&format!("portcullis {name}: key entry refused: {entry}"));
    }
    let mode = match policy.mode() {
        Mode::Enforce => "enforce",
        Mode::Report => "report: nothing is denied",
        Mode::Disabled => "disabled: everything passes",
    };
    let (digest, keys) = (policy.digest().first_48_bits(), policy.keyring().len());
    let refused = refused_entries.len();
    let loaded =
        format!("portcullis {name}: policy {digest:012x} is loaded: mode {mode}, {keys} keys, {refused} refused");
    abi::log(Level::Info, &loaded);
    if policy.mode() == Mode::Enforce && policy.keyring().is_empty() {
        let warning =
            format!("portcullis {name}: the policy has no usable key: only public paths and trusted callers pass");
        abi::log(Level::Warn, &warning);
    }
    let metrics = Metrics::define(&policy, refused_entries.len());
    Gate { policy, metrics }
}

const UNCONFIGURED: Reply<'_> = Reply { status: 503, headers: &NO_HEADERS, body: "" };

fn send(reply: Reply<'_>) -> Action {
    if abi::send_local_response(reply.status, reply.headers.as_bytes(), reply.body.as_bytes()).is_err() {
        // Neither in, nor left hanging: Envoy answers 5xx to the request of a VM that ends.
        abi::trap();
    }
    Action::Pause
}

fn error(text: &str) {
    abi::log(Level::Error, text);
}

/// Lets a request through with all of its edits, or not at all: an edit that fails may leave a forged identity.
fn forward(map: Map, edits: &Edits<'_>) -> Action {
    let done = edits.try_each(|edit| match edit {
        Edit::Remove(name) => abi::remove_header(map, name),
        Edit::Add(name, value) => abi::add_header(map, name, &value),
        Edit::Set(name, value) => abi::replace_header(map, name, &value),
    });
    if done.is_ok() { Action::Continue } else { send(UNCONFIGURED) }
}

/// Writes the decision to filter state, where access logs read it as `%FILTER_STATE(wasm.portcullis.reason:PLAIN)%`: on
/// request, and for what `report` mode would have denied.
#[cold]
fn record(policy: &Policy, decision: &Decision<'_>) {
    let write = |name: &str, value: &str| {
        let _ = abi::set_property(name.as_bytes(), value.as_bytes());
    };
    write("portcullis.decision", policy.verdict(decision));
    write("portcullis.reason", decision.reason());
    // Empty where nobody is known: a gate before this one may have written another consumer.
    let caller = decision.caller();
    write("portcullis.consumer", caller.map(|caller| caller.consumer.name).unwrap_or_default());
    write("portcullis.key_id", caller.map(|caller| caller.key.id()).unwrap_or_default());
}
