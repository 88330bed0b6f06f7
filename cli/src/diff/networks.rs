//! Trusted networks, compared as sets of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis::document::ClientAddress;
use portcullis::network::Range;

use super::Effect::{Closes, MayOpen, Opens};
use super::{Change, Side};

/// Addresses of one family, as numbers, from the first to the last of each run.
type Runs = Vec<(u128, u128)>;

/// The most networks that a line names.
const MOST: usize = 8;

pub(super) fn compare(old: &Side, new: &Side) -> Vec<Change> {
    let mut changes = Vec::new();
    let (before, after) = (&old.document.trusted_networks, &new.document.trusted_networks);
    let mut line = |effect, networks: Vec<String>, side: &Side, what: &str| {
        if !networks.is_empty() {
            let more = networks.len().saturating_sub(MOST);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let networks = networks.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
            let place = Some(side.merged.place("trusted_networks.ranges"));
            changes
                .push(Change { place, ..Change::new(effect, "trusted_networks", format!("{networks}{more}{what}")) });
        }
    };
    let families = [("v4", 32), ("v6", 128)];
    let both = |one: &Side, other: &Side| -> Vec<String> {
        let minus = |(family, bits): &(&str, u32)| networks(&minus(&runs(one, family), &runs(other, family)), *bits);
        families.iter().flat_map(minus).collect()
    };
    line(Opens, both(new, old), new, ": no key needed from there");
    line(Closes, both(old, new), old, ": a key needed from there");
    if !before.ranges.is_empty() && !after.ranges.is_empty() && before.client_address != after.client_address {
        let what = format!("client_address {} -> {}", name(&before.client_address), name(&after.client_address));
        let change = |effect, why: &str| Change::new(effect, "trusted_networks", format!("{what}: {why}"));
        match (&before.client_address, &after.client_address) {
            (_, ClientAddress::RemoteIp) => {
                changes.push(change(Opens, "addresses that Envoy took from headers count from now on"));
            }
            (ClientAddress::RemoteIp, _) => {
                changes.push(change(Closes, "addresses that Envoy took from headers count no longer"));
            }
            _ => {
                changes.push(change(MayOpen, "other callers may count as trusted"));
                changes.push(change(Closes, "callers that counted as trusted may need a key"));
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

/// The trusted addresses of a family, sorted, without overlaps.
fn runs(side: &Side, family: &str) -> Runs {
    let networks = side.document.trusted_networks.ranges.iter().flat_map(Range::networks);
    let bounds = networks.map(|network| (network.network(), network.broadcast()));
    let mut runs: Runs = bounds
        .filter_map(|bounds| match bounds {
            (IpAddr::V4(first), IpAddr::V4(last)) if family == "v4" => {
                Some((u32::from(first).into(), u32::from(last).into()))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if family == "v6" => Some((first.into(), last.into())),
            _ => None,
        })
        .collect();
    runs.sort_unstable();
    let mut joined: Runs = Vec::new();
    for (first, last) in runs {
        match joined.last_mut() {
            Some(run) if first <= run.1.saturating_add(1) => run.1 = run.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// What is in `runs` and not in `others`.
fn minus(runs: &Runs, others: &Runs) -> Runs {
    let mut left = Vec::new();
    for (first, last) in runs {
        let mut next = Some(*first);
        for (other_first, other_last) in others.iter().filter(|(from, to)| to >= first && from <= last) {
            let Some(from) = next else { break };
            if from < *other_first {
                left.push((from, other_first.saturating_sub(1)));
            }
            next = other_last.checked_add(1).filter(|next| next <= last);
        }
        left.extend(next.map(|from| (from, *last)));
    }
    left
}

/// Runs of addresses as the fewest networks.
fn networks(runs: &Runs, bits: u32) -> Vec<String> {
    let mut networks = Vec::new();
    for (first, last) in runs {
        let mut next = Some(*first);
        while let Some(from) = next {
            let mut host = from.trailing_zeros().min(bits);
            let end = |host: u32| from | 1_u128.checked_shl(host).map_or(u128::MAX, |size| size.saturating_sub(1));
            while end(host) > *last {
                host = host.saturating_sub(1);
            }
            let address = match u32::try_from(from) {
                Ok(from) if bits == 32 => IpAddr::V4(Ipv4Addr::from(from)),
                _ => IpAddr::V6(Ipv6Addr::from(from)),
            };
            let prefix = bits.saturating_sub(host);
            networks.push(if host == 0 { address.to_string() } else { format!("{address}/{prefix}") });
            next = end(host).checked_add(1).filter(|next| next <= last);
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_network_is_named_as_networks() {
        let ten = vec![(0x0A00_0000, 0x0AFF_FFFF)];
        let part = vec![(0x0A01_0000, 0x0A01_FFFF)];
        assert_eq!(networks(&minus(&part, &ten), 32), Vec::<String>::new());
        let rest = networks(&minus(&ten, &part), 32);
        assert_eq!(rest.first().map(String::as_str), Some("10.0.0.0/16"));
        assert_eq!((rest.len(), rest.last().map(String::as_str)), (8, Some("10.128.0.0/9")));
        assert_eq!(networks(&vec![(0, u128::MAX)], 128), ["::/0"]);
        assert_eq!(networks(&vec![(1, 1)], 128), ["::1"]);
        assert_eq!(networks(&minus(&vec![(0, 5)], &vec![(0, 1), (4, 5)]), 32), ["0.0.0.2/31"]);
    }
}
