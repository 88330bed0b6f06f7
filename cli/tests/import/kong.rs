//! `portcullis import kong`: what Kong denies is denied here too, and what cannot be expressed is blocked.

use crate::place::{OUTSIDE, Place, line_with};

/// Consumers of one group each, and of both.
const CONSUMERS: &str = r#"
_format_version: "3.0"
consumers:
- {username: reader, keyauth_credentials: [{key: kong-reader-1f2e3d}], acls: [{group: reader}]}
- {username: admin, keyauth_credentials: [{key: kong-admin-4c5b6a}], acls: [{group: admin}]}
- {username: both, keyauth_credentials: [{key: kong-both-778899}], acls: [{group: reader}, {group: admin}]}
"#;

/// Imports a configuration with these consumers. Gives what is said, and what was written.
fn import(configuration: &str) -> (Place, String) {
    let place = Place::new();
    place.write("kong.yaml", format!("{CONSUMERS}{configuration}"));
    let (status, _, said) = place.run(&["import", "kong", "kong.yaml"], &[]);
    assert_ne!(status, 2, "{configuration}: {said}");
    (place, said)
}

/// Checks that only the keys of these consumers are allowed.
fn admits(place: &Place, method: &str, path: &str, admitted: &[&str]) {
    place.decides(&[(method, path, "", OUTSIDE, "deny no_credential")]);
    for (who, key) in [("reader", "kong-reader-1f2e3d"), ("admin", "kong-admin-4c5b6a"), ("both", "kong-both-778899")] {
        let decision = if admitted.contains(&who) { "allow key" } else { "deny missing_role" };
        place.decides(&[(method, path, &format!("apikey: {key}"), OUTSIDE, decision)]);
    }
}

const ADMIN: &[&str] = &["admin", "both"];
const READER: &[&str] = &["reader", "both"];
const BOTH: &[&str] = &["both"];
const ALL: &[&str] = &["reader", "admin", "both"];

