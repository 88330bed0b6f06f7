//! Envoy's own configuration: the filter, the file of a live update, and a bootstrap with both around.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::NAME;
use crate::yaml::Node;

/// An Envoy with the gate in front of one upstream.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where requests go that pass.
    pub upstream: Upstream,
    /// Envoy's admin interface, which shows the policy and can stop Envoy. None: there is none.
    pub admin: Option<Admin>,
    /// What it listens with. None: plain text.
    pub tls: Option<Tls>,
    /// The gate.
    pub gate: Gate,
    /// A line of Envoy's access log for each request, to standard output, in Envoy's own format. None: no lines.
    pub access_log: Option<String>,
}

/// How the gate gets its policy.
#[derive(Debug)]
pub(crate) enum Gate {
    /// It stands in the bootstrap.
    Inline(Filter),
    /// From a file that holds a [`discovery_response`], and which Envoy reads again when another is renamed onto it.
    Discovered {
        /// The filter's name, which the file has too.
        name: String,
        /// The file. It must be there when Envoy starts.
        file: PathBuf,
    },
}

/// The gate as one filter of Envoy.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The name.
    pub name: String,
    /// The module: a file, where Envoy runs.
    pub module: PathBuf,
    /// The policy.
    pub policy: Node,
    /// The variables of Envoy's environment that the policy names.
    pub variables: Vec<String>,
}

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// An address, or a name.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Where the admin interface listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admin {
    /// At an address.
    Address(SocketAddr),
    /// On a socket, for its owner alone.
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

/// The filter of a listener that speaks HTTP.
pub(crate) const MANAGER: &str = "envoy.filters.network.http_connection_manager";
const MANAGER_TYPE: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The entry of `http_filters`.
pub(crate) fn filter(gate: &Gate) -> Node {
    match gate {
        Gate::Inline(filter) => {
            Node::map([("name", Node::from(filter.name.as_str())), ("typed_config", typed_config(filter))])
        }
        Gate::Discovered { name, file } => discovered(name, file),
    }
}

/// The file of a live update.
pub(crate) fn discovery_response(filter: &Filter) -> Node {
    let resource = Node::map([
        ("@type", "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig".into()),
        ("name", filter.name.as_str().into()),
        ("typed_config", typed_config(filter)),
    ]);
    Node::map([("resources", Node::list([resource]))])
}

fn typed_config(filter: &Filter) -> Node {
    let file = Node::map([("filename", path(&filter.module))]);
    wasm(&filter.name, Node::map([("local", file)]), &filter.policy, &filter.variables)
}

/// The filter's configuration, with its module from wherever `code` says.
pub(crate) fn wasm(name: &str, code: Node, policy: &Node, variables: &[String]) -> Node {
    let mut vm = Node::map([("vm_id", Node::from(name)), ("runtime", "envoy.wasm.runtime.v8".into()), ("code", code)]);
    if !variables.is_empty() {
        let names = Node::list(variables.iter().map(|name| name.as_str().into()));
        vm.set("environment_variables", Node::map([("host_env_keys", names)]));
    }
    let policy =
        Node::map([("@type", Node::from("type.googleapis.com/google.protobuf.Struct")), ("value", policy.clone())]);
    let config = Node::map([
        ("name", Node::from(name)),
        ("root_id", NAME.into()),
        // Should the module ever trap, requests get 503 until the VM is made anew. Envoy's default, FAIL_CLOSED, would
        // answer so until a restart; FAIL_OPEN would let everybody in.
        ("failure_policy", "FAIL_RELOAD".into()),
        ("vm_config", vm),
        ("configuration", policy),
    ]);
    Node::map([("@type", WASM.into()), ("config", config)])
}

/// A configuration that Envoy starts with.
pub(crate) fn bootstrap(proxy: &Proxy) -> Node {
    let mut bootstrap = Node::map::<&str>([]);
    if let Some(admin) = &proxy.admin {
        let address = match admin {
            Admin::Address(address) => socket(&address.ip().to_string(), address.port()),
            Admin::Socket(file) => {
                Node::map([("pipe", Node::map([("path", path(file)), ("mode", u64::from(0o600_u16).into())]))])
            }
        };
        bootstrap.set("admin", Node::map([("address", address)]));
    }
    let listeners = Node::list([listener(proxy)]);
    let clusters = Node::list([cluster(&proxy.upstream)]);
    bootstrap.set("static_resources", Node::map([("listeners", listeners), ("clusters", clusters)]));
    bootstrap
}

fn listener(proxy: &Proxy) -> Node {
    let manager = Node::map([("name", MANAGER.into()), ("typed_config", connection_manager(proxy))]);
    let mut chain = Node::map([("filters", Node::list([manager]))]);
    if let Some(tls) = &proxy.tls {
        chain.set("transport_socket", transport_socket(tls));
    }
    Node::map([
        ("name", "main".into()),
        ("address", socket(&proxy.listen.ip().to_string(), proxy.listen.port())),
        ("filter_chains", Node::list([chain])),
    ])
}

