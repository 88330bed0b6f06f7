//! Envoy configuration: the filter, the file for live updates, and a whole bootstrap.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use super::NAME;
use super::forwarding::{self, Forwarding};
use super::limits::Limits;
use super::service::Service;
use crate::yaml::Node;

/// The configuration of an Envoy with the gate in front of one upstream.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// The name of the gate, by which alerts compare the requests of Envoy with the decisions of the gate.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The service that requests are forwarded to.
    pub service: Service,
    /// Envoy's admin interface, which shows the policy and can stop Envoy, if there is one.
    pub admin: Option<Admin>,
    /// The certificate. `None` means plain text.
    pub tls: Option<Tls>,
    /// The gate.
    pub gate: Gate,
    /// How requests reach the service.
    pub forwarding: Forwarding,
    /// How many requests a consumer may make, if there is a limit.
    pub limits: Option<Limits>,
    /// The format of Envoy's access log on standard output, if there is one.
    pub access_log: Option<String>,
}

/// How the gate gets its policy.
#[derive(Debug)]
pub(crate) enum Gate {
    /// The policy is in the bootstrap.
    Inline(Filter),
    /// The policy comes from a file with a [`discovery_response`], which Envoy reads again when it is replaced by a
    /// rename.
    Discovered {
        /// The name of the filter, in the file too.
        name: String,
        /// The file. It must exist when Envoy starts.
        file: PathBuf,
    },
}

/// The gate as one filter of Envoy.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The name.
    pub name: String,
    /// The path of the module where Envoy runs.
    pub module: PathBuf,
    /// The policy.
    pub policy: Node,
    /// The variables of Envoy's environment that the policy names.
    pub variables: Vec<String>,
}

/// Where the admin interface listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admin {
    /// At an address.
    Address(SocketAddr),
    /// On a socket that only its owner can use.
    Socket(PathBuf),
}

/// A certificate chain and its private key, both as PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The network filter for HTTP.
pub(crate) const MANAGER: &str = "envoy.filters.network.http_connection_manager";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The entry of `http_filters`.
pub(crate) fn filter(gate: &Gate) -> Node {
    match gate {
        Gate::Inline(filter) => Node::from(json!({"name": filter.name})).with("typed_config", typed_config(filter)),
        Gate::Discovered { name, file } => discovered(name, file).into(),
    }
}

/// The file of a live update.
pub(crate) fn discovery_response(filter: &Filter) -> Node {
    let kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    let resource = Node::from(json!({"@type": kind, "name": filter.name})).with("typed_config", typed_config(filter));
    Node::map([("resources", Node::list([resource]))])
}

fn typed_config(filter: &Filter) -> Node {
    let code = json!({"local": {"filename": path(&filter.module)}});
    wasm(&filter.name, &code, &filter.policy, &filter.variables)
}

/// The configuration of the filter, with the module from `code`. The policy keeps the order of its file.
pub(crate) fn wasm(name: &str, code: &Value, policy: &Node, variables: &[String]) -> Node {
    let mut vm = json!({"vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": code});
    if !variables.is_empty() {
        vm["environment_variables"] = json!({"host_env_keys": variables});
    }
    let config = json!({
        "name": name,
        "root_id": NAME,
        // If the module traps, requests get 503 until the VM is recreated. With Envoy's default, FAIL_CLOSED, they
        // would get 503 until a restart; with FAIL_OPEN, every request would get through.
        "failure_policy": "FAIL_RELOAD",
        "vm_config": vm,
    });
    let policy =
        Node::from(json!({"@type": "type.googleapis.com/google.protobuf.Struct"})).with("value", policy.clone());
    Node::from(json!({"@type": WASM})).with("config", Node::from(config).with("configuration", policy))
}

