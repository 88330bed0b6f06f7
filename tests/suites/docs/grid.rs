//! The table of trusted addresses in the reference, on a real Envoy: every kind of listener, every mode, every caller.

use portcullis_tests::bootstrap::{Bootstrap, Listener};
use portcullis_tests::listener::{DETECTION_HEADER, Kind};
use portcullis_tests::net::{connect, connect_unix};
use portcullis_tests::stage::{Stage, listener, verdict};
use portcullis_tests::{http1, paths};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use super::{codes, reference, tables};

/// The kinds of listener by their names in the reference, in the same order.
const KINDS: [(&str, Kind); 13] = [
    ("edge", Kind::EdgeState),
    ("append", Kind::Append),
    ("sidecar", Kind::SidecarState),
    ("hops: 1", Kind::Hops1),
    ("hops: 2", Kind::Hops2),
    ("trusted CIDRs", Kind::TrustedCidrs),
    ("detection header", Kind::DetectionHeader),
    ("PROXY protocol", Kind::ProxyProtocolState),
    ("optional PROXY protocol", Kind::ProxyProtocolOptional),
    ("dual stack", Kind::DualStack),
    ("Unix socket", Kind::Unix),
    ("Unix socket, sidecar", Kind::UnixSidecar),
    ("internal listener", Kind::Internal),
];
const MODES: [&str; 3] = ["direct", "remote_ip", "filter_state"];

const LOCAL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 78);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// The peer, and the address that it states.
type Caller = (Ipv4Addr, Option<Ipv4Addr>);

/// The columns of the table.
const CALLERS: [Caller; 4] = [(LOCAL, None), (LOCAL, Some(OUTSIDE)), (PROXY, Some(LOCAL)), (OUTSIDE, Some(LOCAL))];

fn policy(mode: &str) -> Value {
    let client_address = if mode == "filter_state" { json!({"filter_state": "portcullis.peer"}) } else { json!(mode) };
    json!({"version": 1, "name": mode, "trusted_networks": {"ranges": [LOCAL], "client_address": client_address}})
}

fn named(kind: Kind, mode: &str) -> String {
    format!("{}/{mode}", kind.name())
}

fn reason(stage: &Stage, kind: Kind, mode: &str, (from, says): Caller, headers: &[(&str, &str)]) -> String {
    let says = says.map(|address| address.to_string());
    let header = if kind == Kind::DetectionHeader { DETECTION_HEADER } else { "x-forwarded-for" };
    let mut headers = headers.to_vec();
    if !kind.speaks_proxy_protocol() {
        headers.extend(says.as_deref().map(|address| (header, address)));
    }
    let prelude = match says.as_deref() {
        _ if !kind.speaks_proxy_protocol() => String::new(),
        Some(address) => format!("PROXY TCP4 {address} 127.0.0.1 4242 80\r\n"),
        None => "PROXY UNKNOWN\r\n".to_owned(),
    };
    let request = [prelude.into_bytes(), http1::get("/x", &headers)].concat();
    if kind.is_unix() {
        return answer(connect_unix(&stage.envoy.socket(&named(kind, mode))).expect("Envoy listens"), &request);
    }
    let from = IpAddr::V4(from);
    answer(connect(from, stage.envoy.address(&named(kind, mode), from)).expect("Envoy listens"), &request)
}

fn answer(stream: impl Read + Write, request: &[u8]) -> String {
    verdict(&http1::Client::new(stream).send(request).expect("a reply")).1
}

#[test]
fn the_grid_of_addresses_is_what_a_real_envoy_shows() {
    let reference = reference();
    let settings = tables(&reference, "kind of listener").concat();
    let described: Vec<&str> = settings.iter().map(|row| row[0].split("**").nth(1).expect("a name")).collect();
    assert_eq!(described, KINDS.map(|(name, _)| name));
    let rows = tables(&reference, "passes behind").concat();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), described);

    let gates =
        KINDS.iter().flat_map(|(_, kind)| MODES.map(|mode| listener(&named(*kind, mode), *kind, &policy(mode))));
    let stage = Stage::start(gates.collect::<Vec<Listener>>());
    let mut wrong = Vec::new();
    for ((name, kind), row) in KINDS.iter().zip(&rows) {
        for (caller, cell) in CALLERS.into_iter().zip(&row[1..]) {
            let said: Vec<&str> = if *cell == "all" { MODES.to_vec() } else { codes(cell).collect() };
            assert!(!said.is_empty() || *cell == "none", "{cell}");
            let passes = |mode: &&str| reason(&stage, *kind, mode, caller, &[]) == "trusted_network";
            let found: Vec<&str> = MODES.into_iter().filter(passes).collect();
            if found != said {
                wrong.push(format!("{name}, {caller:?}: the reference says {said:?}, Envoy shows {found:?}"));
            }
            // For every caller: a request that a browser sends for a page of another site is not local.
            for mode in MODES {
                let reason = reason(&stage, *kind, mode, caller, &[("sec-fetch-site", "cross-site")]);
                assert_eq!(reason, "no_credential", "{name}, {mode}, {caller:?}, for a page of another site");
            }
        }
        for mode in MODES {
            assert_eq!(reason(&stage, *kind, mode, (OUTSIDE, None), &[]), "no_credential", "{name}, {mode}, outside");
        }
    }
    assert_eq!(wrong.join("\n"), "");
}

/// The lint codes for a listener whose gate has that policy.
fn linted(kind: Kind, mode: &str) -> Vec<String> {
    let (upstream, module) = ((Ipv4Addr::LOCALHOST, 1).into(), paths::module());
    let listeners = vec![listener("main", kind, &policy(mode))];
    let document = Bootstrap { listeners, upstream, module, environment: Vec::new() }.document();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("envoy.json");
    std::fs::write(&file, document.to_string()).expect("the directory takes a file");
    let command = paths::workspace().join("target/release/portcullis");
    let output = Command::new(command).args(["lint", "--output", "json", "--envoy"]).arg(file).output();
    let output: Value = serde_json::from_slice(&output.expect("`make build` made it").stdout).expect("it is JSON");
    let findings = output["findings"].as_array().expect("a list of findings").iter();
    findings.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

/// Lint warns about what the table shows: listeners where a caller can state a local address, and where no caller is
/// local.
#[test]
fn lint_knows_the_listeners_of_the_grid() {
    let reference = reference();
    let rows = tables(&reference, "passes behind").concat();
    for ((name, kind), row) in KINDS.into_iter().zip(&rows) {
        for mode in MODES {
            let found = linted(kind, mode);
            let has = |codes: &[&str]| found.iter().any(|code| codes.contains(&code.as_str()));
            // Two hops: a caller that states two addresses controls the client's address; the callers of the table
            // state one.
            let by_saying = codes(row[4]).any(|one| one == mode) || (kind == Kind::Hops2 && mode == "remote_ip");
            let warned = has(&["proxy-protocol", "forged-address", "claimed-address"]);
            assert_eq!(warned, by_saying, "{name}, {mode}: {found:?}");
            assert_eq!(has(&["nobody-local"]), row[1] == "none" && !warned, "{name}, {mode}: {found:?}");
        }
    }
    for kind in [Kind::Edge, Kind::Sidecar] {
        assert!(linted(kind, "filter_state").contains(&"nobody-local".to_owned()), "nothing records the peer");
    }
}
