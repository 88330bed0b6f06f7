//! `portcullis run`: runs Envoy with the gate in front of an existing service, in the foreground.

mod access;
mod admin;
mod certificates;
mod configuration;
mod exposure;
mod install;
pub(crate) mod keeper;
mod live;
mod process;
mod running;
mod source;
mod upstream;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context as _, Result, bail};
use clap::{ArgGroup, Args};
use portcullis::document::Mode;

use crate::files::PolicyFile;
use crate::import::rxinfer;
use crate::log;
use crate::mode;
use crate::output::note;
use crate::render::envoy::Admin;
use crate::render::forwarding::Forwarding;
use crate::render::service::TrustOptions;
use crate::render::upstream::{Upstream, UpstreamParser};
use crate::watch;
use live::Live;
use source::{Options, Overrides, Source, Token};

const EXAMPLES: &str = "Examples:
  portcullis run --upstream 127.0.0.1:5000
  portcullis run policy.yaml --upstream 127.0.0.1:5000 \\
      --listen 0.0.0.0:8080
  portcullis run policies --upstream 127.0.0.1:5000
  portcullis run --upstream 127.0.0.1:8000 --bearer-token \"$TOKEN\" \\
      --public /health
  DEEPAAS_AUTH_BEARER_TOKEN=\"$TOKEN\" portcullis run --upstream 127.0.0.1:5000
  portcullis run deepaas.conf --upstream 127.0.0.1:5000
  portcullis run --upstream 127.0.0.1:8000 --api-keys api_keys.json \\
      --public /health
  portcullis run --upstream 127.0.0.1:5000 --listen 0.0.0.0:8443 \\
      --tls-cert cert.pem --tls-key key.pem
  portcullis run --upstream https://models.example.com
  portcullis run --upstream grpc://127.0.0.1:8001
  portcullis run --upstream unix:/run/models/service.sock
  portcullis run --config envoy.yaml

The policy comes from POLICY, --bearer-token, --auth-bearer-token or --api-keys; otherwise from \
DEEPAAS_AUTH_BEARER_TOKEN or API_KEYS_FILE; otherwise from policy.yaml, if it exists. Without any of them every \
request passes. Changes of files take effect without a restart.

Exit status: 0 stopped by Ctrl-C or SIGTERM, 1 Envoy ended by itself or did not start, 2 usage or input error.";

/// Run Envoy with the gate in front of a service
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("what").required(true).args(["upstream", "config"])))]
pub(crate) struct Run {
    /// The service that requests are forwarded to: HOST:PORT, http://HOST, https://HOST, h2c://HOST:PORT,
    /// grpc://HOST:PORT, grpcs://HOST or unix:/PATH
    #[arg(long, value_name = "HOST:PORT", value_parser = UpstreamParser)]
    upstream: Option<Upstream>,
    #[command(flatten)]
    trust: TrustOptions,
    /// Where to listen; port 0 means any free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    listen: SocketAddr,
    /// The policy, as YAML or JSON, or the folder of a platform and its teams; or DEEPaaS's configuration, a .conf or .ini
    /// file [default: policy.yaml, if it exists]
    #[arg(value_name = "POLICY")]
    policy: Vec<PathBuf>,
    /// The key store [default: keys.json beside the policy, if it exists]
    #[arg(long, value_name = "FILE", requires = "policy")]
    store: Option<PathBuf>,
    /// A bearer token that every path needs, except for those of --public. Other users can see it in the list of
    /// processes: a policy hides it
    #[arg(
        long, value_name = "TOKEN", conflicts_with_all = ["policy", "auth_bearer_token", "api_keys"],
        allow_hyphen_values = true
    )]
    bearer_token: Option<Token>,
    /// DEEPaaS's flag: a bearer token for /v2/models and everything below; the rest is open. Other users can see it in
    /// the list of processes, but not one in DEEPAAS_AUTH_BEARER_TOKEN
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["policy", "api_keys"], allow_hyphen_values = true)]
    auth_bearer_token: Option<Token>,
    /// Orchestra's file of keys
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    api_keys: Option<PathBuf>,
    /// A path that needs no key, such as /health or /docs/**; may be repeated
    #[arg(long, value_name = "PATH")]
    public: Vec<String>,
    /// Override the mode of the policy and the store
    #[arg(long, value_parser = mode::parser())]
    mode: Option<Mode>,
    /// A certificate chain to listen with, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    forwarding: Forwarding,
    /// The Envoy to run [default: the one on PATH, otherwise one is installed]
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Run this Envoy configuration unchanged, instead of a generated one
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "listen", "policy", "store", "bearer_token", "auth_bearer_token", "api_keys", "public", "mode", "tls_cert", "tls_key",
        "keep_forwarded", "timeout", "idle_timeout", "admin", "quiet", "upstream_ca", "upstream_host", "upstream_insecure",
    ])]
    config: Option<PathBuf>,
    /// Where Envoy's admin interface listens, for `portcullis status` [default: a private socket]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<Admin>,
    /// Do not print a line for each request
    #[arg(long, short)]
    quiet: bool,
    /// The format of messages, and of the line for each request; JSON is one object on each line
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    log: log::Format,
}

