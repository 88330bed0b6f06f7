//! The proxy-wasm filter: implements Envoy's callbacks and applies decisions by hostcalls. It has no rules of its own.
//!
//! It uses the SDK, except for the calls in [`hostcalls`]. `scripts/link-filter` keeps only those exports of the SDK that
//! are implemented here, since Envoy enters the VM for each export that it finds.

mod access_log;
mod configuration;
mod host;
mod hostcalls;
mod lease;
mod metrics;
#[cfg(feature = "trap-switch")]
mod trap;

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::wasi::ffi::OsStringExt as _;
use std::rc::Rc;

use log::{error, info, warn};
use proxy_wasm::hostcalls::set_tick_period;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};

use crate::decision::{HeaderMutation, HeaderMutations, Loaded, Outcome, Policy, Reply};
use crate::document::Mode;
use crate::request::headers::NO_HEADERS;
use crate::request::{Headers, Request};
use access_log::AccessLog;
use configuration::Configuration;
use host::Envoy;
use lease::Lease;
use metrics::Metrics;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}}

/// A plugin: one position in a filter chain. It has no gate until its configuration is accepted.
#[derive(Default)]
struct Plugin {
    gate: Option<Rc<Gate>>,
    /// Counts the plugin as loaded until Envoy deletes it.
    lease: Option<Lease>,
}

/// A policy in use, with its metrics. An update creates a new gate. The old one is dropped after the last request that
/// began with it.
struct Gate {
    policy: Policy,
    metrics: Metrics,
    access_log: AccessLog,
}

/// A request, with the gate that was in use when it began.
struct Exchange {
    gate: Option<Rc<Gate>>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    /// Loads the policy. If it is refused, Envoy keeps the previous one, or fails to start if there is none.
    fn on_configure(&mut self, size: usize) -> bool {
        let environment = |name: &str| std::env::var_os(name).map(OsString::into_vec);
        match Policy::load_from(&mut Configuration::new(size), &environment) {
            Ok(loaded) => {
                let gate = start(loaded);
                self.lease = metrics::lease(gate.policy.name());
                let _ = set_tick_period(lease::PERIOD);
                self.gate = Some(Rc::new(gate));
                true
            }
            Err(refusal) => {
                error!("portcullis: policy refused: {refusal}");
                false
            }
        }
    }

    /// Keeps the gauges true, by a timer.
    fn on_tick(&mut self) {
        if let Some(gate) = &self.gate {
            gate.metrics.refresh(gate.policy.keyring());
        }
        if let Some(lease) = &self.lease {
            lease.renew();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange { gate: self.gate.clone() }))
    }
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // Envoy sends no request to a plugin whose configuration was refused. If another host does, all requests are
        // denied.
        let Some(gate) = &self.gate else { return send(UNCONFIGURED) };
        let Ok(block) = hostcalls::header_block(MapType::HttpRequestHeaders) else { return send(HOST_FAILED) };
        let Some(headers) = Headers::read(&block) else { return send(HOST_FAILED) };
        #[cfg(feature = "trap-switch")]
        trap::at(trap::UNDECIDED, headers);
        let request = Request::new(headers);
        let decision = gate.policy.decide(&request, &Envoy, &mut ());
        gate.metrics.count(&decision);
        if gate.policy.access_log() || gate.policy.only_reports(&decision) {
            gate.access_log.write(gate.policy.verdict(&decision), &decision);
        }
        match gate.policy.outcome(&request, &decision) {
            Outcome::Forward(mutations) => {
                let action = forward(MapType::HttpRequestHeaders, &mutations);
                #[cfg(feature = "trap-switch")]
                trap::at(trap::MUTATED, headers);
                action
            }
            Outcome::Reply(reply) => send(reply),
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let map = MapType::HttpRequestTrailers;
        let Some(gate) = &self.gate else { return send(UNCONFIGURED) };
        let Ok(block) = hostcalls::header_block(map) else { return send(HOST_FAILED) };
        let Some(trailers) = Headers::read(&block) else { return send(HOST_FAILED) };
        forward(map, &gate.policy.without_identity(&Request::new(trailers)))
    }
}

/// Creates a gate for a new policy, and reports the policy in the log and in gauges.
fn start(loaded: Loaded) -> Gate {
    let Loaded { policy, refused_entries } = loaded;
    let name = policy.name();
    for entry in &refused_entries {
        error!("portcullis {name}: invalid key entry skipped: {entry}");
    }
    let mode = match policy.mode() {
        Mode::Enforce => "enforce",
        Mode::Report => "report: nothing is denied",
        Mode::Disabled => "disabled: everything passes",
    };
    let (digest, keys) = (policy.digest().first_48_bits(), policy.keyring().len());
    let refused = refused_entries.len();
    info!("portcullis {name}: policy {digest:012x} is loaded: mode {mode}, {keys} keys, {refused} refused");
    if policy.mode() == Mode::Enforce && policy.keyring().is_empty() {
        warn!("portcullis {name}: the policy has no usable key: only public paths and trusted callers pass");
    }
    let metrics = Metrics::define(&policy, refused_entries.len());
    let access_log = AccessLog::new(policy.name());
    Gate { policy, metrics, access_log }
}

/// The reply if a hostcall fails, or if the header pairs cannot be parsed.
const HOST_FAILED: Reply<'_> = Reply { details: "portcullis_host_failed", ..UNCONFIGURED };

/// The reply if there is no policy.
const UNCONFIGURED: Reply<'_> =
    Reply { status: 503, details: "portcullis_unconfigured", headers: &NO_HEADERS, body: Cow::Borrowed("") };

fn send(reply: Reply<'_>) -> Action {
    let Reply { status, details, headers, body } = reply;
    if hostcalls::send_local_response(status, details, headers.as_bytes(), &body).is_err() {
        // Ends the VM, so that the request is neither forwarded nor left without an answer: Envoy then replies with a 5xx
        // status.
        std::process::abort();
    }
    Action::Pause
}

/// Forwards a request with all of its mutations. If one fails, a forged identity may remain, so the request is not
/// forwarded.
fn forward(map: MapType, mutations: &HeaderMutations<'_>) -> Action {
    let done = mutations.try_each(|mutation| match mutation {
        HeaderMutation::Remove(name) => hostcalls::remove_header(map, name),
        HeaderMutation::Add(name, value) => hostcalls::add_header(map, name, &value),
        HeaderMutation::Set(name, value) => hostcalls::replace_header(map, name, &value),
    });
    if done.is_ok() { Action::Continue } else { send(HOST_FAILED) }
}
