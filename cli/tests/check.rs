//! Tests of `portcullis check` as a user runs it.

mod common;

use serde_json::Value;

const POLICY: &str = r#"
name: test
consumers:
  - name: ci
    roles: [predict]
    keys: [{id: one, sha256: "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", expires: "2027-01-01T00:00:00Z"}]   # of: secret
  - {name: ops, roles: [admin], keys: [{id: of-ops, env: UNSET}]}
public_paths: ["/", {path: "/docs/**", methods: [GET]}]
trusted_networks: {ranges: ["10.0.0.0/8"]}
trusted_identities: ["spiffe://cluster.local/ns/shop/sa/*"]
rules:
  - {path: "/**", methods: [DELETE], roles: [admin]}
  - {path: "/admin/**", roles: [admin]}
  - {path: "/v2/models/**", methods: [POST], roles: [predict]}
"#;

const KEY: [&str; 2] = ["-H", "X-API-Key: secret"];
const NOW: [&str; 2] = ["--now", "2026-12-23T00:00:00Z"];

/// Exit status and output of a check that prints no key.
fn check(policy: &str, arguments: &[&str]) -> (i32, String) {
    let (code, output, _) = common::run(&[("policy.yaml", policy)], &[&["check"], &NOW[..], arguments].concat(), "");
    assert!(!output.contains("secret"), "{output}");
    (code, output)
}

#[test]
fn host_is_the_authority_as_envoy_has_it() {
    let from_here = ["--path", "/v2", "--peer", "10.0.0.7:1", "-H", "Origin: https://shop"];
    let (code, output) = check(POLICY, &[&from_here[..], &["-H", "Host: shop"]].concat());
    assert!(code == 0 && output.starts_with("allow trusted_network"), "{output}");
    let (code, output) = check(POLICY, &[&from_here[..], &["-H", "Host: elsewhere"]].concat());
    assert!(code == 1 && output.starts_with("deny no_credential"), "{output}");
}

