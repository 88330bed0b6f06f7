//! `portcullis import apisix`: consumers with `key-auth` in each form that APISIX and its tools have.

use crate::place::{OUTSIDE, Place, line_with};

#[test]
fn apisix_decides_as_before_or_stays_shut() {
    let place = Place::new();
    let (status, _, said) = place.import(&["apisix"], "apisix.yaml");
    assert_eq!(status, 1, "{said}");
    for (part, left) in [
        (":11:5:", "only some consumers may use this route: the route is blocked"),
        (":22:5:", "plugins.limit-count of one consumer"),
        (":25:3:", "consumers[].labels: unknown setting"),
        (":30:29:", "a reference to a key in another place"),
        (":32:29:", "a reference to a key in another place"),
        (":33:3:", "a plugin limits where it may call"),
    ] {
        assert!(line_with(&said, part).contains(left), "{part}: {said}");
    }
    place.decides(&[
        ("GET", "/api/x", "", OUTSIDE, "deny no_credential"),
        ("GET", "/api/x", "X-API-Key: kong-alice-11aa22bb", OUTSIDE, "allow key"),
        ("GET", "/api/x?api_key=kong-alice-11aa22bb", "", OUTSIDE, "allow key"),
        ("GET", "/api/x", "X-Off: kong-alice-11aa22bb", OUTSIDE, "deny no_credential"),
        ("GET", "/api/x", "Authorization: Bearer kong-bob-55ee66ff", OUTSIDE, "allow key"),
        ("GET", "/api/x", "X-API-Key: kong-bob-second-99", OUTSIDE, "allow key"),
        ("GET", "/api/x", "X-API-Key: csv-erin-4444dddd", OUTSIDE, "deny unknown_key"),
        ("GET", "/admin/x", "X-API-Key: kong-alice-11aa22bb", OUTSIDE, "deny missing_role"),
        ("GET", "/tools", "X-API-Key: kong-alice-11aa22bb", OUTSIDE, "deny missing_role"),
    ]);
    assert!(
        place.read("keys.json").contains(r#""bob": "#) && place.read("keys.json").contains(r#""second""#),
        "{said}"
    );
    assert!(place.read("policy.yaml").contains("forward_credential: false"));
}

/// Each form has one key, and where it says so, reads it from X-API-Key.
#[test]
fn every_form_is_read() {
    let in_header = "key-auth: {header: x-api-key}";
    for (form, text, consumer) in [
        ("one reply", r#"{"key": "/apisix/consumers/jack", "value": {"username": "jack", "plugins": {"key-auth": {"key": "KEY"}}}}"#.to_owned(), "jack"),
        ("replies", r#"{"total": 1, "list": [{"key": "/apisix/consumers/jack", "value": {"username": "jack", "group_id": null, "plugins": {"key-auth": {"key": "KEY"}}}}]}"#.to_owned(), "jack"),
        ("replies of APISIX 2", r#"{"count": 1, "node": {"key": "/apisix/consumers", "nodes": [{"key": "/apisix/consumers/jack", "value": {"username": "jack", "plugins": {"key-auth": {"key": "KEY"}}}}]}}"#.to_owned(), "jack"),
        ("credentials", r#"{"total": 1, "list": [{"key": "/apisix/consumers/jack/credentials/one", "value": {"id": "one", "plugins": {"key-auth": {"key": "KEY"}}}}]}"#.to_owned(), "jack"),
        ("what is sent", r#"{"username": "jack", "plugins": {"key-auth": {"key": "KEY"}}}"#.to_owned(), "jack"),
        (
            "ADC",
            format!("consumers: [{{username: jack, credentials: [{{name: primary, type: key-auth, config: {{key: KEY}}}}]}}]\nservices: [{{name: s, routes: [{{name: r, uris: [/a], plugins: {{{in_header}}}}}]}}]\n"),
            "jack",
        ),
        (
            "a plugin without a configuration",
            "routes: [{uri: /hello, plugins: {key-auth: }}]\nconsumers:\n- {id: jack/credentials/one, name: jack, plugins: {key-auth: {key: KEY}}}\n- {id: jack, username: jack, plugins: ~}\n#END\n".to_owned(),
            "jack",
        ),
        ("ADC, global", format!("consumers: [{{username: jack, credentials: [{{name: primary, type: key-auth, config: {{key: KEY}}}}]}}]\nglobal_rules: {{{in_header}}}\n"), "jack"),
        ("ApisixConsumer", "kind: ApisixConsumer\nmetadata: {name: jack, namespace: shop}\nspec: {authParameter: {keyAuth: {value: {key: KEY}}}}\n".to_owned(), "shop_jack"),
        (
            "ApisixConsumer with a Secret",
            "kind: List\nitems:\n- {kind: Secret, metadata: {name: s}, data: {key: U3RyYXktU2VjcmV0LTk=}}\n\
             - {kind: ApisixConsumer, metadata: {name: jack}, spec: {authParameter: {keyAuth: {secretRef: {name: s}}}}}\n\
             - {kind: ApisixRoute, spec: {http: [{match: {paths: [/a]}, authentication: {enable: true, type: keyAuth, keyAuth: {header: x-api-key}}}]}}\n".to_owned(),
            "jack",
        ),
        (
            "Consumer",
            "kind: Consumer\nmetadata: {name: jack}\nspec: {credentials: [{type: key-auth, name: one, config: {key: KEY}}]}\n---\n\
             kind: PluginConfig\nspec: {plugins: [{name: key-auth, config: {header: x-api-key}}, {name: cors}]}\n".to_owned(),
            "jack",
        ),
    ] {
        let place = Place::new();
        place.write("source", text.replace("KEY", "Stray-Secret-9"));
        let (_, _, said) = place.run(&["import", "apisix", "source"], &[]);
        assert_eq!(said.contains("no plugin key-auth on a route"), !text.contains("outes") && !text.contains("x-api-key"), "{form}: {said}");
        assert!(said.contains("imported 1 key") && said.contains(&format!("key       {consumer} ")), "{form}: {said}");
        let header = if text.contains("x-api-key") { "X-API-Key" } else { "apikey" };
        place.decides(&[("GET", "/", &format!("{header}: Stray-Secret-9"), OUTSIDE, "allow key")]);
    }
}

#[test]
fn a_consumer_that_is_restricted_gets_no_key() {
    for text in [
        "username: a\nplugins: {consumer-restriction: {whitelist: [b]}}\ncredentials: [{type: key-auth, config: {key: Stray-Secret-9}}]\n",
        "kind: Consumer\nmetadata: {name: a}\nspec: {plugins: [{name: cors}, {name: acl}], credentials: [{type: key-auth, config: {key: Stray-Secret-9}}]}\n",
    ] {
        let place = Place::new();
        place.write("source", format!("{text}---\nroutes: [{{plugins: {{key-auth: {{}}}}}}]\n"));
        let (status, _, said) = place.run(&["import", "apisix", "source"], &[]);
        assert!(
            status == 1 && said.contains("imported 0 keys") && said.contains("a plugin limits where it may call"),
            "{said}"
        );
    }
}

/// What APISIX restricts to some consumers is blocked, at least below its path.
#[test]
fn what_some_consumers_may_use_stays_shut() {
    for (route, shut, free) in [
        ("{uri: /a/b, PLUGINS}", &["/a/b"][..], &["/a"][..]),
        ("{uri: /a*, PLUGINS}", &["/a", "/b"], &[]),
        ("{uri: '/a/:id', PLUGINS}", &["/a/1", "/b"], &[]),
        ("{service_id: 1, PLUGINS}", &["/a", "/b"], &[]),
    ] {
        let place = Place::new();
        let route = route.replace("PLUGINS", "plugins: {key-auth: {}, consumer-restriction: {whitelist: [b]}}");
        place.write(
            "apisix.yaml",
            format!("routes: [{route}]\nconsumers: [{{username: a, plugins: {{key-auth: {{key: Stray-Secret-9}}}}}}]\n#END\n"),
        );
        let (status, _, said) = place.run(&["import", "apisix", "apisix.yaml"], &[]);
        assert_eq!(status, 1, "{said}");
        for (paths, decision) in [(shut, "deny missing_role"), (free, "allow key")] {
            for path in paths {
                place.decides(&[("GET", path, "apikey: Stray-Secret-9", OUTSIDE, decision)]);
            }
        }
    }
}
