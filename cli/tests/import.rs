//! `portcullis import`: what each source becomes decides as the source did, and no key is in any output or file.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// Every key of every fixture, and of the sources in this file.
const KEYS: [&str; 37] = [
    "orch-front-5f1c9a7be2",
    "orch-notebook-77e0",
    "orch with a blank",
    "12345678",
    "deep-token-8812aa+/=",
    "3b0e7c1e-58ad-4d3b-9a50-5b1b2d6a1f01",
    "3b0e7c1e-58ad-4d3b-9a50-5b1b2d6a1f02",
    "envoy-mobile-31ab77",
    "envoy-batch-90cd12",
    "envoy-odd-44ef",
    "envoy-admin-55aa",
    "eg-client1-ab12cd34",
    "eg-client2-line",
    "eg-not-base64",
    "eg-client4-77aa88bb",
    "eg-client1-second",
    "eg-client5-12ef",
    "eg-client6-99cc",
    "kong-alice-11aa22bb",
    "kong-alice-33cc44dd",
    "kong-alice-expired",
    "kong-bob-55ee66ff",
    "kong-bob-password",
    "carol-key",
    "kong-bob-second-99",
    "kong-nobody-77",
    "list-one-7a7a7a",
    "list-two-8b8b8b",
    "list three",
    "csv-alice-1111aaaa",
    "csv-carol-2222bbbb",
    "csv-dave-3333cccc",
    "csv-erin-4444dddd",
    "csv-both-6666ffff",
    "csv-heidi-7777abab",
    "csv-ivan-8888cdcd",
    "Stray-Secret-9",
];

/// A directory with `keys.json` and `policy.yaml`, where the command runs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file is written");
    }

    /// Runs the command; gives exit status, standard output and standard error. No key is in any of these, nor in a file.
    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = Command::cargo_bin("portcullis").expect("the command is built");
        for variable in ["API_KEYS_FILE", "DEEPAAS_AUTH_BEARER_TOKEN", "RXINFER_SERVER_ENABLE_DEV_TOKEN"] {
            command.env_remove(variable);
        }
        let command = command.args(arguments).envs(environment.iter().copied()).current_dir(self.0.path());
        let output = command.output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        for key in KEYS {
            for shown in [&stdout, &stderr, &self.read("keys.json"), &self.read("policy.yaml")] {
                assert!(!shown.contains(key), "{arguments:?} shows {key}: {shown}");
            }
        }
        (output.status.code().expect("it ends by itself"), stdout, stderr)
    }

    /// Imports a fixture.
    fn import(&self, kind: &[&str], fixture: &str) -> (i32, String, String) {
        let file = fixture_path(fixture);
        self.run(&[&["import"], kind, &[file.to_str().expect("a path")]].concat(), &[])
    }

    /// Decides about requests: method, target, header, peer, and the decision.
    fn decides(&self, table: &[(&str, &str, &str, &str, &str)]) {
        for (method, path, header, peer, decision) in table {
            let mut arguments = vec!["check", "--method", method, "--path", path, "--peer", peer];
            if !header.is_empty() {
                arguments.extend(["--header", header]);
            }
            // `check` shows the path that it is asked for, which may hold a key in its query.
            let output = Command::cargo_bin("portcullis")
                .expect("the command is built")
                .args(&arguments)
                .current_dir(self.0.path())
                .output()
                .expect("it runs");
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.lines().next(), Some(*decision), "{arguments:?}: {output}");
        }
    }
}

fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

fn line_with<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part} is not in {text}"))
}

const OUTSIDE: &str = "203.0.113.9:40000";

