//! `portcullis import`: existing files, invalid input, and the JSON report.

use std::fs;

#[path = "import/place.rs"]
mod place;

use place::{OUTSIDE, Place, line_with};

#[test]
fn what_is_imported_again_is_there_once() {
    for (kind, fixture) in [
        (&["orchestra"][..], "orchestra.json"),
        (&["deepaas"], "deepaas.conf"),
        (&["rxinfer"], "rxinfer.json"),
        (&["api-key-auth"], "api-key-auth.yaml"),
        (&["envoy-gateway"], "envoy-gateway.yaml"),
        (&["kong"], "kong.yaml"),
        (&["kong-ingress"], "kong-ingress.yaml"),
        (&["apisix"], "apisix.yaml"),
        (&["higress"], "higress.yaml"),
        (&["agentgateway"], "agentgateway.yaml"),
        (&["list", "--consumer", "ci"], "list.txt"),
        (&["csv"], "keys.csv"),
    ] {
        let place = Place::new();
        let (first, ..) = place.import(kind, fixture);
        let files = (place.read("keys.json"), place.read("policy.yaml"));
        assert!(files.0.contains("sha256"), "{fixture}");
        let (second, output, said) = place.import(kind, fixture);
        assert_eq!((second, output.as_str()), (first, ""), "{said}");
        assert!(said.contains("imported 0 keys") && said.contains("already there"), "{said}");
        assert_eq!((place.read("keys.json"), place.read("policy.yaml")), files, "{fixture}");
    }
}

#[test]
fn a_policy_that_is_there_is_left_alone_and_what_belongs_there_is_printed() {
    let place = Place::new();
    let policy = "# mine\nkey_sources: [bearer]\nprotected_paths: [\"/v2/models/**\"]\nconsumers: [{name: deepaas, roles: [predict]}]\n";
    place.write("policy.yaml", policy);
    let (status, output, said) = place.import(&["deepaas"], "deepaas.conf");
    assert!(status == 0 && output.is_empty(), "it says all that already: {output}{said}");
    assert!(!place.read("keys.json").contains("roles"), "the policy has them");
    place.write("policy.yaml", format!("{policy}mode: report\n"));
    let (status, output, said) = place.import(&["deepaas"], "deepaas.conf");
    assert_eq!((status, output.as_str()), (1, "\n# There was a token.\nmode: 'enforce'\n"), "{said}");
    assert!(said.contains("policy.yaml exists and was not changed: add this to it"), "{said}");
    assert_eq!(place.read("policy.yaml"), format!("{policy}mode: report\n"));
    place.decides(&[("GET", "/v2/models/", "", OUTSIDE, "report no_credential")]);
}

#[test]
fn a_key_stays_with_who_has_it() {
    let place = Place::new();
    place.write("policy.yaml", "consumers: [{name: ops, keys: [{sha256: \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"}]}]\n");
    place.write("list.txt", "secret\n");
    let (status, _, said) = place.run(&["import", "list", "list.txt", "--consumer", "ci"], &[]);
    assert!(status == 1 && said.contains("it is already a key of consumer ops"), "{said}");
    place.write("policy.yaml", "consumers: [{name: ops, keys: [{env: OPS_TOKEN}]}]\n");
    let arguments = ["import", "list", "list.txt", "--consumer", "ci"];
    let (status, _, said) = place.run(&arguments, &[("OPS_TOKEN", "secret\n")]);
    assert!(status == 1 && said.contains("it is already a key of consumer ops"), "{said}");
}

