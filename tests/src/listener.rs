//! The kinds of listener that a gate stands behind: who decides what `source.address` is differs between them.

use serde::Deserialize;
use serde_json::{Value, json};

/// A kind of listener, by the settings of its connection manager and what comes before the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `use_remote_address` and `skip_xff_append`, as the shipped edge listeners have it: the TCP peer.
    Edge,
    /// `use_remote_address` alone: the TCP peer, and Envoy writes to `X-Forwarded-For`.
    Append,
    /// Neither, which is Envoy's and Istio's default: the last valid `X-Forwarded-For` value.
    Sidecar,
    /// [`Kind::Edge`] with `xff_num_trusted_hops: 1`.
    Hops1,
    /// [`Kind::Edge`] behind the PROXY protocol.
    ProxyProtocol,
    /// [`Kind::Sidecar`] that records the direct peer in filter state.
    SidecarState,
    /// [`Kind::Edge`] that records the direct peer in filter state.
    EdgeState,
    /// [`Kind::ProxyProtocol`] that records the direct peer in filter state.
    ProxyProtocolState,
}

impl Kind {
    /// Whether the direct peer is recorded as [`PEER_KEY`] before the gate.
    pub fn records_peer(self) -> bool {
        matches!(self, Self::SidecarState | Self::EdgeState | Self::ProxyProtocolState)
    }

    /// Whether connections begin with a PROXY protocol prelude.
    pub fn speaks_proxy_protocol(self) -> bool {
        matches!(self, Self::ProxyProtocol | Self::ProxyProtocolState)
    }

    /// The name in the table of cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Append => "append",
            Self::Sidecar => "sidecar",
            Self::Hops1 => "hops1",
            Self::ProxyProtocol => "proxy_protocol",
            Self::SidecarState => "sidecar_state",
            Self::EdgeState => "edge_state",
            Self::ProxyProtocolState => "proxy_protocol_state",
        }
    }

    /// What the kind sets in the connection manager.
    pub(crate) fn manager_settings(self) -> Value {
        match self {
            Self::Sidecar | Self::SidecarState => json!({}),
            Self::Append => json!({"use_remote_address": true}),
            Self::Hops1 => json!({"use_remote_address": true, "skip_xff_append": true, "xff_num_trusted_hops": 1}),
            Self::Edge | Self::ProxyProtocol | Self::EdgeState | Self::ProxyProtocolState => {
                json!({"use_remote_address": true, "skip_xff_append": true})
            }
        }
    }
}

/// The filter state key under which listeners record the direct peer.
pub const PEER_KEY: &str = "portcullis.peer";

/// The filter that records the direct peer (the name of the docs' own example).
pub(crate) fn peer_recorder() -> Value {
    json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [{
                "object_key": PEER_KEY,
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {
                    "inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
                }}
            }]
        }
    })
}

/// The filter that shows on every response what the gate decided and which address Envoy saw. It stands before the
/// gate, so that it also sees the gate's own replies.
pub(crate) fn decision_display() -> Value {
    let shown = [
        (DECISION, "%FILTER_STATE(wasm.portcullis.decision:PLAIN)%"),
        (REASON, "%FILTER_STATE(wasm.portcullis.reason:PLAIN)%"),
        (CONSUMER, "%FILTER_STATE(wasm.portcullis.consumer:PLAIN)%"),
        (KEY_ID, "%FILTER_STATE(wasm.portcullis.key_id:PLAIN)%"),
        (SOURCE, "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ];
    let append = |(name, format): (&str, &str)| json!({"append": {"header": {"key": name, "value": format}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}});
    json!({
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"response_mutations": shown.map(append)}
        }
    })
}

/// Response header: `allow`, `deny` or `report`; `-` if the gate has written nothing.
pub const DECISION: &str = "x-test-decision";
/// Response header: the name of the grant or denial.
pub const REASON: &str = "x-test-reason";
/// Response header: the consumer.
pub const CONSUMER: &str = "x-test-consumer";
/// Response header: the public handle of the key.
pub const KEY_ID: &str = "x-test-key-id";
/// Response header: the address that Envoy takes for the caller's, with its port.
pub const SOURCE: &str = "x-test-source";