fn connection_manager(proxy: &Proxy) -> Node {
    let router = Node::map([
        ("name", "envoy.filters.http.router".into()),
        ("typed_config", typed("envoy.extensions.filters.http.router.v3.Router", [])),
    ]);
    // Without a timeout of its own, Envoy would end a request after 15 seconds. One where nothing moves ends after five minutes.
    let to_upstream = Node::map([("cluster", Node::from("upstream")), ("timeout", "0s".into())]);
    let route = Node::map([("match", Node::map([("prefix", "/".into())])), ("route", to_upstream)]);
    let host = Node::map([
        ("name", Node::from("upstream")),
        ("domains", Node::list(["*".into()])),
        ("routes", Node::list([route])),
    ]);
    let routes = Node::map([("name", "main".into()), ("virtual_hosts", Node::list([host]))]);
    let mut manager = typed(
        MANAGER_TYPE,
        [
            ("stat_prefix", "main".into()),
            // The client is the TCP peer, and not whatever X-Forwarded-For says; for a loopback peer Envoy would append
            // an address of its own.
            ("use_remote_address", true.into()),
            ("skip_xff_append", true.into()),
        ],
    );
    settled().into_iter().for_each(|(name, value)| manager.set(name, value));
    manager.set("upgrade_configs", Node::list([Node::map([("upgrade_type", "websocket".into())])]));
    if let Some(format) = &proxy.access_log {
        let text = Node::map([("text_format_source", Node::map([("inline_string", format.as_str().into())]))]);
        let log = typed("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", [("log_format", text)]);
        let log = Node::map([("name", "envoy.access_loggers.stdout".into()), ("typed_config", log)]);
        manager.set("access_log", Node::list([log]));
    }
    manager.set("http_filters", Node::list([filter(&proxy.gate), router]));
    manager.set("route_config", routes);
    manager
}

/// What a connection manager settles before the gate.
fn settled() -> [(&'static str, Node); 4] {
    [
        // Envoy, the gate and the upstream agree on the path.
        ("normalize_path", true.into()),
        ("merge_slashes", true.into()),
        ("path_with_escaped_slashes_action", "REJECT_REQUEST".into()),
        // `x_api_key` is another header to Envoy, and the same one to some upstreams.
        ("common_http_protocol_options", Node::map([("headers_with_underscores_action", "REJECT_REQUEST".into())])),
    ]
}

/// A connection manager that has no more than what is settled before the gate, to be merged into one that is there.
pub(crate) fn settled_manager() -> Node {
    Node::map([("name", MANAGER.into()), ("typed_config", typed(MANAGER_TYPE, settled()))])
}

/// A place in the listener that Istio's control plane fills, with the gate or with a filter that denies everybody. The
/// listener does not serve before.
pub(crate) fn from_control_plane() -> Node {
    let source = Node::map([
        ("ads", Node::map::<&str>([])),
        ("initial_fetch_timeout", "0s".into()),
        ("resource_api_version", "V3".into()),
    ]);
    let types = Node::list([WASM.into(), "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC".into()]);
    Node::map([("config_source", source), ("type_urls", types)])
}

/// The filter's place in the listener, which a file fills. Until it does, each request gets 500.
fn discovered(name: &str, file: &Path) -> Node {
    // Envoy wants a path with a directory.
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = directory.join(file.file_name().unwrap_or_default());
    let source = Node::map([("path", path(&file)), ("watched_directory", Node::map([("path", path(directory))]))]);
    let source = Node::map([("resource_api_version", "V3".into()), ("path_config_source", source)]);
    let discovery = Node::map([("type_urls", Node::list([WASM.into()])), ("config_source", source)]);
    Node::map([("name", Node::from(name)), ("config_discovery", discovery)])
}

fn transport_socket(tls: &Tls) -> Node {
    let file = |file: &Path| Node::map([("filename", path(file))]);
    let certificate = Node::map([("certificate_chain", file(&tls.certificate)), ("private_key", file(&tls.key))]);
    let common = Node::map([
        ("alpn_protocols", Node::list(["h2".into(), "http/1.1".into()])),
        ("tls_certificates", Node::list([certificate])),
    ]);
    let context =
        typed("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", [("common_tls_context", common)]);
    Node::map([("name", "envoy.transport_sockets.tls".into()), ("typed_config", context)])
}

fn cluster(upstream: &Upstream) -> Node {
    let endpoint = Node::map([("endpoint", Node::map([("address", socket(&upstream.host, upstream.port))]))]);
    let endpoints = Node::list([Node::map([("lb_endpoints", Node::list([endpoint]))])]);
    let assignment = Node::map([("cluster_name", "upstream".into()), ("endpoints", endpoints)]);
    let mut cluster = Node::map([("name", Node::from("upstream"))]);
    if upstream.host.parse::<IpAddr>().is_ok() {
        cluster.set("type", "STATIC".into());
    } else {
        // One host with all of its addresses: where `localhost` is ::1 too, and the service is not there, the next is tried.
        cluster.set("type", "LOGICAL_DNS".into());
        cluster.set("dns_lookup_family", "ALL".into());
    }
    cluster.set("connect_timeout", "1s".into());
    cluster.set("load_assignment", assignment);
    cluster
}

fn typed<const N: usize>(name: &str, members: [(&str, Node); N]) -> Node {
    let kind = ("@type", Node::from(format!("type.googleapis.com/{name}").as_str()));
    Node::map([kind].into_iter().chain(members))
}

fn socket(host: &str, port: u16) -> Node {
    let address = Node::map([("address", host.into()), ("port_value", u64::from(port).into())]);
    Node::map([("socket_address", address)])
}

fn path(path: &Path) -> Node {
    path.to_string_lossy().as_ref().into()
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fix = "write it as HOST:PORT, such as 127.0.0.1:5000 or [::1]:5000";
        let (host, port) = text.rsplit_once(':').ok_or(fix)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(fix)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |name: &str| {
            let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !name.is_empty() && name.bytes().all(sign)
        };
        match bare {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                Ok(Self { host: address.to_owned(), port })
            }
            None if is_name(host) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(fix.to_owned()),
        }
    }
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Socket(text.into()));
        }
        let fix = "write it as ADDRESS:PORT, such as 127.0.0.1:9901, or as the absolute path of a socket";
        text.parse().map(Self::Address).map_err(|_| fix.to_owned())
    }
}
