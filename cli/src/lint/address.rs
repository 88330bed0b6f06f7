//! Lints of the client address on a listener, and of who can forge it: docs/policy/callers.md, "What is trusted, by
//! listener".

use portcullis::document::{ClientAddress, Document};

use super::access::holds_loopback;
use super::code::Code;
use super::configuration::{field, is_set, text_of, typed, walk};
use super::filters::kind;
use super::finding::Finding;
use super::listener::{Find, Manager};
use crate::yaml::{Node, Tree};

impl Manager<'_> {
    /// Checks the trusted networks of a policy, which has some, on this listener.
    pub(super) fn addresses(&self, document: &Document, findings: &mut Vec<Finding>) {
        let mut find =
            |code, node: Option<&Node>, message: &str, fix: &str| findings.push(self.find(code, node, message, fix));
        let is_remote = is_set(self.node, "use_remote_address");
        let prelude =
            self.listener.and_then(|listener| field(listener, "listener_filters")).map(Node::items).unwrap_or_default();
        let prelude = prelude.iter().find(|filter| {
            kind(filter).ends_with(".ProxyProtocol")
                || text_of(filter, "name") == Some("envoy.filters.listener.proxy_protocol")
        });
        let address = self.listener.and_then(|listener| field(listener, "address"));
        let socket = address
            .and_then(|address| field(address, "pipe").or_else(|| field(address, "envoy_internal_address")))
            .or_else(|| self.listener.and_then(|listener| field(listener, "internal_listener")));
        let client_address = &document.trusted_networks.client_address;
        let vouched_for = *client_address == ClientAddress::RemoteIp;
        match client_address {
            ClientAddress::Direct => {
                if let Some(prelude) = prelude {
                    let message = "client_address: direct uses the address from the PROXY protocol, which every \
                                   client of this listener can forge";
                    find(
                        Code::ProxyProtocol,
                        Some(prelude),
                        message,
                        "use client_address: remote_ip and accept connections only from the load balancer, or use \
                         filter_state",
                    );
                }
            }
            ClientAddress::RemoteIp => self.remote_ip(is_remote, prelude, &mut find),
            ClientAddress::FilterState(key) => {
                if !self.records(key.as_str()) {
                    let message =
                        format!("no filter before the gate records the peer as {}: no caller is trusted", key.as_str());
                    find(
                        Code::NobodyLocal,
                        None,
                        &message,
                        "add set_filter_state with %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% before the gate: \
                         see envoy/sidecar-peer.yaml",
                    );
                }
            }
        }
        if let Some(socket) = socket.filter(|_| !vouched_for || is_remote) {
            find(
                Code::NobodyLocal,
                Some(socket),
                "peers of this listener have no address: no caller is trusted",
                "remove the ranges, or listen on an address",
            );
        } else if !vouched_for
            && is_remote
            && !is_set(self.node, "skip_xff_append")
            && document.trusted_networks.ranges.iter().any(holds_loopback)
        {
            let message = "for a peer on this machine Envoy adds its own address to X-Forwarded-For, so the gate does \
                           not trust the peer";
            find(Code::NobodyLocal, field(self.node, "use_remote_address"), message, "set skip_xff_append: true");
        }
    }

    /// Checks who can forge the address that `remote_ip` trusts.
    fn remote_ip(&self, is_remote: bool, prelude: Option<&Node>, find: &mut Find<'_>) {
        const CLAIMED: &str = "a client that can connect without one of your proxies can forge a trusted address";
        const FIX: &str = "accept connections only from the proxies, and make them overwrite the address that callers \
                           send; or use client_address: direct";
        let detection = field(self.node, "original_ip_detection_extensions").filter(|list| !list.items().is_empty());
        let hops = field(self.node, "xff_num_trusted_hops")
            .filter(|hops| !matches!(&hops.tree, Tree::Number(number) if number.as_u64() == Some(0)));
        match detection {
            Some(detection) => {
                let by_peer = |one: &Node| {
                    field(one, "typed_config")
                        .and_then(typed)
                        .is_some_and(|(_, body)| field(body, "xff_trusted_cidrs").is_some())
                };
                if !detection.items().iter().all(by_peer) {
                    find(Code::ClaimedAddress, Some(detection), CLAIMED, FIX);
                }
            }
            None if !is_remote => {
                let message = "client_address: remote_ip without use_remote_address uses the last address in \
                               X-Forwarded-For, which every caller can forge";
                find(
                    Code::ForgedAddress,
                    field(self.node, "use_remote_address"),
                    message,
                    "set use_remote_address: true, and xff_num_trusted_hops to the number of proxies in front; or use \
                     client_address: direct",
                );
            }
            None if hops.is_some() => find(Code::ClaimedAddress, hops, CLAIMED, FIX),
            None => {}
        }
        if prelude.is_some() {
            find(Code::ClaimedAddress, prelude, CLAIMED, FIX);
        }
    }

    /// Whether a filter before the gate, of HTTP or of the network, records the peer's address under a key.
    fn records(&self, key: &str) -> bool {
        let mut recorded = false;
        // Network filters of the whole listener count, whatever their filter chain.
        walk(self.listener.unwrap_or(self.node), &mut |node| {
            let is_key = text_of(node, "object_key") == Some(key);
            let format = field(node, "format_string")
                .and_then(|format| field(format, "text_format_source"))
                .and_then(|source| text_of(source, "inline_string"));
            recorded |= is_key && format == Some("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%");
        });
        recorded
    }
}
