//! Envoys with listeners as Istio configures those of sidecars and gateways.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{Bootstrap, Gate, Listener, replace};
use crate::envoy::{Envoy, Options, V4};
use crate::http1::Client;
use crate::istio::{EXTENSION, Place, RBAC, WASM, type_url};
use crate::listener::Kind;
use crate::message::Reply;
use crate::net::connect;
use crate::tls::{Authority, Identity};
use crate::{paths, waypoint};

/// An Envoy as Istio configures it: for mutual TLS and plain text (a PERMISSIVE sidecar), for plain text only (a
/// gateway), or for tunnels over mutual TLS (a waypoint).
#[derive(Debug)]
pub struct Proxy {
    /// The running Envoy.
    pub envoy: Envoy,
    directory: TempDir,
    plain: Option<SocketAddr>,
    mutual: Option<SocketAddr>,
}

/// The configuration of a [`Proxy`].
#[derive(Debug)]
pub struct Setup<'a> {
    /// Any place except [`Place::SidecarOutbound`].
    pub place: Place,
    /// The filters before the router: resources ([`crate::istio::Plugin::extension`]), which are discovered by ECDS,
    /// and inline filters.
    pub filters: Vec<Value>,
    /// The upstream of requests.
    pub upstream: SocketAddr,
    /// The authority of the mesh.
    pub authority: &'a Authority,
    /// The identity of the proxy towards the upstream; without one it uses plain text.
    pub identity: Option<&'a Identity>,
    /// Settings of the connection manager in addition to Istio's defaults ([`crate::istio::normalization`],
    /// [`crate::istio::merged`]).
    pub settings: Value,
    /// The options for Envoy.
    pub options: Options,
    /// The format of an access log, which is written to Envoy's own log.
    pub log_format: Option<String>,
    /// For a port with protocol detection: the filters before the TCP proxy, for clients whose ALPN is not in
    /// [`HTTP_ALPN`]. `None` if the port is declared as HTTP.
    pub tcp: Option<Vec<Value>>,
}

/// The ALPN values that sidecars send for HTTP (`pilot/pkg/networking/core/filterchain_options.go`).
pub const HTTP_ALPN: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];

impl Proxy {
    /// Starts Envoy.
    ///
    /// If it does not start.
    /// If it does not come up.
    pub fn start(setup: Setup<'_>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        setup.filters.iter().filter(|filter| is_resource(filter)).for_each(|one| write(directory.path(), one));
        let envoy = Envoy::start_with(&document(&setup, directory.path()), setup.options);
        let plain = (setup.place != Place::Waypoint).then(|| envoy.address(PLAIN, V4));
        let mutual = (setup.place != Place::Gateway).then(|| envoy.address(MUTUAL, V4));
        Self { envoy, directory, plain, mutual }
    }

    /// Sends the proxy a new version of a resource.
    pub fn update(&self, resource: &Value) {
        write(self.directory.path(), resource);
    }

    /// Sends the bytes of a request over a new connection: with the identity `client` over mutual TLS, or in plain
    /// text.
    ///
    /// # Errors
    /// If the connection ends without a reply.
    ///
    /// # Panics
    /// If the proxy does not accept such a connection.
    pub fn send(&self, authority: &Authority, client: Option<&Identity>, request: &[u8]) -> io::Result<Reply> {
        match client {
            Some(_) => Client::new(authority.session(connect(V4, self.mutual())?, client)?).send(request),
            None => Client::new(connect(V4, self.plain.expect("a waypoint takes no plain text"))?).send(request),
        }
    }

    /// The address for mutual TLS.
    ///
    /// # Panics
    /// If it is a gateway.
    pub fn mutual(&self) -> SocketAddr {
        self.mutual.expect("a sidecar takes mutual TLS")
    }
}

const PLAIN: &str = "plain";
const MUTUAL: &str = "mutual";

fn is_resource(filter: &Value) -> bool {
    filter["@type"] == type_url(EXTENSION)
}

/// A name without characters that are not allowed in file names.
fn file(resource: &Value) -> String {
    resource["name"].as_str().expect("a resource has a name").replace('/', ".")
}

fn write(directory: &Path, resource: &Value) {
    let document = json!({"version_info": "1", "resources": [resource]});
    replace(directory, &file(resource), &document.to_string());
}

