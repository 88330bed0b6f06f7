//! The peer of a connection, and ranges of trusted addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::value::text::{Invalid, Text, read_text};

/// A trusted range. It is a list of networks, since `localhost` is two.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct IpRange {
    text: String,
    #[serde(skip)]
    networks: Vec<IpNet>,
}

impl IpRange {
    /// Whether an address is in the range. It must be [canonical](Peer).
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Returns the networks of the range.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }
}

impl Text for IpRange {
    const EXPECTED: &'static str = "an address, a network such as 10.1.0.0/16, or localhost";
    const PATTERN: &'static str = "^(localhost|[0-9a-fA-F.:]+(/[0-9]+)?)$";

    fn from_text(text: &str) -> Result<Self, Invalid> {
        let networks = if text == "localhost" {
            vec![IpAddr::from(Ipv4Addr::LOCALHOST).into(), IpAddr::from(Ipv6Addr::LOCALHOST).into()]
        } else if let Ok(address) = text.parse::<IpAddr>() {
            vec![address.to_canonical().into()]
        } else {
            let invalid = |help| Invalid::new("invalid range", help);
            let expected = "expected an address, a network such as 10.1.0.0/16, or localhost";
            let network = network(text).ok_or_else(|| invalid(expected))?;
            if network.trunc() != network {
                return Err(invalid("bits are set beyond the prefix; write the first address of the network"));
            }
            if network.prefix_len() < if network.addr().is_ipv4() { 8 } else { 7 } {
                let help =
                    "wider than /8 (IPv4) or /7 (IPv6), which is never trusted; name the networks that are yours";
                return Err(invalid(help));
            }
            vec![network]
        };
        Ok(Self { text: text.to_owned(), networks })
    }
}

read_text!(IpRange);

/// Reads `ADDRESS/PREFIX`.
///
/// * The address is parsed by the standard library, which is stricter than `IpNet`: `IpNet` accepts `010.0.0.0/8`, whose
///   first part is 8 or 10, depending on the parser.
/// * IPv4-mapped IPv6 is converted to IPv4 (RFC 4291, section 2.5.5.2), also for networks inside `::ffff:0:0/96`.
/// * A wider network, such as `::/64`, contains mapped addresses but never matches one, since peers are converted to IPv4
///   first.
fn network(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    let prefix: u8 = prefix.bytes().all(|byte| byte.is_ascii_digit()).then(|| prefix.parse().ok())??;
    let address: IpAddr = address.parse().ok()?;
    match (address.to_canonical(), prefix.checked_sub(96)) {
        (v4 @ IpAddr::V4(_), Some(prefix)) if address.is_ipv6() => IpNet::new(v4, prefix),
        _ => IpNet::new(address, prefix),
    }
    .ok()
}

/// The peer of a connection, as Envoy's `source.address` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The address. IPv4-mapped IPv6 is converted to IPv4.
    pub address: IpAddr,
    /// The port; 0 if Envoy took the address from a header.
    pub port: u16,
}

impl Peer {
    /// Parses `ip:port` or `[v6]:port`. `None` for anything else:
    ///
    /// * a Unix socket or an internal address
    /// * text that is not UTF-8
    /// * an address with a zone, `[fe80::1%2]:port`: on another link it is another host (RFC 4007, section 6), and a range
    ///   does not state a link
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok().filter(|text| !text.contains('%'))?;
        let socket: SocketAddr = text.parse().ok()?;
        let address = if defence!("mapped-addresses") { socket.ip().to_canonical() } else { socket.ip() };
        Some(Self { address, port: socket.port() })
    }

    /// Whether the address is used on behalf of another caller. In a mesh, inbound calls that a sidecar forwards to its own
    /// workload come from 127.0.0.6 or ::6, whatever their origin.
    pub fn stands_for_another(&self) -> bool {
        const PASSTHROUGH: [IpAddr; 2] =
            [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)), IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6))];
        PASSTHROUGH.contains(&self.address)
    }
}

/// Parses an address without a port, from a header or from filter state.
pub(crate) fn parse_address(bytes: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = core::str::from_utf8(bytes.trim_ascii()).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_malformed_or_too_wide_is_refused() {
        for text in "0.0.0.0/0 10.0.0.0/7 ::/0 fc00::/6 ::ffff:0:0/96 ::ffff:10.0.0.0/103 10.1.2.3/16 fd00::1/8  10.1 \
                     010.1.0.0/16 10.0.0.0/33 localhost/8 example.com 10.0.0.0-10.0.0.9"
            .split(' ')
            .chain([" 10.0.0.1"])
        {
            assert!(text.parse::<IpRange>().is_err(), "{text}");
        }
    }
}
