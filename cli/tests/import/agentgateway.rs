//! `portcullis import agentgateway`: the policy `apiKey` of its configuration file.

use crate::place::{OUTSIDE, Place, line_with};

#[test]
fn agentgateway_decides_as_before() {
    let place = Place::new();
    let (status, _, said) = place.import(&["agentgateway"], "agentgateway.yaml");
    assert_eq!(status, 1, "{said}");
    for (part, left) in
        [(":9:64:", "keys[0].metadata.group: unknown setting"), (":11:23:", "only a hash sha256:HEX can be imported")]
    {
        assert!(line_with(&said, part).contains(left), "{part}: {said}");
    }
    for (who, line) in [("alice", ":9:19"), ("bob", ":10:23"), ("agentgateway", ":12:18")] {
        assert!(line_with(&said, &format!("  key       {who} ")).ends_with(line), "{said}");
    }
    place.decides(&[
        ("GET", "/", "", OUTSIDE, "deny no_credential"),
        ("GET", "/", "Authorization: Bearer kong-alice-11aa22bb", OUTSIDE, "allow key"),
        ("GET", "/", "Authorization: Bearer secret", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: kong-alice-11aa22bb", OUTSIDE, "deny no_credential"),
    ]);
}

#[test]
fn the_location_of_a_key_becomes_a_key_source() {
    for (location, key, header, path) in [
        ("{header: {name: X-API-Key}}", "Stray-Secret-9", "X-API-Key: Stray-Secret-9", "/"),
        ("{header: {name: Authorization}}", "Bearer Stray-Secret-9", "Authorization: Bearer Stray-Secret-9", "/"),
        (
            "{header: {name: authorization, prefix: 'Bearer '}}",
            "Stray-Secret-9",
            "Authorization: Bearer Stray-Secret-9",
            "/",
        ),
        ("{queryParameter: {name: api_key}}", "Stray-Secret-9", "", "/?api_key=Stray-Secret-9"),
        ("{cookie: {name: api_key}}", "Stray-Secret-9", "Cookie: api_key=Stray-Secret-9", "/"),
    ] {
        let place = Place::new();
        place.write(
            "config.yaml",
            format!("llm: {{policies: {{apiKey: {{mode: strict, keys: [{{key: {key}}}], location: {location}}}}}}}\n"),
        );
        let (status, _, said) = place.run(&["import", "agentgateway", "config.yaml"], &[]);
        assert_eq!(status, 0, "{location}: {said}");
        place.decides(&[("GET", path, header, OUTSIDE, "allow key")]);
    }
    for location in ["{header: {name: X-API-Key, prefix: 'Key '}}", "{expression: request.headers}"] {
        let place = Place::new();
        place.write("config.yaml", format!("apiKey: {{keys: [{{key: Stray-Secret-9}}], location: {location}}}\n"));
        let (status, _, said) = place.run(&["import", "agentgateway", "config.yaml"], &[]);
        assert!(status == 1 && said.contains("location not imported") && said.contains("mode is not strict"), "{said}");
    }
}

#[test]
fn what_agentgateway_restricts_stays_shut() {
    let place = Place::new();
    let policies =
        "{apiKey: {mode: strict, keys: [{key: Stray-Secret-9}]}, authorization: {rules: ['apiKey.group == \"a\"']}}";
    place.write(
        "config.yaml",
        format!("binds: [{{listeners: [{{routes: [{{policies: {policies}}}, {{policies: {policies}}}]}}]}}]\n"),
    );
    let (status, _, said) = place.run(&["import", "agentgateway", "config.yaml"], &[]);
    assert!(status == 1 && said.contains("authorization: rules for some callers"), "{said}");
    place.decides(&[("GET", "/", "Authorization: Bearer Stray-Secret-9", OUTSIDE, "deny missing_role")]);
    let config =
        "a: {apiKey: {mode: strict, keys: [{key: Stray-Secret-9}]}}\nb: {authorization: {rules: [{allow: 'RULE'}]}}\n";
    for (rule, decision) in [("apiKey.group == \"a\"", "deny missing_role"), ("jwt.sub == \"a\"", "allow key")] {
        let place = Place::new();
        place.write("config.yaml", config.replace("RULE", rule));
        place.run(&["import", "agentgateway", "config.yaml"], &[]);
        place.decides(&[("GET", "/", "Authorization: Bearer Stray-Secret-9", OUTSIDE, decision)]);
    }
    place.write(
        "two.yaml",
        "a: {apiKey: {keys: [{key: Stray-Secret-9}]}}\nb: {apiKey: {keys: [{key: kong-bob-55ee66ff}]}}\n",
    );
    let (status, _, said) = place.run(&["import", "agentgateway", "two.yaml"], &[]);
    assert!(status == 2 && said.contains("several policies apiKey (two.yaml:1:13 and two.yaml:2:13)"), "{said}");
}
