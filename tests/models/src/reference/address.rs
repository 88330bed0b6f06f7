//! Which callers are local, with the standard library's addresses and by comparing bits.

use std::net::IpAddr;

use super::Host;
use super::document::{ClientAddress, TrustedNetworks};
use super::request::Request;

/// Whether the caller needs no key because of its address.
pub fn is_trusted(networks: &TrustedNetworks, request: &Request, host: &Host) -> bool {
    let Some((peer, port)) = host.source.as_deref().and_then(with_port) else { return false };
    let stands_for_others = ["127.0.0.6", "::6"].iter().any(|one| one.parse() == Ok(peer));
    if request.is_cross_site() || stands_for_others || !networks.ranges.iter().any(|range| holds(range, peer)) {
        return false;
    }
    match &networks.client_address {
        ClientAddress::RemoteIp => true,
        ClientAddress::Direct => port != 0 && !request.names_another(peer),
        ClientAddress::FilterState(key) => {
            host.state.get(key).and_then(|recorded| plain(recorded)) == Some(peer) && !request.names_another(peer)
        }
    }
}

/// An address without a port. IPv4-mapped IPv6 is IPv4.
pub fn plain(bytes: &[u8]) -> Option<IpAddr> {
    let address: IpAddr =
        std::str::from_utf8(bytes).ok()?.trim_matches(|c: char| c.is_ascii_whitespace()).parse().ok()?;
    Some(address.to_canonical())
}

/// `a.b.c.d:port` or `[v6]:port`; no range contains an address with a zone.
pub fn with_port(bytes: &[u8]) -> Option<(IpAddr, u16)> {
    let (address, port) = std::str::from_utf8(bytes).ok()?.rsplit_once(':')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let significant = port.trim_start_matches('0');
    let port =
        if number(port) && significant.is_empty() { 0 } else { number(port).then(|| significant.parse().ok())?? };
    let address = match address.strip_prefix('[') {
        None => IpAddr::V4(address.parse().ok()?),
        Some(rest) => IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?),
    };
    Some((address.to_canonical(), port))
}

/// Whether an address is in a range of a document: `localhost`, an address, or a network.
pub fn holds(range: &str, peer: IpAddr) -> bool {
    if range == "localhost" {
        return holds("127.0.0.1", peer) || holds("::1", peer);
    }
    let Some((address, prefix)) = range.split_once('/') else { return plain(range.as_bytes()) == Some(peer) };
    let (Ok(network), Ok(prefix)) = (address.parse::<IpAddr>(), prefix.parse::<usize>()) else { return false };
    match (network, peer) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            bits(network).get(..prefix) == bits(peer).get(..prefix)
        }
        // A network of mapped addresses is an IPv4 network; a wider IPv6 network contains no IPv4 address.
        (IpAddr::V6(_), IpAddr::V4(peer)) if prefix >= 96 => {
            bits(network).get(..prefix) == bits(IpAddr::V6(peer.to_ipv6_mapped())).get(..prefix)
        }
        _ => false,
    }
}

/// Whether a range is allowed in a document.
pub fn is_a_range(range: &str) -> bool {
    let Some((address, prefix)) = range.split_once('/') else {
        return range == "localhost" || range.parse::<IpAddr>().is_ok();
    };
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let (Ok(address), Ok(prefix), true) = (address.parse::<IpAddr>(), prefix.parse::<usize>(), digits) else {
        return false;
    };
    let bits = bits(address);
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() && prefix >= 96);
    let widest = match address {
        IpAddr::V4(_) => 8,
        IpAddr::V6(_) if mapped => 96 + 8,
        IpAddr::V6(_) => 7,
    };
    prefix >= widest && prefix <= bits.len() && bits.iter().skip(prefix).all(|bit| !bit)
}

fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}
