//! Properties of the built module that only our own host can observe: its hostcalls, its memory, and the result of a
//! request when a hostcall fails.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_models::structs;
use portcullis_tests::cases::{EngineName, load_all};
use portcullis_tests::listener::PEER_KEY;
use portcullis_tests::message::{pairs, values};
use portcullis_tests::paths;
use portcullis_tests::proxy_wasm::{Exchange, FAILURES, Fault, Program, Stream, Verdict, Vm};
use portcullis_tests::told::Told;
use portcullis_tests::wasm_engine::stream;
use serde_json::{Value, json};

const KEY: &str = "pk_hostcalls_are_counted_here";
const LOCAL: &str = "10.1.2.3:40000";
const STRANGER: &str = "192.0.2.1:40000";
const IDENTITY: &str = "spiffe://cluster.local/ns/shop/sa/cart";
/// Seconds since 1970, within the validity window of the second key.
const NOW: u64 = 1_800_000_000;

/// One path through a decision.
struct Path {
    name: &'static str,
    policy: Value,
    stream: Stream,
}

/// Every grant, the denials of each step, and other requests that make hostcalls.
fn paths() -> Vec<Path> {
    let key = [("x-api-key", KEY)];
    let expiring = [("x-api-key", "pk_expires_in_a_far_year")];
    // Envoy writes the second one there.
    let outside = [("x-api-key", KEY), ("x-envoy-external-address", "192.0.2.1")];
    let preflight = [("origin", "https://a.test"), ("access-control-request-method", "GET")];
    let forged = [("x-portcullis-consumer", "root")];
    let with = |name: &str, value: Value| {
        let mut policy = policy();
        policy[name] = value;
        policy
    };
    let path = |name, policy, stream| Path { name, policy, stream };
    vec![
        path("a public path", policy(), request("GET", "/public", &[])),
        path("a public path with a forged identity header", policy(), request("GET", "/public", &forged)),
        path("a preflight", with("cors_preflight", json!("allow")), request("OPTIONS", "/v2", &preflight)),
        path("a local caller", policy(), from(LOCAL, request("GET", "/v2", &[]))),
        path("a local caller, by filter state", by_state(), recorded(from(LOCAL, request("GET", "/v2", &[])))),
        path("a trusted identity", by_identity(), identified(request("GET", "/v2", &[]))),
        path("a good key", policy(), request("GET", "/v2", &key)),
        path("a good key from outside, on an edge listener", policy(), request("GET", "/v2", &outside)),
        path("a good key that expires one day", policy(), request("GET", "/v2", &expiring)),
        path("a good key in a query", policy(), request("GET", &format!("/v2?api_key={KEY}"), &[])),
        path("a good key, with an access log", with("access_log", json!(true)), request("GET", "/v2", &key)),
        path("a good key, whose uses are counted", with("key_metrics", json!(true)), request("GET", "/v2", &key)),
        path("no credential", policy(), request("GET", "/v2", &[])),
        path("no credential, with an access log", with("access_log", json!(true)), request("GET", "/v2", &[])),
        path("an unknown key", policy(), request("GET", "/v2", &[("authorization", "Bearer pk_nobody_has_this_one")])),
        path("a key without the role", policy(), request("DELETE", "/v2", &key)),
        path("a path that no API sends", policy(), request("GET", "/v2/../admin", &key)),
        path("no credential, in report mode", with("mode", json!("report")), request("GET", "/v2", &[])),
        path("a disabled gate", with("mode", json!("disabled")), request("GET", "/v2", &[])),
        path("a good key and forged trailers", policy(), trailing(&forged, request("POST", "/v2", &key))),
    ]
}

fn policy() -> Value {
    json!({
        "version": 1,
        "name": "edge",
        "key_sources": ["bearer", {"header": "x-api-key"}, {"query": "api_key"}],
        "consumers": [{"name": "ci", "roles": ["predict"], "keys": [
            {"id": "one", "plaintext": KEY},
            {"id": "two", "plaintext": "pk_expires_in_a_far_year", "expires": "2100-01-01T00:00:00Z"}
        ]}],
        "public_paths": ["/public"],
        "trusted_networks": {"ranges": ["10.1.0.0/16"]},
        "rules": [{"path": "/**", "methods": ["DELETE"], "roles": ["admin"]}]
    })
}

