//! Checks whether the upstream answers, and whether callers can bypass the gate.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;

use crate::output::{YELLOW, note};
use crate::render::envoy::Upstream;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait before the next attempt to reach the upstream.
const PAUSE: Duration = Duration::from_secs(1);

/// Checks the upstream in the background, since it may start later.
pub(super) fn watch(upstream: Upstream, listen: SocketAddr) {
    thread::spawn(move || {
        let own = addresses_of_this_machine();
        let place = name(&upstream);
        let mut is_missed = false;
        let addresses = loop {
            let addresses = resolve(&upstream);
            if addresses.iter().any(answers) {
                break addresses;
            }
            if !is_missed {
                note(format_args!(
                    "{YELLOW}warning:{YELLOW:#} the upstream {place} does not answer yet: callers get 503"
                ));
            }
            is_missed = true;
            thread::sleep(PAUSE);
        };
        if is_missed {
            note(format_args!("the upstream {place} answers now"));
        }
        for warning in ways_around(&upstream, &addresses, &own, listen) {
            note(format_args!("{YELLOW}warning:{YELLOW:#} {warning}"));
        }
    });
}

/// `HOST:PORT`.
pub(super) fn name(upstream: &Upstream) -> String {
    if upstream.host.contains(':') {
        format!("[{}]:{}", upstream.host, upstream.port)
    } else {
        format!("{}:{}", upstream.host, upstream.port)
    }
}

/// Whether requests would return to the gate itself.
pub(super) fn is_the_gate(upstream: &Upstream, listen: SocketAddr) -> bool {
    listen.port() == upstream.port && resolve(upstream).iter().any(|address| is_listened_at(address, listen))
}

fn ways_around(upstream: &Upstream, addresses: &[SocketAddr], own: &[IpAddr], listen: SocketAddr) -> Vec<String> {
    let (place, port) = (name(upstream), upstream.port);
    let is_here = |address: &SocketAddr| address.ip().is_loopback() || own.contains(&address.ip());
    if !addresses.iter().all(is_here) {
        return vec![format!(
            "the upstream {place} is not on this machine: whoever can reach its network can bypass the gate. Make its \
             firewall accept connections to port {port} from this machine only"
        )];
    }
    let elsewhere = own.iter().filter(|ip| !ip.is_loopback()).map(|ip| SocketAddr::new(*ip, port));
    let open = elsewhere.filter(|address| !is_listened_at(address, listen) && answers(address));
    open.map(|address| {
        format!(
            "the upstream also answers at {address}, where callers can bypass the gate: make it listen on 127.0.0.1 \
             only (deepaas-run --listen-ip 127.0.0.1, uvicorn --host 127.0.0.1), or close port {port} in the firewall"
        )
    })
    .collect()
}

fn is_listened_at(address: &SocketAddr, listen: SocketAddr) -> bool {
    address.port() == listen.port() && (listen.ip() == address.ip() || listen.ip().is_unspecified())
}

fn resolve(upstream: &Upstream) -> Vec<SocketAddr> {
    (upstream.host.as_str(), upstream.port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}

fn answers(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, PATIENCE).is_ok()
}

/// The addresses of this machine, without link-local ones, which need the name of an interface.
fn addresses_of_this_machine() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().filter(|interface| !interface.is_link_local()).map(|interface| interface.ip()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn upstream(address: SocketAddr) -> Upstream {
        Upstream { host: address.ip().to_string(), port: address.port() }
    }

    #[test]
    fn an_upstream_on_another_address_too_is_told_with_the_way_to_mend_it() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = SocketAddr::new("127.0.0.1".parse().unwrap(), listener.local_addr().unwrap().port());
        // Stands for an address that others reach: here, and none that the kernel calls loopback to them.
        let own = addresses_of_this_machine();
        let warnings = ways_around(&upstream(address), &[address], &own, "127.0.0.1:1".parse().unwrap());
        let others = own.iter().filter(|ip| ip.is_ipv4() && !ip.is_loopback()).count();
        assert_eq!(warnings.len(), others, "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains("--host 127.0.0.1")), "{warnings:?}");
    }

    #[test]
    fn an_upstream_on_loopback_alone_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = addresses_of_this_machine();
        assert!(ways_around(&upstream(address), &[address], &own, "127.0.0.1:1".parse().unwrap()).is_empty());
    }

    #[test]
    fn an_upstream_on_another_machine_is_told() {
        let address = "192.0.2.1:80".parse().unwrap();
        let warnings = ways_around(&upstream(address), &[address], &[], "127.0.0.1:1".parse().unwrap());
        assert!(warnings[0].contains("not on this machine"), "{warnings:?}");
    }

    #[test]
    fn the_gate_is_no_upstream_of_its_own() {
        let here: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert!(is_the_gate(&upstream(here), here));
        assert!(is_the_gate(&upstream(here), "0.0.0.0:8080".parse().unwrap()));
        assert!(!is_the_gate(&upstream(here), "127.0.0.1:8081".parse().unwrap()));
    }
}
