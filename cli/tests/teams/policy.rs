//! What a platform's file and those of its teams make together, and what a team cannot do.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{STORE_B, TEAM_B, directory, run_in};

/// The digests of three keys, which no test presents as such.
const OPS: &str = "23d03c2795e224bf2698538831fcff795e9735b18ec4a178bcb134327fbec67e";
const BATCH: &str = "5d7369b9888f88631a5dc6590150bbb1e52ffcf7e78a8b6ecf909a413c8fbd4a";
const SHOP: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";

const PLATFORM: &str = r#"version: 1
name: edge
consumers:
- {name: ops, roles: [admin], keys: [{id: ops-1, sha256: "23d03c2795e224bf2698538831fcff795e9735b18ec4a178bcb134327fbec67e"}]}
public_paths: [/healthz]
rules:
- {path: "/admin/**", roles: [admin]}
- {path: "/team-a/predict", roles: [predict]}
delegations:
- {file: team-b, prefix: /team-b}
- {file: team-a, prefix: /team-a, roles: [predict]}
final_rules:
- {path: "/**", roles: [admin]}
"#;

const TEAM_A: &str = r#"version: 1
consumers:
- {name: a-batch, roles: [predict, a-user], keys: [{id: a-1, sha256: "5d7369b9888f88631a5dc6590150bbb1e52ffcf7e78a8b6ecf909a413c8fbd4a"}]}
rules:
- {path: "/team-a/**", roles: [a-user]}
"#;

const ALL: [(&str, &str); 4] = [
    ("p/policy.yaml", PLATFORM),
    ("p/team-a.yaml", TEAM_A),
    ("p/team-b.yaml", TEAM_B),
    ("p/team-b.keys.json", STORE_B),
];

/// The files, of which some are replaced or added.
fn with<'a>(others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = ALL.into_iter().filter(|(name, _)| others.iter().all(|(other, _)| other != name));
    kept.chain(others.iter().copied()).collect()
}

