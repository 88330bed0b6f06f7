//! Orchestra's `api_keys.json`: `valid_keys`, `require_auth_for_external` and `local_networks`.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, bail};
use ipnet::IpNet;
use serde_json::json;

use super::found::{Found, FoundKey, refused};
use super::source::Source;
use crate::yaml::{Node, Tree};

/// Whose the keys are: Orchestra has no names for them.
const CONSUMER: &str = "orchestra";

/// The variable of the environment with the name of the file.
pub(crate) const VARIABLE: &str = "API_KEYS_FILE";

const DETAIL: &str = "Invalid or missing API key. Please provide a valid X-API-Key header.";

/// Reads the file that is named, or else where Orchestra looks: `API_KEYS_FILE`, and the working directory.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn source(file: Option<&Path>) -> Result<Source> {
    match (file, std::env::var_os(VARIABLE).filter(|value| !value.is_empty())) {
        (Some(file), _) => Source::read(file),
        (None, Some(file)) => Source::read(Path::new(&file)),
        (None, None) => Source::read(Path::new("api_keys.json")),
    }
}

/// What the file holds.
///
/// # Errors
/// Where it is no such file.
pub(super) fn find(source: &Source) -> Result<Found> {
    let node = source.node()?;
    let members = ["valid_keys", "require_auth_for_external", "local_networks"];
    if !members.iter().any(|member| node.get(member).is_some()) {
        bail!("{} is no api_keys.json of Orchestra: it has none of {}", source.name, members.join(", "));
    }
    let mut found = Found::default();
    found.leave_unknown(&node, "", &members);
    keys(&node, &mut found);
    found.set("name", CONSUMER.into(), "From Orchestra's api_keys.json.");
    mode(&node, &mut found);
    let sources = Node::from(json!([{"header": "x-api-key"}]));
    found.set("key_sources", sources, "Where Orchestra looks for a key.");
    networks(&node, &mut found);
    let reply = Node::from(json!({"detail": DETAIL}));
    found.set("reply", reply, "What Orchestra says to a caller without a valid key.");
    found.note(
        None,
        "Orchestra asks for a key on /infer alone; here every path needs one. For the same as before, add: \
         protected_paths: [\"/infer\"]",
    );
    Ok(found)
}

fn keys(node: &Node, found: &mut Found) {
    let Some(keys) = node.get("valid_keys") else { return };
    if !matches!(keys.tree, Tree::List(_)) {
        found.leave(keys.at, "valid_keys is no list of keys");
    }
    for (index, key) in keys.items().iter().enumerate() {
        match key.text() {
            Some(text) => found.push(text, FoundKey::of(text, key.at, CONSUMER)),
            None => {
                found.leave(key.at, format!("valid_keys[{index}] is no text, so no request could present it: quote it"))
            }
        }
    }
}

fn mode(node: &Node, found: &mut Found) {
    let required = node.get("require_auth_for_external");
    let (mode, comment) = match required.map(|node| &node.tree) {
        Some(Tree::Bool(false)) => {
            found.note(
                required.and_then(|node| node.at),
                "require_auth_for_external is false, so nobody needs a key: mode is disabled. `portcullis mode enforce` asks for keys",
            );
            (
                "disabled",
                "require_auth_for_external was false: nobody needs a key. `report` would also count who has none.",
            )
        }
        Some(Tree::Bool(true)) => ("enforce", "require_auth_for_external was true."),
        Some(_) => {
            let at = required.and_then(|node| node.at);
            found.leave(at, "require_auth_for_external is neither true nor false: keys are required");
            ("enforce", "require_auth_for_external was neither true nor false.")
        }
        None => {
            found.note(None, "require_auth_for_external is missing: keys are required");
            ("enforce", "require_auth_for_external was missing.")
        }
    };
    found.set("mode", mode.into(), comment);
}

fn networks(node: &Node, found: &mut Found) {
    let Some(networks) = node.get("local_networks") else { return };
    if !matches!(networks.tree, Tree::List(_)) {
        found.leave(networks.at, "local_networks is no list of networks: nobody is local");
    }
    let mut ranges: Vec<String> = Vec::new();
    for (index, network) in networks.items().iter().enumerate() {
        let place = format!("local_networks[{index}]");
        let Some(text) = network.text() else {
            found.leave(network.at, format!("{place} is no text: write \"10.1.0.0/16\""));
            continue;
        };
        let range = range(text);
        let trusted = Node::from(json!({"ranges": [range]}));
        if let Some(why) = refused("trusted_networks", &trusted) {
            found.leave(network.at, format!("{place} {why}"));
            continue;
        }
        if range != text && range != "localhost" {
            found.note(network.at, format!("{place} is written {range} here"));
        }
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    if ranges.is_empty() {
        return;
    }
    let members = [("ranges", super::found::list(ranges)), ("client_address", Node::from("direct"))];
    found.set(
        "trusted_networks",
        Node::map(members),
        "local_networks: callers from here need no key. `direct`: their own connection counts, as with Orchestra,\n\
         and nobody is local who is named by a forwarding header. A load balancer must not stand in these ranges.",
    );
}

/// A network as Orchestra reads it: any of three names means both loopback addresses, host bits do not count, and a
/// netmask may stand for the length of the prefix.
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
