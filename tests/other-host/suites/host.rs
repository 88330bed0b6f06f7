//! What the rows of the table do not cover in the other host: trailers, updates and counters; and that a row can fail
//! in it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use portcullis_other_host::{Loaded, OtherHost};
use portcullis_tests::cases::{Cases, EngineName, load_all, parse};
use portcullis_tests::message::{Pair, values};
use portcullis_tests::paths::trap_module;
use portcullis_tests::proxy_wasm::{Exchange, Stream, Verdict};
use portcullis_tests::wasm_engine::{Machine, WasmEngine};
use serde_json::{Value, json};

const KEY: &str = "pk_the_other_host_knows_this_one";

fn policy(key: &str) -> Value {
    json!({"name": "edge", "consumers": [{"name": "ci", "keys": [{"plaintext": key}]}]})
}

fn started(policy: &Value) -> OtherHost {
    OtherHost::start(policy.to_string().as_bytes(), &BTreeMap::new()).expect("the policy stands")
}

fn request(key: &str, trailers: &[(&str, &str)]) -> Stream {
    let fields = [(":method", "POST"), (":path", "/v2"), (":authority", "gate.test"), ("x-api-key", key)];
    Stream { headers: pairs(&fields), trailers: pairs(trailers), ..Stream::default() }
}

