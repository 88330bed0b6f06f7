//! The running gate: starts Envoy, and delivers policy changes.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use portcullis::Keyring;
use portcullis::document::Mode;

use super::admin::Admin;
use super::process::{Plan, Process, Requests};
use super::running::{PATIENCE, PULSE, Running, private_directory};
use super::source::{Overrides, Ready, Source};
use super::{ADMIN_ADDRESS, BOOTSTRAP, Event, access, upstream};
use crate::import::deepaas::VARIABLE as TOKEN;
use crate::log::{Level, tell, warn};
use crate::module;
use crate::output::{GREEN, RED, count, note};
use crate::render::NAME;
use crate::render::envoy::{self, Filter, Gate, Proxy, Tls};
use crate::render::forwarding::Forwarding;
use crate::render::service::Service;
use crate::served::Served;
use crate::store::write_atomically;
use crate::watch::REMINDER;
use crate::when::now;
use crate::yaml::Node;

/// Log messages that are not shown: a warning of Envoy at every start, which does not apply to a gate on one machine,
/// and messages of the gate about its policy, which were already printed.
const EXPECTED: [&str; 3] = [
    "There is no configured limit to the number of allowed active downstream connections",
    ": invalid key entry skipped: ",
    ": the policy has no usable key: ",
];

/// The requested proxy.
#[derive(Debug)]
pub(super) struct ProxySpec {
    pub(super) listen: SocketAddr,
    pub(super) service: Service,
    pub(super) tls: Option<Tls>,
    pub(super) forwarding: Forwarding,
    /// The admin interface. `None` means a private socket.
    pub(super) admin: Option<envoy::Admin>,
}

/// A running gate.
#[derive(Debug)]
pub(super) struct Live {
    source: Source,
    overrides: Overrides,
    envoy: Running,
    spec: ProxySpec,
    module: PathBuf,
    file: PathBuf,
    /// The contents of the file.
    written: Vec<u8>,
    /// The policy that Envoy has not loaded yet.
    pending: Option<Pending>,
    /// Who gets in, as it was printed last.
    exposure: Option<[String; 3]>,
    /// Whether the last change was refused.
    is_refused: bool,
    is_started: bool,
}

/// A policy that was written, but is not yet live.
#[derive(Debug)]
struct Pending {
    /// The gauge that shows its digest once it is live.
    gauge: String,
    digest: u64,
    /// The message for that.
    summary: String,
    /// Who gets in then.
    exposure: [String; 3],
    /// The policy of the file, if this one differs.
    served: Option<Served>,
    mode: Mode,
    /// The number of policies that Envoy had refused before.
    refused: u64,
    since: Instant,
}

/// The counter of refused policies.
const REFUSED: &str = "extension_config_discovery.http_filter.portcullis.config_fail";

impl Live {
    /// Writes all files for Envoy into a private directory, and starts Envoy.
    ///
    /// # Errors
    /// If the directory cannot be written, or Envoy cannot be started.
    pub(super) fn start(
        envoy: &Path,
        spec: ProxySpec,
        source: Source,
        overrides: Overrides,
        ready: Ready,
        quiet: bool,
        events: Sender<Event>,
    ) -> Result<Self> {
        let directory = private_directory()?;
        let at = |name: &str| std::path::absolute(directory.path().join(name));
        let (module, file, socket) = (at("portcullis.wasm")?, at("gate.json")?, at("admin.sock")?);
        // sockaddr_un(7): 108 bytes with a NUL at the end.
        if socket.as_os_str().len() > 107 {
            bail!("{} is too long for the name of a socket: set TMPDIR to a shorter directory", socket.display());
        }
        let address = spec.admin.clone().unwrap_or(envoy::Admin::Socket(socket));
        let on_socket = match &address {
            envoy::Admin::Socket(file) => Some(file.clone()),
            envoy::Admin::Address(_) => None,
        };
        let admin = Admin { socket: on_socket, address_file: at(ADMIN_ADDRESS)? };
        let (filter, pending) = describe(&module, &ready, 0);
        let written = delivered(&filter, &ready).to_json()?;
        let proxy = Proxy {
            name: ready.loaded.policy.name().to_owned(),
            listen: spec.listen,
            service: spec.service.clone(),
            admin: Some(address),
            tls: spec.tls.clone(),
            gate: Gate::Discovered { name: NAME.to_owned(), file: file.clone() },
            forwarding: spec.forwarding.clone(),
            limits: None,
            access_log: Some(access::FORMAT.to_owned()),
        };
        fs::write(&module, module::BYTES)?;
        fs::write(&file, &written)?;
        let configuration = at(BOOTSTRAP)?;
        fs::write(&configuration, envoy::bootstrap(&proxy).to_json()?)?;
        let plan = Plan {
            configuration: &configuration,
            node: Some(NAME),
            requests: if quiet { Requests::Quiet } else { Requests::Lines },
            hidden: matches!(source, Source::Token(_) | Source::Deepaas(..)).then_some(TOKEN),
            expected: &EXPECTED,
        };
        let process = Process::start(envoy, directory.path(), &plan, events)?;
        // From here on it is deleted when Envoy ends.
        let _ = directory.keep();
        ready.remarks.iter().for_each(warn);
        Ok(Self {
            source,
            overrides,
            envoy: Running { process, admin },
            spec,
            module,
            file,
            written,
            pending: Some(pending),
            exposure: None,
            is_refused: false,
            is_started: false,
        })
    }

