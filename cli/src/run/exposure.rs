//! Who gets in, in three lines: what needs a key, what is public, and who is local. They are printed at every start, so
//! that nothing is open by surprise.

use ipnet::IpNet;
use portcullis::Document;
use portcullis::document::{ClientAddress, CorsPreflight, PublicPath};
use portcullis::request::IpRange;

use crate::output::count;

/// The maximum number of items of a list that a line shows.
const MAX_ITEMS: usize = 8;

/// The three lines for a policy.
pub(super) fn lines(document: &Document) -> [String; 3] {
    let public: Vec<String> = document.public_paths.iter().map(public_path).collect();
    let (protected, open) = match (&document.protected_paths, public.as_slice()) {
        (Some(paths), _) => {
            (list(paths.iter().map(|one| one.path.as_str().to_owned()).collect()), "every other path".to_owned())
        }
        (None, []) => ("every path".to_owned(), "no path".to_owned()),
        (None, _) => ("every other path".to_owned(), list(public)),
    };
    let protected = format!("needs a key: {protected}");
    let open = format!("public: {open}{}", preflights(document));
    // "Every other path" comes after the paths.
    let (first, second) = if document.protected_paths.is_some() { (protected, open) } else { (open, protected) };
    [first, second, format!("local, without a key: {}", local(document))]
}

fn public_path(path: &PublicPath) -> String {
    let Some(methods) = &path.methods else { return path.path.as_str().to_owned() };
    let methods: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    format!("{} ({})", path.path.as_str(), methods.join(", "))
}

fn preflights(document: &Document) -> &'static str {
    match document.cors_preflight {
        CorsPreflight::Allow => ", and CORS preflights of every path",
        CorsPreflight::Authenticate => "",
    }
}

fn local(document: &Document) -> String {
    let networks = &document.trusted_networks;
    let ranges = networks.ranges.iter().flat_map(IpRange::networks).map(network);
    let identities = document.trusted_identities.iter().map(|identity| identity.as_str().to_owned());
    let callers: Vec<String> = ranges.chain(identities).collect();
    if callers.is_empty() {
        return "nobody".to_owned();
    }
    let detected = match networks.client_address {
        ClientAddress::RemoteIp if !networks.ranges.is_empty() => " (addresses as Envoy detects them)",
        _ => "",
    };
    format!("{}{detected}", list(callers))
}

/// A network; a single address without its length.
fn network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

fn list(mut items: Vec<String>) -> String {
    let more = items.len().saturating_sub(MAX_ITEMS);
    items.truncate(MAX_ITEMS);
    let shown = items.join(", ");
    if more == 0 { shown } else { format!("{shown} and {}", count(more, "other")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(policy: &str) -> String {
        super::lines(&Document::read(policy.as_bytes()).expect("the policy is valid")).join("; ")
    }

    #[test]
    fn a_policy_says_who_gets_in() {
        for (policy, expected) in [
            ("{}", "public: no path; needs a key: every path; local, without a key: nobody"),
            (
                r#"{"public_paths": ["/", {"path": "/docs/**", "methods": ["GET"]}], "cors_preflight": "allow"}"#,
                "public: /, /docs/** (GET), and CORS preflights of every path; needs a key: every other path; local, \
                 without a key: nobody",
            ),
            (
                r#"{"protected_paths": ["/v2/models/**"], "trusted_networks": {"ranges": ["localhost", "10.1.0.0/16"]}}"#,
                "needs a key: /v2/models/**; public: every other path; local, without a key: 127.0.0.1, ::1, 10.1.0.0/16",
            ),
            (
                r#"{"public_paths": ["/1","/2","/3","/4","/5","/6","/7","/8","/9"],
                    "trusted_networks": {"ranges": ["10.1.0.0/16"], "client_address": "remote_ip"},
                    "trusted_identities": ["spiffe://a/b/*"]}"#,
                "public: /1, /2, /3, /4, /5, /6, /7, /8 and 1 other; needs a key: every other path; local, without a key: \
                 10.1.0.0/16, spiffe://a/b/* (addresses as Envoy detects them)",
            ),
        ] {
            assert_eq!(lines(policy), expected, "{policy}");
        }
    }
}