fn by_state() -> Value {
    let mut policy = policy();
    policy["trusted_networks"]["client_address"] = json!({"filter_state": PEER_KEY});
    policy
}

fn by_identity() -> Value {
    let mut policy = policy();
    policy["trusted_identities"] = json!(["spiffe://cluster.local/ns/shop/sa/*"]);
    policy
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Stream {
    let pseudo = [(":method", method), (":authority", "gate.test"), (":path", path), (":scheme", "http")];
    let properties = BTreeMap::from([("source.address".to_owned(), STRANGER.into())]);
    Stream { headers: pairs(&[&pseudo, headers].concat()), properties, now: NOW, ..Stream::default() }
}

fn from(address: &str, mut stream: Stream) -> Stream {
    stream.properties.insert("source.address".to_owned(), address.into());
    stream
}

fn recorded(mut stream: Stream) -> Stream {
    stream.properties.insert(format!("filter_state.{PEER_KEY}"), "10.1.2.3".into());
    stream
}

fn identified(mut stream: Stream) -> Stream {
    stream.properties.insert("connection.mtls".to_owned(), vec![1]);
    stream.properties.insert("connection.uri_san_peer_certificate".to_owned(), IDENTITY.into());
    stream
}

fn trailing(trailers: &[(&str, &str)], mut stream: Stream) -> Stream {
    stream.trailers = pairs(trailers);
    stream
}

fn start(policy: &Value) -> Vm {
    Vm::start(policy.to_string().as_bytes(), &BTreeMap::new(), None).expect("the policy stands")
}

/// Each hostcall leaves the VM, so hostcalls are most of the gate's cost. A new one must be intended.
#[test]
fn each_path_makes_just_the_calls_that_are_written_down() {
    let mut found = String::new();
    for Path { name, policy, stream } in paths() {
        let exchange = start(&policy).serve(stream, None);
        let calls = exchange.calls.iter().map(|call| format!("  {call}\n"));
        found.push_str(&format!("\n{name}: {}\n{}", verdict(&exchange), calls.collect::<String>()));
    }
    let written = include_str!("../hostcalls.txt");
    let written: Vec<&str> = written.lines().filter(|line| !line.starts_with('#')).collect();
    let all: Vec<&str> = found.lines().collect();
    assert_eq!(all, written, "should the change be meant, change tests/hostcalls.txt:\n{found}");
}

fn verdict(exchange: &Exchange) -> String {
    match (&exchange.verdict, &exchange.reply) {
        (Verdict::Continue, _) => "goes on".to_owned(),
        (Verdict::Reply, Some(reply)) => format!("{}", reply.status),
        (other, _) => format!("{other:?}"),
    }
}

/// If a hostcall fails, its result is missing: an address, an identity, a count. If an edit fails, the gate answers the
/// request itself. If the answer fails, only a trap remains, to which Envoy answers 5xx (with `FAIL_RELOAD`, only to
/// that request).
#[test]
fn a_call_that_fails_on_a_request_lets_nobody_in_and_leaves_no_edit_out() {
    let mut failed = BTreeMap::<String, BTreeSet<&str>>::new();
    for Path { name, policy, stream } in paths() {
        let sound = start(&policy).serve(stream.clone(), None);
        for (call, about) in sound.calls.iter().enumerate() {
            for status in FAILURES {
                let got = start(&policy).serve(stream.clone(), Some(Fault { call, status }));
                let place = format!("{name}: {about} returns {status}");
                assert!(got.calls.len() > call, "{place}: the call is made again");
                assert!(!got.log.iter().any(|line| line.contains("pk_")), "{place}: a key is logged: {:?}", got.log);
                let how = match got.verdict {
                    Verdict::Stuck => panic!("{place}: the request hangs"),
                    Verdict::Trap(_) => "trap",
                    Verdict::Continue => {
                        assert_eq!(sound.verdict, Verdict::Continue, "{place}: a denied request goes on");
                        assert_eq!(got.stream.headers, sound.stream.headers, "{place}: the edits");
                        assert_eq!(got.stream.trailers, sound.stream.trailers, "{place}: the edits of the trailers");
                        "as before"
                    }
                    Verdict::Reply if verdict(&got) == verdict(&sound) => "as before",
                    Verdict::Reply => {
                        let says_why = got.calls.iter().any(|call| call.contains("portcullis_host_failed"));
                        assert!(says_why || !about.contains("header_map"), "{place}: {:?}", got.calls);
                        "denied"
                    }
                };
                failed.entry(call_name(about)).or_default().insert(how);
            }
        }
    }
    let expected = [
        ("add_header_map_value", &["denied"][..]),
        ("define_metric", &["trap"]),
        ("get_current_time_nanoseconds", &["trap"]),
        ("get_header_map_pairs", &["denied"]),
        ("get_property", &["as before", "denied", "trap"]),
        ("increment_metric", &["as before", "trap"]),
        ("remove_header_map_value", &["denied"]),
        ("replace_header_map_value", &["denied"]),
        ("send_local_response", &["trap"]),
        ("set_property", &["trap"]),
    ];
    let expected = expected.map(|(name, how)| (name.to_owned(), how.iter().copied().collect()));
    assert_eq!(failed, BTreeMap::from(expected));
}

#[test]
fn a_call_that_fails_while_a_policy_is_loaded_opens_nothing() {
    let (configuration, environment) = (policy().to_string(), BTreeMap::new());
    let calls = start(&policy()).calls().to_vec();
    let mut stopped_by = BTreeMap::new();
    for (call, about) in calls.iter().enumerate() {
        for status in FAILURES {
            let place = format!("{about} returns {status}");
            match Vm::start(configuration.as_bytes(), &environment, Some(Fault { call, status })) {
                Ok(mut vm) => {
                    let got = vm.serve(request("GET", "/v2", &[]), None);
                    assert_eq!(verdict(&got), "401", "{place}");
                }
                Err(error) => {
                    assert!(!error.contains("pk_"), "{place}: {error}");
                    let how = if error.starts_with("refused") { "refused" } else { "trap" };
                    stopped_by.entry(call_name(about)).or_insert_with(BTreeSet::new).insert(how);
                }
            }
        }
    }
    let expected = [
        ("define_metric", &["trap"][..]),
        ("get_buffer_bytes", &["refused", "trap"]),
        ("get_current_time_nanoseconds", &["trap"]),
        ("get_shared_data", &["trap"]),
        ("log", &["trap"]),
        ("record_metric", &["trap"]),
        ("set_shared_data", &["trap"]),
        ("set_tick_period_milliseconds", &["trap"]),
    ];
    let expected = expected.map(|(name, how)| (name.to_owned(), how.iter().copied().collect()));
    assert_eq!(stopped_by, BTreeMap::from(expected));
}

/// The first byte of a `Struct` alone could be the line feed at the start of JSON text.
#[test]
fn a_host_may_hand_a_policy_over_in_pieces_of_any_size() {
    let text = policy().to_string().into_bytes();
    let forms = [[b"\n", text.as_slice()].concat(), text, structs::encode(&policy())];
    let mut vm = start(&policy());
    let loaded = |vm: &Vm| vm.log().iter().rev().find(|line| line.contains("is loaded")).cloned();
    let expected = loaded(&vm);
    assert!(expected.is_some(), "{:?}", vm.log());
    for piece in [1, 2, 3, 7, usize::MAX] {
        vm.hand_over_at_most(piece);
        for form in &forms {
            vm.update(br#"{"name": "between"}"#).expect("another policy");
            assert_ne!(loaded(&vm), expected, "a control");
            vm.update(form).unwrap_or_else(|error| panic!("in pieces of {piece}: {error}"));
            assert_eq!(loaded(&vm), expected, "in pieces of {piece}");
        }
    }
}

fn call_name(call: &str) -> String {
    call.split(' ').next().unwrap_or_default().to_owned()
}

/// A host without a clock fails the call, or returns the time 0.
#[test]
fn without_a_clock_a_key_with_a_window_lets_nobody_in() {
    let mut policy = policy();
    policy["consumers"][0]["keys"] = json!([
        {"plaintext": "pk_always"},
        {"plaintext": "pk_expires", "expires": "2100-01-01T00:00:00Z"},
        {"plaintext": "pk_begins", "not_before": "1969-01-01T00:00:00Z"},
    ]);
    let mut vm = start(&policy);
    let mut served =
        |key: &str, now: u64| verdict(&vm.serve(Stream { now, ..request("GET", "/v2", &[("x-api-key", key)]) }, None));
    assert_eq!(["pk_always", "pk_expires", "pk_begins"].map(|key| served(key, NOW)), ["goes on"; 3]);
    assert_eq!(["pk_always", "pk_expires", "pk_begins"].map(|key| served(key, 0)), ["goes on", "401", "401"]);
}

/// Envoy's codecs only let token characters through, so this test stands for a host that does not.
#[test]
fn a_header_name_that_is_no_text_is_decided_about_like_any_other() {
    for (path, expected) in [("/public", "goes on"), ("/v2", "goes on")] {
        let mut stream = request("GET", path, &[("x-api-key", KEY)]);
        stream.headers.push((b"x-\xff".to_vec(), KEY.into()));
        stream.headers.push((b"x\xffportcullis-consumer".to_vec(), b"forged".into()));
        let got = start(&policy()).serve(stream, None);
        assert_eq!(verdict(&got), expected);
        assert!(got.stream.headers.iter().any(|(name, _)| name == b"x-\xff"));
        assert!(!got.stream.headers.iter().any(|(_, value)| value == b"forged"));
    }
}

/// Linear memory never shrinks, so it keeps the size for the largest requests. Memory that each request leaks would add
/// up.
#[test]
fn memory_is_flat_over_20_000_requests_of_every_kind_and_size() {
    let mut policy = policy();
    policy["cors_preflight"] = json!("allow");
    policy["key_sources"].as_array_mut().expect("a list").push(json!({"cookie": "api_key"}));
    let mut vm = start(&policy);
    let streams = [table(), hostile()].concat();
    let mut sizes = Vec::new();
    for (number, stream) in streams.iter().cycle().take(20_000).enumerate() {
        let got = vm.serve(stream.clone(), None);
        assert!(matches!(got.verdict, Verdict::Continue | Verdict::Reply), "{:?}: {:?}", got.verdict, got.log);
        if (number + 1) % 5_000 == 0 {
            sizes.push(vm.memory());
        }
    }
    let (first, last) = (sizes[0], sizes[3]);
    assert!(first == last && last < 4 << 20, "bytes after each 5,000 requests: {sizes:?}");
}

/// A policy is read in pieces, and only the result is kept: its memory is smaller than its text.
#[test]
fn a_hundred_thousand_keys_are_held_in_20_mib() {
    let digest = |number: u128| format!("{:064x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    let key = |number: u128| {
        format!(r#"{{"id":"key-{number:06}","sha256":"{}{}"}}"#, &digest(number)[32..], &digest(number)[32..])
    };
    let good = format!(r#"{{"name":"good","keys":[{{"plaintext":"{KEY}"}}]}}"#);
    let each = |number| format!(r#"{{"name":"consumer-{number:06}","keys":[{}]}}"#, key(number));
    let of_each: Vec<String> = (1..100_000).map(each).chain([good.clone()]).collect();
    let of_one = (1..100_000).map(key).collect::<Vec<_>>().join(",");
    let of_one = [format!(r#"{{"name":"all","keys":[{of_one}]}}"#), good];
    for consumers in [of_each.join(","), of_one.join(",")] {
        let document = format!(r#"{{"consumers":[{consumers}]}}"#);
        let mut vm = Vm::start(document.as_bytes(), &BTreeMap::new(), None).expect("the policy stands");
        assert!(vm.log().iter().any(|line| line.contains("100000 keys, 0 refused")), "{:?}", vm.log());
        assert!(vm.memory() <= 20 << 20, "{} bytes, for a document of {}", vm.memory(), document.len());
        assert_eq!(verdict(&vm.serve(request("GET", "/v2", &[("x-api-key", KEY)]), None)), "goes on");
    }
}

/// A policy is freed with the last request that began under it.
#[test]
fn memory_is_flat_over_60_updates_with_requests_between() {
    let document = |version: u32| {
        let key = |number: u32| format!(r#"{{"id":"key-{number}","sha256":"{version:032x}{number:032x}"}}"#);
        let keys = (0..2_000).map(key).collect::<Vec<_>>().join(",");
        format!(r#"{{"consumers":[{{"name":"ci","keys":[{{"plaintext":"{KEY}"}},{keys}]}}]}}"#)
    };
    let mut vm = Vm::start(document(0).as_bytes(), &BTreeMap::new(), None).expect("the policy stands");
    let mut sizes = Vec::new();
    for version in 1..=120 {
        for has_body in [true, false, true].repeat(40) {
            let stream = Stream { has_body, ..request("POST", "/v2", &[("x-api-key", KEY)]) };
            assert_eq!(verdict(&vm.serve(stream, None)), "goes on");
        }
        vm.update(document(version).as_bytes()).expect("the policy stands");
        sizes.push(vm.memory());
    }
    // The first ones determine how much room two of them need, with the fragments in between.
    assert_eq!(sizes[59], sizes[119], "bytes after each update: {sizes:?}");
}

/// Envoy stores every metric definition as long as the VM lives, even a repeated one.
#[test]
fn an_update_defines_no_metric_again() {
    let mut policy = policy();
    policy["key_metrics"] = json!(true);
    let mut vm = start(&policy);
    let defined = |calls: &[String]| calls.iter().filter(|call| call.starts_with("define_metric")).count();
    assert!(defined(vm.calls()) > 10, "a control: {:?}", vm.calls());
    for first_uses in [1, 0, 0] {
        let got = vm.serve(request("GET", "/v2", &[("x-api-key", KEY)]), None);
        assert_eq!(defined(&got.calls), first_uses);
        let counted = ["increment_metric portcullis.edge.allowed.key", "increment_metric portcullis.edge.key.one"];
        assert!(counted.iter().all(|count| got.calls.iter().any(|call| call == count)), "{:?}", got.calls);
        vm.update(policy.to_string().as_bytes()).expect("the policy stands");
        assert_eq!(defined(vm.calls()), first_uses, "the calls of the request, and of the update after it");
    }
}

/// The cost of a request is linear in its bytes, not quadratic. Compares one request with one that has ten times as
/// much of a header, or as many headers.
#[test]
fn a_request_costs_in_proportion_to_its_size() {
    let program = Program::read(&paths::module(), true);
    let mut policy = policy();
    policy["key_sources"].as_array_mut().expect("a list").push(json!({"cookie": "session"}));
    let document = policy.to_string();
    let mut vm = Vm::start_on(&program, document.as_bytes(), &BTreeMap::new(), None).expect("the policy stands");
    let mut cost = |stream: Stream| {
        let before = vm.spent().expect("it counts");
        vm.serve(stream, None);
        vm.spent().expect("it counts") - before
    };
    let key = ("x-api-key", KEY);
    // Each byte of the number at a place where `-`, `_`, `.` and so on are equivalent.
    let forged = |number: usize| {
        let mut name = b"x-portcullis-consumer".to_vec();
        name[1] = b"-_.!~#$&"[number % 8];
        name[12] = b"-_.!~#$&"[number / 8 % 8];
        let letters = [2, 3, 4, 5, 6, 7, 8, 9].into_iter().enumerate();
        letters.filter(|(bit, _)| number >> (6 + bit) & 1 == 1).for_each(|(_, at)| name[at].make_ascii_uppercase());
        (name, b"root".to_vec())
    };
    let with = |mut stream: Stream, more: Vec<(Vec<u8>, Vec<u8>)>| {
        stream.headers.extend(more);
        stream
    };
    type Make<'a> = &'a dyn Fn(usize) -> Stream;
    let many =
        |name: &str, value: &str, times: usize| vec![(name.as_bytes().to_vec(), value.as_bytes().to_vec()); times];
    let long = |name: &str, piece: &str, times: usize| many(name, &piece.repeat(times), 1);
    let kinds: &[(&str, Make<'_>)] = &[
        ("forged identities", &|size| with(request("GET", "/v2", &[key]), (0..size).map(forged).collect())),
        ("one forged identity", &|size| with(request("GET", "/v2", &[key]), many("x_portcullis_roles", "root", size))),
        ("two forged identities", &|size| {
            let one = (0..size).map(|number| forged(number % 2)).collect();
            with(request("GET", "/v2", &[key]), one)
        }),
        ("other headers", &|size| with(request("GET", "/v2", &[key]), many("x-other", "value", size))),
        ("keys", &|size| with(request("GET", "/v2", &[]), many("x-api-key", "one", size))),
        ("cookies", &|size| with(request("GET", "/v2", &[]), many("cookie", "a=b; session=c", size))),
        ("a cookie", &|size| with(request("GET", "/v2", &[]), long("cookie", "a=b; ", size))),
        ("clients", &|size| with(from(LOCAL, request("GET", "/v2", &[])), many("x-forwarded-for", "10.1.2.3", size))),
        ("options", &|size| {
            with(request("GET", "/v2", &[("upgrade", "websocket")]), long("connection", "x-portcullis_role,", size))
        }),
        ("connections", &|size| {
            with(request("GET", "/v2", &[("upgrade", "websocket")]), many("connection", "x-portcullis_role", size))
        }),
        ("URLs", &|size| with(request("GET", "/v2", &[key]), many("x-original-url", "/v2/a", size))),
        ("a URL", &|size| with(request("GET", "/v2", &[key]), long("x-original-url", "/%252e;a", size))),
        ("a path", &|size| request("GET", &"/a;b//%2541".repeat(size), &[key])),
        ("a query", &|size| request("GET", &format!("/v2?{}", "api_ke%79=k&".repeat(size)), &[])),
        ("parameters", &|size| request("GET", &format!("/v2?api_key={KEY}&{}", "_metho%64x&;".repeat(size)), &[])),
        ("origins", &|size| with(from(LOCAL, request("GET", "/v2", &[])), many("origin", "https://a.test", size))),
    ];
    for (kind, make) in kinds {
        // The second run: in the first, the interpreter reads the functions.
        let [none, few, more] = [0, 100, 1_000].map(|size| (cost(make(size)), cost(make(size))).1);
        let (few, more) = (few.saturating_sub(none), more.saturating_sub(none));
        eprintln!("{kind}: {none} instructions, {few} more for 100, {more} more for 1,000");
        assert!(more <= 12 * few.max(15_000), "{kind}: {few} instructions, and {more} for ten times as much");
    }
}

/// The requests of all rows of the table.
fn table() -> Vec<Stream> {
    let files = load_all().expect("the table loads");
    let told = files.iter().flat_map(|cases| {
        cases.rows.iter().filter(|row| row.runs_on(EngineName::Wasm)).map(|row| Told::by(cases, row))
    });
    told.map(|told| stream(&told)).collect()
}

/// As large as Envoy allows, with its usual limit of 60 KiB for all headers.
fn hostile() -> Vec<Stream> {
    let long = |piece: &str| piece.repeat(60 * 1024 / piece.len());
    let text = long("k");
    let mut streams = vec![
        request("GET", "/v2", &[("x-api-key", &text)]),
        request("GET", "/v2", &[("authorization", &format!("Bearer {text}"))]),
        request("GET", "/v2", &[("cookie", &long("api_key=k; "))]),
        request("GET", "/v2", &[("x-forwarded-for", &long("10.1.2.3, "))]),
        request("GET", "/v2", &[("connection", &long("x-portcullis-consumer,")), ("upgrade", "websocket")]),
        request("GET", "/v2", &[("x-original-url", &long("/%252e"))]),
        request(&text, "/v2", &[]),
    ];
    for piece in ["/a", "%2525", "%41", "/;x=y", "//", "%c3%a9"] {
        streams.push(request("GET", &format!("/{}", long(piece)), &[]));
        streams.push(request("GET", &format!("/v2?api_key={}", long(piece)), &[]));
    }
    let many: Vec<(String, String)> = (0..100).map(|number| (format!("x-{number}"), "v".repeat(500))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    streams.push(request("GET", "/v2", &many));
    assert!(streams.iter().all(|stream| values(&stream.headers, ":path").len() == 1));
    streams
}
