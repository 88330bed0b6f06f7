//! `portcullis import`: imports keys and settings from another system. Keys go to the store, as digests. Settings go to
//! a new policy; if one exists, they are printed.

mod agentgateway;
mod api_key_auth;
mod apisix;
mod blocked;
pub(crate) mod deepaas;
mod discovered;
mod envoy_gateway;
mod higress;
mod key_sources;
mod keys;
mod kong;
mod kubernetes;
mod lines;
pub(crate) mod orchestra;
mod policy;
mod recognize;
mod rename;
mod report;
pub(crate) mod rxinfer;
mod source;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::files::{EffectivePolicy, merge};
use crate::output::Output;
use crate::store::{Locked, Store};
use crate::when::now;
use crate::yaml::Node;
use discovered::Discovered;
use policy::Target;
use rename::{Rename, Renames};
use report::Report;
use source::Source;

const EXAMPLES: &str = "Examples:
  portcullis import orchestra api_keys.json
  portcullis import deepaas deepaas.conf
  portcullis import kong kong.yaml --dry-run
  kubectl get secret api-keys -o yaml | portcullis import envoy-gateway -
  portcullis import csv keys.csv --output json

Keys go to keys.json, as digests. Settings go to a new policy.yaml. An existing policy is not changed: the settings \
to add are printed.

Exit status: 0 everything was imported, 1 something was left out (the report says what, where and why), 2 usage or \
input error.";

/// The examples and the exit status in the help of one kind.
macro_rules! examples {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "\n\nExit status: 0 everything was imported, 1 something was left out, 2 usage or input error."
        )
    };
}

/// Import keys and settings from another system
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Import {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Import Orchestra's api_keys.json: keys, local networks, and whether external callers need a key
    #[command(after_help = examples!("  portcullis import orchestra api_keys.json
  API_KEYS_FILE=/etc/orchestra/api_keys.json portcullis import orchestra"))]
    Orchestra(Common),
    /// Import the token of DEEPaaS, from its configuration file or DEEPAAS_AUTH_BEARER_TOKEN
    #[command(after_help = examples!("  portcullis import deepaas deepaas.conf
  DEEPAAS_AUTH_BEARER_TOKEN=\"$TOKEN\" portcullis import deepaas"))]
    Deepaas(Common),
    /// Import the tokens of RxInferServer, as mongoexport writes the collection
    #[command(after_help = examples!("  mongoexport --db rxinferserver --collection tokens --out tokens.json
  portcullis import rxinfer tokens.json
  portcullis import rxinfer --dev-token"))]
    Rxinfer(rxinfer::Rxinfer),
    /// Import Envoy's filter envoy.filters.http.api_key_auth, from a bootstrap or from the filter's configuration
    #[command(after_help = examples!("  portcullis import api-key-auth envoy.yaml"))]
    ApiKeyAuth(Common),
    /// Import from Envoy Gateway: Secrets with API keys, and the SecurityPolicy that uses them
    #[command(after_help = examples!("  portcullis import envoy-gateway api-keys.yaml
  kubectl get secret,securitypolicy -o yaml |
      portcullis import envoy-gateway -"))]
    EnvoyGateway(Common),
    /// Import Kong's declarative configuration: consumers, key-auth and acl
    #[command(after_help = examples!("  portcullis import kong kong.yaml
  portcullis import kong kong.yaml --dry-run"))]
    Kong(Common),
    /// Import from Kong Ingress Controller: KongConsumers, the Secrets with their credentials, and KongPlugins
    #[command(after_help = examples!("  portcullis import kong-ingress kong.yaml
  kubectl get kongconsumer,kongplugin,kongclusterplugin,secret -o yaml |
      portcullis import kong-ingress -"))]
    KongIngress(Common),
    /// Import from APISIX: consumers with key-auth, from apisix.yaml, the Admin API, ADC or the ingress controller
    #[command(after_help = examples!("  portcullis import apisix apisix.yaml
  curl -H \"X-API-KEY: $ADMIN_KEY\" localhost:9180/apisix/admin/consumers |
      portcullis import apisix -
  kubectl get apisixconsumer,secret -o yaml | portcullis import apisix -"))]
    Apisix(Common),
    /// Import the plugin key-auth of Higress, from a WasmPlugin or from its plain configuration
    #[command(after_help = examples!("  kubectl get wasmplugin -n higress-system key-auth.internal -o yaml |
      portcullis import higress -"))]
    Higress(Common),
    /// Import the policy apiKey of agentgateway, from its configuration file
    #[command(after_help = examples!("  portcullis import agentgateway config.yaml"))]
    Agentgateway(Common),
    /// Import a list of keys, one on each line; lines that begin with # are comments
    #[command(after_help = examples!("  portcullis import list keys.txt --consumer ci
  pass show ci-key | portcullis import list - --consumer ci"))]
    List(lines::Lines),
    /// Import a table with a header row: key or sha256, consumer, roles, id, expires, disabled, description
    #[command(after_help = examples!("  portcullis import csv keys.csv"))]
    Csv(Common),
}

