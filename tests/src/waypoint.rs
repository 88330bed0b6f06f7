//! The two listeners of a waypoint: one terminates the tunnel that ztunnel opens (HBONE, a CONNECT over mutual TLS);
//! the other, inside Envoy, filters the HTTP in it (`pilot/pkg/networking/core/listener_waypoint.go`).

use std::io::{self, Write as _};
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::envoy::V4;
use crate::http1::Client;
use crate::istio::type_url;
use crate::message::{Inbox, Reply};
use crate::net::connect;
use crate::tls::{Authority, Identity};

const INSIDE: &str = "main_internal";
/// The original destination of ztunnel's client.
const DESTINATION: &str = "10.96.0.10:80";

/// Makes these two listeners of the single listener that a sidecar would have.
pub(crate) fn split(resources: &mut Value) {
    let mut inner = resources["listeners"][0].take();
    let transport_socket = inner["filter_chains"][0]["transport_socket"].take();
    let [name, address, more] = ["name", "address", "additional_addresses"].map(|member| inner[member].take());
    let chain = json!({"filters": inner["filter_chains"][0]["filters"]});
    let inner = json!({
        "name": INSIDE,
        "internal_listener": {},
        "listener_filters": [{"name": "envoy.filters.listener.original_dst", "typed_config": {
            "@type": type_url("envoy.extensions.filters.listener.original_dst.v3.OriginalDst")
        }}],
        "filter_chains": [chain]
    });
    let outer = json!({
        "name": name,
        "address": address,
        "additional_addresses": more,
        "filter_chains": [{"transport_socket": transport_socket, "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": terminator()
        }]}]
    });
    resources["listeners"] = json!([outer, inner]);
    let inside = json!({"name": INSIDE, "load_assignment": {"cluster_name": INSIDE, "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": INSIDE}}}}
    ]}]}, "transport_socket": {"name": "internal_upstream", "typed_config": {
        "@type": type_url("envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport"),
        "transport_socket": {"name": "raw_buffer", "typed_config": {
            "@type": type_url("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")
        }}
    }}});
    resources["clusters"].as_array_mut().expect("a list").push(inside);
}

/// The connection manager that terminates the tunnel. It passes both addresses of the connection to the inner listener.
fn terminator() -> Value {
    let state = |key: &str, format: &str| {
        json!({
            "object_key": key,
            "format_string": {"text_format_source": {"inline_string": format}},
            "shared_with_upstream": "ONCE"
        })
    };
    json!({
        "@type": type_url("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "connect_terminate",
        "use_remote_address": false,
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "http2_protocol_options": {"allow_connect": true},
        "http_filters": [
            {"name": "connect_authority", "typed_config": {
                "@type": type_url("envoy.extensions.filters.http.set_filter_state.v3.Config"),
                "on_request_headers": [
                    state("envoy.filters.listener.original_dst.local_ip", "%REQ(:AUTHORITY)%"),
                    state("envoy.filters.listener.original_dst.remote_ip", "%DOWNSTREAM_REMOTE_ADDRESS%")
                ]
            }},
            {"name": "router", "typed_config": {"@type": type_url("envoy.extensions.filters.http.router.v3.Router")}}
        ],
        "route_config": {"virtual_hosts": [{"name": "default", "domains": ["*"], "routes": [{
            "match": {"connect_matcher": {}},
            "route": {"cluster": INSIDE, "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
        }]}]}
    })
}

/// Sends the bytes of a request through a new tunnel, as ztunnel does for `client` (over HTTP/1.1, where ztunnel uses
/// HTTP/2).
///
/// # Errors
/// If a tunnel does not open, or the connection ends without a reply.
pub fn send(to: SocketAddr, authority: &Authority, client: &Identity, request: &[u8]) -> io::Result<Reply> {
    let mut session = authority.session(connect(V4, to)?, Some(client))?;
    write!(session, "CONNECT {DESTINATION} HTTP/1.1\r\nhost: {DESTINATION}\r\n\r\n")?;
    let head = Inbox::new(&mut session).head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if !head.first.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other(String::from_utf8_lossy(&head.first).into_owned()));
    }
    Client::new(session).send(request)
}
