//! Property test: whenever a random request is decided differently by two random policies, `diff` reports it.

use std::path::Path;

use portcullis::{HeaderBlock, Host, Policy, Request, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use super::{Change, Effect, Side, compare};
use crate::files::merge;
use crate::yaml::Node;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A policy as text, one line a field; none where the field is left out.
type Fields = [Option<String>; 9];

fn pattern() -> impl Strategy<Value = &'static str> {
    select(vec![
        "/",
        "/a",
        "/A",
        "/a/",
        "/a/*",
        "/a/**",
        "/a/b",
        "/{x}/b",
        "/**",
        "/b/**",
        "/a/*/c",
        "/caf\u{e9}",
        "/aB",
    ])
}

fn methods() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", ", methods: [GET]", ", methods: [POST]", ", methods: [GET, POST]", ", methods: [HEAD]"])
}

/// Up to three of something, as a list.
fn list(item: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(", ")))
}

fn distinct(items: Vec<&'static str>) -> impl Strategy<Value = String> {
    let most = items.len();
    prop::sample::subsequence(items, 1..=most).prop_map(|items| format!("[{}]", items.join(", ")))
}

fn paths() -> impl Strategy<Value = String> {
    list((pattern(), methods()).prop_map(|(path, methods)| format!("{{path: \"{path}\"{methods}}}")))
}

fn rules() -> impl Strategy<Value = String> {
    let roles = select(vec!["[r1]", "[r2]", "[r1, r2]", "[r3]"]);
    list(
        (pattern(), methods(), roles)
            .prop_map(|(path, methods, roles)| format!("{{path: \"{path}\"{methods}, roles: {roles}}}")),
    )
}

fn consumers() -> impl Strategy<Value = String> {
    let window = select(vec![
        "",
        "",
        ", disabled: true",
        ", expires: '2026-01-01T00:00:00Z'",
        ", expires: '2050-01-01T00:00:00Z'",
        ", not_before: '2040-01-01T00:00:00Z'",
    ]);
    let key = (select(vec!["plaintext: k1", "plaintext: k2", "plaintext: k3", "env: K4"]), window)
        .prop_map(|(key, window)| format!("{{{key}{window}}}"));
    let roles = select(vec!["[]", "[r1]", "[r2]", "[r1, r2]"]);
    let one = |name: &'static str| {
        (roles.clone(), list(key.clone()))
            .prop_map(move |(roles, keys)| format!("{{name: {name}, roles: {roles}, keys: {keys}}}"))
    };
    (one("c1"), one("c2")).prop_map(|(one, other)| format!("[{one}, {other}]"))
}

fn networks() -> impl Strategy<Value = String> {
    let ranges = distinct(vec!["10.0.0.0/8", "10.0.0.0/16", "10.0.0.1", "10.0.0.0/31", "'fd00::/8'", "localhost"]);
    let address = select(vec!["direct", "remote_ip", "{filter_state: peer}", "{filter_state: other}"]);
    (ranges, address).prop_map(|(ranges, address)| format!("{{ranges: {ranges}, client_address: {address}}}"))
}

fn fields() -> impl Strategy<Value = Fields> {
    let maybe = |name: &'static str, value: BoxedStrategy<String>| {
        prop::option::of(value.prop_map(move |value| format!("{name}: {value}\n")))
    };
    let text = |items: Vec<&'static str>| select(items).prop_map(str::to_owned).boxed();
    let protected = prop::collection::vec(pattern(), 1..3).prop_map(|paths| format!("{paths:?}"));
    (
        maybe("consumers", consumers().boxed()),
        maybe("public_paths", paths().boxed()),
        maybe("rules", rules().boxed()),
        maybe("trusted_networks", networks().boxed()),
        maybe("protected_paths", protected.boxed()),
        maybe("key_sources", distinct(vec!["bearer", "{header: x-api-key}", "{query: k}", "{cookie: k}"]).boxed()),
        maybe(
            "trusted_identities",
            distinct(vec!["'spiffe://a/ns/b/sa/*'", "'spiffe://a/ns/b/sa/c'", "'spiffe://a/*/b/sa/c'"]).boxed(),
        ),
        maybe("cors_preflight", text(vec!["allow", "authenticate"])),
        maybe(
            "upstream",
            text(vec!["{roles_header: x-roles}", "{roles_header: x-portcullis-consumer, consumer_header: x-who}"]),
        ),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i)| [a, b, c, d, e, f, g, h, i])
}

/// The old policy, and a new one that has some fields of its own.
fn pair() -> impl Strategy<Value = (String, String)> {
    let mode = || select(vec!["enforce", "enforce", "enforce", "enforce", "report", "disabled"]);
    (fields(), fields(), prop::collection::vec(0..3_u8, 9), mode(), mode()).prop_map(
        |(old, new, changed, one, other)| {
            let mixed =
                old.iter().zip(&new).zip(&changed).map(|((old, new), changed)| if *changed == 0 { new } else { old });
            let text = |mode: &str, fields: Vec<&Option<String>>| {
                let fields: String = fields.into_iter().flatten().cloned().collect();
                format!("mode: {mode}\n{fields}")
            };
            (text(one, old.iter().collect()), text(other, mixed.collect()))
        },
    )
}