    /// Runs until it is stopped (true), or Envoy ends by itself (false).
    ///
    /// # Errors
    /// Only internal errors.
    pub(super) fn run_until_stopped(mut self, events: &Receiver<Event>) -> Result<bool> {
        loop {
            let pulse = match (&self.pending, self.is_refused) {
                (Some(_), _) => PULSE,
                (None, true) => REMINDER,
                (None, false) => Duration::MAX,
            };
            match events.recv_timeout(pulse) {
                Ok(Event::Changed) => self.change(),
                Ok(Event::Stop) => {
                    self.envoy.stop(events);
                    return Ok(true);
                }
                Ok(Event::Ended(status)) => {
                    self.envoy.ended(status);
                    return Ok(false);
                }
                // Repeats the message, unless the files are valid now.
                Err(RecvTimeoutError::Timeout) if self.pending.is_none() => self.change(),
                Err(RecvTimeoutError::Timeout) => {
                    if !self.check_pending() {
                        self.envoy.process.end();
                        return Ok(false);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => bail!("internal error: the channel of events is closed"),
            }
        }
    }

    /// Delivers the changed policy to Envoy, unless the gate would refuse it.
    fn change(&mut self) {
        let was_refused = self.is_refused;
        let changed = self.source.read(&self.overrides).and_then(|ready| self.write(&ready));
        self.is_refused = changed.is_err();
        match changed {
            Ok(()) if was_refused && self.pending.is_none() => {
                note("the files are valid again: the live policy has them already");
            }
            Ok(()) => {}
            Err(error) => {
                // A key can be revoked even now.
                let rest = self.source.without_revoked(&self.overrides);
                let is_revoked = rest.is_some_and(|ready| self.write(&ready).is_ok());
                let but = if is_revoked { ", without the keys that the store revokes" } else { "" };
                let kept = format_args!("The previous policy stays active{but}");
                let error = format!("{error:#}");
                let stop = if error.ends_with('?') { "" } else { "." };
                tell(Level::Error, format_args!("{RED}refused{RED:#}: {error}{stop} {kept}"));
            }
        }
    }

    fn write(&mut self, ready: &Ready) -> Result<()> {
        let (filter, pending) = describe(&self.module, ready, self.envoy.admin.stat(REFUSED).unwrap_or_default());
        let text = delivered(&filter, ready).to_json()?;
        if text == self.written {
            return Ok(());
        }
        ready.remarks.iter().for_each(warn);
        write_atomically(&self.file, &text, 0o600)?;
        (self.written, self.pending) = (text, Some(pending));
        Ok(())
    }

    /// Checks whether the pending policy is live or refused. Returns whether to continue.
    fn check_pending(&mut self) -> bool {
        let Some(pending) = &self.pending else { return true };
        let is_up = self.is_started || self.envoy.admin.is_ready();
        let trouble = if is_up && self.envoy.admin.stat(&pending.gauge) == Some(pending.digest) {
            if !self.is_started {
                self.is_started = true;
                self.welcome();
            }
            self.announce();
            None
        } else if is_up && self.envoy.admin.stat(REFUSED).unwrap_or_default() > pending.refused {
            Some("Envoy refused the policy, for the reason above")
        } else if pending.since.elapsed() > PATIENCE {
            Some("Envoy has not loaded the policy within a minute")
        } else {
            return true;
        };
        self.pending = None;
        let Some(trouble) = trouble else { return true };
        let then = if self.is_started { ". The previous policy stays active" } else { "" };
        tell(Level::Error, format_args!("{RED}{trouble}{RED:#}{then}"));
        self.is_started
    }

    fn welcome(&self) {
        let scheme = if self.spec.tls.is_some() { "https" } else { "http" };
        let listeners = self.envoy.admin.listeners().unwrap_or_default();
        let listen = listeners.first().map_or(self.spec.listen, |(_, address)| *address);
        let place = self.spec.service.upstream();
        note(format_args!("{GREEN}listening on {scheme}://{listen}{GREEN:#}, in front of {place}. Ctrl-C stops it"));
        if let (None, Ok(admin)) = (&self.envoy.admin.socket, self.envoy.admin.listens()) {
            note(format_args!("Envoy's admin interface is at http://{admin}: whoever can reach it can stop the gate"));
        }
        if self.spec.tls.is_none() && !listen.ip().is_loopback() {
            warn(format_args!("keys are sent over the network in plain text: use --tls-cert and --tls-key"));
        }
        if self.spec.service.is_unchecked() {
            warn(format_args!(
                "the certificate of {place} is not checked: whoever is on the way to it can read \
                 and change every request. Use --upstream-ca FILE instead of --upstream-insecure"
            ));
        }
        upstream::watch(place.clone(), listen);
    }

    /// Prints that the pending policy is live, who gets in unless that is as before, and a warning if it does not enforce.
    fn announce(&mut self) {
        let Some(Pending { digest, summary, mode, exposure, served, .. }) = &self.pending else { return };
        let valid = if self.is_refused { "the last valid " } else { "" };
        let changes = served.as_ref().map_or(String::new(), |served| {
            format!("; served with {}, which Envoy shows as policy {digest:012x}", served.changes())
        });
        let digest = served.as_ref().map_or(*digest, |served| served.digest);
        note(format_args!("policy {digest:012x} is live: {summary}; from {valid}{}{changes}", self.source));
        if *mode != Mode::Disabled && self.exposure.as_ref() != Some(exposure) {
            exposure.iter().for_each(note);
            self.exposure = Some(exposure.clone());
        }
        let place = self.spec.service.upstream();
        match (mode, &self.source) {
            (Mode::Enforce, _) => {}
            (Mode::Report, _) => warn(format_args!(
                "mode report: no request is denied; each line shows what enforce would \
                 have decided"
            )),
            (Mode::Disabled, Source::Nowhere) => warn_of_open(format_args!(
                "There is no key and no policy: every caller can reach every path of {place}. To close it, use \
                 --bearer-token TOKEN, --api-keys FILE or a policy (`portcullis init` writes one), or set {TOKEN}"
            )),
            (Mode::Disabled, _) => warn_of_open(format_args!(
                "Its mode is disabled: every caller can reach every path of {place}. To close it, use mode enforce"
            )),
        }
    }
}

/// The filter with this policy, and the gauge that shows that it is live.
fn describe(module: &Path, ready: &Ready, refused: u64) -> (Filter, Pending) {
    let policy = &ready.loaded.policy;
    let filter = Filter {
        name: NAME.to_owned(),
        module: module.to_owned(),
        policy: ready.keyless.node.clone(),
        variables: ready.keyless.variables.clone(),
    };
    let pending = Pending {
        gauge: format!("wasmcustom.portcullis.{}.policy_digest", policy.name()),
        digest: policy.digest().first_48_bits(),
        summary: format!("mode {}, {}", policy.mode().as_str(), keys(policy.keyring())),
        exposure: ready.exposure.clone(),
        served: ready.served.clone(),
        mode: policy.mode(),
        refused,
        since: Instant::now(),
    };
    (filter, pending)
}

/// `2 keys`, or `3 keys, of which 2 are valid now`.
fn keys(keyring: &Keyring) -> String {
    let all = keyring.len();
    let valid = keyring.census(now()).usable;
    let said = count(all, "key");
    if usize::try_from(valid).is_ok_and(|valid| valid == all) {
        said
    } else {
        format!("{said}, of which {valid} {} valid now", if valid == 1 { "is" } else { "are" })
    }
}

/// What Envoy reads: the filter, and its version for `portcullis status`.
fn delivered(filter: &Filter, ready: &Ready) -> Node {
    let response = envoy::discovery_response(filter);
    match &ready.served {
        Some(served) => response.with("version_info", served.to_string().as_str().into()),
        None => response,
    }
}

fn warn_of_open(why: fmt::Arguments<'_>) {
    tell(Level::Warning, format_args!("{RED}WARNING: THE GATE IS OPEN.{RED:#} {why}"));
}
