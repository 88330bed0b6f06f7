//! Classifies HTTP filters of Envoy by what they do to requests.

use super::configuration::{field, text_of, typed};
use crate::yaml::Node;

/// The position of the router, which forwards requests.
pub(super) fn router_of(filters: &[Node]) -> Option<usize> {
    filters.iter().position(|filter| {
        kind(filter).ends_with(".router.v3.Router") || text_of(filter, "name") == Some("envoy.filters.http.router")
    })
}

/// The type of a filter.
pub(super) fn kind(filter: &Node) -> &str {
    field(filter, "typed_config").and_then(typed).map_or("", |(kind, _)| kind)
}

/// Filters that give callers a second way to reach a method of a service, as the beginning of a message.
pub(super) fn translates(filter: &Node) -> Option<&'static str> {
    let kind = kind(filter);
    if kind.contains(".grpc_json_transcoder.") {
        Some("callers can use two paths for one gRPC method (its own, and that of its HTTP rule)")
    } else if kind.contains(".connect_grpc_bridge.") {
        Some("this turns GET with ?connect=v1 into POST")
    } else {
        None
    }
}

/// Whether a filter adds the headers that let pages of other sites read a reply.
pub(super) fn is_cors(filter: &Node) -> bool {
    kind(filter).ends_with(".cors.v3.Cors") || text_of(filter, "name") == Some("envoy.filters.http.cors")
}

/// Whether a filter can answer a request itself, or let another program answer it.
pub(super) fn may_answer(filter: &Node) -> bool {
    const ANSWER: [&str; 9] = [
        ".health_check.",
        ".cache.",
        ".cache_v2.",
        ".file_server.",
        ".lua.",
        ".ext_proc.",
        ".wasm.",
        ".golang.",
        ".dynamic_modules.",
    ];
    ANSWER.iter().any(|part| kind(filter).contains(part))
}