/// A bootstrap for Envoy.
pub(crate) fn bootstrap(proxy: &Proxy) -> Node {
    let address = proxy.admin.as_ref().map(|admin| match admin {
        Admin::Address(address) => socket(&address.ip().to_string(), address.port()),
        Admin::Socket(file) => json!({"pipe": {"path": path(file), "mode": 0o600}}),
    });
    let bootstrap = address.map_or_else(|| json!({}), |address| json!({"admin": {"address": address}}));
    let resources = Node::from(json!({"clusters": proxy.service.clusters()}));
    Node::from(bootstrap).with("static_resources", resources.with("listeners", Node::list([listener(proxy)])))
}

fn listener(proxy: &Proxy) -> Node {
    let manager = Node::from(json!({"name": MANAGER})).with("typed_config", connection_manager(proxy));
    let mut chain = Node::map([("filters", Node::list([manager]))]);
    if let Some(tls) = &proxy.tls {
        chain.set("transport_socket", transport_socket(tls).into());
    }
    let address = socket(&proxy.listen.ip().to_string(), proxy.listen.port());
    Node::from(json!({"name": "main", "address": address})).with("filter_chains", Node::list([chain]))
}

fn connection_manager(proxy: &Proxy) -> Node {
    let mut manager = normalization();
    manager["stat_prefix"] = json!(proxy.name);
    // The client is the TCP peer, whatever X-Forwarded-For says. For a loopback peer Envoy would append its own
    // address.
    manager["use_remote_address"] = json!(true);
    manager["skip_xff_append"] = json!(true);
    // The gate decides when all headers are there: a caller who sends them slowly may not hold a connection.
    manager["request_headers_timeout"] = json!("10s");
    manager["stream_idle_timeout"] = json!(forwarding::seconds(proxy.forwarding.idle_timeout));
    manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
    manager["route_config"] = forwarding::routes(&proxy.service.target(), &proxy.forwarding);
    if let Some(format) = &proxy.access_log {
        manager["access_log"] = json!([{
            "name": "envoy.access_loggers.stdout",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                "log_format": {"text_format_source": {"inline_string": format}},
            },
        }]);
    }
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    });
    let limits = proxy.limits.as_ref().map(|limits| {
        manager["local_reply_config"] = limits.replies();
        Node::from(limits.filter())
    });
    let filters = [filter(&proxy.gate)].into_iter().chain(limits).chain([router.into()]);
    Node::from(manager).with("http_filters", Node::list(filters))
}

/// The settings of a connection manager that normalize requests before the gate.
fn normalization() -> Value {
    let kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "@type": format!("type.googleapis.com/{kind}"),
        // Envoy, the gate and the upstream agree on the path.
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        // `x_api_key` and `x-api-key` are different headers to Envoy, but the same to some upstreams.
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
    })
}

/// A connection manager with only these settings, to be merged into an existing one.
pub(crate) fn normalizing_manager() -> Value {
    json!({"name": MANAGER, "typed_config": normalization()})
}

/// A filter that Istio's control plane delivers: the gate, or a filter that denies every request. The listener does not
/// serve before.
pub(crate) fn from_control_plane() -> Value {
    json!({
        "config_source": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
        "type_urls": [WASM, "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"],
    })
}

/// A filter that is loaded from a file. Until then, each request gets 500.
fn discovered(name: &str, file: &Path) -> Value {
    // Envoy requires a path with a directory.
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = directory.join(file.file_name().unwrap_or_default());
    let source = json!({"path": path(&file), "watched_directory": {"path": path(directory)}});
    let source = json!({"resource_api_version": "V3", "path_config_source": source});
    json!({"name": name, "config_discovery": {"type_urls": [WASM], "config_source": source}})
}

fn transport_socket(tls: &Tls) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": path(&tls.certificate)},
                    "private_key": {"filename": path(&tls.key)},
                }],
            },
        },
    })
}

pub(super) fn socket(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

pub(super) fn path(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Socket(text.into()));
        }
        let fix = "expected ADDRESS:PORT, such as 127.0.0.1:9901, or the absolute path of a socket";
        text.parse().map(Self::Address).map_err(|_| fix.to_owned())
    }
}