fn pairs(fields: &[(&str, &str)]) -> Vec<Pair> {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn status(exchange: &Exchange) -> u16 {
    match (&exchange.verdict, &exchange.reply) {
        (Verdict::Continue, None) => 200,
        (Verdict::Reply, Some(reply)) => reply.status,
        (other, _) => panic!("the request ends with {other:?}"),
    }
}

#[test]
fn a_forged_identity_is_taken_out_of_trailers_and_nothing_else_is() {
    let trailers = [("x-portcullis-consumer", "root"), ("x_portcullis_roles", "admin"), ("x-other", "stays")];
    let served = started(&policy(KEY)).serve(request(KEY, &trailers));
    assert_eq!(status(&served), 200);
    assert_eq!(served.stream.trailers, pairs(&[("x-other", "stays")]));
    assert_eq!(values(&served.stream.headers, "x-portcullis-consumer"), [b"ci"]);
}

#[test]
fn an_update_counts_from_the_next_request_on_and_a_refused_one_changes_nothing() {
    let mut host = started(&policy(KEY));
    let refused = host.configure(br#"{"mode": "off"}"#).expect_err("there is no such mode");
    assert!(refused.starts_with("refused: ") && refused.contains("mode"), "{refused}");
    assert_eq!(status(&host.serve(request(KEY, &[]))), 200);
    host.configure(policy("pk_another_one").to_string().as_bytes()).expect("the update stands");
    assert_eq!(status(&host.serve(request(KEY, &[]))), 401);
    assert_eq!(status(&host.serve(request("pk_another_one", &[]))), 200);
}

#[test]
fn a_policy_that_is_refused_at_the_start_serves_nobody() {
    let refused = OtherHost::start(b"{", &BTreeMap::new()).expect_err("this is no document");
    assert!(refused.starts_with("refused: "), "{refused}");
}

#[test]
fn each_decision_is_counted() {
    let mut host = started(&policy(KEY));
    for key in [KEY, "pk_nobody_has_this_one", KEY] {
        host.serve(request(key, &[]));
    }
    let counted = ["allowed.key", "denied.unknown_key", "denied.no_credential"]
        .map(|reason| host.counted(&format!("portcullis.edge.{reason}")));
    assert_eq!(counted, [2, 1, 0]);
}

#[test]
fn a_trap_is_an_error_to_the_proxy_and_no_key_is_in_the_log() {
    let loaded = Loaded::new(&std::fs::read(trap_module()).expect("the module can be read"));
    let start = || loaded.start(policy(KEY).to_string().as_bytes(), &BTreeMap::new()).expect("the policy stands");
    for place in ["undecided", "edited"] {
        let mut host = start();
        assert_eq!(status(&host.serve(request(KEY, &[]))), 200);
        let mut trapping = request(KEY, &[]);
        trapping.headers.extend(pairs(&[("x-portcullis-trap", place)]));
        let served = host.serve(trapping);
        assert!(matches!(served.verdict, Verdict::Trap(_)), "{place}: {:?}", served.verdict);
        assert!(!served.log.is_empty() && !served.log.iter().any(|line| line.contains(KEY)), "{:?}", served.log);
        assert!(matches!(host.serve(request(KEY, &[])).verdict, Verdict::Trap(_)), "{place}: the VM is of no more use");
    }
}

/// Envoy converts header names to lower case; other hosts may leave them unchanged.
#[test]
fn in_a_name_with_capitals_a_key_is_none_and_what_stands_against_a_caller_still_counts() {
    let mut policy = policy(KEY);
    policy["public_paths"] = json!(["/open"]);
    policy["trusted_networks"] = json!({"ranges": ["10.1.0.0/16"]});
    let mut host = started(&policy);
    let mut from = |address: &str, path: &str, field: (&str, &str)| {
        let fields = [(":method", "GET"), (":path", path), (":authority", "gate.test"), field];
        let properties = BTreeMap::from([("source.address".to_owned(), address.into())]);
        host.serve(Stream { headers: pairs(&fields), properties, ..Stream::default() })
    };
    let (stranger, local) = ("192.0.2.1:40000", "10.1.2.3:40000");
    assert_eq!(["x-api-key", "X-Api-Key"].map(|name| status(&from(stranger, "/v2", (name, KEY)))), [200, 401]);
    let served = from(stranger, "/open", ("X-Portcullis-Consumer", "root"));
    assert_eq!((status(&served), served.stream.headers.len()), (200, 3));
    assert_eq!(status(&from(local, "/v2", ("Accept", "*/*"))), 200);
    for field in [("Origin", "https://evil.test"), ("Sec-Fetch-Site", "cross-site"), ("Forwarded", "for=192.0.2.1")] {
        assert_eq!(status(&from(local, "/v2", field)), 401, "{}", field.0);
    }
}

/// The other host with a module that has no callbacks: it lets every request through.
struct NoGate(OtherHost);

impl Machine for NoGate {
    const NAME: &'static str = "no gate";

    fn start(configuration: &[u8], environment: &BTreeMap<String, String>) -> Result<Self, String> {
        static LOADED: OnceLock<Loaded> = OnceLock::new();
        LOADED.get_or_init(|| Loaded::new(&without_callbacks())).start(configuration, environment).map(Self)
    }

    fn log(&self) -> Vec<String> {
        self.0.log()
    }

    fn serve(&mut self, stream: Stream) -> Exchange {
        self.0.serve(stream)
    }
}

/// In WebAssembly's binary format: a memory, the marker of the ABI, an allocator that returns 0.
fn without_callbacks() -> Vec<u8> {
    let sized = |bytes: &[u8]| [&[u8::try_from(bytes.len()).expect("short")], bytes].concat();
    let section = |id: u8, content: &[u8]| [&[id], sized(content).as_slice()].concat();
    let export = |name: &str, what: [u8; 2]| [sized(name.as_bytes()).as_slice(), &what].concat();
    let exports = [
        vec![3],
        export("memory", [2, 0]),
        export("proxy_abi_version_0_2_1", [0, 0]),
        export("proxy_on_memory_allocate", [0, 1]),
    ];
    let types = [2, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f];
    let code = [2, 2, 0, 0x0b, 4, 0, 0x41, 0, 0x0b];
    let sections = [
        section(1, &types),
        section(3, &[2, 0, 1]),
        section(5, &[1, 0, 1]),
        section(7, &exports.concat()),
        section(10, &code),
    ];
    [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat()
}

/// The rows of a file with unexpected results, and the number of rows.
fn failing<M: Machine>(cases: &Cases) -> (Vec<String>, usize) {
    let mut engine = WasmEngine::<M>::start(cases).expect("the engine starts");
    let rows: Vec<_> = cases.rows.iter().filter(|row| row.runs_on(EngineName::Wasm)).collect();
    let failing = rows.iter().filter(|row| {
        let report_mode = cases.policies[&row.policy]["mode"] == "report";
        let observed = engine.run(cases, row).expect("the row can be asked");
        observed.iter().any(|one| !row.expect.discrepancies(row, report_mode, one).is_empty())
    });
    (failing.map(|row| row.name.clone()).collect(), rows.len())
}

#[test]
fn no_row_passes_with_a_module_that_is_no_gate() {
    for cases in load_all().expect("the table loads") {
        let (failing, asked) = failing::<NoGate>(&cases);
        assert_eq!(failing.len(), asked, "{}", cases.name);
    }
}

#[test]
fn a_row_with_a_wrong_expectation_fails() {
    let table = "
about: a row that is right beside rows that are wrong
policies: {default: {consumers: [{name: ci, keys: [{plaintext: pk_of_a_row}]}]}}
rows:
  - id: demo-001
    name: right
    request: {headers: {x-api-key: pk_of_a_row}}
    expect: {reason: key, upstream: {headers: {x-portcullis-consumer: ci}}}
  - id: demo-002
    name: another reason
    request: {headers: {x-api-key: pk_of_a_row}}
    expect: {reason: no_credential}
  - id: demo-003
    name: another edit
    request: {headers: {x-api-key: pk_of_a_row}}
    expect: {reason: key, upstream: {headers: {x-portcullis-consumer: root}}}
  - id: demo-004
    name: another reply
    expect: {reason: no_credential, reply: {headers: {www-authenticate: Basic}}}
";
    let (failing, _) = failing::<OtherHost>(&parse("demo", table).expect("a file of the table"));
    assert_eq!(failing, ["another reason", "another edit", "another reply"]);
}