/// Of the routes that match a request Kong takes the one with more attributes, then the one with a regular expression,
/// then
/// the longest prefix.
#[test]
fn rules_stand_in_the_order_in_which_kong_takes_routes() {
    const KEYS: &str = "plugins: [{name: key-auth}]\n";
    const AS_READER: &str = "plugins: [{name: acl, config: {allow: [reader]}}]";
    const AS_ADMIN: &str = "plugins: [{name: acl, config: {allow: [admin]}}]";
    type Rows = &'static [(&'static str, &'static str, &'static [&'static str])];
    let cases: [(&str, Rows); 13] = [
        // Methods and paths before paths alone, whatever their length.
        (
            "- {paths: [/orders/archive], READER}\n- {paths: [/orders], methods: [DELETE], ADMIN}",
            &[
                ("DELETE", "/orders/archive/1", ADMIN),
                ("DELETE", "/orders/1", ADMIN),
                ("GET", "/orders/archive/1", READER),
                ("GET", "/orders/1", ALL),
            ],
        ),
        (
            "- {paths: [/things], READER}\n- {paths: [/things], methods: [DELETE], ADMIN}",
            &[("DELETE", "/things/1", ADMIN), ("GET", "/things/1", READER)],
        ),
        // Methods alone are one attribute, as a path is: then the longer path.
        (
            "- {methods: [DELETE], ADMIN}\n- {paths: [/things], READER}",
            &[("DELETE", "/things/1", READER), ("DELETE", "/1", ADMIN), ("GET", "/1", ALL)],
        ),
        // Equal attributes: the longer path.
        ("- {paths: [/a], READER}\n- {paths: [/a/b], ADMIN}", &[("GET", "/a/b/c", ADMIN), ("GET", "/a/c", READER)]),
        (
            "- {paths: [/a], methods: [GET], READER}\n- {paths: [/a/b], methods: [GET, POST], ADMIN}",
            &[("GET", "/a/b/c", ADMIN), ("GET", "/a/c", READER), ("POST", "/a/c", ALL)],
        ),
        // Two that are alike: Kong may take either.
        (
            "- {paths: [/a], methods: [GET, POST], READER}\n- {paths: [/a], methods: [POST, PUT], ADMIN}",
            &[("GET", "/a", READER), ("POST", "/a", &[]), ("PUT", "/a", ADMIN)],
        ),
        (
            "- {paths: [/a], READER}\n- {paths: [/a], plugins: [{name: acl, config: {allow: [reader, admin]}}]}",
            &[("GET", "/a", READER)],
        ),
        // A regular expression before a prefix, and below more attributes.
        ("- {paths: ['~/q/v[0-9]+'], READER}\n- {paths: [/q/v1], ADMIN}", &[("GET", "/q/v1", &[])]),
        (
            "- {paths: ['~/files/.*/secret$'], ADMIN}\n- {paths: [/files/public], READER}",
            &[("GET", "/files/public/x/secret", &[]), ("GET", "/files/x", &[])],
        ),
        (
            "- {paths: ['~/q/v[0-9]+'], READER}\n- {paths: [/q/v1], methods: [GET], ADMIN}",
            &[("GET", "/q/v1", ADMIN), ("POST", "/q/v1", &[])],
        ),
        // The pattern /a/** covers /a, which Kong's /a/ does not: it goes to the shorter one.
        (
            "- {paths: [/a/], READER}\n- {paths: [/], ADMIN}",
            &[("GET", "/a/b", READER), ("GET", "/a", ADMIN), ("GET", "/a/", BOTH), ("GET", "/b", ADMIN)],
        ),
        // Kong's /a is one of /ab: with methods it wins there too.
        (
            "- {paths: [/ab], READER}\n- {paths: [/a], methods: [DELETE], ADMIN}",
            &[("DELETE", "/ab/1", ADMIN), ("GET", "/ab/1", READER), ("DELETE", "/a/1", ADMIN)],
        ),
        // A route whose path no rule can say shuts what lies above it, and nothing beside it.
        (
            "- {paths: [/m%20n/o], methods: [GET], READER}\n- {paths: [/], ADMIN}\n- {paths: [/p], READER}",
            &[("GET", "/p/1", READER), ("GET", "/m%20n/o", &[]), ("GET", "/other", &[])],
        ),
    ];
    for (routes, rows) in cases {
        let routes = routes.replace("READER", AS_READER).replace("ADMIN", AS_ADMIN);
        let (place, _) = import(&format!("{KEYS}routes:\n{routes}\n"));
        for (method, path, admitted) in rows {
            admits(&place, method, path, admitted);
        }
    }
}

/// A file of decK may have a part of the configuration: services, and the plugins on them, are in another one.
#[test]
fn a_route_of_a_service_that_is_not_in_the_file_stays_shut() {
    let (place, said) = import(
        "services:
- {name: own, plugins: [{name: key-auth}], routes: [{paths: [/own]}]}
routes:
- {name: p, service: {name: shared}, paths: [/payroll]}
- {name: q, service: shared, paths: [/reports], plugins: [{name: acl, config: {allow: [admin]}}]}
- {paths: [/docs]}
",
    );
    let told = line_with(&said, "the groups that may use this route are unknown");
    assert!(told.contains("kong.yaml:10:3") && told.contains("its service is not in this file"), "{said}");
    assert!(said.contains("kong.yaml:10:3: a route without key-auth needs a key here: its service is not"), "{said}");
    admits(&place, "GET", "/payroll/x", &[]);
    admits(&place, "GET", "/reports/x", ADMIN);
    admits(&place, "GET", "/own/x", ALL);
    place.decides(&[("GET", "/docs/x", "", OUTSIDE, "allow public_path")]);
}

#[test]
fn no_route_is_public_while_a_plugin_runs_on_what_is_not_in_the_file() {
    let elsewhere = [
        "{name: key-auth, service: shared}",
        "{name: key-auth, service: {id: 4c1ba9f2-0000-4000-8000-000000000001}}",
        "{name: key-auth, service: {host: example}}",
        "{name: jwt, route: far}",
        "{name: ip-restriction, consumer: nobody-here}",
        "{name: ip-restriction, consumer_group: nobody-here}",
        "{name: acl, route: {name: far}, config: {allow: [admin]}}",
        "{service: shared}",
    ];
    for plugin in elsewhere {
        let (place, said) = import(&format!(
            "services: [{{name: own, plugins: [{{name: key-auth}}], routes: [{{paths: [/own]}}]}}]
plugins: [{plugin}]
routes: [{{paths: [/docs]}}]
"
        ));
        place.decides(&[("GET", "/docs/x", "", OUTSIDE, "deny no_credential")]);
        assert!(said.contains("a plugin runs on something that is not in this file"), "{plugin}: {said}");
        if plugin.contains("acl") {
            admits(&place, "GET", "/own/x", &[]);
        }
    }
    for plugin in ["{name: rate-limiting, service: shared}", "{name: key-auth, service: own}"] {
        let (place, _) = import(&format!(
            "services: [{{name: own, routes: [{{paths: [/own]}}]}}]
plugins: [{plugin}]
routes: [{{paths: [/docs]}}, {{paths: [/api], plugins: [{{name: key-auth}}]}}]
"
        ));
        place.decides(&[("GET", "/docs/x", "", OUTSIDE, "allow public_path")]);
    }
}

/// Both name the same service, which is in another file: its plugin is known.
#[test]
fn a_plugin_of_a_service_elsewhere_runs_on_the_routes_that_name_it() {
    let (place, _) = import(
        "plugins:
- {name: key-auth, service: shared}
- {name: acl, service: {name: shared}, config: {allow: [admin]}}
routes: [{service: {name: shared}, paths: [/payroll]}, {paths: [/docs]}]
",
    );
    admits(&place, "GET", "/payroll/x", ADMIN);
    admits(&place, "GET", "/docs/x", ALL);
}

/// One setting is for all paths here, and Kong has it for each plugin: preflights pass where they pass everywhere in
/// Kong.
#[test]
fn preflights_need_a_key_where_kong_asks_for_one_somewhere() {
    const OFF: &str = "{name: key-auth, config: {run_on_preflight: false}}";
    for (plugins, pass) in [
        ("", true),
        ("- {paths: [/other], plugins: [OFF]}\n- {paths: [/docs]}", true),
        ("- {paths: [/internal], plugins: [{name: key-auth}]}", false),
        ("- {paths: [/internal], plugins: [{name: jwt}]}", false),
        ("- {paths: [/internal], plugins: [OFF, {name: acl, config: {allow: [admin]}}]}", false),
        ("- {paths: [/internal], service: shared, plugins: [OFF]}", false),
    ] {
        let routes = format!("routes:\n- {{paths: [/web], plugins: [OFF]}}\n{plugins}\n").replace("OFF", OFF);
        let (place, said) = import(&routes);
        let set = place.read("policy.yaml").contains("cors_preflight");
        assert_eq!((set, said.contains("run_on_preflight: false: ")), (pass, !pass), "{routes}: {said}");
    }
}

/// A route with members of the wrong type has unknown conditions.
#[test]
fn a_route_that_cannot_be_read_is_not_public() {
    for route in [
        "{paths: /docs}",
        "{paths: [/docs, 7]}",
        "{paths: [/docs], methods: GET}",
        "{paths: [/docs], methods: [7]}",
        "{paths: ['/docs/{id}']}",
        "{paths: ['~/docs']}",
        "{expression: 'http.path == \"/docs\"'}",
        "{paths: [/docs], expression: 'http.path == \"/docs\"'}",
        "{paths: [/docs], hosts: docs.example}",
    ] {
        let (place, _) = import(&format!("routes: [{{paths: [/api], plugins: [{{name: key-auth}}]}}, {route}]\n"));
        admits(&place, "GET", "/docs/1", ALL);
        admits(&place, "POST", "/other", ALL);
    }
}

#[test]
fn kong_decides_as_before_or_stays_shut() {
    let place = Place::new();
    let (status, _, said) = place.import(&["kong"], "kong.yaml");
    assert_eq!(status, 1, "{said}");
    for (part, left) in [
        (":7:11: id not imported", "it contains the key"),
        (":8:11:", "it expired at 2023-11-14T23:13:20Z"),
        (":12:3:", "basicauth_credentials"),
        (":14:31:", "a reference to a key"),
        (":17:3:", "its consumer is not in this file"),
        (":35:7:", "the route is blocked"),
        (":40:5:", "needs a key here"),
        (":42:3:", "rate-limiting: not about keys"),
    ] {
        assert!(line_with(&said, part).contains(left), "{part}: {said}");
    }
    assert!(place.read("keys.json").contains("0f8a8a4e-0000-4000-8000-000000000001"), "the id is kept");
    let (alice, bob) = ("apikey: kong-alice-11aa22bb", "apikey: kong-bob-second-99");
    place.decides(&[
        ("GET", "/api/x", "", OUTSIDE, "deny no_credential"),
        ("GET", "/api/x", bob, OUTSIDE, "allow key"),
        ("GET", "/api/x?apikey=kong-bob-55ee66ff", "", OUTSIDE, "deny no_credential"),
        ("GET", "/api/x", "apikey: kong-alice-expired", OUTSIDE, "deny unknown_key"),
        ("GET", "/api/admin/users", bob, OUTSIDE, "deny missing_role"),
        ("GET", "/api/admin/users", alice, OUTSIDE, "allow key"),
        ("GET", "/api/reports/1", alice, OUTSIDE, "deny missing_role"),
        ("GET", "/docs/index.html", "", OUTSIDE, "allow public_path"),
        ("POST", "/docs/index.html", "", OUTSIDE, "deny no_credential"),
        ("GET", "/elsewhere", "", OUTSIDE, "deny no_credential"),
    ]);
}

/// Kong compares the whole value of a header, so its keys have the word Bearer where callers send it.
#[test]
fn the_header_authorization_becomes_the_key_source_bearer() {
    let take = |config: &str| {
        let place = Place::new();
        place.write(
            "kong.yaml",
            format!(
                "plugins: [{{name: key-auth, config: {config}}}]\nconsumers:\n\
                 - {{username: gw, keyauth_credentials: [{{key: Bearer kong-reader-1f2e3d}}]}}\n\
                 - {{username: old, keyauth_credentials: [{{key: kong-admin-4c5b6a}}]}}\n"
            ),
        );
        let (status, _, said) = place.run(&["import", "kong", "kong.yaml"], &[]);
        (place, status, said)
    };
    let bearer = ("GET", "/", "Authorization: Bearer kong-reader-1f2e3d", OUTSIDE, "allow key");
    let (place, status, said) = take("{key_names: [x-api-key, Authorization], key_in_query: false}");
    assert!(status == 0 && said.contains("Kong compares the whole value of the header"), "{said}");
    place.decides(&[bearer, ("GET", "/", "X-API-Key: kong-admin-4c5b6a", OUTSIDE, "allow key")]);
    // Callers could send the second key only without the word.
    let (place, status, said) = take("{key_names: [authorization], key_in_query: false}");
    assert!(
        status == 1 && line_with(&said, "kong.yaml:4:").contains("without the word Bearer, which the gate"),
        "{said}"
    );
    place.decides(&[bearer, ("GET", "/", "Authorization: Bearer kong-admin-4c5b6a", OUTSIDE, "deny unknown_key")]);
    let (place, _, said) = take("{key_names: [authorization]}");
    assert!(said.contains("imported 2 keys") && place.read("policy.yaml").contains("query: 'authorization'"), "{said}");
    // Elsewhere the word is a part of the value.
    let (_, status, said) = take("{key_names: [apikey]}");
    assert!(status == 1 && line_with(&said, "kong.yaml:3:").contains("no request can present it"), "{said}");
}

#[test]
fn what_kong_restricts_by_more_than_paths_stays_shut() {
    let place = Place::new();
    place.write(
        "kong.yaml",
        r#"
consumers: [{username: x, keyauth_credentials: [{key: Stray-Secret-9}], acls: [{group: x}]}]
plugins: [{name: key-auth}]
routes:
- {paths: [/p], hosts: [a.example], plugins: [{name: acl, config: {allow: [x]}}]}
- {paths: [/p], hosts: [b.example], plugins: [{name: acl, config: {allow: [y]}}]}
- {paths: ["~/q/v[0-9]+"], plugins: [{name: acl, config: {allow: [x]}}]}
- {paths: ["/r%20s/t"], plugins: [{name: acl, config: {allow: [x]}}]}
- {paths: [/s], plugins: [{name: acl, config: {whitelist: ["a group"]}}]}
- {paths: [/t], plugins: [{name: acl, config: {whitelist: [x]}}]}
"#,
    );
    let (status, _, said) = place.run(&["import", "kong", "kong.yaml"], &[]);
    assert_eq!(status, 1, "{said}");
    let key = "apikey: Stray-Secret-9";
    for path in ["/p", "/q/v1", "/r%20s/t", "/s/1", "/other"] {
        place.decides(&[("GET", path, key, OUTSIDE, "deny missing_role")]);
    }
    place.decides(&[("GET", "/t/1", key, OUTSIDE, "allow key")]);
}

/// Without `key-auth`, Kong may still ask for something else.
#[test]
fn what_kong_guards_by_another_plugin_is_not_public() {
    let place = Place::new();
    place.write(
        "kong.yaml",
        r#"
consumers: [{username: x, keyauth_credentials: [{key: Stray-Secret-9}]}]
services:
- {name: own, plugins: [{name: ip-restriction, config: {allow: [10.0.0.0/8]}}], routes: [{paths: [/own]}]}
routes:
- {paths: [/api], plugins: [{name: key-auth}]}
- {paths: [/admin], plugins: [{name: jwt}]}
- {paths: [/house], plugins: [{name: plugin-of-the-house}]}
- {paths: [/docs], plugins: [{name: cors}]}
"#,
    );
    let (status, _, said) = place.run(&["import", "kong", "kong.yaml"], &[]);
    assert!(status == 1 && line_with(&said, "the plugin jwt").contains("no route with it is public"), "{said}");
    for (path, decision) in [
        ("/api", "deny no_credential"),
        ("/admin", "deny no_credential"),
        ("/own", "deny no_credential"),
        ("/house", "deny no_credential"),
        ("/docs", "allow public_path"),
    ] {
        place.decides(&[("GET", path, "", OUTSIDE, decision)]);
    }
}
