//! `portcullis render`: the policy and its keys as configuration for Envoy, Istio and Envoy Gateway.

pub(crate) mod document;
pub(crate) mod envoy;
pub(crate) mod forwarding;
mod gateway;
mod istio;
mod limit;
pub(crate) mod limits;
mod output;
mod remote;
pub(crate) mod service;
pub(crate) mod upstream;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::delivery::TooLarge;
use crate::module;
use crate::output::{note, print_bytes};
use crate::yaml::Node;
use document::KeylessPolicy;
use envoy::{Admin, Filter, Gate, Proxy, Tls};
use forwarding::Forwarding;
use limits::{LimitOptions, Limits};
use output::{Format, Source};
use service::{Service, Trust, TrustOptions};
use upstream::{Upstream, UpstreamParser};

macro_rules! examples {
    ($($example:literal),+) => {
        concat!("Examples:\n", $("  ", $example, "\n",)+
            "\nExit status: 0 done, 1 the gate would refuse a key entry, 2 usage or input error.")
    };
}

/// The default name of the filter, its VM and the resource; also the `root_id`.
pub(crate) const NAME: &str = "portcullis";

/// Where Debian, Ubuntu and the official image of Envoy have the certificate authorities of the system.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Write the policy and its keys as configuration for Envoy, Istio or Envoy Gateway. It contains digests, never keys
#[derive(Debug, Args)]
#[command(after_help = examples!(
    "portcullis render envoy --upstream 127.0.0.1:5000 > envoy.yaml",
    "portcullis render ecds -o gate.yaml --watch",
    "portcullis render ecds policies -o gate.yaml",
    "portcullis render istio --namespace shop --mode report \\
      --url oci://registry.example.com/portcullis:0.1.0 --sha256 \"$DIGEST\""
))]
pub(crate) struct Render {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write only the entry of `http_filters`, for an existing Envoy
    #[command(after_help = examples!("portcullis render filter --module /usr/local/lib/portcullis.wasm"))]
    Filter {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        gate: GateArguments,
    },
    /// Write a bootstrap for Envoy: a listener, the gate, the upstream
    #[command(after_help = examples!(
        "portcullis render envoy --upstream 127.0.0.1:5000 > envoy.yaml",
        "portcullis render envoy --upstream models:8000 --listen 0.0.0.0:8443 \\
      --tls-cert chain.pem --tls-key key.pem",
        "portcullis render envoy --upstream 127.0.0.1:5000 \\
      --ecds /etc/portcullis/gate/gate.yaml > envoy.yaml",
        "portcullis render envoy --upstream 127.0.0.1:5000 --limit 60/min \\
      --limit gold=600/min > envoy.yaml",
        "portcullis render envoy --upstream https://models.example.com > envoy.yaml",
        "portcullis render envoy --upstream grpc://127.0.0.1:8001 > envoy.yaml",
        "portcullis render envoy --upstream unix:/run/models/service.sock > envoy.yaml"
    ))]
    Envoy {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        gate: GateArguments,
        #[command(flatten)]
        proxy: ProxyArguments,
    },
    /// Write the file from which a running Envoy loads a new policy, without a restart
    #[command(after_help = examples!(
        "portcullis render ecds -o /etc/portcullis/gate/gate.yaml",
        "portcullis render ecds -o /etc/portcullis/gate/gate.yaml --watch"
    ))]
    Ecds {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        filter: FilterArguments,
    },
    /// Write a WasmPlugin, TrafficExtension or EnvoyFilter
    #[command(after_help = examples!(
        "portcullis render istio --namespace shop --mode report \\
      --url oci://registry.example.com/portcullis:0.1.0 --sha256 \"$DIGEST\"",
        "portcullis render istio --namespace shop --selector app=models \\
      --url https://files.example.com/portcullis.wasm",
        "portcullis render istio --selector istio=ingressgateway --ingress \\
      --url oci://registry.example.com/portcullis@sha256:..."
    ))]
    Istio {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        mesh: istio::Mesh,
    },
    /// Write an EnvoyExtensionPolicy of Envoy Gateway; for a Gateway also a ClientTrafficPolicy
    #[command(after_help = examples!(
        "portcullis render envoy-gateway --gateway eg \\
      --url https://files.example.com/portcullis.wasm",
        "portcullis render envoy-gateway --route orders \\
      --url oci://registry.example.com/portcullis:0.1.0 --sha256 \"$DIGEST\""
    ))]
    EnvoyGateway {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        target: gateway::GatewayTarget,
    },
    /// Write only the document that the gate gets
    #[command(after_help = examples!("portcullis render policy", "portcullis render policy --format json"))]
    Policy {
        #[command(flatten)]
        source: Source,
        /// The output format
        #[arg(long, value_enum, default_value = "yaml")]
        format: Format,
    },
    /// Write the module: the filter itself, as WebAssembly
    #[command(after_help = examples!("portcullis render module > portcullis.wasm"))]
    Module,
}

