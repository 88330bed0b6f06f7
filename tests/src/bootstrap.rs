//! An Envoy configuration from parts: named listeners, each with a gate, in front of one upstream.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::listener::{Kind, decision_display, peer_recorder};
use crate::secrets;

/// The form in which the gate gets its policy.
#[derive(Debug, Clone)]
pub enum Gate {
    /// JSON text in a `StringValue`; the text need not be JSON.
    Text(String),
    /// A `Struct`, which reaches the filter as serialized protobuf.
    Struct(Value),
    /// Filesystem ECDS: the file of that name in the directory, see [`discovery`].
    Discovered {
        /// The watched directory.
        directory: PathBuf,
        /// The name of the file in that directory.
        file: String,
    },
}

impl Gate {
    /// The configuration of the plugin; none if it comes from a file.
    pub fn configuration(&self) -> Value {
        match self {
            Self::Text(text) => json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text}),
            Self::Struct(document) => json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": document}),
            Self::Discovered { .. } => Value::Null,
        }
    }
}

/// One listener with its gate.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The name, used to look up the port.
    pub name: String,
    /// The kind of listener, which determines `source.address`.
    pub kind: Kind,
    /// The gate.
    pub gate: Gate,
    /// A `DownstreamTlsContext`; plain text if there is none.
    pub tls: Option<Value>,
}

/// The parts of a configuration.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The listeners, each on 127.0.0.1 and ::1, with ports that the kernel chooses, unless the kind has other
    /// addresses.
    pub listeners: Vec<Listener>,
    /// The upstream of accepted requests.
    pub upstream: SocketAddr,
    /// The filter.
    pub module: PathBuf,
    /// The environment of the VM.
    pub environment: Vec<(String, String)>,
}

/// The name of the gate in the filter chain (with ECDS, that of its listener), of its VM, and in the statistics of
/// both.
pub const GATE: &str = "portcullis";
const WASM_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

impl Bootstrap {
    /// The bootstrap document for Envoy.
    pub fn document(&self) -> Value {
        let mut upstream = cluster("upstream", &socket(self.upstream));
        upstream["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}}
        }});
        let inside: Vec<&Listener> = self.listeners.iter().filter(|one| one.kind == Kind::Internal).collect();
        let clusters = [upstream].into_iter().chain(inside.iter().map(|one| inward_cluster(&one.name)));
        let listeners = self.listeners.iter().map(|listener| self.listener(listener));
        let listeners = listeners.chain(inside.iter().map(|one| inward_listener(&one.name)));
        json!({
            "admin": {"address": socket((Ipv4Addr::LOCALHOST, 0))},
            "static_resources": {
                "clusters": clusters.collect::<Vec<_>>(),
                "listeners": listeners.collect::<Vec<_>>()
            },
            "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
            }}]
        })
    }

    fn listener(&self, listener: &Listener) -> Value {
        let mut listener_filters = Vec::new();
        if listener.kind.speaks_proxy_protocol() {
            listener_filters.push(json!({
                "name": "envoy.filters.listener.proxy_protocol",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
                    "allow_requests_without_proxy_protocol": !listener.kind.wants_proxy_protocol()
                }
            }));
        }
        let mut chain = json!({"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": self.manager(listener)
        }]});
        if let Some(context) = &listener.tls {
            chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
        }
        let mut document = match listener.kind {
            Kind::Internal => json!({"name": inner_name(&listener.name), "internal_listener": {}}),
            Kind::Unix | Kind::UnixSidecar => {
                json!({"name": listener.name, "address": {"pipe": {"path": socket_file(&listener.name)}}})
            }
            Kind::DualStack => {
                let mut address = socket((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0));
                address["socket_address"]["ipv4_compat"] = json!(true);
                json!({"name": listener.name, "address": address})
            }
            _ => on_loopback(&listener.name),
        };
        document["listener_filters"] = json!(listener_filters);
        document["filter_chains"] = json!([chain]);
        document
    }

    fn manager(&self, listener: &Listener) -> Value {
        let mut filters = vec![decision_display()];
        if listener.kind.records_peer() {
            filters.push(peer_recorder());
        }
        filters.push(self.gate(listener));
        filters.push(json!({
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
        }));
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "gate",
            "http_filters": filters,
            // For an invalid HTTP/2 message, Envoy sends no frame; it closes the connection after this time.
            "delayed_close_timeout": "0.01s",
            "http_protocol_options": {"enable_trailers": true},
            "http2_protocol_options": {"allow_connect": true},
            "upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"connect_matcher": {}}, "route": {"cluster": "upstream"}},
                {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
            ]}]}
        });
        if let (Value::Object(manager), Value::Object(settings)) = (&mut manager, listener.kind.manager_settings()) {
            manager.extend(settings);
        }
        manager
    }

    fn gate(&self, listener: &Listener) -> Value {
        match &listener.gate {
            gate @ (Gate::Text(_) | Gate::Struct(_)) => json!({"name": GATE, "typed_config": self.wasm(gate)}),
            Gate::Discovered { directory, file } => json!({"name": listener.name, "config_discovery": {
                "type_urls": [WASM_TYPE],
                "config_source": watched(directory, file)
            }}),
        }
    }

    fn wasm(&self, gate: &Gate) -> Value {
        let environment: serde_json::Map<_, _> =
            self.environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"@type": WASM_TYPE, "config": {
            "name": GATE,
            "root_id": GATE,
            "failure_policy": "FAIL_RELOAD",
            "configuration": gate.configuration(),
            "vm_config": {
                "vm_id": GATE,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": self.module}},
                "environment_variables": {"key_values": environment}
            }
        }})
    }

    /// The ECDS document that configures the gate of that listener with `policy` ([`Gate::Text`] or [`Gate::Struct`]).
    pub fn discovery(&self, listener: &str, version: &str, policy: &Gate) -> Value {
        json!({
            "version_info": version,
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": listener,
                "typed_config": self.wasm(policy)
            }]
        })
    }
}