/// The bootstrap, with listeners as Istio's (`pilot/pkg/networking/core/listener_builder.go`).
fn document(setup: &Setup<'_>, directory: &Path) -> Value {
    let (kind, settings) = match setup.place {
        Place::Gateway => (
            Kind::Append,
            json!({
                "forward_client_cert_details": "SANITIZE_SET",
                "set_current_client_cert_details": {"subject": true, "cert": true, "dns": true, "uri": true}
            }),
        ),
        _ => (
            Kind::Sidecar,
            json!({
                "use_remote_address": false,
                "forward_client_cert_details": "APPEND_FORWARD",
                "set_current_client_cert_details": {"subject": true, "dns": true, "uri": true}
            }),
        ),
    };
    let listener = |name: &str, tls| Listener { name: name.to_owned(), kind, gate: Gate::Text("{}".to_owned()), tls };
    let mut listeners = Vec::new();
    if setup.place != Place::Waypoint {
        listeners.push(listener(PLAIN, None));
    }
    if setup.place != Place::Gateway {
        let mut tls = setup.authority.listener("VERIFY_TRUST_CHAIN");
        tls["require_client_certificate"] = json!(true);
        listeners.push(listener(MUTUAL, Some(tls)));
    }
    let bootstrap = Bootstrap { listeners, upstream: setup.upstream, module: paths::module(), environment: Vec::new() };
    let mut document = bootstrap.document();
    let resources = &mut document["static_resources"];
    if let Some(identity) = setup.identity {
        resources["clusters"][0]["transport_socket"] =
            json!({"name": "envoy.transport_sockets.tls", "typed_config": setup.authority.towards(identity)});
    }
    for listener in resources["listeners"].as_array_mut().into_iter().flatten() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let filters = manager["http_filters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let [display, .., router] = filters else { panic!("a listener has a gate between two filters") };
        let (display, router) = (display.clone(), router.clone());
        // In front of a gateway, show the decisions of the sidecar behind it.
        let display = (setup.place != Place::Gateway).then_some(display);
        let between = setup.filters.iter().map(|filter| http_filter(filter, directory));
        manager["http_filters"] = display.into_iter().chain(between).chain([router]).collect();
        manager["normalize_path"] = json!(true);
        for (name, value) in [&settings, &setup.settings].into_iter().filter_map(Value::as_object).flatten() {
            manager[name] = value.clone();
        }
        if let Some(format) = &setup.log_format {
            manager["access_log"] = json!([{"name": "envoy.access_loggers.stdout", "typed_config": {
                "@type": type_url("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"),
                "log_format": {"text_format_source": {"inline_string": format}}
            }}]);
        }
        if let Some(before) = &setup.tcp
            && listener["name"] == MUTUAL
        {
            guess(listener, before);
        }
    }
    if setup.place == Place::Waypoint {
        waypoint::split(resources);
    }
    document
}

/// A second filter chain, for connections that do not declare HTTP.
fn guess(listener: &mut Value, before: &[Value]) {
    let proxy = json!({"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": type_url("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
        "stat_prefix": "tcp",
        "cluster": "upstream"
    }});
    let http = &mut listener["filter_chains"][0];
    http["filter_chain_match"] = json!({"transport_protocol": "tls", "application_protocols": HTTP_ALPN});
    let mut tcp =
        json!({"transport_socket": http["transport_socket"], "filter_chain_match": {"transport_protocol": "tls"}});
    tcp["filters"] = before.iter().cloned().chain([proxy]).collect();
    listener["filter_chains"] = json!([http, tcp]);
    listener["listener_filters"] = json!([{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
        "@type": type_url("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")
    }}]);
}

/// A resource as a discovered filter, as istiod writes it, except for the source.
fn http_filter(filter: &Value, directory: &Path) -> Value {
    if !is_resource(filter) {
        return filter.clone();
    }
    json!({"name": filter["name"], "config_discovery": {
        "type_urls": [type_url(WASM), type_url(RBAC)],
        "config_source": {
            "resource_api_version": "V3",
            "initial_fetch_timeout": "0s",
            "path_config_source": {"path": directory.join(file(filter)), "watched_directory": {"path": directory}}
        }
    }})
}
