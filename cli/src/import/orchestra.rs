//! Imports Orchestra's `api_keys.json`: `valid_keys`, `require_auth_for_external` and `local_networks`.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, bail};
use ipnet::IpNet;
use serde_json::json;

use super::discovered::{Discovered, DiscoveredKey, refused};
use super::source::Source;
use crate::yaml::{Node, Tree};

/// The consumer of the keys: Orchestra has no names for them.
const CONSUMER: &str = "orchestra";

/// The default name of the file.
pub(crate) const NAME: &str = "api_keys.json";

/// The variable of the environment with the name of the file.
pub(crate) const VARIABLE: &str = "API_KEYS_FILE";

const DETAIL: &str = "Invalid or missing API key. Please provide a valid X-API-Key header.";

/// Reads the given file, or the file that Orchestra uses: `API_KEYS_FILE`, or the one in the working directory.
///
/// # Errors
/// If it cannot be read.
pub(super) fn source(file: Option<&Path>) -> Result<Source> {
    match (file, std::env::var_os(VARIABLE).filter(|value| !value.is_empty())) {
        (Some(file), _) => Source::read(file),
        (None, Some(file)) => Source::read(Path::new(&file)),
        (None, None) => Source::read(Path::new(NAME)),
    }
}

/// Reads the file.
///
/// # Errors
/// If it is not such a file.
pub(super) fn find(source: &Source) -> Result<Discovered> {
    let node = source.node()?;
    let members = ["valid_keys", "require_auth_for_external", "local_networks"];
    if !members.iter().any(|member| node.get(member).is_some()) {
        bail!("{} is not an api_keys.json of Orchestra: expected at least one of {}", source.name, members.join(", "));
    }
    let mut discovered = Discovered::default();
    discovered.leave_unknown(&node, "", &members);
    keys(&node, &mut discovered);
    discovered.set("name", CONSUMER.into(), "From Orchestra's api_keys.json.");
    mode(&node, &mut discovered);
    let sources = Node::from(json!([{"header": "x-api-key"}]));
    discovered.set("key_sources", sources, "Where Orchestra looks for a key.");
    networks(&node, &mut discovered);
    let reply = Node::from(json!({"detail": DETAIL}));
    discovered.set("reply", reply, "What Orchestra replies to a caller without a valid key.");
    discovered.note(
        None,
        "Orchestra requires a key only on /infer; here every path needs one. For the behaviour of Orchestra, add: \
         protected_paths: [\"/infer\"]",
    );
    Ok(discovered)
}

fn keys(node: &Node, discovered: &mut Discovered) {
    let Some(keys) = node.get("valid_keys") else { return };
    if !matches!(keys.tree, Tree::List(_)) {
        discovered.leave(keys.at, "valid_keys: expected a list of keys");
    }
    for (index, key) in keys.items().iter().enumerate() {
        match key.text() {
            Some(text) => discovered.push(text, DiscoveredKey::of(text, key.at, CONSUMER)),
            None => discovered.leave(key.at, format!("valid_keys[{index}]: expected text: quote it")),
        }
    }
}

fn mode(node: &Node, discovered: &mut Discovered) {
    let required = node.get("require_auth_for_external");
    let (mode, comment) = match required.map(|node| &node.tree) {
        Some(Tree::Bool(false)) => {
            discovered.note(
                required.and_then(|node| node.at),
                "require_auth_for_external is false, so no caller needs a key: mode is disabled. `portcullis mode \
                 enforce` requires keys",
            );
            (
                "disabled",
                "require_auth_for_external was false: no caller needs a key. `report` would also count requests \
                 without a key.",
            )
        }
        Some(Tree::Bool(true)) => ("enforce", "require_auth_for_external was true."),
        Some(_) => {
            let at = required.and_then(|node| node.at);
            discovered.leave(at, "require_auth_for_external is neither true nor false: keys are required");
            ("enforce", "require_auth_for_external was neither true nor false.")
        }
        None => {
            discovered.note(None, "require_auth_for_external is missing: keys are required");
            ("enforce", "require_auth_for_external was missing.")
        }
    };
    discovered.set("mode", mode.into(), comment);
}

fn networks(node: &Node, discovered: &mut Discovered) {
    let Some(networks) = node.get("local_networks") else { return };
    if !matches!(networks.tree, Tree::List(_)) {
        discovered.leave(networks.at, "local_networks: expected a list of networks: no caller is trusted");
    }
    let mut ranges: Vec<String> = Vec::new();
    for (index, network) in networks.items().iter().enumerate() {
        let place = format!("local_networks[{index}]");
        let Some(text) = network.text() else {
            discovered.leave(network.at, format!("{place}: expected text, such as \"10.1.0.0/16\""));
            continue;
        };
        let range = range(text);
        let trusted = Node::from(json!({"ranges": [range]}));
        if let Some(why) = refused("trusted_networks", &trusted) {
            discovered.leave(network.at, format!("{place}: {why}"));
            continue;
        }
        if range != text && range != "localhost" {
            discovered.note(network.at, format!("{place} becomes {range}"));
        }
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    if ranges.is_empty() {
        return;
    }
    let members = [("ranges", super::discovered::list(ranges)), ("client_address", Node::from("direct"))];
    discovered.set(
        "trusted_networks",
        Node::map(members),
        "local_networks: callers from these ranges need no key. `direct`: the address of the connection counts, as in\n\
         Orchestra, and a request with a forwarding header is not trusted. No load balancer may be in these ranges.",
    );
}

/// A network as Orchestra interprets it: each of three names means both loopback addresses, host bits are ignored, and
/// a netmask can replace the prefix length.
fn range(text: &str) -> String {
    if ["localhost", "127.0.0.1", "::1"].contains(&text) {
        return "localhost".to_owned();
    }
    canonical(text).unwrap_or_else(|| text.to_owned())
}

fn canonical(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let network = match length.parse() {
        Ok(mask @ IpAddr::V4(_)) => IpNet::with_netmask(address, mask),
        _ => IpNet::new(address, length.parse().ok()?),
    };
    Some(network.ok()?.trunc().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_as_orchestra_reads_it() {
        for (there, here) in [
            ("127.0.0.1", "localhost"),
            ("::1", "localhost"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/16", "10.1.0.0/16"),
            ("192.168.1.0/255.255.255.0", "192.168.1.0/24"),
            ("10.0.0.0/255.0.255.0", "10.0.0.0/255.0.255.0"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::1/8", "fd00::/8"),
            ("::1/0", "::/0"),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("office", "office"),
        ] {
            assert_eq!(range(there), here);
        }
    }
}