#[test]
fn orchestra_decides_as_before() {
    let place = Place::new();
    let (status, _, said) = place.import(&["orchestra"], "orchestra.json");
    assert_eq!(status, 1, "{said}");
    for (part, left) in [
        ("orchestra.json:5:3:", "no request could present it"),
        ("orchestra.json:7:3:", "valid_keys[4] is no text"),
        (":10:98:", "local_networks[5] is most of the Internet"),
        (":10:111:", "local_networks[6] is no address"),
        (":11:2:", "rate_limit: not a setting"),
        (":6:3:", "the same key as in line 3: taken once"),
        ("took 2 keys", "left out 5 things"),
    ] {
        assert!(line_with(&said, part).contains(left), "{part}: {said}");
    }
    place.decides(&[
        ("POST", "/infer", "", OUTSIDE, "deny no_credential"),
        ("POST", "/infer", "X-API-Key: orch-front-5f1c9a7be2", OUTSIDE, "allow key"),
        ("POST", "/infer", "X-API-Key: orch-notebook-77e0", OUTSIDE, "allow key"),
        ("POST", "/infer", "X-API-Key: orch-guess", OUTSIDE, "deny unknown_key"),
        ("POST", "/infer", "Authorization: Bearer orch-front-5f1c9a7be2", OUTSIDE, "deny no_credential"),
        ("POST", "/infer", "", "127.0.0.1:40000", "allow trusted_network"),
        ("POST", "/infer", "", "[::1]:40000", "allow trusted_network"),
        ("POST", "/infer", "", "10.1.9.9:40000", "allow trusted_network"),
        ("POST", "/infer", "", "192.168.7.8:40000", "allow trusted_network"),
        ("POST", "/infer", "", "10.2.0.1:40000", "deny no_credential"),
        ("POST", "/infer", "X-Forwarded-For: 127.0.0.1", OUTSIDE, "deny no_credential"),
    ]);
}

#[test]
fn orchestra_that_asks_nobody_for_a_key_is_disabled() {
    let place = Place::new();
    place.write(
        "elsewhere.json",
        r#"{"valid_keys": ["Stray-Secret-9"], "require_auth_for_external": false, "local_networks": []}"#,
    );
    let (status, _, said) = place.run(&["import", "orchestra"], &[("API_KEYS_FILE", "elsewhere.json")]);
    assert!(status == 0 && said.contains("mode is disabled"), "{said}");
    place.decides(&[("POST", "/infer", "", OUTSIDE, "allow disabled")]);
}

#[test]
fn deepaas_decides_as_before() {
    let file = Place::new();
    let (status, _, said) = file.import(&["deepaas"], "deepaas.conf");
    assert!(status == 0 && said.contains("stays with DEEPaaS: debug, workers, enabled"), "{said}");
    let variable = Place::new();
    let (status, _, said) =
        variable.run(&["import", "deepaas"], &[("DEEPAAS_AUTH_BEARER_TOKEN", "deep-token-8812aa+/=")]);
    assert!(status == 0 && said.contains("DEEPAAS_AUTH_BEARER_TOKEN: took 1 key"), "{said}");
    for place in [file, variable] {
        place.decides(&[
            ("GET", "/", "", OUTSIDE, "allow public_path"),
            ("GET", "/v2/", "", OUTSIDE, "allow public_path"),
            ("GET", "/v2/models/", "", OUTSIDE, "deny no_credential"),
            ("POST", "/v2/models/demo/predict", "", "127.0.0.1:40000", "deny no_credential"),
            ("POST", "/v2/models/demo/predict", "Authorization: Bearer deep-token-8812aa+/=", OUTSIDE, "allow key"),
            ("POST", "/v2/models/demo/predict", "Authorization: Bearer deep-guess", OUTSIDE, "deny unknown_key"),
            ("POST", "/v2/models/demo/predict", "X-API-Key: deep-token-8812aa+/=", OUTSIDE, "deny no_credential"),
        ]);
    }
}

