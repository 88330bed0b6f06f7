//! `portcullis import kong-ingress`: consumers, credentials and plugins as Kubernetes objects.

use crate::place::{OUTSIDE, Place, line_with};

#[test]
fn kong_ingress_decides_as_before_or_stays_shut() {
    let place = Place::new();
    let (status, _, said) = place.import(&["kong-ingress"], "kong-ingress.yaml");
    assert_eq!(status, 1, "{said}");
    for (part, left) in [
        (":16:36:", "a Secret that is not in this file"),
        (":35:3:", "a credential of the type basic-auth"),
        (":39:3:", "a Secret that no KongConsumer and no KongPlugin of this file names"),
        (":55:3:", "a route with plugins"),
        (":59:3:", "neither a consumer, a plugin nor a Secret"),
        (":54:3: the plugin acl applies", "to every path here"),
    ] {
        assert!(line_with(&said, part).contains(left), "{part}: {said}");
    }
    place.decides(&[
        ("GET", "/", "", OUTSIDE, "deny no_credential"),
        ("GET", "/", "X-API-Key: kong-alice-11aa22bb", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: kong-alice-33cc44dd", OUTSIDE, "allow key"),
        ("GET", "/", "Authorization: Bearer kong-bob-55ee66ff", OUTSIDE, "deny missing_role"),
        ("GET", "/", "X-API-Key: kong-bob-second-99", OUTSIDE, "deny missing_role"),
        ("GET", "/?x-api-key=kong-alice-11aa22bb", "", OUTSIDE, "deny no_credential"),
    ]);
}

const CONSUMER: &str = "
kind: KongConsumer
metadata: {name: a}
username: a
credentials: [a-key]
---
kind: Secret
metadata: {name: a-key, labels: {konghq.com/credential: key-auth}}
stringData: {key: Stray-Secret-9}
---
";

/// Which of two plugins a route uses is not read, so neither opens anything.
#[test]
fn what_plugins_restrict_stays_shut() {
    let acl = |name: &str| {
        format!("kind: KongPlugin\nmetadata: {{name: {name}}}\nplugin: acl\nconfig: {{allow: [g]}}\n---\n")
    };
    for plugins in [
        [acl("one"), acl("two")].concat(),
        "kind: KongPlugin\nplugin: acl\nconfigFrom: {secretKeyRef: {name: lost, key: config}}\n".to_owned(),
        "kind: KongPlugin\nplugin: acl\nconfig: {deny: [g]}\n".to_owned(),
    ] {
        let place = Place::new();
        place.write("kong.yaml", format!("{CONSUMER}kind: KongPlugin\nplugin: key-auth\n---\n{plugins}"));
        let (status, _, said) = place.run(&["import", "kong-ingress", "kong.yaml"], &[]);
        assert!(status == 1 && said.contains("imported 1 key"), "{said}");
        place.decides(&[("GET", "/", "apikey: Stray-Secret-9", OUTSIDE, "deny missing_role")]);
    }
    let place = Place::new();
    place.write(
        "kong.yaml",
        format!("{CONSUMER}kind: KongPlugin\nplugin: acl\ndisabled: true\nconfig: {{allow: [g]}}\n"),
    );
    place.run(&["import", "kong-ingress", "kong.yaml"], &[]);
    place.decides(&[("GET", "/", "X-API-Key: Stray-Secret-9", OUTSIDE, "allow key")]);
}

#[test]
fn the_configuration_of_a_plugin_may_be_in_a_secret() {
    let place = Place::new();
    place.write(
        "kong.yaml",
        format!(
            "{CONSUMER}kind: Secret\nmetadata: {{name: c, namespace: kong}}\nstringData: {{auth: 'key_names: [x-own-key]'}}\n---\n\
             kind: KongClusterPlugin\nmetadata: {{name: auth}}\nplugin: key-auth\n\
             configFrom: {{secretKeyRef: {{name: c, namespace: kong, key: auth}}}}\n"
        ),
    );
    let (status, _, said) = place.run(&["import", "kong-ingress", "kong.yaml"], &[]);
    assert_eq!(status, 0, "{said}");
    place.decides(&[("GET", "/", "X-Own-Key: Stray-Secret-9", OUTSIDE, "allow key")]);
}
