//! `portcullis render`: compares each render with `golden/` (`PORTCULLIS_BLESS=1` rewrites these files; the suite
//! `render` checks each with Envoy or its schema), and tests what is refused, and how files are written.

mod files;
mod usage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portcullis::Policy;
use portcullis::keys::Digest;
use tempfile::TempDir;

/// With names that YAML could take for something else.
const POLICY: &str = r#"version: 1
name: edge
description: "off"
consumers:
- name: ci
  roles: [predict, "on"]
  keys:
  - {id: "0123", sha256: "209c6ca829ca9a6046ee97478da9a5a5ad2dc5c502730d3d8209341f1380b853"}   # pk_demo_ci_not_a_secret
public_paths: [/healthz]
rules:
- {path: "/v2/models/{model}/predict", methods: [POST], roles: [predict]}
"#;

const STORE: &str = r#"{"version": 1, "mode_override": null, "owner": "ml", "consumers": {
  "batch": {"roles": ["predict"], "keys": [
    {"id": "batch-1", "sha256": "5d7369b9888f88631a5dc6590150bbb1e52ffcf7e78a8b6ecf909a413c8fbd4a", "created": "2026-01-01T00:00:00Z"},
    {"id": "batch-2", "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "disabled": true}]},
  "ci": {"keys": [{"id": "ci-2", "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", "expires": "2999-01-01T00:00:00Z"}]}}}
"#;

/// In a separate directory: keys in the environment, and a plaintext key.
const TOKEN: &str = r#"name: token
consumers:
- name: ops
  keys: [{env: PORTCULLIS_TOKEN}, {id: second, env: PORTCULLIS_TOKEN_2}, {plaintext: hunter2-in-the-policy}]
public_paths: ["/", "/v2/"]
"#;

const SHA256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const IMAGE: [&str; 4] = ["--url", "oci://registry.example.com/portcullis:0.1.0", "--sha256", SHA256];
const FILE: [&str; 4] = ["--url", "https://files.example.com/portcullis.wasm", "--sha256", SHA256];

/// Each golden file, and what renders it.
fn cases() -> Vec<(&'static str, Vec<&'static str>)> {
    let with = |arguments: &[&'static str], module: [&'static str; 4]| [arguments, module.as_slice()].concat();
    vec![
        ("filter.yaml", vec!["filter"]),
        ("filter-report.yaml", vec!["filter", "--mode", "report"]),
        (
            "filter-token.yaml",
            vec!["filter", "token/policy.yaml", "--name", "second", "--module", "/opt/portcullis.wasm"],
        ),
        ("envoy.yaml", vec!["envoy", "--upstream", "127.0.0.1:5000"]),
        (
            "envoy-admin.yaml",
            vec!["envoy", "--upstream", "[::1]:5000", "--listen", "[::]:8080", "--admin", "127.0.0.1:9901"],
        ),
        (
            "envoy-tls.yaml",
            vec![
                "envoy",
                "token/policy.yaml",
                "--upstream",
                "models.internal:5000",
                "--listen",
                "0.0.0.0:8443",
                "--admin",
                "/run/portcullis/admin.sock",
                "--tls-cert",
                "tls/chain.pem",
                "--tls-key",
                "tls/key.pem",
            ],
        ),
        ("envoy-ecds.yaml", vec!["envoy", "--upstream", "127.0.0.1:5000", "--ecds", "gate.yaml"]),
        (
            "envoy-forwarding.yaml",
            vec![
                "envoy",
                "--upstream",
                "127.0.0.1:5000",
                "--keep-forwarded",
                "--upstream-host",
                "localhost:5000",
                "--timeout",
                "5min",
                "--idle-timeout",
                "0",
            ],
        ),
        ("envoy-limit.yaml", vec!["envoy", "--upstream", "127.0.0.1:5000", "--limit", "60/min"]),
        (
            "envoy-limits.yaml",
            vec![
                "envoy",
                "token/policy.yaml",
                "--upstream",
                "127.0.0.1:5000",
                "--limit",
                "60/min",
                "--limit",
                "predict=100/min",
                "--limit",
                "a.b|c=5/s",
                "--limit",
                "trial=3/day",
            ],
        ),
        ("envoy-https.yaml", vec!["envoy", "--upstream", "https://models.example.com"]),
        ("envoy-https-ca.yaml", vec!["envoy", "--upstream", "HTTPS://[::1]:8443/", "--upstream-ca", "tls/chain.pem"]),
        ("envoy-h2c.yaml", vec!["envoy", "--upstream", "h2c://127.0.0.1:8001"]),
        ("envoy-grpcs.yaml", vec!["envoy", "--upstream", "grpcs://models.internal:8001", "--upstream-insecure"]),
        ("envoy-unix.yaml", vec!["envoy", "--upstream", "unix:/run/models/service.sock"]),
        ("filter-ecds.yaml", vec!["filter", "--ecds", "/etc/portcullis/gate/gate.yaml", "--name", "second"]),
        ("ecds.yaml", vec!["ecds"]),
        ("ecds-token.yaml", vec!["ecds", "token/policy.yaml"]),
        ("istio-mesh-wide.yaml", with(&["istio"], IMAGE)),
        ("istio-namespace.yaml", with(&["istio", "--namespace", "shop", "--mode", "report"], IMAGE)),
        ("istio-workload.yaml", with(&["istio", "--namespace", "shop", "--selector", "app=models,version=2"], FILE)),
        ("istio-ingress.yaml", with(&["istio", "--selector", "istio=ingressgateway", "--ingress"], IMAGE)),
        ("istio-gateway-api.yaml", with(&["istio", "--namespace", "ingress", "--gateway", "edge"], IMAGE)),
        ("istio-waypoint.yaml", with(&["istio", "--namespace", "shop", "--service", "models"], IMAGE)),
        (
            "istio-token.yaml",
            with(&["istio", "token/policy.yaml", "--name", "token", "--pull-secret", "registry"], IMAGE),
        ),
        ("istio-local.yaml", vec!["istio", "--url", "file:///opt/portcullis.wasm"]),
        ("istio-traffic-extension.yaml", with(&["istio", "--kind", "traffic-extension"], IMAGE)),
        (
            "istio-traffic-extension-token.yaml",
            with(&["istio", "token/policy.yaml", "--kind", "traffic-extension", "--selector", "app=models"], FILE),
        ),
        ("istio-envoy-filter.yaml", with(&["istio", "--kind", "envoy-filter"], IMAGE)),
        (
            "istio-envoy-filter-token.yaml",
            with(
                &[
                    "istio",
                    "token/policy.yaml",
                    "--kind",
                    "envoy-filter",
                    "--namespace",
                    "shop",
                    "--selector",
                    "app=models",
                ],
                FILE,
            ),
        ),
        (
            "istio-envoy-filter-gateway.yaml",
            with(&["istio", "--kind", "envoy-filter", "--namespace", "ingress", "--gateway", "edge"], IMAGE),
        ),
        ("envoy-gateway.yaml", with(&["envoy-gateway", "--gateway", "eg"], FILE)),
        (
            "envoy-gateway-route.yaml",
            with(
                &[
                    "envoy-gateway",
                    "token/policy.yaml",
                    "--route",
                    "orders",
                    "--route",
                    "bills",
                    "--namespace",
                    "shop",
                    "--pull-secret",
                    "registry",
                ],
                IMAGE,
            ),
        ),
        ("policy.yaml", vec!["policy"]),
        ("policy.json", vec!["policy", "--format", "json"]),
    ]
}

/// A directory with the files above.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a directory");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file in it");
    fs::create_dir(folder.path().join("token")).expect("a directory in it");
    write("policy.yaml", POLICY);
    write("keys.json", STORE);
    write("token/policy.yaml", TOKEN);
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("render").args(arguments).current_dir(folder).env_remove("PORTCULLIS_TOKEN").stdin(Stdio::null());
    command
}

