//! Why the gate edits headers itself, although Envoy then selects the route again: the effects of Envoy's own means
//! instead (docs/performance.md).

use portcullis_tests::message::{Reply, values};
use portcullis_tests::paths;
use portcullis_tests::stage::Stage;
use serde_json::{Value, json};

use super::{changed, manager};

const KEY: (&str, &str) = ("authorization", "Bearer facts-key");
const OTHERS: (&str, &str) = ("authorization", "Basic b3RoZXJz");

/// The header that Envoy sets from the consumer that the gate recorded.
const CONSUMER: &str = "%FILTER_STATE(wasm.portcullis.consumer:PLAIN)%";

/// An Envoy with a gate and a public path, whose connection manager `change` has modified.
fn stage(change: impl FnOnce(&mut Value)) -> Stage {
    let policy = json!({
        "version": 1,
        "public_paths": ["/open"],
        "consumers": [{"name": "ci", "keys": [{"plaintext": "facts-key"}]}],
    });
    changed(&policy, paths::module(), |document| change(manager(document)))
}

fn virtual_host(manager: &mut Value) -> &mut Value {
    &mut manager["route_config"]["virtual_hosts"][0]
}

/// The first route, for requests with that header.
fn route_by(header: &str, value: &str) -> Value {
    json!({
        "match": {"prefix": "/", "headers": [{"name": header, "string_match": {"exact": value}}]},
        "direct_response": {"status": 203}
    })
}

fn prefer(manager: &mut Value, route: Value) {
    virtual_host(manager)["routes"].as_array_mut().expect("routes").insert(0, route);
}

/// Puts a filter between the gate and the router.
fn behind_the_gate(manager: &mut Value, filter: Value) {
    let filters = manager["http_filters"].as_array_mut().expect("filters");
    filters.insert(filters.len() - 1, filter);
}

fn header_mutation(mutations: &Value) -> Value {
    json!({"name": "mutation", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": mutations}
    }})
}

/// The filter, skipped if the gate recorded no consumer.
fn for_consumers(filter: &Value) -> Value {
    json!({"name": "conditional", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "extension_config": filter,
        "xds_matcher": {"matcher_list": {"matchers": [{
            "predicate": {"not_matcher": {"single_predicate": {
                "input": {"name": "consumer", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
                    "key": "wasm.portcullis.consumer"
                }},
                "value_match": {"safe_regex": {"google_re2": {}, "regex": ".+"}}
            }}},
            "on_match": {"action": {"name": "skip", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
            }}}
        }]}}
    }})
}

