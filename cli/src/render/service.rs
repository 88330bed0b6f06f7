//! The service as a cluster of Envoy: its address, what it speaks, and how its certificate is checked.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::envoy::{path, socket};
use super::forwarding::{self, Target};
use super::upstream::{Protocol, Upstream, certified_name};

/// The name of the cluster.
const CLUSTER: &str = "upstream";
/// The name of the cluster for WebSockets, if the protocol of the other is negotiated: few services take a WebSocket over
/// HTTP/2 (RFC 8441), and Envoy does not know before it has chosen.
const WEBSOCKETS: &str = "upstream-websockets";

/// The service that requests are forwarded to.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    upstream: Upstream,
    /// What its certificate must be; `None` if it has no TLS.
    trust: Option<Trust>,
}

/// Which certificates of a service are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those for the name of its host, from an authority in this PEM file.
    Authorities(PathBuf),
    /// Every certificate.
    Any,
}

/// Options for the certificate of the service.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrustOptions {
    /// Accept certificates of the service only from the authorities in this PEM file [default: those of the system]
    #[arg(long, value_name = "FILE", conflicts_with = "upstream_insecure")]
    pub upstream_ca: Option<PathBuf>,
    /// Accept every certificate of the service: whoever is on the way to it can read and change the requests
    #[arg(long)]
    pub upstream_insecure: bool,
}

impl TrustOptions {
    /// Refuses options that have no effect, because the service has no TLS.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn check(&self, upstream: &Upstream) -> Result<()> {
        let given = [("--upstream-ca", self.upstream_ca.is_some()), ("--upstream-insecure", self.upstream_insecure)];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) if !upstream.is_tls() => {
                bail!("{option}: no effect, because {upstream} has no TLS: use https:// or grpcs://, or remove it")
            }
            _ => Ok(()),
        }
    }
}

impl Service {
    /// A service, and what is accepted as its certificate, if it has TLS.
    pub(crate) fn new(upstream: Upstream, trust: Trust) -> Self {
        let trust = upstream.is_tls().then_some(trust);
        Self { upstream, trust }
    }

    /// Where it is.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Whether it has TLS, and its certificate is not checked.
    pub(crate) fn is_unchecked(&self) -> bool {
        self.trust == Some(Trust::Any)
    }

    /// Where requests for it go.
    pub(super) fn target(&self) -> Target {
        let is_negotiated = self.upstream.protocol() == Protocol::Negotiated;
        Target {
            cluster: CLUSTER,
            websockets: is_negotiated.then_some(WEBSOCKETS),
            // A server with TLS usually serves only its own names.
            host: self.trust.as_ref().and_then(|_| self.upstream.authority()),
        }
    }

    /// Its clusters.
    pub(super) fn clusters(&self) -> Vec<Value> {
        let websockets = self.target().websockets.map(|name| self.cluster(name, Protocol::Http1));
        [self.cluster(CLUSTER, self.upstream.protocol())].into_iter().chain(websockets).collect()
    }

    fn cluster(&self, name: &str, protocol: Protocol) -> Value {
        let address = match &self.upstream {
            Upstream::Host { host, port, .. } => socket(host, *port),
            Upstream::Socket(file) => json!({"pipe": {"path": path(file)}}),
        };
        let endpoint = json!({"endpoint": {"address": address}});
        let mut cluster = json!({
            "name": name,
            "type": "STATIC",
            // With TLS, the handshake is included, and the service may be far away.
            "connect_timeout": if self.trust.is_some() { "5s" } else { "1s" },
            "typed_extension_protocol_options": forwarding::connections(protocol),
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        });
        if let Upstream::Host { host, .. } = &self.upstream {
            if certified_name(host).is_ok() {
                // One host with all of its addresses: if `localhost` is also ::1, and the service is not there, the
                // next one is tried.
                cluster["type"] = json!("LOGICAL_DNS");
                cluster["dns_lookup_family"] = json!("ALL");
            }
            if let Some(trust) = &self.trust {
                cluster["transport_socket"] = transport_socket(host, protocol, trust);
            }
        }
        cluster
    }
}

fn transport_socket(host: &str, protocol: Protocol, trust: &Trust) -> Value {
    let name = certified_name(host);
    let mut common = json!({});
    match protocol {
        Protocol::Http1 => common["alpn_protocols"] = json!(["http/1.1"]),
        Protocol::Http2 => common["alpn_protocols"] = json!(["h2"]),
        // Envoy offers both by itself.
        Protocol::Negotiated => {}
    }
    if let Trust::Authorities(file) = trust {
        let (kind, exact) = match name {
            Ok(name) => ("DNS", name.to_owned()),
            Err(address) => ("IP_ADDRESS", address.to_string()),
        };
        common["validation_context"] = json!({
            "trusted_ca": {"filename": path(file)},
            "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": exact}}],
        });
    }
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    });
    if let Ok(name) = name {
        context["sni"] = json!(name);
    }
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}
