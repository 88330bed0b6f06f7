//! How requests are forwarded to the service.

use clap::Args;
use http::uri::Authority;
use portcullis::request::CLIENT_ADDRESSES;
use serde_json::{Value, json};

use super::upstream::Protocol;
use crate::when::Span;

/// Options for the requests that the service gets.
#[derive(Debug, Clone, Args)]
pub(crate) struct Forwarding {
    /// Keep the caller's X-Forwarded-For and similar headers: only for a trusted proxy in front that overwrites them.
    /// Without it, the service gets the address of the connection
    #[arg(long)]
    pub keep_forwarded: bool,
    /// Send this host to the service, in place of the one that the caller sent: for a service that answers only to its own
    /// names
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub upstream_host: Option<String>,
    /// End a request that has no complete reply after this time, such as 30s or 5min; 0: never
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = limit)]
    pub timeout: Span,
    /// End a request on which nothing is sent for this time, in either direction; 0: never
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = limit)]
    pub idle_timeout: Span,
}

/// The value of a header `Host`: a name or an address, with or without a port.
fn host(text: &str) -> Result<String, String> {
    let authority = text.parse::<Authority>().ok();
    let authority = authority.filter(|authority| !authority.host().is_empty() && !text.contains('@'));
    authority.map(|authority| authority.to_string()).ok_or_else(|| {
        "expected what the service gets in Host: a name or an address, and a port if it is needed, such as localhost:11434"
            .to_owned()
    })
}

/// A model may need minutes for a reply. Envoy's defaults would end a request after 15 seconds, and an idle one after
/// five minutes.
fn limit(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error:#}, or 0 for none"))?;
    if span.as_seconds() <= 366 * 86_400 { Ok(span) } else { Err("expected at most 366d, or 0 for none".to_owned()) }
}

/// When a request is sent a second time: only if the service certainly did not get it.
const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request";

/// How long a connection to the service may be idle. A request on a connection that the service closes at the same time
/// would get 503: so this is shorter than the 5 seconds of uvicorn and Node and the 2 seconds of gunicorn.
const IDLE_CONNECTION: &str = "1s";

/// A time in Envoy's notation.
pub(super) fn seconds(span: Span) -> String {
    format!("{}s", span.as_seconds())
}

/// Where requests go.
pub(super) struct Target {
    /// The name of the cluster.
    pub cluster: &'static str,
    /// The name of the cluster for WebSockets, if that is another.
    pub websockets: Option<&'static str>,
    /// What takes the place of the caller's `Host`, if anything does.
    pub host: Option<String>,
}

/// The routes of a connection manager.
pub(super) fn routes(target: &Target, forwarding: &Forwarding) -> Value {
    let action = |cluster: &str| {
        let mut action = json!({
            "cluster": cluster,
            "timeout": seconds(forwarding.timeout),
            "retry_policy": {"retry_on": RETRY_ON},
        });
        if let Some(host) = forwarding.upstream_host.as_ref().or(target.host.as_ref()) {
            action["host_rewrite_literal"] = json!(host);
        }
        action
    };
    let websockets = target.websockets.map(|cluster| {
        let matcher = json!({"exact": "websocket", "ignore_case": true});
        let matcher = json!({"prefix": "/", "headers": [{"name": "upgrade", "string_match": matcher}]});
        json!({"match": matcher, "route": action(cluster)})
    });
    let every = json!({"match": {"prefix": "/"}, "route": action(target.cluster)});
    let own: Vec<Value> = websockets.into_iter().chain([every]).collect();
    let mut routes = json!({
        "name": "main",
        "virtual_hosts": [{
            "name": target.cluster,
            "domains": ["*"],
            "routes": own,
        }],
    });
    if !forwarding.keep_forwarded {
        // After the gate, which decides by the headers that the caller sent.
        routes["request_headers_to_add"] = json!([{
            "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }]);
        // Envoy itself overwrites X-Envoy-External-Address.
        routes["request_headers_to_remove"] = json!(CLIENT_ADDRESSES);
    }
    routes
}

/// The options of a cluster for its connections, with that protocol.
pub(super) fn connections(protocol: Protocol) -> Value {
    let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let (member, config) = match protocol {
        Protocol::Http1 => ("explicit_http_config", json!({"http_protocol_options": {}})),
        // For WebSockets (RFC 8441), if the service takes them.
        Protocol::Http2 => ("explicit_http_config", json!({"http2_protocol_options": {"allow_connect": true}})),
        Protocol::Negotiated => ("auto_config", json!({"http_protocol_options": {}, "http2_protocol_options": {}})),
    };
    json!({kind: {
        "@type": format!("type.googleapis.com/{kind}"),
        "common_http_protocol_options": {"idle_timeout": IDLE_CONNECTION},
        member: config,
    }})
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for text in ["localhost", "localhost:11434", "models.internal", "127.0.0.1:8000", "[::1]:8000"] {
            assert_eq!(super::host(text).as_deref(), Ok(text));
        }
        for text in ["", ":80", "http://localhost", "localhost/v1", "ci@localhost", "local host", "a\nb"] {
            assert!(super::host(text).is_err_and(|message| message.starts_with("expected ")), "{text}");
        }
    }
}