#[test]
fn a_key_that_may_less_in_the_source_is_told() {
    let place = Place::new();
    place.write("keys.csv", "key,consumer,expires,disabled\nStray-Secret-9,ci,,\nStray-Secret-9,ci,,true\n");
    let (status, _, said) = place.run(&["import", "csv", "keys.csv"], &[]);
    assert!(status == 1 && line_with(&said, "keys.csv:3:1").contains("it is disabled or expires sooner"), "{said}");
    place.write("keys.csv", "key,consumer,expires\nStray-Secret-9,ci,2999-01-01\n");
    let (status, _, said) = place.run(&["import", "csv", "keys.csv"], &[]);
    assert!(status == 1 && line_with(&said, "keys.csv:2:1").contains("it is disabled or expires sooner"), "{said}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    let (_, output, said) = place.import(&["orchestra", "--dry-run"], "orchestra.json");
    assert!(said.contains("would import 2 keys") && said.contains("would write policy.yaml"), "{said}");
    assert!(output.contains("mode: 'enforce'"), "{output}");
    assert_eq!(fs::read_dir(place.0.path()).expect("a directory").count(), 0);
}

#[test]
fn a_report_for_programs_has_everything() {
    let place = Place::new();
    let (status, output, said) = place.import(&["csv", "--output", "json"], "keys.csv");
    assert_eq!((status, said.as_str()), (1, ""));
    let report: serde_json::Value = serde_json::from_str(&output).expect("it is JSON");
    let length = |name: &str| report[name].as_array().map(Vec::len);
    assert_eq!((length("taken"), length("left_out"), length("notes")), (Some(3), Some(8), Some(2)), "{output}");
    assert!(output.contains("this key is short (18 characters), so it can be guessed; so can 1 more: "), "{output}");
    assert_eq!(report["taken"][0]["consumer"], "alice");
}

#[test]
fn input_errors_say_what_to_do_and_show_no_key() {
    let laughs = {
        let next =
            |(one, other): (char, char)| format!("{other}: &{other} [{}]\n", vec![format!("*{one}"); 9].join(","));
        let doubled: String = ('a'..='i').zip('b'..='j').map(next).collect();
        format!("a: &a [x,x,x,x,x,x,x,x,x]\n{doubled}valid_keys: *j\n")
    };
    for (kind, text, message) in [
        ("orchestra", &b"{\"valid_keys\": [\"Stray-Secret-9\""[..], "is not valid YAML or JSON: line 1"),
        ("orchestra", b"{\"valid_keys\": [\"Stray-Secret-9\"], \"valid_keys\": []}", "duplicate mapping key"),
        ("orchestra", b"valid_keys: {Stray-Secret-9: 1, Stray-Secret-9: 2}", "duplicate mapping key"),
        ("orchestra", b"Stray-Secret-9", "is not an api_keys.json of Orchestra"),
        ("orchestra", b"\xff\xfe{\0", "is not UTF-8 (at byte 0): save it as UTF-8"),
        ("orchestra", b"{\0}", "it has a NUL byte"),
        ("orchestra", &[b'['; 100_000], "is not valid YAML or JSON"),
        ("kong", laughs.as_bytes(), "is not valid YAML or JSON"),
        ("kong", b"Stray-Secret-9: 1", "is not a declarative configuration of Kong"),
        ("api-key-auth", b"Stray-Secret-9: 1", "has no filter envoy.filters.http.api_key_auth"),
        ("envoy-gateway", b"kind: Stray-Secret-9", "has no Secret and no SecurityPolicy"),
        ("apisix", b"Stray-Secret-9: 1", "is not a configuration of APISIX"),
        ("higress", b"Stray-Secret-9: 1", "is not a configuration of Higress"),
        ("agentgateway", b"Stray-Secret-9: 1", "is not a configuration of agentgateway"),
        ("rxinfer", b"{\"token\": \"Stray-Secret-9\"", "source:1: invalid JSON: export the collection"),
        ("deepaas", b"Stray-Secret-9", "source:1: setting before the first section"),
        ("deepaas", b"[DEFAULT]\nStray-Secret-9", "source:2: invalid line: expected name = value"),
        ("csv", b"Stray-Secret-9,x", "source:1: missing column: expected consumer"),
        ("csv", b"key,consumer,key\nStray-Secret-9,x,", "source:1: duplicate column key"),
    ] {
        let place = Place::new();
        place.write("source", text);
        let (status, output, said) = place.run(&["import", kind, "source"], &[]);
        assert_eq!((status, output.as_str()), (2, ""), "{kind}: {said}");
        assert!(said.contains(message), "{kind}: {said}");
        assert!(!place.path("policy.yaml").exists(), "{kind}");
    }
    let place = Place::new();
    let (status, _, said) = place.run(&["import", "kong"], &[]);
    assert!(status == 2 && said.contains("missing FILE: give the file to import"), "{said}");
    let (status, _, said) = place.run(&["import", "orchestra", "/dev/zero"], &[]);
    assert!(status == 2 && said.contains("/dev/zero is larger than 64 MiB: split it"), "{said}");
}

#[test]
fn every_help_has_examples() {
    for kind in [
        "orchestra",
        "deepaas",
        "rxinfer",
        "api-key-auth",
        "envoy-gateway",
        "kong",
        "kong-ingress",
        "apisix",
        "higress",
        "agentgateway",
        "list",
        "csv",
    ] {
        let (status, output, _) = Place::new().run(&["import", kind, "--help"], &[]);
        assert!(status == 0 && output.contains("Examples:\n") && output.contains("Exit status:"), "{output}");
    }
}
