//! Checks whether the upstream answers, and whether callers can bypass the gate.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::log::warn;
use crate::output::note;
use crate::render::upstream::Upstream;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait before the next attempt to reach the upstream.
const PAUSE: Duration = Duration::from_secs(1);
/// The rights of every other user: to write to a file or socket, and to pass through a folder.
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_PASS: u32 = 0o001;

/// Checks the upstream in the background, since it may start later.
pub(super) fn watch(upstream: Upstream, listen: SocketAddr) {
    thread::spawn(move || {
        let own = addresses_of_this_machine();
        let mut is_missed = false;
        let warnings = loop {
            if let Some(warnings) = look(&upstream, &own, listen) {
                break warnings;
            }
            if !is_missed {
                let why = match &upstream {
                    Upstream::Host { host, port, .. } if resolve(host, *port).is_empty() => {
                        format!("cannot be found: {host} has no address yet, or is mistyped")
                    }
                    Upstream::Host { .. } | Upstream::Socket(_) => "does not answer yet".to_owned(),
                };
                warn(format_args!("the upstream {upstream} {why}: callers get 503"));
            }
            is_missed = true;
            thread::sleep(PAUSE);
        };
        if is_missed {
            note(format_args!("the upstream {upstream} answers now"));
        }
        warnings.iter().for_each(warn);
    });
}

/// Whether requests would return to the gate itself.
pub(super) fn is_the_gate(upstream: &Upstream, listen: SocketAddr) -> bool {
    match upstream {
        Upstream::Host { host, port, .. } if *port == listen.port() => {
            resolve(host, *port).iter().any(|address| is_listened_at(address, listen))
        }
        Upstream::Host { .. } | Upstream::Socket(_) => false,
    }
}

/// The ways around the gate; `None` if the upstream does not answer.
fn look(upstream: &Upstream, own: &[IpAddr], listen: SocketAddr) -> Option<Vec<String>> {
    match upstream {
        Upstream::Host { host, port, .. } => {
            let addresses = resolve(host, *port);
            addresses.iter().any(answers).then(|| ways_around(upstream, *port, &addresses, own, listen))
        }
        Upstream::Socket(file) => {
            UnixStream::connect(file).is_ok().then(|| way_around_on_this_machine(file).into_iter().collect())
        }
    }
}

fn ways_around(
    upstream: &Upstream,
    port: u16,
    addresses: &[SocketAddr],
    own: &[IpAddr],
    listen: SocketAddr,
) -> Vec<String> {
    let is_here = |address: &SocketAddr| address.ip().is_loopback() || own.contains(&address.ip());
    if !addresses.iter().all(is_here) {
        return vec![format!(
            "the upstream {upstream} is not on this machine: whoever can reach its network can bypass the gate. Make its \
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

/// A warning if every user of this machine can connect to the socket: that needs the right to write to it, and to pass
/// through each folder above it (unix(7)).
fn way_around_on_this_machine(file: &Path) -> Option<String> {
    let whole = file.canonicalize().ok()?;
    let has = |path: &Path, right: u32| path.metadata().is_ok_and(|found| found.permissions().mode() & right == right);
    let is_open = has(&whole, OTHERS_WRITE) && whole.ancestors().skip(1).all(|folder| has(folder, OTHERS_PASS));
    is_open.then(|| {
        let file = file.display();
        format!(
            "every user of this machine can connect to {file} and bypass the gate: put the socket into a folder that \
             only the service and this user can enter (chmod 750), or take the right from the socket (chmod o-w {file}) \
             whenever the service has started"
        )
    })
}

fn is_listened_at(address: &SocketAddr, listen: SocketAddr) -> bool {
    address.port() == listen.port() && (listen.ip() == address.ip() || listen.ip().is_unspecified())
}

fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
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
    use std::fs::{self, Permissions};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    const ELSEWHERE: &str = "127.0.0.1:1";

    fn upstream(address: SocketAddr) -> Upstream {
        address.to_string().parse().unwrap()
    }

    fn warnings(address: SocketAddr, own: &[IpAddr]) -> Vec<String> {
        ways_around(&upstream(address), address.port(), &[address], own, ELSEWHERE.parse().unwrap())
    }

    #[test]
    fn an_upstream_on_another_address_too_is_told_with_the_way_to_mend_it() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = SocketAddr::new("127.0.0.1".parse().unwrap(), listener.local_addr().unwrap().port());
        // Stands for an address that others reach: here, and none that the kernel calls loopback to them.
        let own = addresses_of_this_machine();
        let warnings = warnings(address, &own);
        let others = own.iter().filter(|ip| ip.is_ipv4() && !ip.is_loopback()).count();
        assert_eq!(warnings.len(), others, "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains("--host 127.0.0.1")), "{warnings:?}");
    }

    #[test]
    fn an_upstream_on_loopback_alone_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = addresses_of_this_machine();
        assert!(warnings(listener.local_addr().unwrap(), &own).is_empty());
    }

    #[test]
    fn an_upstream_on_another_machine_is_told() {
        let address = "192.0.2.1:443".parse().unwrap();
        let upstream = "https://192.0.2.1".parse().unwrap();
        let warnings = ways_around(&upstream, 443, &[address], &[], ELSEWHERE.parse().unwrap());
        assert!(warnings[0].starts_with("the upstream https://192.0.2.1 is not on this machine"), "{warnings:?}");
        assert!(warnings[0].contains("port 443"), "{warnings:?}");
    }

    #[test]
    fn the_gate_is_no_upstream_of_its_own() {
        let here: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert!(is_the_gate(&upstream(here), here));
        assert!(is_the_gate(&upstream(here), "0.0.0.0:8080".parse().unwrap()));
        assert!(is_the_gate(&"h2c://127.0.0.1:8080".parse().unwrap(), here));
        assert!(!is_the_gate(&upstream(here), "127.0.0.1:8081".parse().unwrap()));
        assert!(!is_the_gate(&"unix:/run/8080".parse().unwrap(), here));
    }

    #[test]
    fn a_socket_that_every_user_may_use_is_told() {
        // The folders above a temporary one may be closed to others.
        let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let file = folder.path().join("service.sock");
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let upstream = Upstream::Socket(file.clone());
        let look = || look(&upstream, &[], ELSEWHERE.parse().unwrap());
        assert_eq!(look(), None, "nothing listens");
        let listener = UnixListener::bind(&file).unwrap();
        for (folder_mode, socket_mode, count) in
            [(0o755, 0o777, 1), (0o711, 0o666, 1), (0o750, 0o777, 0), (0o755, 0o775, 0), (0o755, 0o770, 0)]
        {
            mode(folder.path(), folder_mode);
            mode(&file, socket_mode);
            let warnings = look().unwrap();
            assert_eq!(warnings.len(), count, "{folder_mode:o} {socket_mode:o}: {warnings:?}");
            assert!(warnings.iter().all(|warning| warning.contains("chmod o-w /tmp/")), "{warnings:?}");
        }
        drop(listener);
        assert_eq!(look(), None, "nothing listens any more");
    }
}
