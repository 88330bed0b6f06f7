//! How requests are forwarded to the service.

use clap::Args;
use serde_json::{Value, json};

/// Options for the requests that the service gets.
#[derive(Debug, Clone, Args)]
pub(crate) struct Forwarding {
    /// Keep the caller's X-Forwarded-For and similar headers: only for a trusted proxy in front that overwrites them.
    /// Without it, the service gets the address of the connection
    #[arg(long)]
    pub keep_forwarded: bool,
}

/// Headers that name a client. Envoy itself overwrites X-Envoy-External-Address.
const CLIENT_HEADERS: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
];

/// The routes of a connection manager: every request goes to the cluster of that name.
pub(super) fn routes(cluster: &str, forwarding: &Forwarding) -> Value {
    let mut routes = json!({
        "name": "main",
        "virtual_hosts": [{
            "name": cluster,
            "domains": ["*"],
            // Envoy's default timeout would end a request after 15 seconds. An idle stream still ends after five
            // minutes.
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}],
        }],
    });
    if !forwarding.keep_forwarded {
        // After the gate, which decides by the headers that the caller sent.
        routes["request_headers_to_add"] = json!([{
            "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }]);
        routes["request_headers_to_remove"] = json!(CLIENT_HEADERS);
    }
    routes
}