/// Exit status, standard output and standard error.
fn render(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command(folder, arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn every_render_is_as_it_was() {
    let folder = folder();
    let bless = std::env::var_os("PORTCULLIS_BLESS").is_some();
    for (name, arguments) in cases() {
        let (code, text, said) = render(folder.path(), &arguments);
        assert_eq!(code, 0, "{name}: {said}");
        assert!(!text.contains("hunter2") && !said.contains("hunter2"), "{name} has the key that stands in the policy");
        let file = golden().join(name);
        if bless {
            fs::write(&file, &text).expect("the golden file can be written");
        }
        let expected = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text, expected, "{name}: PORTCULLIS_BLESS=1 takes it over");
    }
}

#[test]
fn every_golden_file_is_rendered() {
    let names = fs::read_dir(golden()).expect("it is there").map(|entry| entry.expect("an entry").file_name());
    let cases = cases();
    for name in names {
        assert!(cases.iter().any(|(case, _)| name == *case), "{name:?} is rendered by nothing");
    }
}

#[test]
fn the_header_has_the_digest_that_the_gate_will_log() {
    let folder = folder();
    for arguments in [&["policy"][..], &["policy", "--mode", "report"], &["policy", "token/policy.yaml"]] {
        let (_, yaml, _) = render(folder.path(), arguments);
        let (_, json, _) = render(folder.path(), &[arguments, &["--format", "json"]].concat());
        let loaded = Policy::load(json.as_bytes(), &|_| None).expect("the gate takes it");
        let digest = format!("; digest {:012x}; ", loaded.policy.digest().first_48_bits());
        assert!(
            yaml.lines().next().is_some_and(|line| line.contains(&digest)),
            "{arguments:?}: {digest} is not in {yaml}"
        );
    }
}

#[test]
fn the_same_files_give_the_same_bytes_wherever_they_are_and_whatever_the_environment() {
    let folder = folder();
    let (_, here, _) = render(&folder.path().join("token"), &["ecds"]);
    let path = folder.path().join("token/policy.yaml");
    let elsewhere = command(Path::new("/"), &["ecds", path.to_str().expect("a path in UTF-8")])
        .env("PORTCULLIS_TOKEN", "hunter2-in-the-environment")
        .output()
        .expect("it runs");
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout), here);
    assert!(!String::from_utf8_lossy(&elsewhere.stderr).contains("hunter2"));
}