const PATHS: [&str; 24] = [
    "/",
    "/a",
    "/A",
    "/a/",
    "/a/b",
    "/a/B",
    "/a//b",
    "//a",
    "/%61",
    "/a%2Fb",
    "/a;x",
    "/a/;x",
    "/a.json",
    "/a.",
    "/a/b/c",
    "/a/b/C/",
    "/b",
    "/b/x",
    "/x/b",
    "/zzz",
    "/caf%C3%A9",
    "/a/caf%C3%A9",
    "/Ab",
    "/%2561",
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "DELETE", "get", "post", "OPTIONS"];
const HEADERS: [&[(&str, &str)]; 9] = [
    &[],
    &[],
    &[],
    &[("x-forwarded-for", "10.0.0.1")],
    &[("x-real-ip", "10.0.0.1")],
    &[("x-http-method-override", "DELETE")],
    &[("x-original-url", "/a/b")],
    &[("connection", "upgrade, x-portcullis-roles")],
    &[("origin", "https://elsewhere"), ("access-control-request-method", "GET")],
];
const SOURCES: [&str; 4] = ["authorization", "x-api-key", "query", "cookie"];
const PEERS: [&str; 6] = ["10.0.0.1:5", "10.0.0.1:0", "10.0.0.2:5", "10.9.0.1:5", "[fd00::1]:5", "127.0.0.1:5"];

/// A request, by numbers: path, method, headers, credentials, connection, time.
#[derive(Clone)]
struct Sent {
    pairs: Vec<(String, Vec<u8>)>,
    peer: Option<&'static str>,
    state: Option<&'static str>,
    identity: Option<&'static str>,
    now: Timestamp,
}

fn sent() -> impl Strategy<Value = Sent> {
    let credentials = prop::collection::vec(
        (select(SOURCES.to_vec()), select(vec!["k1", "k2", "k3", "the-value-of-K4", "no"])),
        0..3,
    );
    let connection = (
        prop::option::of(select(PEERS.to_vec())),
        prop::option::of(Just("10.0.0.1")),
        prop::option::of(select(vec!["spiffe://a/ns/b/sa/c", "spiffe://a/ns/b/sa/d", "spiffe://a/x/b/sa/c"])),
    );
    let times = select(vec![NOW, NOW, Timestamp(2_240_000_000), Timestamp(3_000_000_000)]);
    (select(PATHS.to_vec()), select(METHODS.to_vec()), any::<Index>(), credentials, connection, times).prop_map(
        |(path, method, headers, credentials, (peer, state, identity), now)| {
            let mut path = path.to_owned();
            let mut pairs = vec![(":method", method.to_owned()), (":authority", "gate".to_owned())];
            pairs.extend(headers.get(&HEADERS).iter().map(|(name, value)| (*name, (*value).to_owned())));
            for (source, key) in credentials {
                match source {
                    "query" => path.push_str(&format!("{}k={key}", if path.contains('?') { '&' } else { '?' })),
                    "cookie" => pairs.push((source, format!("k={key}"))),
                    "authorization" => pairs.push((source, format!("Bearer {key}"))),
                    _ => pairs.push((source, key.to_owned())),
                }
            }
            pairs.push((":path", path));
            let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
            Sent { pairs, peer, state, identity, now }
        },
    )
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<_> = self.pairs.iter().map(|(name, value)| format!("{name} {}", value.escape_ascii())).collect();
        write!(f, "{pairs:?} from {:?} ({:?}), {:?}, at {}", self.peer, self.state, self.identity, self.now.0)
    }
}

impl Host for Sent {
    fn now(&self) -> Option<Timestamp> {
        Some(self.now)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.peer.map(|peer| peer.as_bytes().to_vec())
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        self.state.filter(|_| key == "peer").map(|state| state.as_bytes().to_vec())
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        self.identity.map(|identity| identity.as_bytes().to_vec())
    }
}

fn side(text: &str) -> (Side, Policy) {
    let merged = merge(Node::parse(text).expect("YAML"), None, Path::new("policy.yaml")).expect("no store, no quarrel");
    let policy = merged.compile(&|name| Some(super::stand_in(name).into_bytes())).expect("a policy").policy;
    (Side::of(merged).expect("a policy"), policy)
}

/// The subjects of lines that may report a request that one policy allows (`goes`) and the other denies (`denied`).
fn told_under(goes: &str, denied: &str) -> Vec<&'static str> {
    let mut about = match goes {
        "public_path" => vec!["paths"],
        "trusted_network" => vec!["trusted_networks"],
        "trusted_identity" => vec!["trusted_identities"],
        "cors_preflight" => vec!["cors_preflight"],
        "key" => vec!["keys", "roles", "paths", "key_sources"],
        // Not enforced.
        _ => vec![],
    };
    about.push("mode");
    if denied == "identity_header_named" {
        about.push("upstream");
    }
    about
}

proptest! {
    // The same policies in each run: what fails is a regression. 6,000 others were tried when this was written.
    #![proptest_config(ProptestConfig { cases: 96, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_requests_find_a_line_tells((old, new) in pair(), requests in prop::collection::vec(sent(), 80)) {
        let ((one, before), (other, after)) = (side(&old), side(&new));
        let changes = compare(&one, &other, NOW).expect("both are policies");
        let tells = |effects: &[Effect], about: &[&str]| {
            changes.iter().any(|change: &Change| effects.contains(&change.effect) && about.contains(&change.about))
        };
        for sent in requests {
            let block = HeaderBlock::new(&sent.pairs);
            let request = Request::new(block.headers());
            let decide = |policy: &Policy| {
                let decision = policy.decide(&request, &sent, &mut ());
                (policy.verdict(&decision) != "deny", decision.reason.name())
            };
            match (decide(&before), decide(&after)) {
                ((false, denied), (true, goes)) => prop_assert!(
                    tells(&[Effect::Opens, Effect::MayOpen], &told_under(goes, denied)),
                    "{sent:?} was {denied} and is {goes}: {changes:#?}"
                ),
                ((true, goes), (false, denied)) => prop_assert!(
                    tells(&[Effect::Closes], &told_under(goes, denied)),
                    "{sent:?} was {goes} and is {denied}: {changes:#?}"
                ),
                _ => {}
            }
        }
    }
}
