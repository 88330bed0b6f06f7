//! Settings that normalize requests before the gate: every shipped, rendered or documented configuration has them, so
//! that a new one cannot miss them; and their effect on a real Envoy. The listeners of the table of cases have none of
//! them: there the gate itself answers.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use portcullis_tests::bootstrap::{Bootstrap, Gate, Listener};
use portcullis_tests::cases::load_all;
use portcullis_tests::crd::documents;
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::listener::Kind;
use portcullis_tests::message::pairs;
use portcullis_tests::net::connect;
use portcullis_tests::paths::{module, workspace};
use portcullis_tests::upstream::Upstream;
use portcullis_tests::{http1, http2};
use serde_json::{Value, json};

const MANAGER: &str = "HttpConnectionManager";
const GATEWAY: &str = "gateway.networking.k8s.io";

/// The required settings of a connection manager: JSON pointers and values.
fn wanted() -> [(&'static str, Value); 4] {
    [
        ("/normalize_path", json!(true)),
        ("/merge_slashes", json!(true)),
        ("/path_with_escaped_slashes_action", json!("REJECT_REQUEST")),
        ("/common_http_protocol_options/headers_with_underscores_action", json!("REJECT_REQUEST")),
    ]
}

/// The required settings of a `ClientTrafficPolicy`, and Envoy Gateway's defaults.
fn wanted_of_envoy_gateway() -> [(&'static str, Value); 3] {
    [
        ("/spec/path/escapedSlashesAction", json!("RejectRequest")),
        ("/spec/headers/withUnderscoresAction", json!("RejectRequest")),
        ("/spec/path/disableMergeSlashes", Value::Null),
    ]
}

fn missing(value: &Value, wanted: &[(&str, Value)]) -> Vec<String> {
    let is_there = |(place, wanted): &&(&str, Value)| value.pointer(place).unwrap_or(&Value::Null) == wanted;
    let lacks = wanted.iter().filter(|wanted| !is_there(wanted));
    lacks.map(|(place, wanted)| format!("{place} is not {wanted}")).collect()
}

/// Every map in a value, outermost first.
fn walk<'a>(value: &'a Value, see: &mut dyn FnMut(&'a Value)) {
    match value {
        Value::Object(members) => {
            see(value);
            members.values().for_each(|member| walk(member, see));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        _ => {}
    }
}

fn managers(document: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    walk(document, &mut |value| {
        let is_one = |name: &str| value[name].as_str().is_some_and(|kind| kind.ends_with(&format!(".{MANAGER}")));
        if is_one("@type") {
            found.push(value);
        } else if is_one("type_url") {
            found.push(&value["value"]);
        }
    });
    found
}

/// A text that may contain a configuration, and its place.
struct Text {
    place: String,
    text: String,
}

/// Every file in a folder, or the single file itself.
fn files(folder: &Path, is_deep: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let (folders, mut files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    if is_deep {
        files.extend(folders.iter().flat_map(|folder| self::files(folder, true)));
    }
    files
}

fn read(path: &Path) -> Text {
    let place = path.strip_prefix(workspace()).expect("a file of the workspace").display().to_string();
    Text { text: fs::read_to_string(path).unwrap_or_else(|error| panic!("{place}: {error}")), place }
}

/// The code blocks of a page, in any language.
fn blocks(page: &Text) -> Vec<Text> {
    let mut blocks: Vec<Text> = Vec::new();
    let mut is_open = false;
    for (line, number) in page.text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            is_open = !is_open;
            if is_open {
                blocks.push(Text { place: format!("{}:{number}", page.place), text: String::new() });
            }
        } else if let Some(block) = blocks.last_mut().filter(|_| is_open) {
            block.text += &format!("{line}\n");
        }
    }
    blocks
}

/// Everything that is shipped, rendered or documented.
fn texts() -> Vec<Text> {
    let root = workspace();
    let folders = ["envoy", "cli/tests/golden"].map(|folder| root.join(folder));
    let shipped = folders.iter().flat_map(|folder| files(folder, true)).map(|file| read(&file));
    let is_page = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "md");
    let pages = files(&root, false).into_iter().chain(files(&root.join("docs"), true)).filter(is_page);
    let shown = pages.flat_map(|page| blocks(&read(&page)));
    shipped.chain(shown).collect()
}

/// The missing settings in a text, and the number of parts that were checked.
fn examine(text: &Text) -> (Vec<String>, usize) {
    // A unit or a console block is not YAML, but may contain some.
    let holds = [MANAGER, "ClientTrafficPolicy", "IstioOperator", "EnvoyExtensionPolicy"];
    if !holds.iter().any(|name| text.text.contains(name)) {
        return (Vec::new(), 0);
    }
    let mut errors = Vec::new();
    let mut looked_at = 0;
    let mut look = |value: &Value, wanted: &[(&str, Value)]| {
        looked_at += 1;
        errors.extend(missing(value, wanted));
    };
    let all = if text.text.contains("@type") || text.text.contains("apiVersion") {
        documents(&text.text)
    } else {
        Vec::new()
    };
    for document in &all {
        managers(document).into_iter().for_each(|manager| look(manager, &wanted()));
        match document["kind"].as_str() {
            Some("ClientTrafficPolicy") => look(document, &wanted_of_envoy_gateway()),
            Some("IstioOperator") => {
                let normalization =
                    ("/spec/meshConfig/pathNormalization/normalization", json!("DECODE_AND_MERGE_SLASHES"));
                look(document, &[normalization]);
            }
            _ => {}
        }
    }
    (errors, looked_at)
}

#[test]
fn every_connection_manager_has_paths_and_underscores_settled() {
    let mut errors = Vec::new();
    let mut places = Vec::new();
    for text in texts() {
        let (found, looked_at) = examine(&text);
        errors.extend(found.into_iter().map(|error| format!("{}: {error}", text.place)));
        if looked_at > 0 {
            places.push(text.place);
        } else {
            assert!(!text.text.contains(&format!(".{MANAGER}")), "{} is not looked at", text.place);
        }
    }
    assert_eq!(errors.join("\n"), "");
    for folder in ["envoy/", "envoy/systemd/", "envoy/istio/", "envoy/envoy-gateway/", "cli/tests/golden/", "docs/"] {
        assert!(places.iter().any(|place| place.starts_with(folder)), "a control: {folder} holds one: {places:?}");
    }
}

/// Control: each setting removed, or set differently, in a file of each kind.
#[test]
fn a_setting_that_is_missing_is_found() {
    for (file, settings) in [
        ("envoy/minimal.yaml", &wanted()[..]),
        ("cli/tests/golden/envoy.yaml", &wanted()),
        ("cli/tests/golden/istio-envoy-filter.yaml", &wanted()),
        ("envoy/envoy-gateway/proxy.yaml", &wanted_of_envoy_gateway()[..2]),
        ("envoy/istio/mesh-config.yaml", &[("/pathNormalization/normalization", Value::Null)]),
    ] {
        let whole = read(&workspace().join(file));
        assert_eq!(examine(&whole).0, Vec::<String>::new(), "{file}");
        for (place, _) in settings {
            let name = place.rsplit('/').next().expect("a pointer");
            let text = whole.text.replace(name, "no_such_setting");
            assert_ne!(text, whole.text, "{file} has {name}");
            let changed = Text { place: String::new(), text };
            assert!(!examine(&changed).0.is_empty(), "{file} without {name}");
        }
    }
    let page = Text { place: "page".into(), text: format!("Words.\n```yaml\n\"@type\": x.{MANAGER}\n```\n") };
    let [block] = blocks(&page).try_into().unwrap_or_else(|_| panic!("one block"));
    assert_eq!((block.place.as_str(), examine(&block).0.len()), ("page:2", 4));
}

/// A gate for a Gateway comes with these settings; one for a route relies on those of the Gateway.
#[test]
fn every_render_for_a_gateway_brings_the_settings_along() {
    let renders = files(&workspace().join("cli/tests/golden"), false);
    let renders: Vec<Text> = renders.iter().map(|file| read(file)).collect();
    let mut gateways = 0;
    for render in renders.iter().filter(|render| render.text.contains("EnvoyExtensionPolicy")) {
        let all = documents(&render.text);
        let of_kind = |kind: &str| all.iter().filter(|document| document["kind"] == kind).collect::<Vec<_>>();
        let [gate] = of_kind("EnvoyExtensionPolicy")[..] else { panic!("{}: one gate", render.place) };
        let targets = gate["spec"]["targetRefs"].as_array().expect("a list");
        let is_gateway = |target: &&Value| target["group"] == GATEWAY && target["kind"] == "Gateway";
        let expected: Vec<&Value> = targets.iter().filter(is_gateway).collect();
        gateways += expected.len();
        let settings = of_kind("ClientTrafficPolicy");
        let settled = settings.iter().flat_map(|one| one["spec"]["targetRefs"].as_array().expect("a list"));
        assert_eq!(settled.collect::<Vec<_>>(), expected, "{}", render.place);
    }
    assert!(gateways > 0, "a control");
}

#[test]
fn the_listeners_of_the_table_settle_nothing_so_that_the_gate_answers() {
    let table = load_all().expect("the table can be read");
    let kinds: BTreeSet<Kind> = table.iter().flat_map(|cases| &cases.rows).filter_map(|row| row.listener).collect();
    assert!(kinds.len() > 10, "a control: {kinds:?}");
    let listener = |kind| Listener { name: "gate".into(), kind, gate: Gate::Text("{}".into()), tls: None };
    for kind in kinds {
        let listeners = vec![listener(kind)];
        let upstream = (Ipv4Addr::LOCALHOST, 1).into();
        let document = Bootstrap { listeners, upstream, module: module(), environment: Vec::new() }.document();
        let managers = managers(&document);
        assert!(!managers.is_empty());
        for manager in managers {
            for (place, _) in wanted() {
                assert_eq!(manager.pointer(place), None, "{kind:?}");
            }
        }
    }
}

/// The smallest shipped configuration, on free ports, with an upstream that answers.
fn minimal(upstream: &Upstream) -> Value {
    let text = read(&workspace().join("envoy/minimal.yaml")).text;
    let text = text.replace("target/portcullis.wasm", &module().display().to_string());
    let text = text.replace("port_value: 10000", "port_value: 0");
    let text = text.replace("port_value: 8081", &format!("port_value: {}", upstream.address().port()));
    let mut document = documents(&text).remove(0);
    document["admin"] = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
    document["static_resources"]["listeners"][0]["name"] = json!("main");
    document
}

/// `REJECT_REQUEST` answers before the gate: with 400 over HTTP/1, and over HTTP/2 by resetting the stream.
#[test]
fn a_header_with_an_underscore_and_an_escaped_slash_do_not_reach_the_gate() {
    let upstream = Upstream::start();
    let envoy = Envoy::start(&minimal(&upstream));
    let dial = || connect(V4, envoy.address("main", V4)).expect("Envoy listens");
    let key = ("x-api-key", "pk_demo_ci_not_a_secret");
    let http1 = |path: &str, headers: &[(&str, &str)]| {
        let request = http1::request(b"GET", path.as_bytes(), b"gate.test", &pairs(headers), None);
        http1::Client::new(dial()).send(&request).expect("Envoy replies")
    };
    let http2 = |path: &str, headers: &[(&str, &str)]| {
        let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "gate.test"), (":path", path)];
        let fields = [pairs(&pseudo), pairs(headers)].concat();
        let mut client = http2::Client::new(dial()).expect("a connection");
        client.send(&fields, None, &[]).map(|reply| reply.status).map_err(|error| error.to_string())
    };
    let count = |name: &str| envoy.admin().count(name).unwrap_or_default();
    let decisions = || {
        ["allowed.key", "denied.multiple_credentials", "denied.no_credential"]
            .map(|reason| count(&format!("wasmcustom.portcullis.default.{reason}")))
    };

    // The controls: the gate decides.
    assert_eq!((http1("/x", &[key]).status, http2("/x", &[key])), (200, Ok(200)));
    assert_eq!(http1("/x", &[]).status, 401);
    assert_eq!(decisions(), [2, 0, 1]);

    for name in ["x_api_key", "SCRIPT_NAME", "some_metadata"] {
        let headers = [key, (name, "value")];
        let reply = http1("/x", &headers);
        assert_eq!((reply.status, reply.header("www-authenticate")), (400, None), "{name}");
        let lower = name.to_ascii_lowercase();
        let reset = http2("/x", &[key, (&lower, "value")]);
        assert!(reset.as_ref().is_err_and(|error| error.starts_with("RST_STREAM")), "{name}: {reset:?}");
    }
    assert_eq!(http1("/x%2fy", &[key]).status, 400);
    assert_eq!(http2("/x%2fy", &[key]), Ok(400));
    assert_eq!((decisions(), upstream.count()), ([2, 0, 1], 2), "neither the gate nor the upstream saw any of them");
}