/// The options of every kind.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// The file to read; `-` is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The key store
    #[arg(long, value_name = "FILE", default_value = Store::NAME)]
    store: PathBuf,
    /// The policy [default: policy.yaml beside the store]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Write nothing, only show what would be written
    #[arg(long)]
    dry_run: bool,
    /// Import the consumer OLD as NEW; also a role, if the gate refuses the name OLD. Repeatable
    #[arg(long, value_name = "OLD=NEW")]
    rename: Vec<Rename>,
    /// The output format of the report
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Import {
    pub(crate) fn run(self) -> Result<bool> {
        match self.kind {
            Kind::Orchestra(common) => {
                let source = orchestra::source(common.file.as_deref())?;
                recognize::check(&source, "orchestra")?;
                let discovered = orchestra::find(&source)?;
                common.take(&source, &common.renames()?, discovered)
            }
            Kind::Deepaas(common) => {
                let (source, discovered) = deepaas::find(common.file.as_deref())?;
                common.take(&source, &common.renames()?, discovered)
            }
            Kind::Rxinfer(rxinfer) => {
                let source = match rxinfer.common.file {
                    None if rxinfer.dev_token => Source { name: "--dev-token".to_owned(), text: String::new() },
                    _ => rxinfer.common.source("rxinfer")?,
                };
                let discovered = rxinfer::find(&source, rxinfer.dev_token)?;
                rxinfer.common.take(&source, &rxinfer.common.renames()?, discovered)
            }
            Kind::ApiKeyAuth(common) => {
                let source = common.source("api-key-auth")?;
                let discovered = api_key_auth::find(&source)?;
                common.take(&source, &common.renames()?, discovered)
            }
            Kind::EnvoyGateway(common) => {
                let source = common.source("envoy-gateway")?;
                let discovered = envoy_gateway::find(&source)?;
                common.take(&source, &common.renames()?, discovered)
            }
            Kind::Kong(common) => {
                let source = common.source("kong")?;
                let renames = common.renames()?;
                let discovered = kong::find(&source, &renames, now())?;
                common.take(&source, &renames, discovered)
            }
            Kind::KongIngress(common) => {
                let source = common.source("kong-ingress")?;
                let renames = common.renames()?;
                let discovered = kong::ingress::find(&source, &renames, now())?;
                common.take(&source, &renames, discovered)
            }
            Kind::Apisix(common) => {
                let source = common.source("apisix")?;
                let discovered = apisix::find(&source)?;
                common.take(&source, &common.renames()?, discovered)
            }
            Kind::Higress(common) => {
                let source = common.source("higress")?;
                let discovered = higress::find(&source)?;
                common.take(&source, &common.renames()?, discovered)
            }
            Kind::Agentgateway(common) => {
                let source = common.source("agentgateway")?;
                let discovered = agentgateway::find(&source)?;
                common.take(&source, &common.renames()?, discovered)
            }
            Kind::List(lines) => {
                let source = lines.common.source("list")?;
                let discovered = lines::find(&source, &lines.consumer);
                lines.common.take(&source, &lines.common.renames()?, discovered)
            }
            Kind::Csv(common) => {
                let source = common.source("csv")?;
                let discovered = table::find(&source)?;
                common.take(&source, &common.renames()?, discovered)
            }
        }
    }
}

/// Converts Orchestra's file to an effective policy, for `run`. Also returns what was left out.
///
/// # Errors
/// If it cannot be read, or is not such a file.
pub(crate) fn orchestra_as_policy(file: &Path) -> Result<(EffectivePolicy, Vec<String>)> {
    let source = Source::read(file)?;
    let mut discovered = orchestra::find(&source)?;
    policy::leave_out_keys(&mut discovered);
    let settings = discovered.settings.iter().map(|setting| (setting.member, setting.value.clone()));
    let settings = merge(Node::map(settings), None, file)?;
    let (now, mut store) = (now(), Store::default());
    keys::import(&mut discovered, &settings.document()?, &mut store, now);
    let left_out = discovered.left_out.iter().map(|remark| format!("{}: {}", source.place(remark.at), remark.message));
    Ok((merge(settings.node, Some(&store), file)?, left_out.collect()))
}

impl Common {
    /// Reads the file, which must not be of another kind.
    fn source(&self, kind: &str) -> Result<Source> {
        let Some(file) = &self.file else { bail!("missing FILE: give the file to import (`-` is standard input)") };
        let source = Source::read(file)?;
        recognize::check(&source, kind)?;
        Ok(source)
    }

    fn renames(&self) -> Result<Renames<'_>> {
        Renames::of(&self.rename)
    }

    /// Writes what was discovered, and prints the report. Returns whether everything was imported.
    fn take(&self, source: &Source, renames: &Renames<'_>, mut discovered: Discovered) -> Result<bool> {
        let now = now();
        renames.apply(&mut discovered);
        let mut locked = if self.dry_run { None } else { Some(Locked::open(&self.store)?) };
        let mut store = match &locked {
            Some(locked) => locked.store.clone(),
            None if self.store.try_exists()? => Store::read(&self.store)?,
            None => Store::default(),
        };
        policy::leave_out_keys(&mut discovered);
        let target = Target::read(self.policy.as_deref(), &self.store, &mut discovered)?;
        let taken = keys::import(&mut discovered, &target.document, &mut store, now);
        target.check(&store)?;
        if let Some(locked) = &mut locked {
            if !taken.keys.is_empty() {
                locked.store = store;
                locked.save()?;
            }
            target.write()?;
        }
        discovered.left_out.sort_by_key(|remark| remark.at);
        discovered.notes.sort_by_key(|remark| remark.at);
        let report = Report {
            source,
            store: &self.store,
            dry_run: self.dry_run,
            taken: &taken,
            discovered: &discovered,
            target: &target,
        };
        report.print(self.output)?;
        Ok(discovered.left_out.is_empty() && target.to_do.is_empty())
    }
}
