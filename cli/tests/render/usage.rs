//! What is refused before anything is rendered, and what help there is.

use std::fs;

use super::{FILE, IMAGE, POLICY, SHA256, folder, render};

#[test]
fn what_cannot_be_meant_is_refused_with_the_fix() {
    let folder = folder();
    let image = IMAGE[1];
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("a socket");
    for (arguments, message) in [
        (&["envoy"][..], "--upstream <HOST:PORT>"),
        (&["envoy", "--upstream", "127.0.0.1"], "expected HOST:PORT"),
        (&["envoy", "--upstream", "http://127.0.0.1:5000/v1"], "a path is not allowed, because the gate forwards"),
        (&["envoy", "--upstream", "ftp://127.0.0.1"], "unknown scheme \"ftp\": expected http, https, h2c,"),
        (
            &["envoy", "--upstream", "https://ci:hunter2@a"],
            "(not shown) for '--upstream <HOST:PORT>': user and password",
        ),
        (
            &["envoy", "--upstream", "https://a/?key=hunter2"],
            "(not shown) for '--upstream <HOST:PORT>': a query is not",
        ),
        (&["envoy", "--upstream", "grpc://a"], "grpc:// has no default port"),
        (
            &["envoy", "--upstream", "a:1", "--upstream-ca", "ca.pem"],
            "--upstream-ca: no effect, because a:1 has no TLS",
        ),
        (
            &["envoy", "--upstream", "h2c://a:1", "--upstream-insecure"],
            "--upstream-insecure: no effect, because h2c://a:1",
        ),
        (&["envoy", "--upstream", "https://a", "--upstream-insecure", "--upstream-ca", "a"], "cannot be used with"),
        (&["envoy", "--upstream", "::1:5000"], "expected HOST:PORT"),
        (&["envoy", "--upstream", "a:1", "--admin", "9901"], "expected ADDRESS:PORT"),
        (&["envoy", "--upstream", "a:1", "--timeout", "30"], "expected a number with s, min, h"),
        (&["envoy", "--upstream", "a:1", "--idle-timeout", "367d"], "expected at most 366d, or 0 for none"),
        (
            &["envoy", "--upstream", "a:1", "--limit", "60"],
            "expected NUMBER/UNIT with s, min, h or day, such as 60/min",
        ),
        (&["envoy", "--upstream", "a:1", "--limit", "60/m"], "m may be minutes or months: write 60/min"),
        (&["envoy", "--upstream", "a:1", "--limit", "0/s"], "expected 1 to 4294967295 requests"),
        (&["envoy", "--upstream", "a:1", "--limit", "=60/s"], "invalid role name: expected 1 to 64 visible"),
        (
            &["envoy", "--upstream", "a:1", "--limit", "60/min", "--limit", "30/min"],
            "--limit: two limits without a role, 60/min and 30/min: keep one",
        ),
        (
            &["envoy", "--upstream", "a:1", "--limit", "gold=1/s", "--limit", "9/s", "--limit", "gold=1/s"],
            "--limit: two limits for role gold, 1/s and 1/s: keep one",
        ),
        (&["filter", "--limit", "60/min"], "unexpected argument '--limit'"),
        (&["envoy", "--upstream", "a:1", "--tls-cert", "chain.pem"], "--tls-key <FILE>"),
        (&["filter", "--name", "Not A Name"], "expected lower-case letters"),
        (&["filter", "--watch"], "--output-file <FILE>"),
        (&["policy", "-o", "policy.yaml"], "this is an input file: use another file"),
        (&["policy", "-o", "./keys.json"], "this is an input file: use another file"),
        (&["policy", "-o", "token"], "it is a directory"),
        (&["policy", "-o", "socket"], "not a regular file"),
        (&["istio", "--url", image], "give the image's digest too"),
        (
            &["istio", "--url", "https://ci:hunter2@files.example.com/portcullis.wasm"],
            "user and password are not allowed",
        ),
        (&["istio", "--url", "https://ci:hunter2@files.example.com"], "user and password are not allowed"),
        (&["istio", "--url", "https://ci:hunter2@files.example.com?x=/"], "user and password are not allowed"),
        (
            &["istio", "--url", "oci://ci:hunter2@registry.example.com/portcullis:1"],
            "user and password are not allowed",
        ),
        (&["istio", "--url", "registry.example.com/portcullis"], "expected oci://"),
        (&["istio", "--url", image, "--sha256", "latest"], "expected 64 hex digits"),
        (&["istio", "--url", "file:///opt/x.wasm", "--sha256", SHA256], "--sha256 has no effect for a file"),
        (&["istio", "--url", image, "--sha256", SHA256, "--gateway", "edge"], "--namespace <NAMESPACE>"),
        (&["istio", "--url", image, "--sha256", SHA256, "--service", "models"], "--namespace <NAMESPACE>"),
        (&["istio", "--url", image, "--sha256", SHA256, "--ingress"], "--selector <LABEL=VALUE>"),
        (&["istio", "--url", image, "--sha256", SHA256, "--selector", "app"], "expected LABEL=VALUE"),
        (&["istio", "--url", image, "--sha256", SHA256, "--selector", "a=1,a=2"], "duplicate label a"),
        (
            &["istio", "--url", image, "--sha256", SHA256, "--kind", "envoy-filter", "--pull-secret", "registry"],
            "use --kind wasm-plugin",
        ),
        (
            &[
                "istio",
                "--url",
                image,
                "--sha256",
                SHA256,
                "--kind",
                "envoy-filter",
                "--namespace",
                "shop",
                "--service",
                "a",
            ],
            "use --kind wasm-plugin",
        ),
        (&["envoy-gateway", "--url", image, "--sha256", SHA256], "--gateway <NAME>|--route <NAME>"),
        (&["envoy-gateway", "--gateway", "eg", "--url", "file:///opt/x.wasm"], "supports only oci:// and https://"),
        (&["envoy-gateway", "--gateway", "eg", "--url", FILE[1], "--pull-secret", "registry"], "only for oci://"),
    ] {
        let (code, text, said) = render(folder.path(), arguments);
        assert_eq!((code, text.as_str()), (2, ""), "{arguments:?}: {said}");
        assert!(said.contains(message) && !said.contains("hunter2"), "{arguments:?}: {said}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("policy.yaml")).expect("it is there"), POLICY);
}

/// What a hand put in the place of a variable's name may be the key: a log of the build would keep it.
#[test]
fn a_name_of_a_variable_that_may_be_a_key_is_not_shown() {
    let folder = folder();
    let key = "sk_live_51Habcdef1234567890XYZ";
    let policy = format!("consumers: [{{name: ci, keys: [{{env: {key}}}]}}]\n");
    fs::write(folder.path().join("odd.yaml"), policy).expect("it can be written");
    let (_, _, said) = render(folder.path(), &["filter", "odd.yaml"]);
    assert!(said.contains("name not shown, it may be a key") && !said.contains(key), "{said}");
}

#[test]
fn every_help_has_examples_and_tells_the_exit_status() {
    let folder = folder();
    for command in
        [&[][..], &["filter"], &["envoy"], &["ecds"], &["istio"], &["envoy-gateway"], &["policy"], &["module"]]
    {
        let (code, text, _) = render(folder.path(), &[command, &["--help"]].concat());
        assert!(
            code == 0 && text.contains("Examples:\n") && text.contains("Exit status: 0 done"),
            "{command:?}: {text}"
        );
    }
}