#[test]
fn the_files_make_one_document_in_the_order_of_the_delegations() {
    let directory = directory(&ALL);
    let (code, policy, error) = run_in(directory.path(), &["render", "policy", "p", "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""), "{policy}");
    assert_eq!(
        policy.trim_end(),
        format!(
            r#"{{"version":1,"name":"edge","consumers":[{{"name":"ops","roles":["admin"],"keys":[{{"id":"ops-1","sha256":"{OPS}"}}]}},{{"name":"b-shop","roles":["b-user"],"keys":[{{"id":"b-1","sha256":"{SHOP}"}}]}},{{"name":"a-batch","roles":["predict","a-user"],"keys":[{{"id":"a-1","sha256":"{BATCH}"}}]}}],"public_paths":["/healthz"],"rules":[{{"path":"/admin/**","roles":["admin"]}},{{"path":"/team-a/predict","roles":["predict"]}},{{"path":"/team-b/**","roles":["b-user"]}},{{"path":"/team-a/**","roles":["a-user"]}},{{"path":"/**","roles":["admin"]}}]}}"#
        )
    );
    for order in [["p/team-a.yaml", "p/team-b.yaml"], ["p/team-b.yaml", "p/team-a.yaml"]] {
        let arguments = [&["render", "policy", "--format", "json", "p/policy.yaml"][..], &order].concat();
        assert_eq!(run_in(directory.path(), &arguments), (0, policy.clone(), String::new()), "{order:?}");
    }
}

#[test]
fn what_a_team_cannot_have_is_refused_with_its_place() {
    let a = |text: &'static str| with(&[("p/team-a.yaml", text)]);
    let rule = |path: &str| format!("rules:\n- {{path: '{path}', roles: [x]}}\n");
    let mut cases: Vec<(Vec<(&str, &str)>, String)> = Vec::new();
    // Each field of the platform.
    let schema = run_in(Path::new("."), &["schema"]).1;
    let schema: Value = serde_json::from_str(&schema).expect("it is JSON");
    let fields = schema["properties"].as_object().expect("fields");
    let fields: Vec<String> =
        fields.keys().filter(|name| !["version", "consumers", "rules"].contains(&name.as_str())).cloned().collect();
    assert!(fields.len() >= 16 && fields.iter().any(|field| field == "trusted_networks"), "{fields:?}");
    let texts: Vec<String> = fields.iter().map(|field| format!("version: 1\n{field}: null\n")).collect();
    for (field, text) in fields.iter().zip(&texts) {
        let message = format!("p/team-a.yaml:2:1: {field}: only p/policy.yaml may have this field: remove it");
        cases.push((with(&[("p/team-a.yaml", text)]), message));
    }
    // Patterns that are not below the prefix, letter by letter.
    let outside = [
        "/**",
        "/*/x",
        "/{team}/x",
        "/Team-A/x",
        "/team-a.json",
        "/team-ab/x",
        "/team-b/x",
        "/",
        "/team",
        "/x/team-a/**",
        "/admin/x",
    ];
    let rules: Vec<String> = outside.iter().map(|path| rule(path)).collect();
    for text in &rules {
        let message =
            "p/team-a.yaml:2:10: rules[0].path: not below the prefix of this file, /team-a (p/policy.yaml:11:3): begin";
        cases.push((with(&[("p/team-a.yaml", text)]), message.to_owned()));
    }
    for (files, message) in [
        (
            a("rules:\n- {path: '/%74eam-a/x', roles: [x]}\n"),
            "p/team-a.yaml:2:10: the gate would refuse this policy: rules[3].path: invalid path",
        ),
        (
            a("rules:\n- {path: '/team-a/../x', roles: [x]}\n"),
            "p/team-a.yaml:2:10: the gate would refuse this policy: rules[3].path: invalid path",
        ),
        (a("rules: {}\n"), "p/team-a.yaml:1:8: rules: wrong type: expected a list"),
        (a("consumers: x\n"), "p/team-a.yaml:1:12: consumers: wrong type: expected a list"),
        (a("version: 2\n"), "p/team-a.yaml:1:10: version: unknown version: expected 1"),
        (a("[]\n"), "p/team-a.yaml:1:1: wrong type: expected an object"),
        (a("hunter2: 1\n"), "p/team-a.yaml:1:1: unknown field: expected version, consumers or rules\n"),
        (
            a("consumer: []\n"),
            "p/team-a.yaml:1:1: unknown field: expected version, consumers or rules: did you mean consumers?",
        ),
        // Roles of the platform, of its final rules, and of another team.
        (
            a("consumers:\n- {name: a, roles: [a, admin]}\n"),
            "p/team-a.yaml:2:24: consumers[0].roles[1]: a rule of another file names this role: p/policy.yaml:7:31: use a role of",
        ),
        (
            a("consumers:\n- {name: a, roles: [b-user]}\n"),
            "p/team-a.yaml:2:21: consumers[0].roles[0]: a rule of another file names this role: p/team-b.yaml:4:32: use a role of",
        ),
        (
            with(&[(
                "p/team-a.keys.json",
                "{\"version\": 1, \"consumers\": {\n \"a\": {\"roles\": [\"admin\"], \"keys\": []}}}",
            )]),
            "p/team-a.keys.json:2:7: consumers[1].roles[0]: a rule of another file names this role: p/policy.yaml:7:31",
        ),
        (
            with(&[("p/team-b.keys.json", "{\"version\": 1,\n\"mode_override\": \"disabled\"}")]),
            "p/team-b.keys.json:2:18: mode_override: only the store of the first file may override the mode: remove it",
        ),
        // Without a delegation.
        (
            with(&[("p/team-c.yaml", "consumers: []\nrules: [{path: /team-c, roles: [c]}]\n")]),
            "p/team-c.yaml:2:1: rules: no prefix is delegated to this file: remove the rules, or add `{file: team-c, prefix",
        ),
        (
            with(&[("p/team-c.yaml", "consumers: [{name: c, roles: [predict]}]\n")]),
            "p/team-c.yaml:1:31: consumers[0].roles[0]: a rule of another file names this role: p/policy.yaml:8:37",
        ),
        // In two files.
        (
            a("consumers:\n- {name: ops}\n"),
            "p/team-a.yaml:2:3: consumers[0]: this consumer is also in another file: p/policy.yaml:4:3: use another",
        ),
        (
            a("consumers:\n- name: a\n  keys: [{id: ops-1, env: A}]\n"),
            "p/team-a.yaml:3:10: consumers[0].keys[0]: a key in another file has the same id: p/policy.yaml:4:38: use another",
        ),
        (
            a(
                "consumers:\n- name: a\n  keys: [{id: x, sha256: 23D03C2795E224BF2698538831FCFF795E9735B18EC4A178BCB134327FBEC67E}]\n",
            ),
            "p/team-a.yaml:3:10: consumers[0].keys[0]: this key is also in another file: p/policy.yaml:4:38: remove one",
        ),
        (
            a(
                "consumers:\n- name: a\n  keys: [{id: x, sha256: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752}]\n",
            ),
            "p/team-a.yaml:3:10: consumers[0].keys[0]: this key is also in another file: p/team-b.keys.json:3:5: remove one",
        ),
        (
            with(&[
                ("p/team-a.yaml", "consumers:\n- {name: a, keys: [{env: SAME}]}\n"),
                ("p/team-b.yaml", "consumers:\n- {name: b-shop, keys: [{env: SAME}]}\n"),
            ]),
            "p/team-a.yaml:2:20: consumers[0].keys[0]: a key in another file comes from the same variable: p/team-b.yaml:2:25",
        ),
    ] {
        cases.push((files, message.to_owned()));
    }
    for (files, message) in &cases {
        let directory = directory(files);
        let (code, output, error) = run_in(directory.path(), &["render", "policy", "p"]);
        assert_eq!((code, output.as_str()), (2, ""), "{message}: {error}");
        assert!(error.contains(message.as_str()) && !error.contains("hunter2"), "{error}\ninstead of {message}");
        // Lint has the same place.
        let (code, output, _) = run_in(directory.path(), &["lint", "p"]);
        let place = message.split(": ").next().expect("a place");
        assert!(
            code == 1 && output.contains(&format!("{place}: error[")) && !output.contains("hunter2"),
            "{message}: {output}"
        );
    }
}

#[test]
fn a_wrong_delegation_is_refused_with_its_place() {
    let missing = "p/policy.yaml:2:3: delegations: no policy file team-x is given: expected a file team-x.yaml";
    let cases = [
        ("delegations:\n- {file: team-x, prefix: /x}\n", missing),
        (
            "delegations:\n- {file: team-a, prefix: /a}\n- {file: team-b, prefix: /A/b}\n",
            "p/policy.yaml:3:3: delegations: the prefix /A/b overlaps with /a at p/policy.yaml:2:3",
        ),
        (
            "delegations:\n- {file: team-a, prefix: '/*'}\n",
            "p/policy.yaml:2:26: delegations[0].prefix: missing or invalid prefix: expected a path such as /team-a",
        ),
        ("delegations:\n- {file: team-a}\n", "p/policy.yaml:2:3: delegations[0].prefix: missing or invalid prefix"),
        ("delegations:\n- {prefix: /a}\n", "p/policy.yaml:2:3: delegations[0].file: missing or invalid file"),
        (
            "delegations:\n- {file: team-a, prefix: /a, role: x}\n",
            "p/policy.yaml:2:30: delegations[0]: unknown field: expected file, prefix, roles, description: did you mean roles?",
        ),
        (
            "delegations:\n- {file: team-a, prefix: /a, roles: x}\n",
            "p/policy.yaml:2:37: delegations[0].roles: invalid roles: expected a list",
        ),
        ("delegations: {}\n", "p/policy.yaml:1:14: delegations: wrong type: expected a list"),
        ("name: edge\n", "p/policy.yaml: there are more policy files beside this one: add `delegations:"),
    ];
    for (platform, message) in cases {
        let directory = directory(&with(&[("p/policy.yaml", platform)]));
        let (code, _, error) = run_in(directory.path(), &["check", "p", "--path", "/"]);
        assert!(code == 2 && error.contains(message), "{error}\ninstead of {message}");
    }
    // The first file alone is not the whole policy.
    let directory = directory(&ALL);
    let (code, _, error) = run_in(&directory.path().join("p"), &["render", "policy"]);
    assert!(code == 2 && error.contains("policy.yaml:10:3: delegations: no policy file team-b is given"), "{error}");
}

#[test]
fn files_that_do_not_fit_together_are_refused() {
    let more = with(&[("p/team-a.json", "{}"), ("q/team-c.yaml", "{}"), ("q/keys.json", "{\"version\": 1}")]);
    let directory = directory(&more);
    for (arguments, message) in [
        (&["p"][..], "p/team-a.yaml and p/team-a.json have the same name up to the extension"),
        (&["p/policy.yaml", "p"], "p is a folder: give it alone, or give the files in it"),
        (&["q"], "cannot read the policy q/policy.yaml"),
        (
            &["p/policy.yaml", "q/team-c.yaml"],
            "q/keys.json is not used: the keys of q/team-c.yaml are in q/team-c.keys.json: rename it",
        ),
    ] {
        let (code, _, error) = run_in(directory.path(), &[&["render", "policy"], arguments].concat());
        assert!(code == 2 && error.contains(message), "{error}\ninstead of {message}");
    }
}

/// Two delegations for one file: a team with two services.
#[test]
fn a_team_may_have_several_prefixes() {
    let platform = PLATFORM.replace(
        "- {file: team-b, prefix: /team-b}",
        "- {file: team-b.yaml, prefix: /team-b}\n- {file: team-b, prefix: /shop/v2}",
    );
    let team = "rules:\n- {path: '/shop/v2/{x}', roles: [b]}\n- {path: /team-b, roles: [b]}\n";
    let directory = directory(&with(&[
        ("p/policy.yaml", &platform),
        ("p/team-b.yaml", team),
        ("p/team-b.keys.json", "{\"version\": 1}"),
    ]));
    let (code, output, error) = run_in(directory.path(), &["lint", "p"]);
    assert!(code == 0 && output.contains("p: 0 errors"), "{output}{error}");
}

#[test]
fn no_team_opens_what_the_platform_or_another_team_closed() {
    let directory = directory(&ALL);
    for (path, key, decision, place) in [
        ("/admin/x", "a-1", "deny missing_role", "p/policy.yaml:7:3"),
        ("/admin/x", "ops-1", "allow key", "p/policy.yaml:7:3"),
        ("/team-b/x", "a-1", "deny missing_role", "p/team-b.yaml:4:3"),
        ("/team-b/x", "b-1", "allow key", "p/team-b.yaml:4:3"),
        ("/TEAM-B//x", "a-1", "deny missing_role", "p/team-b.yaml:4:3"),
        ("/team-a/x", "a-1", "allow key", "p/team-a.yaml:5:3"),
        ("/team-a/x", "ops-1", "deny missing_role", "p/team-a.yaml:5:3"),
        ("/team-a/predict", "b-1", "deny missing_role", "p/policy.yaml:8:3"),
        ("/team-a/predict", "a-1", "allow key", "p/policy.yaml:8:3"),
        ("/elsewhere", "a-1", "deny missing_role", "p/policy.yaml:13:3"),
        ("/elsewhere", "ops-1", "allow key", "p/policy.yaml:13:3"),
    ] {
        let (_, output, error) = run_in(directory.path(), &["check", "p", "--path", path, "--key", key]);
        assert!(output.starts_with(&format!("{decision}\n")), "{path} {key}: {output}{error}");
        assert!(output.contains(&format!("({place})")), "{path} {key}: {place}: {output}");
    }
    // Paths that some servers take for one below the prefix, or for one above it.
    for path in [
        "/Team-A/x",
        "/team-a.json",
        "/index.php/team-a/x",
        "/x/team-a/x",
        "/team-a,admin",
        "/team-a:",
        "/@@team-a",
        "/team-a.git/info",
        "//team-a/x",
        "/x;a/team-a/x",
        "/team-a%2fx",
        "/%74eam-a/x",
        "/team-a%20/x",
        "/team-a~1/x",
        "/team-ax",
        "/team-a/../admin/x",
        "/team-a/..;/admin/x",
        "/team-a/%2e%2e/admin/x",
        "/team-a%00/x",
    ] {
        let (code, output, error) = run_in(directory.path(), &["check", "p", "--path", path, "--key", "a-1"]);
        assert!(code == 1 && output.starts_with("deny "), "{path}: {output}{error}");
    }
    // The platform's own rule below the prefix of a team is tried before the team's.
    let platform = PLATFORM.replace("/admin/**", "/**");
    let directory = self::directory(&with(&[("p/policy.yaml", &platform)]));
    let (code, output, _) = run_in(directory.path(), &["check", "p", "--path", "/team-a/x", "--key", "a-1"]);
    assert!(code == 1 && output.starts_with("deny missing_role"), "{output}");
}

#[test]
fn lint_places_findings_in_the_file_that_they_are_about() {
    let team = format!("{TEAM_A}- {{path: /team-a/x, methods: [GET], roles: [nobody]}}\n");
    let store = STORE_B.replace("\"id\":\"b-1\"", "\"id\":\"b-1\",\"expires\":\"2020-01-01T00:00:00Z\"");
    let platform = PLATFORM
        .replace("final_rules:\n- {path: \"/**\", roles: [admin]}", "final_rules:\n- {path: /healthz, roles: [admin]}");
    let directory =
        directory(&with(&[("p/policy.yaml", &platform), ("p/team-a.yaml", &team), ("p/team-b.keys.json", &store)]));
    let (code, output, error) = run_in(directory.path(), &["lint", "p"]);
    assert_eq!((code, error.as_str()), (0, ""), "{output}");
    for line in [
        "p/team-a.yaml:6:3: warning[unreachable-rule]: rules[4]: rules[3] already",
        "p/team-a.yaml:6:44: warning[unknown-role]",
        "p/team-b.keys.json:3:5: warning[expired-key]",
        "p/policy.yaml:10:3: warning[open-rest]: delegations: any valid key",
        "p/policy.yaml:13:3: warning[public-rule]: rules[5]: public_paths[0] makes",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    // Every file with a syntax error is told.
    let directory = self::directory(&with(&[("p/team-a.yaml", "a: ["), ("p/team-b.yaml", "")]));
    let (code, output, _) = run_in(directory.path(), &["lint", "p"]);
    assert!(
        code == 1 && output.contains("p/team-a.yaml:") && output.contains("p/team-b.yaml:1:1: error[refused]"),
        "{output}"
    );
}

#[test]
fn every_render_takes_several_files_and_names_them() {
    let directory = directory(&ALL);
    let digest = |text: &str| text.rsplit("digest ").next().and_then(|rest| rest.get(..12)).map(str::to_owned);
    let (_, lint, _) = run_in(directory.path(), &["lint", "p"]);
    let url = ["--url", "oci://registry.example.com/portcullis:0.1.0", "--sha256", OPS];
    for arguments in [
        &["render", "filter", "p"][..],
        &["render", "envoy", "p", "--upstream", "127.0.0.1:5000"],
        &["render", "ecds", "p/policy.yaml", "p/team-a.yaml", "p/team-b.yaml"],
        &[&["render", "istio", "p", "--namespace", "shop"][..], &url].concat(),
        &[&["render", "envoy-gateway", "p", "--gateway", "eg"][..], &url].concat(),
    ] {
        let (code, output, error) = run_in(directory.path(), arguments);
        assert_eq!(code, 0, "{arguments:?}: {error}");
        let head = output.lines().next().expect("a line");
        assert!(head.contains("from policy.yaml and team-a.yaml and team-b.yaml and team-b.keys.json, for"), "{head}");
        assert!(digest(head).is_some() && digest(head) == digest(&lint), "{head}: {lint}");
        assert!(
            output.contains("b-shop") && !output.contains("delegations") && !output.contains("final_rules"),
            "{output}"
        );
    }
    let team = "consumers:\n- {name: a, keys: [{plaintext: a-key-in-the-policy-of-a-team}]}\n";
    let directory = self::directory(&with(&[("p/team-a.yaml", team)]));
    let (code, output, error) = run_in(directory.path(), &["render", "filter", "p"]);
    assert!(code == 0 && error.contains("p/team-a.yaml:2:20: plaintext key: only its SHA-256"), "{error}");
    assert!(!format!("{output}{error}").contains("a-key-in-the-policy"), "{output}{error}");
    let (code, _, error) = run_in(directory.path(), &["render", "filter", "p", "-o", "p/team-a.yaml"]);
    assert!(code == 2 && error.contains("this is an input file"), "{error}");
}

#[test]
fn diff_compares_two_folders() {
    let shop = STORE_B.replace("\"id\":\"b-1\"", "\"id\":\"b-1\",\"disabled\":true");
    let team = TEAM_A.replace("roles: [a-user]}", "roles: [a-user, a-more]}").replace("/team-a/**", "/team-a/x/**");
    let new: Vec<(String, &str)> = with(&[("p/team-a.yaml", &team), ("p/team-b.keys.json", &shop)])
        .into_iter()
        .map(|(name, text)| (name.replace("p/", "new/"), text))
        .collect();
    let new: Vec<(&str, &str)> = new.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let directory = directory(&[&ALL[..], &new].concat());
    // Both sides have places in the files of teams, and in their stores.
    let (code, output, error) = run_in(directory.path(), &["diff", "p", "new"]);
    assert!(code == 0 && error.is_empty(), "{error}");
    for line in ["(new/team-a.yaml:5:3)", "b-1 of b-shop", "(in the key store new/team-b.keys.json)", "/team-a"] {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert_eq!(run_in(directory.path(), &["diff", "p", "p"]).1, "no change in access\n");
}

#[test]
fn keys_go_to_the_store_of_the_file_that_has_the_consumer() {
    let directory = directory(&ALL);
    let here = directory.path();
    let store = |name: &str| fs::read_to_string(here.join("p").join(name)).unwrap_or_default();
    for (policy, consumer, file) in [
        ("p", "a-batch", "team-a.keys.json"),
        ("p", "b-shop", "team-b.keys.json"),
        ("p", "ops", "keys.json"),
        ("p/team-a.yaml", "a-new", "team-a.keys.json"),
        ("p", "a-new", "team-a.keys.json"),
        ("p/policy.yaml", "o-new", "keys.json"),
    ] {
        let (code, key, error) = run_in(here, &["keys", "generate", "--policy", policy, "--consumer", consumer]);
        assert!(code == 0 && key.starts_with("pk_"), "{policy} {consumer}: {error}");
        assert!(store(file).contains(&format!("\"{consumer}\"")), "{policy} {consumer}: {}", store(file));
    }
    // All of them together are still one policy.
    let (code, output, error) = run_in(here, &["lint", "p", "--allow", "unknown-role"]);
    assert!(code == 0, "{output}{error}");
    let (code, output, error) = run_in(here, &["keys", "list", "--policy", "p/team-b.yaml"]);
    assert!(code == 0 && output.contains("b-1") && !output.contains("ops-1"), "{output}{error}");
    let (code, output, error) = run_in(here, &["keys", "list", "--store", "p/team-a.keys.json"]);
    assert!(code == 0 && output.contains("p/team-a.yaml:3:52"), "{output}{error}");
    let (code, output, error) = run_in(here, &["keys", "list", "--policy", "p/policy.yaml"]);
    assert!(code == 0 && output.contains("ops-1") && error.is_empty(), "{output}{error}");
    let (code, _, error) = run_in(here, &["keys", "remove", "--policy", "p", "--consumer", "a-new"]);
    assert!(code == 0 && !store("team-a.keys.json").contains("a-new"), "{error}");
    let (code, output, error) = run_in(here, &["consumers", "set", "o-new", "--roles", "x", "--policy", "p"]);
    assert!(code == 0 && store("keys.json").contains("\"x\""), "{output}{error}");
    for (arguments, message) in [
        (
            &["keys", "list", "--policy", "p"][..],
            "--policy p: name the file whose keys are meant: p/policy.yaml, p/team-a.yaml, p/team-b.yaml",
        ),
        (
            &["keys", "generate", "--policy", "p", "--consumer", "who"],
            "--policy p: no file in it has this consumer: name the file",
        ),
        (
            &["mode", "disabled", "--policy", "p/team-a.yaml"],
            "p/team-a.yaml is the file of a team: the mode is that of p/policy.yaml",
        ),
        (&["mode", "disabled", "--store", "p/team-a.keys.json"], "p/team-a.yaml is the file of a team"),
    ] {
        let (code, _, error) = run_in(here, arguments);
        assert!(code == 2 && error.contains(message), "{error}\ninstead of {message}");
    }
    let (code, _, error) = run_in(here, &["mode", "report", "--policy", "p"]);
    assert!(code == 0 && store("keys.json").contains("\"mode_override\": \"report\""), "{error}");
    let (_, output, error) = run_in(here, &["check", "p", "--path", "/"]);
    assert!(output.starts_with("report"), "{output}{error}");
}

/// A file that another could be mistaken for, an id that another key may get, and a limit that a team gives itself.
#[test]
fn what_may_belong_to_another_is_refused() {
    let intruder = "consumers: [{name: evil, roles: [predict]}]\n";
    let delegated = PLATFORM.replace("file: team-a,", "file: team-a.yaml,");
    let handle = "consumers: [{name: b-shop, keys: [{id: 89e1fa8725570a68, env: TEAMS_UNSET_KEY}]}]\n";
    for (files, message) in [
        (
            with(&[("p/policy.yaml", &delegated), ("p/team-a.yaml.yml", intruder)]),
            "p/policy.yaml:11:3: delegations: team-a.yaml may be p/team-a.yaml or p/team-a.yaml.yml: rename one",
        ),
        (
            with(&[("p/team-b.yaml", handle), ("p/team-b.keys.json", "")]),
            "p/team-b.yaml:1:35: consumers[0].keys[0].id: 16 hex digits are the default id of another key",
        ),
    ] {
        let directory = directory(&files.into_iter().filter(|(_, text)| !text.is_empty()).collect::<Vec<_>>());
        let (code, output, error) = run_in(directory.path(), &["render", "filter", "p"]);
        assert!(code == 2 && output.is_empty() && error.contains(message), "{code} {message}: {error}");
    }
    let own = STORE_B.replace("\"b-1\"", &format!("\"{}\"", &SHOP[..16]));
    let directory = directory(&with(&[("p/team-b.keys.json", &own)]));
    let (code, _, error) = run_in(directory.path(), &["render", "filter", "p"]);
    assert_eq!(code, 0, "its own default id: {error}");
    let limited = |role: &str| {
        let limit = format!("{role}=600/min");
        run_in(directory.path(), &["render", "envoy", "p", "--upstream", "127.0.0.1:5000", "--limit", &limit])
    };
    assert_eq!(limited("predict").0, 0, "granted to a-batch");
    let (code, output, error) = limited("b-user");
    let message = "--limit b-user: consumer b-shop of p/team-b.yaml has this role, which no delegation grants";
    assert!(code == 2 && output.is_empty() && error.contains(message), "{code}: {error}");
}
