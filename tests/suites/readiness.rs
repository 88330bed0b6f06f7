//! Envoy's `/ready` and a probe through the gate: what `docs/guides/readiness.md` says about a plain Envoy.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fs, thread};

use portcullis::keys::Digest;
use portcullis_tests::bootstrap::{Gate, cluster, socket};
use portcullis_tests::console;
use portcullis_tests::envoy::{Envoy, Options};
use portcullis_tests::fleet::{Fleet, text};
use portcullis_tests::listener::Kind;
use portcullis_tests::message::Inbox;
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{paths, poll};
use serde_json::{Value, json};

const PROBE: &str = "/gate-ready";
const KEY: (&str, &str) = ("x-api-key", "readiness-suite-key");

/// A file of the guide.
fn file(name: &str) -> Value {
    let guide = fs::read_to_string(paths::workspace().join("docs/guides/readiness.md")).expect("the guide is there");
    let files = console::parts(&guide).into_iter().filter_map(|part| part.file);
    let (_, text) = files.into_iter().find(|(one, _)| one == name).unwrap_or_else(|| panic!("no file {name}"));
    serde_saphyr::from_str(&text).expect("it is YAML")
}

fn policy() -> Value {
    let consumers = json!([{"name": "ci", "keys": [{"plaintext": KEY.1}]}]);
    json!({"version": 1, "name": "main", "public_paths": [PROBE], "consumers": consumers})
}

/// The connection manager of the only listener.
fn manager(document: &mut Value) -> &mut Value {
    &mut document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// Adds the route of the guide, before all others.
fn add_route(document: &mut Value) {
    let routes = &mut manager(document)["route_config"]["virtual_hosts"][0]["routes"];
    routes.as_array_mut().expect("a list").insert(0, file("route.yaml"));
}

/// What Envoy says about itself.
fn ready(envoy: &Envoy) -> (u16, String) {
    let reply = envoy.admin().get("/ready").expect("the admin interface answers");
    (reply.status, String::from_utf8_lossy(&reply.body).trim().to_owned())
}

fn live() -> (u16, String) {
    (200, "LIVE".to_owned())
}

#[test]
fn the_probe_fails_with_a_refused_first_policy_although_envoy_says_that_it_is_live() {
    let refused = Gate::Text(policy().to_string().replace("public_paths", "public_path"));
    let gates = [("main", &refused)];
    let mut fleet = Fleet::start_changed(&gates, Options::default(), paths::module(), add_route);
    let probe = |fleet: &Fleet| fleet.stage.ask("main", PROBE, &[]).0;
    assert_eq!(ready(&fleet.stage.envoy), live());
    assert_eq!(probe(&fleet), 500);
    assert_eq!(fleet.status("main", KEY.1), 500);

    fleet.update("main", &text(&policy()));
    poll::until("the probe passes", || (probe(&fleet) == 200).then_some(()));
    assert_eq!(ready(&fleet.stage.envoy), live());
    assert_eq!(fleet.stage.upstream.count(), 0, "Envoy answers it itself");
    assert_eq!(fleet.status("main", KEY.1), 200);
    assert_eq!(fleet.status("main", "readiness-suite-other-key"), 401);

    // A refused update changes nothing.
    fleet.update("main", &refused);
    poll::until("it is refused", || (fleet.counters("main")["update_rejected"] == 2).then_some(()));
    assert_eq!(probe(&fleet), 200);
    // A policy without the path does.
    let mut without = policy();
    without["public_paths"] = json!([]);
    fleet.update("main", &text(&without));
    poll::until("the probe fails", || (probe(&fleet) == 401).then_some(()));
}

/// A server of the module, which answers 503 at first.
struct Files {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    closing: Arc<AtomicBool>,
}

impl Files {
    /// Starts a server that gives the module after so many failures.
    fn start(failures: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (requests, closing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&requests), Arc::clone(&closing));
        let module = fs::read(paths::module()).expect("the module");
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let mut inbox = Inbox::new(stream);
                if !matches!(inbox.head(), Ok(Some(_))) {
                    continue;
                }
                let is_given = count.fetch_add(1, Ordering::SeqCst) >= failures;
                let (status, body) = if is_given { (200, &module[..]) } else { (503, &[][..]) };
                let head =
                    format!("HTTP/1.1 {status} Seen\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                // A broken connection is not an error here: Envoy tries again.
                let _ = inbox.stream().write_all(&[head.as_bytes(), body].concat());
            }
        });
        Self { address, requests, closing }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

/// An Envoy that fetches its module as in the guide, with a change of these settings.
fn fetching(files: &Files, change: impl FnOnce(&mut Value)) -> Stage {
    let upstream = Upstream::start();
    let mut document = bootstrap(vec![listener("main", Kind::Edge, &policy())], &upstream).document();
    add_route(&mut document);
    let clusters = document["static_resources"]["clusters"].as_array_mut().expect("a list");
    clusters.push(cluster("files", &socket(files.address)));
    let mut code = file("code.yaml");
    code["remote"]["http_uri"]["uri"] = json!("http://files.example.com/portcullis.wasm");
    code["remote"]["sha256"] = json!(Digest::of(&fs::read(paths::module()).expect("the module")).to_hex());
    change(&mut code["remote"]);
    let filters = manager(&mut document)["http_filters"].as_array_mut().expect("a list");
    let gate = filters.iter_mut().find(|filter| filter["name"] == "portcullis").expect("a gate");
    gate["typed_config"]["config"]["vm_config"]["code"] = code;
    Stage { envoy: Envoy::start(&document), upstream }
}

#[test]
fn with_retries_envoy_is_ready_when_it_has_the_module() {
    let files = Files::start(3);
    let stage = fetching(&files, |remote| {
        remote["retry_policy"]["retry_back_off"] = json!({"base_interval": "0.1s"});
    });
    assert_eq!((files.requests(), ready(&stage.envoy)), (4, live()));
    assert_eq!((stage.ask("main", PROBE, &[]).0, stage.ask("main", "/x", &[KEY]).0), (200, 200));
}

#[test]
fn without_the_module_envoy_says_that_it_is_live_and_the_probe_fails() {
    let files = Files::start(usize::MAX);
    let stage = fetching(&files, |remote| {
        remote.as_object_mut().expect("an object").remove("retry_policy").expect("the guide has one");
    });
    assert_eq!((files.requests(), ready(&stage.envoy)), (2, live()), "by default, it tries twice");
    assert_eq!((stage.ask("main", PROBE, &[]).0, stage.ask("main", "/x", &[KEY]).0), (503, 503));
    assert_eq!(files.requests(), 2, "requests do not make it try again");
    assert_eq!(stage.upstream.count(), 0);
}

#[test]
fn another_module_than_the_pinned_one_is_not_loaded() {
    let files = Files::start(0);
    let stage = fetching(&files, |remote| {
        remote["sha256"] = json!("0".repeat(64));
        remote["retry_policy"] = json!({"num_retries": 1, "retry_back_off": {"base_interval": "0.1s"}});
    });
    assert_eq!((stage.ask("main", PROBE, &[]).0, stage.ask("main", "/x", &[KEY]).0), (503, 503));
    assert_eq!((stage.upstream.count(), ready(&stage.envoy)), (0, live()));
}
