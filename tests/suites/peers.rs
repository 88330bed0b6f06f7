//! Callers that a row of the table cannot express: through other Envoys (real processes), and on another link.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};

use portcullis_tests::bootstrap::{Listener, cluster, socket};
use portcullis_tests::envoy::Envoy;
use portcullis_tests::http1;
use portcullis_tests::listener::{Kind, SOURCE};
use portcullis_tests::net::{SILENCE, connect};
use portcullis_tests::report::not_checked;
use portcullis_tests::stage::{Stage, bootstrap, listener, verdict};
use portcullis_tests::upstream::Upstream;
use serde_json::{Value, json};

/// A local caller, and the address from which the front Envoy connects to the gate: both are in the range.
const LOCAL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
/// A caller from outside, and a front Envoy with an address outside the range.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const MODES: [&str; 3] = ["direct", "remote_ip", "filter_state"];

fn policy(mode: &str, ranges: &Value) -> Value {
    let client_address = if mode == "filter_state" { json!({"filter_state": "portcullis.peer"}) } else { json!(mode) };
    json!({"version": 1, "name": mode, "trusted_networks": {"ranges": ranges, "client_address": client_address}})
}

/// The request header with which a front Envoy selects the gate.
const GATE: &str = "x-test-gate";

/// An Envoy without a gate that forwards requests to `targets`, from the address `from`. Its listeners have the names
/// of their kinds.
fn envoy_in_front(stage: &Stage, targets: &[(String, SocketAddr)], from: Ipv4Addr) -> Envoy {
    let kinds = [Kind::Edge, Kind::Append, Kind::Sidecar];
    let listeners = kinds.map(|kind| listener(kind.name(), kind, &json!({}))).to_vec();
    let mut document = bootstrap(listeners, &stage.upstream).document();
    let resources = &mut document["static_resources"];
    resources["clusters"] = targets
        .iter()
        .map(|(name, address)| {
            let mut cluster = cluster(name, &socket(*address));
            cluster["upstream_bind_config"] = json!({"source_address": {"address": from, "port_value": 0}});
            cluster
        })
        .collect();
    for listener in resources["listeners"].as_array_mut().expect("a list") {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let filters = manager["http_filters"].as_array_mut().expect("a list");
        filters.retain(|filter| filter["name"] == "envoy.filters.http.router");
        manager["route_config"]["virtual_hosts"][0]["routes"] =
            json!([{"match": {"prefix": "/"}, "route": {"cluster_header": GATE}}]);
    }
    Envoy::start(&document)
}

/// Gates behind several kinds of listener, Envoys in front of them, and Envoys in front of those.
struct Chain {
    stage: Stage,
    /// One that connects from an address in the range.
    near: Envoy,
    /// One that connects from outside the range.
    far: Envoy,
    /// One in front of `far`'s listener that appends.
    farther: Envoy,
}

impl Chain {
    fn start() -> Self {
        let kinds = [Kind::EdgeState, Kind::SidecarState, Kind::Append, Kind::Hops1, Kind::Hops2];
        let named = |kind: Kind, mode: &str| format!("{}.{mode}", kind.name());
        let gates = kinds
            .into_iter()
            .flat_map(|kind| MODES.map(|mode| listener(&named(kind, mode), kind, &policy(mode, &json!([LOCAL])))));
        let gates: Vec<Listener> = gates.collect();
        let names: Vec<String> = gates.iter().map(|gate| gate.name.clone()).collect();
        let stage = Stage::start(gates);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let to =
            |address: &dyn Fn(&str) -> SocketAddr| names.iter().map(|name| (name.clone(), address(name))).collect();
        let gates: Vec<_> = to(&|name| stage.envoy.address(name, loopback));
        let near = envoy_in_front(&stage, &gates, LOCAL);
        let far = envoy_in_front(&stage, &gates, OUTSIDE);
        let appending = far.address("append", loopback);
        let farther = envoy_in_front(&stage, &to(&|_| appending), OUTSIDE);
        Self { stage, near, far, farther }
    }

    /// The modes in which a caller through a listener of `front` passes, and the address that the gate saw.
    fn passes(&self, front: &Envoy, through: &str, gate: &str, from: Ipv4Addr, says: Option<&str>) -> (String, String) {
        let (mut modes, mut sources) = (Vec::new(), Vec::new());
        for mode in MODES {
            let gate = format!("{gate}.{mode}");
            let mut headers = vec![(GATE, gate.as_str())];
            headers.extend(says.map(|says| ("x-forwarded-for", says)));
            let from = IpAddr::V4(from);
            let stream = connect(from, front.address(through, from)).expect("Envoy listens");
            let reply = http1::Client::new(stream).send(&http1::get("/x", &headers)).expect("a reply");
            match verdict(&reply).1.as_str() {
                "trusted_network" => modes.push(mode),
                other => assert_eq!(other, "no_credential"),
            }
            let source: SocketAddr = reply.header(SOURCE).expect("a source").parse().expect("an address");
            // The kernel chooses the port.
            sources.push(if source.port() == 0 { source.to_string() } else { source.ip().to_string() });
        }
        sources.dedup();
        (modes.join(" "), sources.join(" "))
    }
}