/// The source of a configuration that Envoy reads from a file, and reads again when the file is replaced.
pub fn watched(directory: &Path, file: &str) -> Value {
    json!({
        "resource_api_version": "V3",
        "path_config_source": {"path": directory.join(file), "watched_directory": {"path": directory}}
    })
}

/// Writes that version of a resource into such a file.
pub fn publish(directory: &Path, file: &str, version: &str, resource: &Value) {
    replace(directory, file, &json!({"version_info": version, "resources": [resource]}).to_string());
}

/// Replaces `directory/file` with `text` in one step, as Envoy requires for watched files.
///
/// # Panics
/// If the directory is not writable.
pub fn replace(directory: &Path, file: &str, text: &str) {
    secrets::in_document(&serde_json::from_str(text).unwrap_or_default());
    let next = directory.join(format!(".{file}.next"));
    std::fs::write(&next, text).expect("the directory takes a file");
    std::fs::rename(&next, directory.join(file)).expect("one directory, one file system");
}

/// The socket file of a Unix listener, relative to Envoy's working directory.
pub fn socket_file(listener: &str) -> String {
    listener.replace('/', ".")
}

fn inner_name(listener: &str) -> String {
    format!("{listener}/inner")
}

/// The listener that clients of an internal listener connect to.
fn inward_listener(name: &str) -> Value {
    let mut document = on_loopback(name);
    document["filter_chains"] = json!([{"filters": [{
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "inward",
            "cluster": inner_name(name)
        }
    }]}]);
    document
}

fn inward_cluster(name: &str) -> Value {
    let inner = inner_name(name);
    cluster(&inner, &json!({"envoy_internal_address": {"server_listener_name": inner}}))
}

/// A cluster with one endpoint.
pub fn cluster(name: &str, address: &Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    })
}

fn on_loopback(name: &str) -> Value {
    json!({
        "name": name,
        "address": socket((Ipv4Addr::LOCALHOST, 0)),
        "additional_addresses": [{"address": socket((Ipv6Addr::LOCALHOST, 0))}]
    })
}

/// An IP address in Envoy's notation.
pub fn socket(address: impl Into<SocketAddr>) -> Value {
    let address = address.into();
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}