#[test]
fn a_token_is_issued_and_not_printed() {
    let endpoints = "endpoints: {token: /token, whoami: /whoami}\ntokens: {secrets: [{env: TOKEN_SECRET}]}\n";
    let policy = format!("{POLICY}{endpoints}").replace("roles: [predict]\n", "roles: [access_token]\n");
    let (code, output) = check(&policy, &[&["--method", "POST", "--path", "/token"], &KEY[..]].concat());
    assert!(code == 0 && output.starts_with("allow token_issued"), "{output}");
    assert!(output.contains("\n(a token, not shown)\n") && !output.contains("eyJ"), "{output}");
    let (code, output) = check(&policy, &[&["--path", "/whoami"], &KEY[..]].concat());
    assert!(
        code == 0 && output.starts_with("allow whoami") && output.contains(r#""roles":["access_token"]"#),
        "{output}"
    );
}

#[test]
fn what_is_no_header_is_refused() {
    for header in [": secret", ":path: secret", "x api key: secret"] {
        let (code, output, error) =
            common::run(&[("policy.yaml", POLICY)], &["check", "--path", "/", "-H", header], "");
        assert_eq!((code, output.as_str()), (2, ""), "{header}");
        assert!(error.contains("--header number 1") && error.contains("invalid header name"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// The line of a step, without its number and name.
fn step<'a>(output: &'a str, number: &str, name: &str) -> &'a str {
    let line = output.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{number}  {name} ")));
    line.unwrap_or_else(|| panic!("no step {number} {name} in {output}")).trim_start()
}

#[test]
fn it_says_what_the_gate_would_do() {
    for (arguments, status, first) in [
        (&["--path", "/"][..], 0, "allow public_path"),
        (&["--path", "/v2"], 1, "deny no_credential"),
        (&["--path", "/v2", "--header", "X-API-Key: secret"], 0, "allow key"),
        (&["--path", "/v2", "-H", "Authorization: Bearer secret"], 0, "allow key"),
        (&["--path", "/v2", "-H", "X-API-Key: other"], 1, "deny unknown_key"),
        (&["--path", "/v2", "-H", "X-API-Key: \t secret \t"], 0, "allow key"),
        // HTTP trims blanks and tabs, and no other white space: a key that was copied from a page may end with it.
        (&["--path", "/v2", "-H", "X-API-Key: secret\u{a0}"], 1, "deny malformed_credential"),
        (&["--path", "/v2", "-H", "X-API-Key:\u{2003}secret"], 1, "deny malformed_credential"),
        (&["--path", "/v2", "-H", "X-API-Key: secret", "-H", "X-API-Key: secret"], 1, "deny multiple_credentials"),
        (&["--path", "/v2", "--method", "DELETE", "-H", "X-API-Key: secret"], 1, "deny missing_role"),
        (&["--path", "/v2", "--peer", "10.0.0.7:1234"], 0, "allow trusted_network"),
        (&["--path", "/v2", "--peer", "10.0.0.7:0"], 1, "deny no_credential"),
        (&["--path", "/v2", "--peer", "10.0.0.7:1234", "-H", "X-Forwarded-For: 127.0.0.1"], 1, "deny no_credential"),
        (&["--path", "/v2", "--identity", "spiffe://cluster.local/ns/shop/sa/cart"], 0, "allow trusted_identity"),
        (&["--path", "/a/../b"], 1, "deny bad_request_target"),
    ] {
        let (code, output) = check(POLICY, arguments);
        assert_eq!(code, status, "{arguments:?}: {output}");
        assert_eq!(output.lines().next(), Some(first), "{arguments:?}");
    }
}

#[test]
fn each_step_says_why_it_passed_on_or_answered() {
    for (arguments, number, name, said) in [
        (&["--path", "/"][..], "1", "mode", "continue: enforce"),
        (&["--path", "/%zz"], "2", "request_target", "denied: has a % without two hex digits"),
        (&["--path", "/%2525252525"], "2", "request_target", "denied: still changes after 4 rounds of decoding"),
        (&["--path", "/a/%2e%2e"], "2", "request_target", "denied: has a dot segment"),
        (
            &["--path", "/", "-H", "Connection: upgrade, x-portcullis-roles"],
            "2",
            "connection",
            "denied: the Connection header names an identity header, or one that names the client",
        ),
        (&["--path", "/"], "3", "cors_preflight", "continue: preflights need a key"),
        (
            &["--path", "/docs/x?api_key=y"],
            "4",
            "public_paths",
            "allowed: /docs/x matches public_paths[1] GET /docs/** (policy.yaml:8:21)",
        ),
        (
            &["--path", "/docs/x", "--method", "POST"],
            "4",
            "public_paths",
            "continue: /docs/x matches public_paths[1] GET /docs/**, but not with the method POST",
        ),
        (&["--path", "/docs//x"], "4", "public_paths", "continue: /docs//x is ambiguous"),
        (&["--path", "/x"], "4", "public_paths", "continue: /x matches no pattern"),
        (&["--path", "/", "-H", "X-HTTP-Method: GET"], "4", "public_paths", "skipped: "),
        (
            &["--path", "/x", "--peer", "10.0.0.7:1234"],
            "5",
            "trusted_networks",
            "allowed: 10.0.0.7:1234 is in trusted_networks.ranges[0] 10.0.0.0/8 (policy.yaml:9:29)",
        ),
        (
            &["--path", "/x", "--peer", "11.0.0.7:1"],
            "5",
            "trusted_networks",
            "continue: 11.0.0.7:1 is in no trusted range",
        ),
        (&["--path", "/x", "--peer", "10.0.0.7:0"], "5", "trusted_networks", "continue: 10.0.0.7:0 has port 0"),
        (
            &["--path", "/x", "--peer", "10.0.0.7:1", "-H", "X-Real-IP: 1.2.3.4"],
            "5",
            "trusted_networks",
            "continue: a header names a client other than the peer",
        ),
        (
            &["--path", "/x", "--peer", "10.0.0.7:1", "-H", "Sec-Fetch-Site: cross-site"],
            "5",
            "trusted_networks",
            "continue: a browser sent this from a page of another site",
        ),
        (
            &["--path", "/x", "--peer", "127.0.0.6:1"],
            "5",
            "trusted_networks",
            "continue: 127.0.0.6:1 is the address that a sidecar shows",
        ),
        (
            &["--path", "/x", "--identity", "spiffe://cluster.local/ns/shop/sa/cart"],
            "5",
            "trusted_identities",
            "allowed: spiffe://cluster.local/ns/shop/sa/cart matches trusted_identities[0] spiffe://cluster.local/ns/shop/sa/* (policy.yaml:10:22)",
        ),
        (&["--path", "/x"], "5", "trusted_identities", "continue: the peer has no mTLS identity"),
        (&["--path", "/x"], "6", "credential", "denied: no credential in Authorization: Bearer or x-api-key"),
        (&["--path", "/x", "-H", "X-API-Key: a b"], "6", "credential", "denied: malformed key in x-api-key"),
        (&["--path", "/x", KEY[0], KEY[1]], "6", "credential", "continue: found in x-api-key"),
        (&["--path", "/x", KEY[0], KEY[1]], "7", "key", "continue: one of ci, expires in 9d"),
        (&["--path", "/x", "-H", "X-API-Key: other"], "7", "key", "denied: key not found"),
        (&["--path", "/x", KEY[0], KEY[1]], "8", "rules", "continue: no rule matches: any valid key is enough"),
        (
            &["--path", "/v2/models/iris", "--method", "POST", KEY[0], KEY[1]],
            "8",
            "rules",
            "continue: rules[2] POST /v2/models/** requires predict; ci has predict (policy.yaml:14:5)",
        ),
        (&["--path", "/x", KEY[0], KEY[1]], "9", "key", "allowed: forwarded without the key"),
    ] {
        let (_, output) = check(POLICY, arguments);
        let line = step(&output, number, name);
        assert!(line.starts_with(said), "{arguments:?}: {line}");
    }
}

#[test]
fn a_disguised_path_is_shown_as_the_rule_reads_it() {
    for (path, read) in
        [("/%61dmin//x", "/admin//x"), ("/ADMIN/x", "/admin/x"), ("/x;y/../admin".trim_end_matches("/../admin"), "")]
    {
        let (code, output) = check(POLICY, &["--path", path, KEY[0], KEY[1]]);
        if read.is_empty() {
            assert_eq!(code, 0, "{output}");
            continue;
        }
        let said = format!("denied: rules[1] /admin/** (path variant {read:?}) requires admin; ci has predict");
        assert!(code == 1 && step(&output, "8", "rules").starts_with(&said), "{output}");
    }
}

#[test]
fn the_reply_is_shown_as_it_stands_on_the_wire() {
    let body = r#"{"detail":"Invalid or missing API key. Please provide a valid X-API-Key header.","status":401,"title":"Unauthorized","type":"about:blank"}"#;
    let head = format!(
        "deny no_credential\n\nHTTP/1.1 401 Unauthorized\ncache-control: no-store\n\
         www-authenticate: Bearer realm=\"portcullis\"\nwww-authenticate: ApiKey realm=\"portcullis\"\n\
         content-type: application/problem+json\ncontent-length: {}\n\n",
        body.len()
    );
    let (_, output) = check(POLICY, &["--path", "/x"]);
    assert!(output.starts_with(&format!("{head}{body}\n\n 1  mode")), "{output}");
    let (_, output) = check(POLICY, &["--path", "/x", "--method", "HEAD"]);
    assert!(output.starts_with(&format!("{head} 1  mode")), "{output}");
}

#[test]
fn a_grpc_caller_gets_a_grpc_status() {
    for (arguments, status) in [
        (&["--path", "/x"][..], "16"),
        (&["--path", "/x", "--method", "DELETE", KEY[0], KEY[1]], "7"),
        (&["--path", "/a/../b"], "3"),
    ] {
        let (_, output) = check(POLICY, &[arguments, &["-H", "Content-Type: application/grpc"]].concat());
        assert!(output.contains("\n\nHTTP/2 200 OK\n"), "{output}");
        assert!(output.contains(&format!("\ngrpc-status: {status}\n")) && !output.contains("detail"), "{output}");
    }
    let policy = format!("{POLICY}reply: {{detail: Schlüssel 100%}}\n");
    let (_, output) = check(&policy, &["--path", "/x", "-H", "Content-Type: application/grpc"]);
    assert!(output.contains("\ngrpc-message: Schl%C3%BCssel 100%25\n"), "{output}");
}

#[test]
fn the_edits_for_the_upstream_are_shown() {
    let (_, output) = check(POLICY, &["--path", "/v2", KEY[0], KEY[1], "-H", "X_Portcullis_Roles: admin"]);
    let edits = "allow key\nconsumer ci, key one\n\nforwarded to the upstream, with these changes\n  remove  x_portcullis_roles\n  \
                 remove  x-api-key\n  set     x-portcullis-consumer: ci\n  set     x-portcullis-roles: predict\n  \
                 set     x-portcullis-key-id: one\n\n";
    assert!(output.starts_with(edits), "{output}");
    let (_, output) = check(POLICY, &["--path", "/"]);
    assert!(output.starts_with("allow public_path\n\nforwarded to the upstream, unchanged\n\n"), "{output}");
}

#[test]
fn json_has_all_of_it() {
    let (code, output) = check(POLICY, &["--path", "/v2", KEY[0], KEY[1], "--output", "json"]);
    let json: Value = serde_json::from_str(&output).expect("it is JSON");
    assert_eq!(code, 0);
    for (member, value) in [("decision", "allow"), ("reason", "key"), ("consumer", "ci"), ("key_id", "one")] {
        assert_eq!(json[member], value, "{member}");
    }
    assert_eq!(json["outcome"]["forward"][0]["remove"], "x-api-key");
    let (_, output) = check(POLICY, &["--path", "/docs/x", "--output", "json"]);
    let json: Value = serde_json::from_str(&output).expect("it is JSON");
    let last = json["trace"].as_array().and_then(|trace| trace.last()).expect("a trace");
    assert_eq!((&last["step"], &last["name"], &last["result"]), (&4.into(), &"public_paths".into(), &"allowed".into()));
    assert_eq!(last["place"], "policy.yaml:8:21");
}

#[test]
fn a_key_may_be_meant_by_its_id() {
    let path = ["--method", "POST", "--path", "/v2/models/a"];
    for (id, status, start) in [
        ("one", 0, "allow key\nconsumer ci, key one\n"),
        ("of-ops", 1, "deny missing_role\nconsumer ops, key of-ops\n"),
    ] {
        let (code, output) = check(POLICY, &[&path[..], &["--key", id]].concat());
        assert!(code == status && output.starts_with(start), "{output}");
        assert!(!output.contains("stand-in"), "{output}");
    }
    let late = ["check", "--path", "/x", "--key", "one", "--now", "2027-01-01"];
    let (code, output, _) = common::run(&[("policy.yaml", POLICY)], &late, "");
    assert!(code == 1 && output.starts_with("deny expired"), "{output}");
    for (arguments, message) in [
        (&["--path", "/", "--key", "onee"][..], "--key: unknown key id \"onee\""),
        (&["--path", "/", "--key", "onee"], "did you mean one?"),
        (&["--cases", "cases.yaml", "--key", "one"], "cannot be used with"),
    ] {
        let (code, _, error) = common::run(&[("policy.yaml", POLICY)], &[&["check"], arguments].concat(), "");
        assert!(code == 2 && error.contains(message), "{error}");
    }
}

#[test]
fn an_unknown_field_is_told_with_the_one_that_was_meant() {
    for (policy, hint) in [
        ("public_path: [/x]", ": did you mean public_paths?"),
        ("consumers: [{name: a, role: [b]}]", ": did you mean roles?"),
    ] {
        let (code, _, error) = common::run(&[("policy.yaml", policy)], &["check", "--path", "/"], "");
        assert!(code == 2 && error.trim_end().ends_with(hint), "{error}");
        let (_, output, _) = common::run(&[("policy.yaml", policy)], &["lint"], "");
        let name = hint.trim_start_matches(": did you mean ").trim_end_matches('?');
        assert!(output.contains(&format!("fix: did you mean `{name}`? Otherwise remove it")), "{output}");
    }
    let (_, _, error) = common::run(&[("policy.yaml", "nonsense: 1")], &["check", "--path", "/"], "");
    assert!(!error.contains("did you mean"), "{error}");
}

#[test]
fn what_is_not_enforced_is_told_as_if_it_were() {
    for mode in ["report", "disabled"] {
        let (code, output) = check(&format!("mode: {mode}\n{POLICY}"), &["--path", "/v2"]);
        let first = if mode == "report" {
            "report no_credential\n\nforwarded to the upstream, unchanged\n"
        } else {
            "allow disabled\n"
        };
        assert!(code == 0 && output.starts_with(first), "{output}");
        assert!(output.contains("\nIn mode enforce:\n\ndeny no_credential\n\nHTTP/1.1 401 Unauthorized\n"), "{output}");
        let (code, output) = check(&format!("mode: {mode}\n{POLICY}"), &["--path", "/v2", "--mode", "enforce"]);
        assert!(code == 1 && output.starts_with("deny no_credential\n"), "{output}");
    }
}

#[test]
fn a_mode_of_the_store_is_said() {
    let files = [("policy.yaml", POLICY), ("keys.json", r#"{"version": 1, "mode_override": "report"}"#)];
    let (code, output, said) = common::run(&files, &["check", "--path", "/v2"], "");
    assert!(code == 0 && output.starts_with("report no_credential\n"), "{output}");
    assert!(said.contains("the store overrides the mode of the policy: report instead of enforce"), "{said}");
}

#[test]
fn a_key_may_come_from_standard_input() {
    let files = [("policy.yaml", POLICY), ("headers", "Accept: */*\n\nX-API-Key: secret\n")];
    let arguments = [&["check", "--path", "/v2", "--header-file"], &NOW[..]].concat();
    for (file, input) in [("-", "X-API-Key: secret"), ("headers", "")] {
        let arguments = [&arguments[..4], &[file], &NOW[..]].concat();
        let (code, output, _) = common::run(&files, &arguments, input);
        assert!(code == 0 && output.starts_with("allow key\nconsumer ci, key one\n"), "{output}");
    }
    let (code, _, said) = common::run(&files, &[&arguments[..4], &["-"]].concat(), "a: b\nhunter2");
    assert!(code == 2 && said.contains("-: line 2: invalid header") && !said.contains("hunter2"), "{said}");
}

const CASES: &str = r#"
cases:
  - name: docs are open
    path: /docs/intro
    expect: public_path
  - {name: and nothing else of them, method: POST, path: /docs/intro, expect: {reason: no_credential, status: 401}}
  - name: ci predicts
    method: POST
    path: /v2/models/iris
    key: one
    expect: {decision: allow, reason: key, consumer: ci, key_id: one}
  - {name: and deletes nothing, method: DELETE, path: /x, key: one, expect: {reason: missing_role, status: 403}}
  - {name: ops does, method: DELETE, path: /x, key: of-ops, expect: {reason: key, consumer: ops}}
  - {name: not for ever, path: /x, key: one, now: "2027-01-01T00:00:00Z", expect: expired_key}
  - {name: a stranger, path: /x, headers: {X-API-Key: stranger}, expect: unknown_key}
  - {name: two keys, path: /x, headers: {X-API-Key: [a, b]}, expect: multiple_credentials}
  - {name: the office, path: /x, peer: "10.0.0.7:1234", expect: trusted_network}
  - {name: the shop, path: /x, identity: "spiffe://cluster.local/ns/shop/sa/cart", expect: allow}
"#;

fn cases(policy: &str, cases: &str, arguments: &[&str]) -> (i32, String, String) {
    let files = [("policy.yaml", policy), ("cases.yaml", cases)];
    common::run(&files, &[&["check", "--cases", "cases.yaml"], &NOW[..], arguments].concat(), "")
}

#[test]
fn a_table_of_cases_holds() {
    let (code, output, _) = cases(POLICY, CASES, &[]);
    assert_eq!((code, output.as_str()), (0, "cases.yaml: 10 cases, 10 passed, 0 failed\n"));
}

#[test]
fn a_key_is_presented_wherever_the_policy_wants_it() {
    for source in ["bearer", "{header: x-key}", "{query: k}", "{cookie: k}"] {
        let (code, output, _) = cases(&format!("key_sources: [{source}]\n{POLICY}"), CASES, &[]);
        // A stranger's key stands in x-api-key, where none is looked for then; so do the two.
        assert!(code == 1 && output.contains("10 cases, 8 passed, 2 failed"), "{source}: {output}");
    }
}

#[test]
fn a_case_that_fails_says_why_and_where() {
    let policy = POLICY.replace("methods: [GET]", "methods: [GET, POST]");
    let (code, output, _) = cases(&policy, CASES, &[]);
    let said = "failed cases.yaml:6:5: and nothing else of them\n  expected  no_credential, status 401\n  \
                got       allow, public_path, status none: forwarded\n  because   public_paths        allowed: \
                /docs/intro matches public_paths[1] GET, POST /docs/** (policy.yaml:8:21)\n\n\
                cases.yaml: 10 cases, 9 passed, 1 failed\n";
    assert_eq!((code, output.as_str()), (1, said));
    let (code, output, _) = cases(&policy, CASES, &["--output", "json"]);
    let json: Value = serde_json::from_str(&output).expect("it is JSON");
    assert_eq!((code, &json["passed"], &json["failed"]), (1, &9.into(), &1.into()));
    assert_eq!((&json["cases"][1]["place"], &json["cases"][1]["passed"]), (&"cases.yaml:6:5".into(), &false.into()));
}

#[test]
fn cases_hold_in_the_mode_that_the_policy_has() {
    let (code, output, _) = cases(&format!("mode: disabled\n{POLICY}"), CASES, &[]);
    assert!(code == 1 && output.contains("got       allow, disabled"), "{output}");
    assert_eq!(cases(&format!("mode: disabled\n{POLICY}"), CASES, &["--mode", "enforce"]).0, 0);
}

#[test]
fn a_key_that_the_gate_refuses_cannot_be_presented() {
    let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let policy =
        format!("consumers: [{{name: a, keys: [{{id: one, sha256: {digest:?}}}, {{id: two, sha256: {digest:?}}}]}}]");
    let (code, _, said) = cases(&policy, "cases: [{name: x, path: /, key: one, expect: key}]", &[]);
    assert!(code == 2 && said.contains("cases.yaml:1:33: unknown key id \"one\""), "{said}");
}

#[test]
fn a_table_that_is_none_is_told_with_its_place() {
    for (table, said) in [
        ("", "cases.yaml:1:1: expected an object: cases"),
        ("[]", "expected an object: cases"),
        ("cases: []", "empty list of cases: add cases under `cases`"),
        ("rows: []", "cases.yaml:1:1: unknown field `rows`: expected cases"),
        ("cases: [{name: a, path: /, expect: allow, methods: GET}]", "cases.yaml:1:43: unknown field `methods`"),
        ("cases: [{name: a, expect: allow}]", "cases.yaml:1:9: missing field `path`"),
        ("cases: [{name: a, path: /}]", "cases.yaml:1:9: missing field `expect`"),
        (
            "cases: [{name: a, path: v2, expect: allow}]",
            "cases.yaml:1:25: invalid path \"v2\": expected a path that begins with /",
        ),
        (
            "cases: [{name: a, path: /, expect: allowed}]",
            "cases.yaml:1:36: invalid expectation \"allowed\": expected allow",
        ),
        ("cases: [{name: a, path: /, expect: {}}]", "empty expectation"),
        ("cases: [{name: a, path: /, expect: {status: '401'}}]", "cases.yaml:1:45: invalid status: expected a number"),
        ("cases: [{name: a, path: /, expect: {status: 401.5}}]", "cases.yaml:1:45: invalid status: expected a number"),
        ("cases: [{name: a, path: /, expect: {status: -401}}]", "cases.yaml:1:45: invalid status: expected a number"),
        (
            "cases: [{name: a, path: /, headers: {':path': /x}, expect: allow}]",
            "cases.yaml:1:47: headers: invalid header name",
        ),
        ("cases: [{name: a, path: /, expect: {reason: deny}}]", "invalid reason: it is a decision"),
        ("cases: [{name: a, path: /, expect: {decision: key}}]", "invalid decision: expected allow, deny or report"),
        (
            "cases: [{name: a, path: /, peer: 10.0.0.7, expect: allow}]",
            "cases.yaml:1:34: invalid peer address \"10.0.0.7\": expected ADDRESS:PORT",
        ),
        (
            "cases: [{name: a, path: /, now: today, expect: allow}]",
            "cases.yaml:1:33: invalid time \"today\": expected a span such as 90d",
        ),
        ("cases: [{name: a, path: /, key: nobody, expect: allow}]", "unknown key id \"nobody\""),
        (
            "cases: [{name: a, path: /, headers: {X-API-Key: 123}, expect: allow}]",
            "cases.yaml:1:49: headers: expected text: quote it",
        ),
        ("cases: [{name: 1, path: /, expect: allow}]", "cases.yaml:1:16: name: expected text: quote it"),
        ("cases: [{", "cases.yaml is not valid YAML"),
    ] {
        let (code, output, error) = cases(POLICY, table, &[]);
        assert_eq!((code, output.as_str()), (2, ""), "{table}");
        assert!(error.contains(said), "{table}: {error}");
    }
}