#[derive(Debug, Args)]
struct FilterArguments {
    /// The name of the filter; unique among the gates of an Envoy
    #[arg(long, default_value = NAME, value_parser = object_name)]
    name: String,
    /// The path of the module where Envoy runs
    #[arg(long, value_name = "FILE", default_value = "portcullis.wasm")]
    module: PathBuf,
}

#[derive(Debug, Args)]
struct GateArguments {
    #[command(flatten)]
    filter: FilterArguments,
    /// Load the policy from this file, which `render ecds` writes: a change needs no restart
    #[arg(long, value_name = "FILE", conflicts_with = "module")]
    ecds: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ProxyArguments {
    /// The service that requests are forwarded to: HOST:PORT, http://HOST, https://HOST, h2c://HOST:PORT,
    /// grpc://HOST:PORT, grpcs://HOST or unix:/PATH
    #[arg(long, value_name = "HOST:PORT", value_parser = UpstreamParser)]
    upstream: Upstream,
    #[command(flatten)]
    trust: TrustOptions,
    /// Where Envoy listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Envoy's admin interface, at an address or a socket (an absolute path): it shows the policy, and can stop Envoy
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<Admin>,
    /// Listen with TLS: the certificate chain, a PEM file where Envoy runs
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    forwarding: Forwarding,
    #[command(flatten)]
    limits: LimitOptions,
}

impl Render {
    pub(crate) fn run(self) -> Result<bool> {
        match self.what {
            What::Filter { source, gate } => {
                let done =
                    source.run(Format::Yaml, |policy| Ok(vec![Node::list([envoy::filter(&gate.with(policy))])]))?;
                Ok(gate.say_how_to_get_the_module(done))
            }
            What::Ecds { source, filter } => {
                let done =
                    source.run(Format::Yaml, |policy| Ok(vec![envoy::discovery_response(&filter.with(policy))]))?;
                Ok(filter.say_how_to_get_the_module(done))
            }
            What::Envoy { source, gate, proxy } => {
                proxy.trust.check(&proxy.upstream)?;
                let write = |policy: &_| {
                    let limits = proxy.limits.of(policy)?;
                    if let (Some(limits), Some(_)) = (&limits, &gate.ecds) {
                        limits.say_what_they_depend_on();
                    }
                    Ok(vec![envoy::bootstrap(&proxy.around(policy.name.clone(), gate.with(policy), limits))])
                };
                Ok(gate.say_how_to_get_the_module(source.run(Format::Yaml, write)?))
            }
            What::Istio { source, mesh } => source.run(Format::Yaml, |policy| {
                let resource = mesh.resource(policy)?;
                note(format_args!("the gate applies to {}", mesh.scope()));
                if !mesh.normalizes() {
                    note(
                        "the configuration of the mesh decides which paths and header names Envoy rejects before the \
                          gate: docs/guides/istio-callers.md",
                    );
                }
                for_kubernetes(vec![resource])
            }),
            What::EnvoyGateway { source, target } => {
                source.run(Format::Yaml, |policy| for_kubernetes(target.resources(policy)?))
            }
            What::Policy { source, format } => source.run(format, |policy| Ok(vec![policy.node.clone()])),
            What::Module => {
                if std::io::stdout().is_terminal() {
                    bail!("the module is binary: write it to a file: portcullis render module > portcullis.wasm");
                }
                print_bytes(module::BYTES)?;
                Ok(true)
            }
        }
    }
}

/// Says if an object is too large.
fn for_kubernetes(objects: Vec<Node>) -> Result<Vec<Node>> {
    let sizes = objects.iter().map(|object| Ok(object.to_json()?.len())).collect::<Result<Vec<_>>>()?;
    if let Some(too_large) = sizes.into_iter().max().and_then(TooLarge::object) {
        note(too_large.to_string());
    }
    Ok(objects)
}

impl FilterArguments {
    /// After a configuration is written, if it is: nothing but Envoy itself would say that the module is missing.
    fn say_how_to_get_the_module(&self, is_done: bool) -> bool {
        let module = self.module.display();
        if is_done && !self.module.exists() {
            note(format_args!(
                "Envoy will load the module from {module}, which is not here: `portcullis render module > {module}` \
                 writes it"
            ));
        }
        is_done
    }