#[test]
fn a_second_envoy_in_front_makes_nobody_local_who_is_not() {
    let chain = Chain::start();
    let (near, far, farther) = (&chain.near, &chain.far, &chain.farther);
    let (posing, all) = (Some("127.0.0.77"), "direct remote_ip filter_state");
    let mut wrong = Vec::new();
    for (front, through, gate, from, says, passes, source) in [
        // It appends its client, and its own address is in the range. `remote_ip` on an edge listener sees the proxy as
        // the caller; the others see the client, or that there is one.
        (near, "append", "edge_state", OUTSIDE, None, "remote_ip", "127.0.0.77"),
        (near, "append", "edge_state", OUTSIDE, posing, "remote_ip", "127.0.0.77"),
        (near, "append", "append", OUTSIDE, None, "remote_ip", "127.0.0.77"),
        (near, "append", "append", OUTSIDE, posing, "remote_ip", "127.0.0.77"),
        (near, "append", "sidecar_state", OUTSIDE, None, "", "127.0.0.9:0"),
        (near, "append", "sidecar_state", OUTSIDE, posing, "", "127.0.0.9:0"),
        (near, "append", "hops1", OUTSIDE, None, "", "127.0.0.9:0"),
        (near, "append", "hops1", OUTSIDE, posing, "", "127.0.0.9:0"),
        // One hop more than there is: the client controls the address, or the Envoy in front counts as the client.
        (near, "append", "hops2", OUTSIDE, None, "remote_ip", "127.0.0.77"),
        (near, "append", "hops2", OUTSIDE, posing, "remote_ip", "127.0.0.77:0"),
        // It appends, and is outside the range: local callers behind it are local to `remote_ip` with the right number
        // of hops.
        (far, "append", "edge_state", LOCAL, None, "", "127.0.0.9"),
        (far, "append", "sidecar_state", LOCAL, None, "remote_ip", "127.0.0.77:0"),
        (far, "append", "hops1", LOCAL, None, "remote_ip", "127.0.0.77:0"),
        (far, "append", "hops1", OUTSIDE, posing, "", "127.0.0.9:0"),
        (far, "append", "hops2", LOCAL, None, "", "127.0.0.9"),
        // Two such proxies.
        (farther, "append", "hops2", LOCAL, None, "remote_ip", "127.0.0.77:0"),
        (farther, "append", "hops2", OUTSIDE, posing, "", "127.0.0.9:0"),
        (farther, "append", "hops1", LOCAL, None, "", "127.0.0.9:0"),
        (farther, "append", "edge_state", LOCAL, posing, "", "127.0.0.9"),
        // It appends nothing, like an edge listener: the client is only in X-Envoy-External-Address.
        (near, "edge", "sidecar_state", OUTSIDE, None, "remote_ip", "127.0.0.77"),
        (near, "edge", "sidecar_state", OUTSIDE, posing, "remote_ip", "127.0.0.77:0"),
        (near, "edge", "sidecar_state", LOCAL, None, all, "127.0.0.77"),
        // Not visible to the gate, and not promised: a gate on an edge listener behind a proxy that sends no header.
        (near, "edge", "edge_state", OUTSIDE, None, all, "127.0.0.77"),
        (near, "sidecar", "sidecar_state", OUTSIDE, None, all, "127.0.0.77"),
        // Even there, a header from the client itself removes its exemption.
        (near, "edge", "edge_state", OUTSIDE, Some("203.0.113.5"), "remote_ip", "127.0.0.77"),
        (far, "edge", "edge_state", LOCAL, posing, "", "127.0.0.9"),
    ] {
        let found = chain.passes(front, through, gate, from, says);
        if found != (passes.to_owned(), source.to_owned()) {
            wrong.push(format!("{from} ({says:?}) through {through} to {gate}: {found:?}, not {passes} {source}"));
        }
    }
    assert_eq!(wrong.join("\n"), "");
    assert!(chain.stage.upstream.count() > 0, "some do pass");
}

/// A link-local address of this machine and the number of its link, if there is one.
fn link_local() -> Option<(Ipv6Addr, u32)> {
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, link, _, "20", flags, _] = fields[..] else { return None };
        // Tentative or duplicate: it cannot be bound (linux/if_addr.h).
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let usable = flags & 0x48 == 0;
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        usable.then_some((address, u32::from_str_radix(link, 16).ok()?))
    })
}

/// Rows of the table show the same with stated and forwarded addresses; this is a real peer, if the machine has such an
/// address.
#[test]
fn a_peer_on_another_link_is_in_no_range() {
    let Some((address, link)) = link_local() else {
        return not_checked("a peer on another link: no interface has a link-local address");
    };
    for mode in MODES {
        let gate = listener("gate", Kind::EdgeState, &policy(mode, &json!(["fe80::/10"])));
        let upstream = Upstream::start();
        let mut document = bootstrap(vec![gate], &upstream).document();
        document["static_resources"]["listeners"][0]["address"]["socket_address"]["address"] =
            json!(format!("{address}%{link}"));
        let envoy = Envoy::start(&document);
        let listeners = envoy.admin().get("/listeners?format=json").expect("the admin interface answers").body;
        let listeners: Value = serde_json::from_slice(&listeners).expect("it is JSON");
        let port = &listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"];
        let port = u16::try_from(port.as_u64().expect("a port")).expect("a port");
        let to = SocketAddr::V6(SocketAddrV6::new(address, port, 0, link));
        let stream = TcpStream::connect_timeout(&to, SILENCE).expect("Envoy listens");
        stream.set_read_timeout(Some(SILENCE)).expect("a socket");
        let reply = http1::Client::new(stream).send(&http1::get("/x", &[])).expect("a reply");
        let source = reply.header(SOURCE).expect("a source");
        assert!(source.starts_with(&format!("[{address}%{link}]:")), "{source}");
        assert_eq!(verdict(&reply), (401, "no_credential".to_owned()), "{mode}");
    }
}