#[test]
fn deepaas_without_a_token_is_open_and_says_so() {
    let place = Place::new();
    let (status, _, said) = place.run(&["import", "deepaas"], &[]);
    assert!(status == 2 && said.contains("DEEPaaS is open to everybody until it has a token"), "{said}");
    place.write("deepaas.conf", "[DEFAULT]\nauth_bearer_token =\n");
    let (status, _, said) = place.run(&["import", "deepaas", "deepaas.conf"], &[]);
    assert!(status == 0 && said.contains("DEEPaaS lets everybody in, so mode is disabled"), "{said}");
    place.decides(&[("GET", "/v2/models/", "", OUTSIDE, "allow disabled")]);
}

#[test]
fn rxinfer_decides_as_before() {
    let place = Place::new();
    let (status, _, said) = place.import(&["rxinfer"], "rxinfer.json");
    assert!(status == 1 && line_with(&said, "rxinfer.json:3:1").contains("no token"), "{said}");
    let user = "Authorization: Bearer 3b0e7c1e-58ad-4d3b-9a50-5b1b2d6a1f01";
    let admin = "Authorization: Bearer 3b0e7c1e-58ad-4d3b-9a50-5b1b2d6a1f02";
    let rows = [
        ("GET", "/v1/ping", "", OUTSIDE, "allow public_path"),
        ("POST", "/v1/token/generate", "", OUTSIDE, "allow public_path"),
        ("GET", "/v1/models", "", OUTSIDE, "deny no_credential"),
        ("GET", "/v1/models", user, OUTSIDE, "allow key"),
        ("GET", "/v1/models", "Authorization: Bearer dev-token", OUTSIDE, "deny unknown_key"),
    ];
    place.decides(&rows);
    assert!(place.read("keys.json").contains(r#""rxinfer-65f1c0ffee65f1c0ffee0002": {"roles": ["user","admin"]"#));
    // The roles are there for the rules that somebody writes.
    let rules = "rules: [{path: \"/v1/models/secret-v1/**\", roles: [admin]}]\n";
    place.write("policy.yaml", place.read("policy.yaml") + rules);
    place.decides(&[
        ("GET", "/v1/models/secret-v1", user, OUTSIDE, "deny missing_role"),
        ("GET", "/v1/models/secret-v1", admin, OUTSIDE, "allow key"),
    ]);
    let (_, _, said) = place.import(&["rxinfer", "--dev-token"], "rxinfer.json");
    assert!(said.contains("took 1 key") && said.contains("everybody knows it"), "{said}");
    place.decides(&[("GET", "/v1/models", "Authorization: Bearer dev-token", OUTSIDE, "allow key")]);
}

#[test]
fn envoys_own_filter_decides_as_before() {
    let place = Place::new();
    let (status, _, said) = place.import(&["api-key-auth"], "api-key-auth.yaml");
    assert!(status == 1 && line_with(&said, ":18:23").contains("is no name of a consumer"), "{said}");
    assert!(line_with(&said, ":35:21").contains("settings for one route alone"), "{said}");
    let rows = [
        ("GET", "/", "", OUTSIDE, "deny no_credential"),
        ("GET", "/", "Authorization: Bearer envoy-mobile-31ab77", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: envoy-batch-90cd12", OUTSIDE, "allow key"),
        ("GET", "/?api_key=envoy-batch-90cd12", "", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: envoy-admin-55aa", OUTSIDE, "deny unknown_key"),
        ("GET", "/", "X-API-Key: envoy-odd-44ef", OUTSIDE, "deny unknown_key"),
    ];
    place.decides(&rows);
    assert!(place.read("policy.yaml").contains("consumer_header: 'x-client-id'"));
    // The configuration of the filter alone, as JSON with the names that JSON has.
    let alone = Place::new();
    alone.write(
        "filter.json",
        r#"{"credentials": [{"key": "envoy-mobile-31ab77", "client": "mobile"}], "keySources": [{"header": "X-API-Key"}],
            "forwarding": {"hideCredentials": true}}"#,
    );
    let (status, _, said) = alone.run(&["import", "api-key-auth", "filter.json"], &[]);
    assert!(status == 0, "{said}");
    alone.decides(&[rows[0], ("GET", "/", "X-API-Key: envoy-mobile-31ab77", OUTSIDE, "allow key")]);
}

#[test]
fn envoy_gateway_decides_as_before() {
    let place = Place::new();
    let (status, _, said) = place.import(&["envoy-gateway"], "envoy-gateway.yaml");
    assert_eq!(status, 1, "{said}");
    for (part, left) in [
        (":10:14:", "ends with a line break"),
        (":11:14:", "is no base64"),
        (":17:25:", "an earlier Secret"),
        (":18:3:", "does not name"),
        (":29:59:", "not in this file"),
        (":35:3:", "spec.cors"),
    ] {
        assert!(line_with(&said, part).contains(left), "{part}: {said}");
    }
    place.decides(&[
        ("GET", "/", "", OUTSIDE, "deny no_credential"),
        ("GET", "/", "X-API-Key: eg-client1-ab12cd34", OUTSIDE, "allow key"),
        ("GET", "/?api_key=eg-client5-12ef", "", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: eg-client4-77aa88bb", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: eg-client1-second", OUTSIDE, "deny unknown_key"),
        ("GET", "/", "X-API-Key: eg-client6-99cc", OUTSIDE, "deny unknown_key"),
    ]);
}

#[test]
fn kong_decides_as_before_or_stays_shut() {
    let place = Place::new();
    let (status, _, said) = place.import(&["kong"], "kong.yaml");
    assert_eq!(status, 1, "{said}");
    for (part, left) in [
        (":7:11: its id", "it holds the key itself"),
        (":8:11:", "it expired at 2023-11-14T23:13:20Z"),
        (":12:3:", "basicauth_credentials"),
        (":14:31:", "a reference to a key"),
        (":17:3:", "its consumer is not in this file"),
        (":35:7:", "nobody passes there"),
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

#[test]
fn a_list_and_a_table_are_taken() {
    let place = Place::new();
    let (status, _, said) = place.import(&["list", "--consumer", "ci"], "list.txt");
    assert!(status == 1 && line_with(&said, "list.txt:5:1").contains("no request could present it"), "{said}");
    let (status, _, said) = place.import(&["csv"], "keys.csv");
    assert_eq!(status, 1, "{said}");
    for (part, left) in [
        (":1:1:", "column team"),
        (":5:1:", "it expired at 2020-01-01T00:00:00Z"),
        (":6:1:", "expires is no date"),
        (":7:1:", "consumer alice has the roles read, write already"),
        (":8:1:", "two consumers have it"),
        (":9:1:", "two consumers have it"),
        (":10:1:", "holds a key itself"),
        (":11:1:", "names no consumer"),
        (":4:1: its id", "it holds the key itself"),
    ] {
        assert!(line_with(&said, part).contains(left), "{part}: {said}");
    }
    place.write("policy.yaml", "rules: [{path: \"/w\", roles: [write]}]\n");
    place.decides(&[
        ("GET", "/", "X-API-Key: list-one-7a7a7a", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: list-two-8b8b8b", OUTSIDE, "allow key"),
        ("GET", "/w", "X-API-Key: csv-alice-1111aaaa", OUTSIDE, "allow key"),
        ("GET", "/w", "X-API-Key: secret", OUTSIDE, "deny missing_role"),
        ("GET", "/", "X-API-Key: secret", OUTSIDE, "allow key"),
        ("GET", "/", "X-API-Key: csv-carol-2222bbbb", OUTSIDE, "deny disabled_key"),
        ("GET", "/", "X-API-Key: csv-dave-3333cccc", OUTSIDE, "deny unknown_key"),
        ("GET", "/", "X-API-Key: csv-both-6666ffff", OUTSIDE, "deny unknown_key"),
    ]);
}

#[test]
fn what_is_imported_again_is_there_once() {
    for (kind, fixture) in [
        (&["orchestra"][..], "orchestra.json"),
        (&["deepaas"], "deepaas.conf"),
        (&["rxinfer"], "rxinfer.json"),
        (&["api-key-auth"], "api-key-auth.yaml"),
        (&["envoy-gateway"], "envoy-gateway.yaml"),
        (&["kong"], "kong.yaml"),
        (&["list", "--consumer", "ci"], "list.txt"),
        (&["csv"], "keys.csv"),
    ] {
        let place = Place::new();
        let (first, ..) = place.import(kind, fixture);
        let files = (place.read("keys.json"), place.read("policy.yaml"));
        assert!(files.0.contains("sha256"), "{fixture}");
        let (second, output, said) = place.import(kind, fixture);
        assert_eq!((second, output.as_str()), (first, ""), "{said}");
        assert!(said.contains("took 0 keys") && said.contains("there already"), "{said}");
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
    assert!(said.contains("policy.yaml is yours and was left alone: put this there"), "{said}");
    assert_eq!(place.read("policy.yaml"), format!("{policy}mode: report\n"));
    place.decides(&[("GET", "/v2/models/", "", OUTSIDE, "report no_credential")]);
}

#[test]
fn a_key_stays_with_who_has_it() {
    let place = Place::new();
    place.write("policy.yaml", "consumers: [{name: ops, keys: [{sha256: \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"}]}]\n");
    place.write("list.txt", "secret\n");
    let (status, _, said) = place.run(&["import", "list", "list.txt", "--consumer", "ci"], &[]);
    assert!(status == 1 && said.contains("it is a key of consumer ops already"), "{said}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    let (_, output, said) = place.import(&["orchestra", "--dry-run"], "orchestra.json");
    assert!(said.contains("would take 2 keys") && said.contains("would write policy.yaml"), "{said}");
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
    assert_eq!((length("taken"), length("left_out"), length("notes")), (Some(3), Some(8), Some(1)), "{output}");
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
        ("orchestra", b"Stray-Secret-9", "is no api_keys.json of Orchestra"),
        ("orchestra", b"\xff\xfe{\0", "is no UTF-8 (at byte 0): save it as UTF-8"),
        ("orchestra", b"{\0}", "it has a NUL byte"),
        ("orchestra", &[b'['; 100_000], "is not valid YAML or JSON"),
        ("kong", laughs.as_bytes(), "is not valid YAML or JSON"),
        ("kong", b"Stray-Secret-9: 1", "is no declarative configuration of Kong"),
        ("api-key-auth", b"Stray-Secret-9: 1", "has no filter envoy.filters.http.api_key_auth"),
        ("envoy-gateway", b"kind: Stray-Secret-9", "has no Secret and no SecurityPolicy"),
        ("rxinfer", b"{\"token\": \"Stray-Secret-9\"", "source:1: no JSON: export the collection"),
        ("deepaas", b"Stray-Secret-9", "source:1: no section yet"),
        ("deepaas", b"[DEFAULT]\nStray-Secret-9", "source:2: no setting: write it as name = value"),
        ("csv", b"Stray-Secret-9,x", "source:1: the header row must name the columns"),
        ("csv", b"key,consumer,key\nStray-Secret-9,x,", "source:1: the column key stands there twice"),
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
    assert!(status == 2 && said.contains("name the file to import"), "{said}");
    let (status, _, said) = place.run(&["import", "orchestra", "/dev/zero"], &[]);
    assert!(status == 2 && said.contains("/dev/zero is larger than 64 MiB: split it"), "{said}");
}

#[test]
fn every_help_has_examples() {
    for kind in ["orchestra", "deepaas", "rxinfer", "api-key-auth", "envoy-gateway", "kong", "list", "csv"] {
        let (status, output, _) = Place::new().run(&["import", kind, "--help"], &[]);
        assert!(status == 0 && output.contains("Examples:\n") && output.contains("Exit status:"), "{output}");
    }
}
