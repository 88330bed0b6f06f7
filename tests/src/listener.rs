//! The kinds of listener for a gate: they differ in how Envoy determines `source.address`.

use serde::Deserialize;
use serde_json::{Value, json};

/// A kind of listener: the settings of its connection manager, and the filters before the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `use_remote_address` and `skip_xff_append`, as in the shipped edge listeners: the TCP peer.
    Edge,
    /// `use_remote_address` only: the TCP peer, and Envoy writes to `X-Forwarded-For`.
    Append,
    /// Neither, which is Envoy's and Istio's default: the last valid `X-Forwarded-For` value.
    Sidecar,
    /// [`Kind::Edge`] with `xff_num_trusted_hops: 1`.
    Hops1,
    /// [`Kind::Edge`] with `xff_num_trusted_hops: 2`.
    Hops2,
    /// The extension that detects the client in `X-Forwarded-For`, with the proxy at 127.0.0.78 in `xff_trusted_cidrs`.
    TrustedCidrs,
    /// The extension that detects the client in a header that the operator chooses, here [`DETECTION_HEADER`].
    DetectionHeader,
    /// [`Kind::Edge`] behind the PROXY protocol.
    ProxyProtocol,
    /// [`Kind::ProxyProtocol`] that also accepts connections without a prelude.
    ProxyProtocolOptional,
    /// [`Kind::Edge`] on an IPv6 socket that also accepts IPv4; the kernel shows IPv4 peers in IPv4-mapped form.
    DualStack,
    /// [`Kind::Edge`] on a Unix socket.
    Unix,
    /// [`Kind::Sidecar`] on a Unix socket.
    UnixSidecar,
    /// [`Kind::Edge`] as an internal listener, behind a listener that forwards connections to it.
    Internal,
    /// [`Kind::Sidecar`] that records the direct peer in filter state.
    SidecarState,
    /// [`Kind::Edge`] that records the direct peer in filter state.
    EdgeState,
    /// [`Kind::ProxyProtocol`] that records the direct peer in filter state.
    ProxyProtocolState,
}

impl Kind {
    /// Whether the direct peer is recorded as [`PEER_KEY`] before the gate: always, unless the kind also exists in a
    /// variant that records it.
    pub fn records_peer(self) -> bool {
        !matches!(self, Self::Sidecar | Self::Edge | Self::ProxyProtocol)
    }

    /// Whether Envoy writes the peer to `X-Forwarded-For`; with trusted CIDRs only if the peer is in none of them.
    pub fn appends_peer(self) -> bool {
        matches!(self, Self::Append | Self::TrustedCidrs)
    }

    /// Whether connections may begin with a PROXY protocol prelude.
    pub fn speaks_proxy_protocol(self) -> bool {
        self.wants_proxy_protocol() || self == Self::ProxyProtocolOptional
    }

    /// Whether connections must begin with a PROXY protocol prelude.
    pub fn wants_proxy_protocol(self) -> bool {
        matches!(self, Self::ProxyProtocol | Self::ProxyProtocolState)
    }

    /// Whether clients connect to a Unix socket.
    pub fn is_unix(self) -> bool {
        matches!(self, Self::Unix | Self::UnixSidecar)
    }

    /// The name in the table of cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Append => "append",
            Self::Sidecar => "sidecar",
            Self::Hops1 => "hops1",
            Self::Hops2 => "hops2",
            Self::TrustedCidrs => "trusted_cidrs",
            Self::DetectionHeader => "detection_header",
            Self::ProxyProtocol => "proxy_protocol",
            Self::ProxyProtocolOptional => "proxy_protocol_optional",
            Self::DualStack => "dual_stack",
            Self::Unix => "unix",
            Self::UnixSidecar => "unix_sidecar",
            Self::Internal => "internal",
            Self::SidecarState => "sidecar_state",
            Self::EdgeState => "edge_state",
            Self::ProxyProtocolState => "proxy_protocol_state",
        }
    }

    /// The settings of the kind in the connection manager.
    pub(crate) fn manager_settings(self) -> Value {
        match self {
            Self::Sidecar | Self::SidecarState | Self::UnixSidecar => json!({}),
            Self::Append => json!({"use_remote_address": true}),
            Self::Hops1 => json!({"use_remote_address": true, "skip_xff_append": true, "xff_num_trusted_hops": 1}),
            Self::Hops2 => json!({"use_remote_address": true, "skip_xff_append": true, "xff_num_trusted_hops": 2}),
            Self::TrustedCidrs => detection(
                "xff",
                &json!({
                    "@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
                    "xff_trusted_cidrs": {"cidrs": [{"address_prefix": "127.0.0.78", "prefix_len": 32}]},
                    "skip_xff_append": true
                }),
            ),
            Self::DetectionHeader => detection(
                "custom_header",
                &json!({
                    "@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig",
                    "header_name": DETECTION_HEADER
                }),
            ),
            _ => json!({"use_remote_address": true, "skip_xff_append": true}),
        }
    }
}

/// Makes an extension detect the client's address.
fn detection(name: &str, settings: &Value) -> Value {
    let name = format!("envoy.http.original_ip_detection.{name}");
    json!({"original_ip_detection_extensions": [{"name": name, "typed_config": settings}]})
}

/// The header from which a [`Kind::DetectionHeader`] listener takes the client's address.
pub const DETECTION_HEADER: &str = "x-test-caller";

/// The filter state key under which listeners record the direct peer.
pub const PEER_KEY: &str = "portcullis.peer";

/// The filter that records the direct peer (the name is that of the example in the documentation).
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

/// The filter that adds the gate's decision, and the address that Envoy sees, to every response. It is before the gate,
/// so it also handles the gate's own replies.
pub(crate) fn decision_display() -> Value {
    let shown = [
        (DECISION, "%FILTER_STATE(wasm.portcullis.decision:PLAIN)%"),
        (REASON, "%FILTER_STATE(wasm.portcullis.reason:PLAIN)%"),
        (CONSUMER, "%FILTER_STATE(wasm.portcullis.consumer:PLAIN)%"),
        (KEY_ID, "%FILTER_STATE(wasm.portcullis.key_id:PLAIN)%"),
        (SOURCE, "%DOWNSTREAM_REMOTE_ADDRESS%"),
        (DETAILS, "%RESPONSE_CODE_DETAILS%"),
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
/// Response header: the client's address as Envoy detects it, with its port.
pub const SOURCE: &str = "x-test-source";
/// Response header: Envoy's response code details.
pub const DETAILS: &str = "x-test-details";
