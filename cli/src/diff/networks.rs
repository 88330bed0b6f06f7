//! Compares trusted networks as sets of addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use portcullis::document::ClientAddress;
use portcullis::request::IpRange;
use range_set_blaze::RangeSetBlaze;

use super::Effect::{Closes, MayOpen, Opens};
use super::{Change, Side};

/// Addresses of both families.
#[derive(Debug, Default)]
struct Addresses {
    v4: RangeSetBlaze<Ipv4Addr>,
    v6: RangeSetBlaze<Ipv6Addr>,
}

/// The maximum number of networks that a line names.
const MAX_NETWORKS: usize = 8;

pub(super) fn compare(old: &Side, new: &Side) -> Vec<Change> {
    let mut changes = Vec::new();
    let (before, after) = (&old.document.trusted_networks, &new.document.trusted_networks);
    let mut line = |effect, networks: Vec<String>, side: &Side, what: &str| {
        if !networks.is_empty() {
            let more = networks.len().saturating_sub(MAX_NETWORKS);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let networks = networks.into_iter().take(MAX_NETWORKS).collect::<Vec<_>>().join(", ");
            let place = Some(side.merged.place("trusted_networks.ranges"));
            changes
                .push(Change { place, ..Change::new(effect, "trusted_networks", format!("{networks}{more}{what}")) });
        }
    };
    let (trusted_before, trusted_after) = (Addresses::trusted(old), Addresses::trusted(new));
    line(Opens, trusted_after.without(&trusted_before).networks(), new, ": no key is needed from there");
    line(Closes, trusted_before.without(&trusted_after).networks(), old, ": a key is needed from there");
    if !before.ranges.is_empty() && !after.ranges.is_empty() && before.client_address != after.client_address {
        let what = format!("client_address {} -> {}", name(&before.client_address), name(&after.client_address));
        let change = |effect, why: &str| Change::new(effect, "trusted_networks", format!("{what}: {why}"));
        match (&before.client_address, &after.client_address) {
            (_, ClientAddress::RemoteIp) => {
                changes.push(change(Opens, "addresses that Envoy takes from headers are now trusted"));
            }
            (ClientAddress::RemoteIp, _) => {
                changes.push(change(Closes, "addresses that Envoy takes from headers are no longer trusted"));
            }
            _ => {
                changes.push(change(MayOpen, "other callers may be trusted"));
                changes.push(change(Closes, "callers that were trusted may need a key"));
            }
        }
    }
    changes
}

fn name(address: &ClientAddress) -> String {
    match address {
        ClientAddress::Direct => "direct".to_owned(),
        ClientAddress::RemoteIp => "remote_ip".to_owned(),
        ClientAddress::FilterState(key) => format!("filter_state {}", key.as_str()),
    }
}

impl Addresses {
    /// The addresses that a policy trusts.
    fn trusted(side: &Side) -> Self {
        let mut trusted = Self::default();
        for network in side.document.trusted_networks.ranges.iter().flat_map(IpRange::networks) {
            match network {
                IpNet::V4(network) => drop(trusted.v4.ranges_insert(network.network()..=network.broadcast())),
                IpNet::V6(network) => drop(trusted.v6.ranges_insert(network.network()..=network.broadcast())),
            }
        }
        trusted
    }

    /// The addresses that are not in `others`.
    fn without(&self, others: &Self) -> Self {
        Self { v4: &self.v4 - &others.v4, v6: &self.v6 - &others.v6 }
    }

    /// The smallest list of networks that covers the addresses. A single address has no prefix length.
    fn networks(&self) -> Vec<String> {
        let v4 = self.v4.ranges().flat_map(|run| Ipv4Subnets::new(*run.start(), *run.end(), 0)).map(IpNet::V4);
        let v6 = self.v6.ranges().flat_map(|run| Ipv6Subnets::new(*run.start(), *run.end(), 0)).map(IpNet::V6);
        let shown = |network: IpNet| {
            if network.prefix_len() == network.max_prefix_len() {
                network.addr().to_string()
            } else {
                network.to_string()
            }
        };
        v4.chain(v6).map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(runs: &[(&str, &str)]) -> Addresses {
        let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let v4 = runs.iter().map(|(first, last)| address(first)..=address(last)).collect();
        Addresses { v4, ..Addresses::default() }
    }

    #[test]
    fn what_is_left_of_a_network_is_named_as_networks() {
        let ten = v4(&[("10.0.0.0", "10.255.255.255")]);
        let part = v4(&[("10.1.0.0", "10.1.255.255")]);
        assert!(part.without(&ten).networks().is_empty());
        let rest = ten.without(&part).networks();
        assert_eq!(rest.first().map(String::as_str), Some("10.0.0.0/16"));
        assert_eq!((rest.len(), rest.last().map(String::as_str)), (8, Some("10.128.0.0/9")));
        let few = v4(&[("0.0.0.0", "0.0.0.5")]).without(&v4(&[("0.0.0.0", "0.0.0.1"), ("0.0.0.4", "0.0.0.5")]));
        assert_eq!(few.networks(), ["0.0.0.2/31"]);
        let v6 = |first, last| Addresses {
            v6: [Ipv6Addr::from(first)..=Ipv6Addr::from(last)].into_iter().collect(),
            ..Addresses::default()
        };
        assert_eq!(v6(0_u128, u128::MAX).networks(), ["::/0"]);
        assert_eq!(v6(1_u128, 1).networks(), ["::1"]);
    }
}