#[test]
fn what_whoever_applies_it_should_know_is_said() {
    let folder = folder();
    let says = |arguments: &[&str], words: &[&str]| {
        let (code, _, said) = render(folder.path(), arguments);
        assert_eq!(code, 0, "{said}");
        words.iter().for_each(|words| assert!(said.contains(words), "{arguments:?}: {words} is not in: {said}"));
    };
    says(
        &["filter", "token/policy.yaml"],
        &[
            "portcullis: the gate reads PORTCULLIS_TOKEN, PORTCULLIS_TOKEN_2 from Envoy's environment",
            "portcullis: token/policy.yaml:4:74: plaintext key: only its SHA-256 is rendered",
        ],
    );
    let limits = ["envoy", "--upstream", "127.0.0.1:5000", "--limit", "predict=9/s", "--limit", "predicts=9/min"];
    says(&limits, &["portcullis: --limit: no consumer has the role predicts: did you mean predict?"]);
    says(
        &[&limits[..], &["--ecds", "gate.yaml"]].concat(),
        &["portcullis: the limits read the headers x-portcullis-consumer and x-portcullis-roles: if `upstream`"],
    );
    says(&["filter", "--mode", "disabled"], &["portcullis: mode disabled (from --mode)"]);
    says(
        &[&["istio"], &IMAGE[..]].concat(),
        &[
            "portcullis: the gate applies to every sidecar of the whole mesh",
            "portcullis: the configuration of the mesh decides which paths and header names Envoy rejects before the gate",
        ],
    );
    fs::write(folder.path().join("keys.json"), r#"{"version": 1, "mode_override": "report"}"#)
        .expect("the store is replaced");
    says(&["filter"], &["portcullis: mode report (set in the store; the policy has enforce)"]);
}

#[test]
fn an_object_that_kubernetes_would_refuse_is_told() {
    let folder = folder();
    fs::write(folder.path().join("many.yaml"), "{}").expect("a policy");
    let istio = [&["istio", "many.yaml", "--store", "many.json"], &IMAGE[..]].concat();
    let gateway = [&["envoy-gateway", "many.yaml", "--store", "many.json", "--gateway", "eg"], &IMAGE[..]].concat();
    let apply = Some("`kubectl apply --server-side`");
    // docs/sizes.md has these numbers.
    for (keys, words) in [(1_400, None), (1_700, apply), (8_500, apply), (10_000, Some("at most 1.5 MiB"))] {
        let consumer = |number| {
            let key =
                format!(r#"{{"id": "{number:016x}", "sha256": "{number:064x}", "expires": "2099-12-31T00:00:00Z"}}"#);
            format!(r#""consumer-{number}": {{"keys": [{key}]}}"#)
        };
        let all = (1..=keys).map(consumer).collect::<Vec<_>>().join(",");
        let store = format!(r#"{{"version": 1, "consumers": {{{all}}}}}"#);
        fs::write(folder.path().join("many.json"), store).expect("a store");
        for arguments in [&istio, &gateway] {
            let (code, _, said) = render(folder.path(), arguments);
            assert_eq!(code, 0, "{said}");
            let told = words.unwrap_or("too large");
            assert_eq!(said.contains(told), words.is_some(), "{keys}: {said}");
        }
    }
}

#[test]
fn what_the_gate_would_refuse_is_not_rendered() {
    let folder = folder();
    let output = folder.path().join("gate.yaml");
    fs::write(&output, "as it was").expect("a file");
    for (policy, status, message) in [
        (
            "public_path: [/]",
            2,
            "portcullis: policy.yaml:1:1: the gate would refuse this policy: the document: unknown field",
        ),
        (
            "consumers: [{name: a, keys: [{id: typo, sha256: abc}]}]",
            1,
            "portcullis: policy.yaml:1:30: consumers[0].keys[0] (id typo): invalid sha256",
        ),
        ("consumers: [{name: a, keys: [{plaintext: 'hunter2 hunter2'}]}]", 1, "invalid plaintext"),
        ("consumers: [{name: a, keys: [{plaintext: '${hunter2}'}]}]", 1, "invalid plaintext: a placeholder"),
        ("consumers: [{name: a, keys: [{plaintext: hunter2}, {plaintext: hunter2}]}]", 1, "duplicate key, also at"),
        ("consumers: [hunter2]", 2, "portcullis: policy.yaml:1:13: the gate would refuse this policy"),
    ] {
        fs::write(folder.path().join("policy.yaml"), policy).expect("the policy is replaced");
        for arguments in [&["filter", "--store", "none.json"][..], &["ecds", "--store", "none.json", "-o", "gate.yaml"]]
        {
            fs::write(folder.path().join("none.json"), r#"{"version": 1}"#).expect("an empty store");
            let (code, text, said) = render(folder.path(), arguments);
            assert_eq!((code, text.as_str()), (status, ""), "{policy}: {said}");
            assert!(said.contains(message) && !said.contains("hunter2"), "{policy}: {said}");
        }
    }
    assert_eq!(fs::read_to_string(&output).expect("it is there"), "as it was");
}

#[test]
fn the_module_is_the_one_that_a_url_is_pinned_to() {
    let folder = folder();
    let module = command(folder.path(), &["module"]).output().expect("it runs").stdout;
    assert!(module.starts_with(b"\0asm"), "{} bytes", module.len());
    let pin = format!("sha256: '{}'", Digest::of(&module).to_hex());
    for arguments in [&["istio"][..], &["envoy-gateway", "--gateway", "eg"]] {
        let arguments = [arguments, &["--url", "https://files.example.com/portcullis.wasm"]].concat();
        let (_, text, said) = render(folder.path(), &arguments);
        assert!(text.contains(&pin), "{pin} is not in {text}");
        assert!(said.contains("must lead to the module of this command"), "{said}");
    }
    let digest = format!("oci://registry.example.com/portcullis@sha256:{SHA256}");
    let (_, text, _) = render(folder.path(), &["istio", "--url", &digest]);
    assert!(text.contains("url: 'oci://registry.example.com/portcullis'") && text.contains(SHA256), "{text}");
}
