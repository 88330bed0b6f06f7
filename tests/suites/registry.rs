//! The images in a real registry: what comes out of it is what went in, and guards an Envoy.

use std::fs;
use std::path::Path;

use portcullis_tests::bootstrap::Bootstrap;
use portcullis_tests::console;
use portcullis_tests::envoy::Envoy;
use portcullis_tests::listener::Kind;
use portcullis_tests::packed::{built_copy, done, files_below, make};
use portcullis_tests::paths::{module, workspace};
use portcullis_tests::registry::Registry;
use portcullis_tests::stage::{Stage, bootstrap, listener};
use portcullis_tests::upstream::Upstream;
use serde_json::json;

const KEY: &str = "registry-suite-key";
const LAYOUTS: [&str; 4] = ["compat", "artifact", "compat-sbom", "artifact-sbom"];

#[test]
fn a_registry_gives_back_every_image_with_its_digest() {
    let (copy, registry) = (built_copy(), Registry::start());
    let said = done(make("image", copy.path(), &[]));
    for name in LAYOUTS {
        let image = format!("docker://{}/portcullis:{name}", registry.address);
        let printed = said.lines().find(|line| line.split_whitespace().next() == Some(&format!("target/oci/{name}")));
        let printed = printed.and_then(|line| line.split_whitespace().nth(1)).expect("a digest is printed");
        let skopeo = |arguments: String| done(registry.shell(&format!("skopeo {arguments}"), copy.path()));
        skopeo(format!("copy --preserve-digests oci:target/oci/{name} {image}"));
        assert_eq!(skopeo(format!("inspect --raw {image} | sha256sum")), format!("{}  -\n", &printed[7..]), "{name}");
        // By that digest, into a layout of its own: the same blobs.
        let by_digest = image.replace(&format!(":{name}"), &format!("@{printed}"));
        skopeo(format!("copy --preserve-digests {by_digest} oci:back-{name}"));
        let blobs = |folder: String| files_below(&copy.path().join(folder).join("blobs"));
        assert!(blobs(format!("back-{name}")) == blobs(format!("target/oci/{name}")), "{name} comes back another");
    }
}

/// Every command of the guide, in its order.
#[test]
fn the_guide_leads_to_a_module_that_guards_an_envoy() {
    let (copy, registry) = (built_copy(), Registry::start());
    let guide = fs::read_to_string(workspace().join("docs/guides/oci-image.md")).expect("the guide is there");
    for shown in console::read(&guide) {
        let output = match shown.command.strip_prefix("make ") {
            Some(arguments) => make(arguments, copy.path(), &[]),
            None => registry.shell(&shown.command.replace("registry.example.com", &registry.address), copy.path()),
        };
        let output = done(output);
        assert_eq!(shown.missing(&output), None, "$ {}\n{output}", shown.command);
    }
    let plugin = copy.path().join("plugin.wasm");
    assert!(fs::read(&plugin).expect("the guide unpacks it") == fs::read(module()).expect("the module"));
    let sbom = files_below(&copy.path().join("sbom"));
    assert!(sbom.values().any(|data| data.windows(9).any(|found| found == b"CycloneDX")));

    let stage = guarded_by(&plugin);
    assert_eq!(stage.ask("gate", "/x", &[]), (401, "no_credential".to_owned()));
    assert_eq!(stage.ask("gate", "/x", &[("x-api-key", KEY)]), (200, "key".to_owned()));
}

/// An Envoy whose gate is this module.
fn guarded_by(plugin: &Path) -> Stage {
    let policy = json!({"version": 1, "consumers": [{"name": "ci", "keys": [{"plaintext": KEY}]}]});
    let upstream = Upstream::start();
    let parts = bootstrap(vec![listener("gate", Kind::Edge, &policy)], &upstream);
    let envoy = Envoy::start(&Bootstrap { module: plugin.to_owned(), ..parts }.document());
    Stage { envoy, upstream }
}

#[test]
fn a_registry_that_is_not_there_is_one_line_and_leaves_nothing() {
    let (copy, registry) = (built_copy(), Registry::start());
    done(make("image", copy.path(), &[]));
    let before = files_below(copy.path());
    let push = |to: &str| {
        let copying = "skopeo copy --quiet --preserve-digests oci:target/oci/compat";
        registry.shell(&format!("{copying} docker://{to}/portcullis:0.1.0"), copy.path())
    };
    // Port 1 of the loopback is nobody's.
    let output = push("127.0.0.1:1");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.lines().count() == 1 && said.contains("127.0.0.1:1: connect: connection refused"), "{said}");
    let missing =
        registry.shell(&format!("skopeo inspect docker://{}/portcullis:0.1.0", registry.address), copy.path());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("manifest unknown"), "{missing:?}");
    assert!(files_below(copy.path()) == before, "something is left");
    done(push(&registry.address));
}