/// An event while the gate runs.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A file of the policy has changed.
    Changed,
    /// A signal to stop.
    Stop,
    /// Envoy has ended, with this status.
    Ended(Option<i32>),
}

/// The files of the private directory.
const BOOTSTRAP: &str = "bootstrap.json";
const ADMIN_ADDRESS: &str = "admin-address";

impl Run {
    pub(crate) fn run(self) -> Result<bool> {
        log::set_format(self.log);
        let (sender, events) = mpsc::channel();
        let Some(upstream) = self.upstream else {
            let configuration = self.config.context("give --upstream HOST:PORT, or --config FILE")?;
            watch::on_signal(sender.clone(), Event::Stop)?;
            let envoy = install::find(self.envoy.as_deref(), &events)?;
            return configuration::run(&envoy, &configuration, sender, &events);
        };
        let dev_token = rxinfer::is_dev_token_enabled();
        if dev_token && !self.listen.ip().is_loopback() {
            bail!(
                "{}: the development token of RxInferServer is publicly known, and {} can be reached by others: listen \
                 on 127.0.0.1, or unset the variable",
                rxinfer::ENABLE,
                self.listen
            );
        }
        let overrides = Overrides { public: self.public, mode: self.mode, dev_token };
        overrides.check()?;
        let policy = (!self.policy.is_empty()).then_some(PolicyFile { files: self.policy, store: self.store });
        let source = Source::choose(Options {
            policy,
            bearer_token: self.bearer_token,
            deepaas_token: self.auth_bearer_token,
            api_keys: self.api_keys,
        })?;
        if let Some(store) = source.unread_store() {
            note(format_args!(
                "the keys of {} are not used: they need a policy, and the keys are from {source}",
                store.display()
            ));
        }
        let tls = self.tls_cert.zip(self.tls_key);
        let tls = tls.map(|(certificate, key)| certificates::listener(&certificate, &key)).transpose()?;
        if upstream::is_the_gate(&upstream, self.listen) {
            bail!("--upstream {upstream}: the gate itself listens there: give one of them another port");
        }
        let service = certificates::service(upstream, &self.trust)?;
        watch::on_signal(sender.clone(), Event::Stop)?;
        // Before the files are read, so that no change is missed.
        let files = source.watched();
        let _watcher =
            (!files().is_empty()).then(|| watch::on_change(files, sender.clone(), Event::Changed)).transpose()?;
        source.read(&overrides)?;
        is_free(self.listen, "--listen")?;
        if let Some(Admin::Address(admin)) = self.admin {
            is_free(admin, "--admin")?;
        }
        let envoy = install::find(self.envoy.as_deref(), &events)?;
        // Again: installing Envoy takes time, and changes were not handled meanwhile.
        let ready = source.read(&overrides)?;
        let proxy =
            live::ProxySpec { listen: self.listen, service, tls, forwarding: self.forwarding, admin: self.admin };
        Live::start(&envoy, proxy, source, overrides, ready, self.quiet, sender)?.run_until_stopped(&events)
    }
}

/// Checks that the address is free. Envoy would share a port with another Envoy, and half of the requests would go
/// there.
fn is_free(listen: SocketAddr, option: &str) -> Result<()> {
    TcpListener::bind(listen).map(drop).with_context(|| {
        format!(
            "cannot listen at {listen}: stop what listens there, or choose another with {option} (port 0: any free one)"
        )
    })
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:0".to_owned())
}