    fn with(&self, policy: &KeylessPolicy) -> Filter {
        Filter {
            name: self.name.clone(),
            module: self.module.clone(),
            policy: policy.node.clone(),
            variables: policy.variables.clone(),
        }
    }
}

impl GateArguments {
    fn say_how_to_get_the_module(&self, is_done: bool) -> bool {
        if self.ecds.is_none() { self.filter.say_how_to_get_the_module(is_done) } else { is_done }
    }

    fn with(&self, policy: &KeylessPolicy) -> Gate {
        match &self.ecds {
            Some(file) => Gate::Discovered { name: self.filter.name.clone(), file: file.clone() },
            None => Gate::Inline(self.filter.with(policy)),
        }
    }
}

impl ProxyArguments {
    fn trust(&self) -> Trust {
        match &self.trust {
            TrustOptions { upstream_ca: Some(file), .. } => Trust::Authorities(file.clone()),
            TrustOptions { upstream_insecure: true, .. } => Trust::Any,
            TrustOptions { .. } => Trust::Authorities(SYSTEM_AUTHORITIES.into()),
        }
    }

    fn around(&self, name: String, gate: Gate, limits: Option<Limits>) -> Proxy {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        Proxy {
            name,
            listen: self.listen,
            service: Service::new(self.upstream.clone(), self.trust()),
            admin: self.admin.clone(),
            tls: tls.map(|(certificate, key)| Tls { certificate, key }),
            gate,
            forwarding: self.forwarding.clone(),
            limits,
            access_log: None,
        }
    }
}

/// A Kubernetes object.
fn object(version: &str, kind: &str, name: &str, namespace: &str, spec: Node) -> Node {
    let metadata = json!({"name": name, "namespace": namespace});
    Node::from(json!({"apiVersion": version, "kind": kind, "metadata": metadata})).with("spec", spec)
}

/// A `spec` with its `targetRefs`.
fn targets<'a>(targets: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Value {
    let target = |(group, kind, name)| json!({"group": group, "kind": kind, "name": name});
    json!({"targetRefs": targets.into_iter().map(target).collect::<Value>()})
}

/// Checks a name: it must be valid in Kubernetes, and have no special meaning elsewhere.
fn object_name(text: &str) -> Result<String, String> {
    let sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |end: Option<u8>| end.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let (first, last) = (text.bytes().next(), text.bytes().last());
    if text.len() <= 253 && text.bytes().all(sign) && ends(first) && ends(last) {
        return Ok(text.to_owned());
    }
    Err("expected lower-case letters, digits, - and ., beginning and ending with a letter or digit".to_owned())
}
