//! What every import reads the same way: members that are null, and lines that end as on Windows.

use crate::place::{OUTSIDE, Place, line_with};

#[test]
fn a_member_that_is_null_is_not_set() {
    for (kind, text) in [
        (
            "kong",
            "_format_version: '3.0'\n_transform: false\nservices: ~\nplugins: [{name: key-auth, config: {key_names: [x-api-key], realm: ~}}]\n\
             consumers: [{id: c1, username: a, custom_id: ~, tags: ~, created_at: 1734329200}]\n\
             keyauth_credentials: [{id: k1, key: Stray-Secret-9, consumer: c1, created_at: 1734329245, tags: ~, ttl: ~}]\n",
        ),
        (
            "orchestra",
            "{\"valid_keys\": [\"Stray-Secret-9\"], \"require_auth_for_external\": true, \"local_networks\": null, \"note\": null}",
        ),
        (
            "api-key-auth",
            "credentials: [{key: Stray-Secret-9, client: a, note: ~}]\nkey_sources: [{header: x-api-key, query: ~}]\nforwarding: {header: ~, hide_credentials: true}\n",
        ),
        (
            "envoy-gateway",
            "kind: Secret\nmetadata: {name: a, namespace: ~}\ntype: ~\ndata: ~\nstringData: {a: Stray-Secret-9}\n---\n\
             kind: SecurityPolicy\nspec: {cors: ~, apiKeyAuth: {credentialRefs: [{name: a}], extractFrom: [{headers: [x-api-key]}], sanitize: ~}}\n",
        ),
    ] {
        let place = Place::new();
        place.write("source", text);
        let (status, _, said) = place.run(&["import", kind, "source"], &[]);
        assert!(status == 0 && said.contains("imported 1 key"), "{kind}: {said}");
        place.decides(&[("GET", "/", "X-API-Key: Stray-Secret-9", OUTSIDE, "allow key")]);
    }
    let place = Place::new();
    place.write(
        "source",
        "{\"_id\": {\"$oid\": \"1\"}, \"token\": \"Stray-Secret-9\", \"roles\": null, \"created_at\": null}\n",
    );
    let (status, _, said) = place.run(&["import", "rxinfer", "source"], &[]);
    assert!(status == 0 && said.contains("imported without roles"), "{said}");
}

/// Each source leaves out the key in its line 4.
#[test]
fn a_line_has_the_same_number_if_lines_end_as_on_windows() {
    for (kind, lines) in [
        (&["csv"][..], ["key,consumer,expires", "csv-alice-1111aaaa,ci,2999-01-01", "", "Stray-Secret-9,ci,never"]),
        (&["csv"], ["key,consumer,description", "csv-alice-1111aaaa,ci,\"two", "lines\"", "Stray-Secret-9,,"]),
        (&["list", "--consumer", "ci"], ["csv-alice-1111aaaa", "# a comment", "", "list three"]),
        (&["kong"], ["consumers:", "- username: a", "  keyauth_credentials:", "  - key: 'list three'"]),
        (&["deepaas"], ["[DEFAULT]", "debug = true", "", "auth_bearer_token = list three"]),
    ] {
        for end in ["\n", "\r\n"] {
            let place = Place::new();
            place.write("source", lines.join(end) + end);
            let (_, _, said) = place.run(&[&["import"], kind, &["source"]].concat(), &[]);
            assert!(line_with(&said, "key not imported").contains("source:4:"), "{kind:?} {end:?}: {said}");
        }
    }
}
