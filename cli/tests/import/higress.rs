//! `portcullis import higress`: the plugin `key-auth` as a resource and alone.

use crate::place::{OUTSIDE, Place, line_with};

#[test]
fn higress_decides_as_before() {
    let place = Place::new();
    let (status, _, said) = place.import(&["higress"], "higress.yaml");
    assert!(status == 1 && line_with(&said, ":14:9:").contains("a placeholder"), "{said}");
    assert!(line_with(&said, ":13:9:").contains("the same key as in line 12"), "{said}");
    place.decides(&[
        ("GET", "/", "", OUTSIDE, "deny no_credential"),
        ("GET", "/", "X-API-Key: kong-alice-11aa22bb", OUTSIDE, "allow key"),
        ("GET", "/", "Authorization: Bearer kong-bob-55ee66ff", OUTSIDE, "allow key"),
        ("GET", "/?x-api-key=kong-alice-11aa22bb", "", OUTSIDE, "deny no_credential"),
    ]);
    assert!(place.read("policy.yaml").contains("consumer_header: 'x-mse-consumer'"));
}

/// A rule of Higress is for a route or a domain, so every path is blocked.
#[test]
fn what_some_consumers_may_use_stays_shut() {
    let consumers = "consumers: [{name: a, credential: Stray-Secret-9}, {name: b, credential: kong-bob-55ee66ff}]\nkeys: [x-api-key]\n";
    for (rules, decision) in [
        ("", "allow key"),
        ("_rules_: [{_match_route_: [r], allow: [b, a]}]\n", "allow key"),
        ("_rules_: [{_match_route_: [r], allow: [a]}]\n", "deny missing_role"),
        ("allow: [b]\n", "deny missing_role"),
    ] {
        let place = Place::new();
        place.write("key-auth.yaml", format!("{consumers}{rules}"));
        let (status, _, said) = place.run(&["import", "higress", "key-auth.yaml"], &[]);
        assert_eq!(status, i32::from(decision != "allow key"), "{rules}: {said}");
        assert_eq!(
            said.contains("requires a key only on the routes of its rules"),
            rules.contains("_rules_"),
            "{said}"
        );
        place.decides(&[("GET", "/", "X-API-Key: Stray-Secret-9", OUTSIDE, decision)]);
    }
}

#[test]
fn a_plugin_that_is_off_outside_its_rules_is_told() {
    let place = Place::new();
    place.write(
        "key-auth.yaml",
        "kind: WasmPlugin\nspec: {defaultConfigDisable: true, defaultConfig: {keys: [x-api-key], consumers: [{name: a, credential: Stray-Secret-9}]}}\n",
    );
    let (status, _, said) = place.run(&["import", "higress", "key-auth.yaml"], &[]);
    assert!(status == 0 && said.contains("defaultConfigDisable: the plugin is off outside its rules"), "{said}");
    place.decides(&[("GET", "/", "", OUTSIDE, "deny no_credential")]);
}

#[test]
fn several_plugins_are_not_one() {
    let place = Place::new();
    let plugin = "keys: [x-api-key]\nconsumers: [{name: a, credential: Stray-Secret-9}]\n";
    place.write("two.yaml", format!("{plugin}---\n{plugin}"));
    let (status, _, said) = place.run(&["import", "higress", "two.yaml"], &[]);
    assert!(status == 2 && said.contains("several plugins key-auth (two.yaml:1:1 and two.yaml:4:1)"), "{said}");
}
