//! The images in a real registry: pulling returns what was pushed, and the pulled module works in Envoy.

use std::fs;
use std::path::Path;
use std::process::Output;

use portcullis_tests::bootstrap::Bootstrap;
use portcullis_tests::bytes::contains;
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
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The registry in the guide.
const HOST: &str = "registry.example.com";
/// In the order in which they are pushed.
const LAYOUTS: [&str; 4] = ["compat", "compat-sbom", "artifact", "artifact-sbom"];

#[test]
fn a_registry_gives_back_every_image_with_its_digest() {
    let (copy, registry) = (built_copy(), Registry::start());
    let said = done(make("image", copy.path(), &[]));
    let pushed = done(registry.shell(&push_to(&registry.address), copy.path()));
    assert_eq!(pushed.lines().count(), LAYOUTS.len(), "{pushed}");
    for (name, line) in LAYOUTS.into_iter().zip(pushed.lines()) {
        let (tag, digest) = line.split_once(' ').expect("a tag and a digest");
        let printed = said.lines().filter_map(|line| line.strip_prefix(&format!("target/oci/{name} ")));
        assert_eq!(printed.map(str::trim).collect::<Vec<_>>(), [digest], "{name}");
        let skopeo = |arguments: String| done(registry.shell(&format!("skopeo {arguments}"), copy.path()));
        let sum = skopeo(format!("inspect --raw docker://{tag} | sha256sum"));
        assert_eq!(sum, format!("{}  -\n", &digest["sha256:".len()..]), "{name}");
        // By that digest, into a new layout: the same blobs.
        let by_digest = format!("docker://{}/portcullis@{digest}", registry.address);
        skopeo(format!("copy --preserve-digests {by_digest} oci:back-{name}"));
        let blobs = |folder: String| files_below(&copy.path().join(folder).join("blobs"));
        assert!(blobs(format!("back-{name}")) == blobs(format!("target/oci/{name}")), "{name} comes back another");
    }
}

fn push_to(host: &str) -> String {
    format!("make push TO={host}/portcullis")
}

/// Every command of the guide, in its order.
#[test]
fn the_guide_leads_to_a_module_that_guards_an_envoy() {
    let (copy, registry) = (built_copy(), Registry::start());
    let guide = fs::read_to_string(workspace().join("docs/guides/oci-image.md")).expect("the guide is there");
    for shown in console::read(&guide) {
        let output = match shown.command.as_str() {
            "make image" => make("image", copy.path(), &[]),
            command => registry.shell(&command.replace(HOST, &registry.address), copy.path()),
        };
        let output = done(output).replace(&registry.address, HOST);
        assert_eq!(shown.missing(&output), None, "$ {}\n{output}", shown.command);
    }
    let plugin = copy.path().join("plugin.wasm");
    assert!(fs::read(&plugin).expect("the guide unpacks it") == fs::read(module()).expect("the module"));
    let sbom = files_below(&copy.path().join("sbom"));
    assert!(sbom.values().any(|data| contains(data, b"CycloneDX")));

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
    let push = |to: &str| registry.shell(&push_to(to), copy.path());
    let complaint = |output: Output| {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        // The last line is from make.
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("make: ***")).collect();
        assert!(lines.len() == 1 && output.stdout.is_empty(), "{said}");
        lines[0].to_owned()
    };
    // Nothing listens on port 1 of the loopback.
    let said = complaint(push("127.0.0.1:1"));
    assert!(said.starts_with(&format!("push: 127.0.0.1:1/portcullis:{VERSION} was not pushed (")), "{said}");
    assert!(said.ends_with("connect: connection refused): is the name right, and is the registry up?"), "{said}");
    let said = complaint(registry.shell("make push", copy.path()));
    assert!(said.contains("REPOSITORY is not a repository: give HOST[:PORT]/NAME"), "{said}");
    let said = complaint(registry.shell("make push TO=\"x'; touch touched; '\"", copy.path()));
    assert!(said.contains("is not a repository"), "{said}");
    let said =
        complaint(registry.shell(&format!("{} PUSH_OPTIONS=--no-such-option", push_to("127.0.0.1:1")), copy.path()));
    assert!(said.contains("unknown flag: --no-such-option"), "{said}");
    let missing =
        registry.shell(&format!("skopeo inspect docker://{}/portcullis:{VERSION}", registry.address), copy.path());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("manifest unknown"), "{missing:?}");
    assert!(files_below(copy.path()) == before, "something is left");
    done(push(&registry.address));
    fs::remove_dir_all(copy.path().join("target/oci")).expect("it is there");
    let said = complaint(push(&registry.address));
    assert_eq!(said, "push: target/oci/compat/index.json is missing: run `make image` first");
}
