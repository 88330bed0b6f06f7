//! The proxy-wasm adapter: Envoy's callbacks in, hostcalls out. It has no rules of its own.

mod configuration;
mod host;
mod metrics;
#[cfg(feature = "trap-switch")]
mod trap;

use std::ffi::OsString;
use std::os::wasi::ffi::OsStringExt as _;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};

use crate::document::Mode;
use crate::{Decision, Edit, Edits, Loaded, Outcome, Policy, Reply, Request};
use configuration::Configuration;
use host::Envoy;
use metrics::Metrics;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { gate: None }));
}}

/// One plugin configuration on one VM. An update makes a new root context, and Envoy drops this one when the last
/// request that began under it is done.
struct Root {
    gate: Option<Rc<Gate>>,
}

/// A policy at work.
struct Gate {
    policy: Policy,
    metrics: Metrics,
}

impl Context for Root {}

impl RootContext for Root {
    /// False refuses the configuration: Envoy keeps the one that it has, and fails to start where it has none.
    fn on_configure(&mut self, size: usize) -> bool {
        let mut configuration = Configuration::new(size);
        let environment = |name: &str| std::env::var_os(name).map(OsString::into_vec);
        match (Policy::load_from(&mut configuration, &environment), configuration.failed) {
            (Ok(loaded), _) => {
                self.gate = Some(Rc::new(start(loaded)));
                true
            }
            (Err(_), Some(status)) => {
                log::error!("portcullis: policy refused: Envoy does not hand the configuration over ({status:?})");
                false
            }
            (Err(refusal), None) => {
                log::error!("portcullis: policy refused: {refusal}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { gate: self.gate.clone() }))
    }
}

/// Says what is served from now on, in the log and in gauges.
fn start(loaded: Loaded) -> Gate {
    let Loaded { policy, refused_entries } = loaded;
    let name = policy.name();
    for entry in &refused_entries {
        log::error!("portcullis {name}: key entry refused: {entry}");
    }
    let mode = match policy.mode() {
        Mode::Enforce => "enforce",
        Mode::Report => "report: nothing is denied",
        Mode::Disabled => "disabled: everything passes",
    };
    let (digest, keys) = (policy.digest().first_48_bits(), policy.keyring().len());
    log::info!(
        "portcullis {name}: policy {digest:012x} is loaded: mode {mode}, {keys} keys, {} refused",
        refused_entries.len()
    );
    if policy.mode() == Mode::Enforce && policy.keyring().is_empty() {
        log::warn!("portcullis {name}: the policy has no usable key: only public paths and trusted callers pass");
    }
    let metrics = Metrics::define(&policy, refused_entries.len());
    Gate { policy, metrics }
}

/// One request.
struct Stream {
    gate: Option<Rc<Gate>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // Envoy sends no request to a plugin whose configuration was refused. Should another host do so, nobody comes in.
        let Some(gate) = &self.gate else { return send(UNCONFIGURED) };
        let Ok(headers) = hostcalls::get_map_bytes(MapType::HttpRequestHeaders) else { return send(UNCONFIGURED) };
        #[cfg(feature = "trap-switch")]
        trap::at(trap::UNDECIDED, &headers);
        let request = Request::new(&headers);
        let decision = gate.policy.decide(&request, &Envoy, &mut ());
        gate.metrics.count(&decision);
        record(&gate.policy, &decision);
        match gate.policy.outcome(&request, &decision) {
            Outcome::Forward(edits) => {
                let action = forward(MapType::HttpRequestHeaders, &edits);
                #[cfg(feature = "trap-switch")]
                trap::at(trap::EDITED, &headers);
                action
            }
            Outcome::Reply(reply) => send(reply),
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let map = MapType::HttpRequestTrailers;
        let (Some(gate), Ok(trailers)) = (&self.gate, hostcalls::get_map_bytes(map)) else { return send(UNCONFIGURED) };
        forward(map, &gate.policy.without_identity(&Request::new(&trailers)))
    }
}

const UNCONFIGURED: Reply<'_> = Reply { status: 503, headers: Vec::new(), body: "" };

fn send(reply: Reply<'_>) -> Action {
    let body = (!reply.body.is_empty()).then_some(reply.body.as_bytes());
    let _ = hostcalls::send_http_response(u32::from(reply.status), reply.headers, body);
    Action::Pause
}

/// Lets a request through with all of its edits, or not at all: an edit that fails may leave a forged identity.
fn forward(map: MapType, edits: &Edits<'_>) -> Action {
    let done = edits.iter().try_for_each(|edit| match edit {
        Edit::Remove(name) => hostcalls::remove_map_value(map, name),
        Edit::Add(name, value) => hostcalls::add_map_value_bytes(map, name, value),
        Edit::Set(name, value) => hostcalls::set_map_value_bytes(map, name, Some(value)),
    });
    if done.is_ok() { Action::Continue } else { send(UNCONFIGURED) }
}

/// Writes the decision to filter state, where access logs read it as `%FILTER_STATE(wasm.portcullis.reason:PLAIN)%`: on
/// request, and for what `report` mode would have denied.
fn record(policy: &Policy, decision: &Decision<'_>) {
    let verdict = policy.verdict(decision);
    if !policy.access_log() && verdict != "report" {
        return;
    }
    let write = |name: &str, value: &str| {
        let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
    };
    write("portcullis.decision", verdict);
    write("portcullis.reason", decision.reason());
    // Empty where nobody is known: a gate before this one may have written another consumer.
    let caller = decision.caller();
    write("portcullis.consumer", caller.map(|caller| caller.consumer.name).unwrap_or_default());
    write("portcullis.key_id", &caller.map(|caller| caller.key.id()).unwrap_or_default());
}
