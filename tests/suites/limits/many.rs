//! The limits hold for 10,000 consumers.

use std::fs;

use portcullis::keys::Digest;
use portcullis_tests::crd::documents;
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::http1::{Client, get};
use portcullis_tests::net::connect;
use portcullis_tests::paths;
use portcullis_tests::upstream::Upstream;

use super::{key, render};

#[test]
fn ten_thousand_consumers_keep_their_buckets() {
    let name = |number: usize| format!("consumer-{number}");
    let consumers: String = (0..10_000)
        .map(name)
        .map(|name| {
            let digest = Digest::of(key(&name).as_bytes()).to_hex();
            format!("- {{name: {name}, keys: [{{sha256: \"{digest}\"}}]}}\n")
        })
        .collect();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::write(file("policy.yaml"), format!("name: many\nconsumers:\n{consumers}")).expect("a file in it");
    fs::create_dir(file("gate")).expect("a directory in it");
    let upstream = Upstream::start();
    let (address, module, gate) =
        (upstream.address().to_string(), paths::module().display().to_string(), file("gate/gate.yaml"));
    render(folder.path(), &["ecds", "--module", &module, "-o", &gate]);
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--limit", "1/day", "--ecds", &gate];
    let text = render(folder.path(), &[&["envoy", "--upstream", &address], &listen[..]].concat());
    let envoy = Envoy::start(&documents(&text).remove(0));

    let mut client = Client::new(connect(V4, envoy.address("main", V4)).expect("Envoy listens"));
    let mut ask = |number: usize| {
        let request = get("/v2", &[("x-api-key", &key(&name(number)))]);
        client.send(&request).expect("Envoy replies").status
    };
    assert_eq!((ask(0), ask(0)), (200, 429));
    for number in 1..10_000 {
        assert_eq!(ask(number), 200, "{}", name(number));
    }
    assert_eq!([0, 1, 5_000, 9_999].map(ask), [429; 4], "no bucket has come back full");
}