fn get(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> Reply {
    stage.get("main", path, headers).expect("Envoy replies")
}

/// The values of a header in the request that the upstream received.
fn arrived(stage: &Stage, path: &str, headers: &[(&str, &str)], name: &str) -> Vec<String> {
    let seen = stage.upstream.seen(&get(stage, path, headers)).expect("the request reached the upstream");
    values(&seen.headers, name).into_iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// The drawback of a second selection: the first one used the caller's headers before the gate edited them.
#[test]
fn a_forged_identity_header_selects_no_route() {
    let stage = stage(|manager| prefer(manager, route_by("x-portcullis-consumer", "ci")));
    assert_eq!(get(&stage, "/x", &[KEY]).status, 203, "a control: an identity of the gate's does");
    assert_eq!(get(&stage, "/open", &[("x-portcullis-consumer", "ci")]).status, 200);
}

/// Why no route that matches an identity header may disable the gate.
#[test]
fn which_filters_there_are_goes_by_the_first_selection_that_saw_the_forged_header() {
    let stage = stage(|manager| {
        let mut open = route_by("x-portcullis-consumer", "ci");
        open["typed_per_filter_config"] = json!({"portcullis": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
            "disabled": true
        }});
        prefer(manager, open);
    });
    assert_eq!(get(&stage, "/x", &[("x-portcullis-consumer", "ci")]).status, 203, "the gate was left out");
    assert_eq!(get(&stage, "/x", &[]).status, 401, "a control");
}

/// So a credential that is removed there is also removed from requests that the gate leaves unchanged, and a forged
/// header stays if nothing is added, unless it is removed too.
#[test]
fn a_route_configuration_removes_for_everybody_and_then_adds_what_is_there() {
    let stage = stage(|manager| {
        manager["route_config"]["request_headers_to_remove"] = json!(["authorization", "x-removed"]);
        let header = |name: &str| json!({"header": {"key": name, "value": CONSUMER}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
        manager["route_config"]["request_headers_to_add"] = json!([header("x-removed"), header("x-kept")]);
    });
    let with = |request: (&'static str, &'static str)| [request, ("x-removed", "forged"), ("x-kept", "forged")];
    assert_eq!(arrived(&stage, "/x", &with(KEY), "x-removed"), ["ci"]);
    assert_eq!(arrived(&stage, "/x", &with(KEY), "x-kept"), ["ci"]);
    assert_eq!(arrived(&stage, "/open", &with(OTHERS), "x-removed"), [""; 0]);
    assert_eq!(arrived(&stage, "/open", &with(OTHERS), "x-kept"), ["forged"]);
    assert_eq!(arrived(&stage, "/open", &[OTHERS], "authorization"), [""; 0], "the gate did not ask for that");
}

/// What could replace the gate's edits: a filter right after it, which only runs if the gate recorded a consumer.
#[test]
fn a_header_mutation_filter_can_be_conditional_and_selects_no_route() {
    let stage = stage(|manager| {
        let mutations = json!([
            {"remove": "x-secret"},
            {"append": {"header": {"key": "x-consumer", "value": CONSUMER}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
        ]);
        behind_the_gate(manager, for_consumers(&header_mutation(&mutations)));
        let everybody = json!([{"append": {"header": {"key": "x-mark", "value": "set"}}}]);
        behind_the_gate(manager, header_mutation(&everybody));
        prefer(manager, route_by("x-mark", "set"));
    });
    let secret = ("x-secret", "1");
    let sent = |path: &str, headers: &[(&str, &str)]| {
        ["x-secret", "x-consumer", "x-mark"].map(|name| arrived(&stage, path, headers, name).join("|"))
    };
    assert_eq!(sent("/open", &[secret, OTHERS]), ["1", "", "set"]);
    assert_eq!(sent("/x", &[secret, KEY]), ["", "ci", "set"]);
    assert_eq!(get(&stage, "/open", &[("x-mark", "set")]).status, 203, "a control: the route is there");
}

/// For many routes, where the second selection is expensive: the virtual hosts in docs/policy/replies.md.
#[test]
fn a_matcher_tree_selects_routes_behind_a_gate_as_a_list_does() {
    let page =
        std::fs::read_to_string(paths::workspace().join("docs/policy/replies.md")).expect("the reference is there");
    let shown = page.split("```yaml\n").find(|block| block.starts_with("virtual_hosts:")).expect("it shows some");
    let (shown, _) = shown.split_once("```").expect("the block ends");
    let mut shown: Value = serde_saphyr::from_str(shown).expect("it is YAML");
    let map = &mut shown["virtual_hosts"][0]["matcher"]["matcher_tree"]["prefix_match_map"]["map"];
    let mut route = |prefix: &str| map[prefix]["action"]["typed_config"]["route"]["cluster"].take();
    assert_eq!((route("/"), route("/billing/")), (json!("backend"), json!("billing")));
    let mut give = |prefix: &str, member: &str, value: Value| map[prefix]["action"]["typed_config"][member] = value;
    give("/", "route", json!({"cluster": "upstream"}));
    give("/billing/", "route", Value::Null);
    give("/billing/", "direct_response", json!({"status": 203}));
    let stage = stage(|manager| manager["route_config"]["virtual_hosts"] = shown["virtual_hosts"].take());
    let statuses =
        |headers: &[(&str, &str)]| ["/x", "/billing/x?y", "/open"].map(|path| get(&stage, path, headers).status);
    assert_eq!((statuses(&[]), statuses(&[KEY])), ([401, 401, 200], [200, 203, 200]));
    assert_eq!(arrived(&stage, "/x", &[KEY], "x-portcullis-consumer"), ["ci"]);
}
