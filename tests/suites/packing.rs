//! The results of `make image`, `make dist` and `make deb`: the same bytes from the same build, valid checksums, and software
//! bills of materials that list the contents. If something is missing, one line says so and no file is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::console;
use portcullis_tests::packed::{BUILT, add_build, apart, built_copy, done, files_below, make, sha256, tools};
use portcullis_tests::paths::{copy_of_the_source, cyclonedx, module, workspace};
use serde_json::Value;

const EPOCH: [(&str, &str); 1] = [("SOURCE_DATE_EPOCH", "1790000000")];
/// git with a user name, and without the settings of the user who runs the suite.
const GIT: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "nobody"),
    ("GIT_AUTHOR_EMAIL", "nobody@example.com"),
    ("GIT_COMMITTER_NAME", "nobody"),
    ("GIT_COMMITTER_EMAIL", "nobody@example.com"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
];

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("it is JSON")
}

fn shell(command: &str, folder: &Path) -> std::process::Output {
    let mut shell = Command::new("/bin/sh");
    apart(shell.args(["-c", command]).current_dir(folder)).envs(GIT).output().expect("a shell at /bin/sh")
}

/// The manifest of an image under `target/oci`.
fn manifest(folder: &Path, name: &str) -> Value {
    let layout = folder.join("target/oci").join(name);
    let index = json(&fs::read(layout.join("index.json")).expect("a layout has an index"));
    let digest = index["manifests"][0]["digest"].as_str().expect("with one image in it");
    json(&fs::read(layout.join("blobs").join(digest.replace(':', "/"))).expect("whose manifest is there"))
}

/// The archive of a release, unpacked beside it.
fn unpacked(folder: &Path) -> PathBuf {
    let dist = folder.join("target/dist");
    done(shell("sha256sum --check *.sha256 && tar -xzf *.tar.gz", &dist));
    let found = fs::read_dir(&dist).expect("a folder").map_while(Result::ok).map(|entry| entry.path());
    found.into_iter().find(|path| path.is_dir()).expect("an archive has one folder")
}

#[test]
fn two_folders_give_the_same_images_and_the_same_release() {
    let [one, other] = [built_copy(), built_copy()];
    let said = [&one, &other].map(|copy| done(make("image dist", copy.path(), &EPOCH)));
    assert_eq!(said[0], said[1]);
    let packed = |copy: &Path| ["target/oci", "target/dist"].map(|folder| files_below(&copy.join(folder)));
    let first = packed(one.path());
    assert!(first == packed(other.path()), "files of {} and {} differ", one.path().display(), other.path().display());
    // Again in the same folder, over the existing files.
    done(make("image dist", one.path(), &EPOCH));
    assert!(first == packed(one.path()), "the second time is not the first");
    let holds = |word: &Path| {
        let grep = format!("grep --recursive --quiet --fixed-strings {} target/oci target/dist", word.display());
        shell(&grep, one.path()).status.success()
    };
    for folder in [one.path(), &workspace(), Path::new("/.cargo/registry")] {
        assert!(!holds(folder), "{} is named in what was packed: build it with `make build`", folder.display());
    }
    assert!(holds(Path::new("cargo/registry")), "a control: names of source files are");
    // Control: everything contains the time.
    done(make("image dist", one.path(), &[("SOURCE_DATE_EPOCH", "0")]));
    assert!(first.iter().zip(packed(one.path())).all(|(before, after)| *before != after));
}

/// The checks of an image by Istio and Envoy Gateway, as in docs/guides/oci-image.md.
#[test]
fn hosts_find_the_module_where_they_look() {
    let copy = built_copy();
    done(make("image", copy.path(), &EPOCH));
    let bytes = fs::read(module()).expect("the module can be read");
    let blob = |name: &str, layer: &Value| {
        let digest = layer["digest"].as_str().expect("a layer has a digest").replace(':', "/");
        copy.path().join("target/oci").join(name).join("blobs").join(digest)
    };
    let compat = manifest(copy.path(), "compat");
    let layer = compat["layers"].as_array().and_then(|layers| layers.last()).expect("a layer");
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    done(shell(&format!("tar -xzf {} plugin.wasm", blob("compat", layer).display()), copy.path()));
    assert!(fs::read(copy.path().join("plugin.wasm")).expect("it was unpacked") == bytes);

    let artifact = manifest(copy.path(), "artifact");
    let layers = artifact["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 2);
    let of_type = |name: &str| layers.iter().find(|layer| layer["mediaType"] == name).expect(name);
    let wasm = of_type("application/vnd.module.wasm.content.layer.v1+wasm");
    assert!(fs::read(blob("artifact", wasm)).expect("a blob") == bytes);
    let config = blob("artifact", of_type("application/vnd.module.wasm.config.v1+json"));
    assert_eq!(json(&fs::read(config).expect("a blob"))["config"]["root_ids"][0], "portcullis");

    for name in ["compat", "artifact"] {
        let sbom = manifest(copy.path(), &format!("{name}-sbom"));
        let digest = json(&fs::read(copy.path().join(format!("target/oci/{name}/index.json"))).expect("an index"));
        assert_eq!(sbom["subject"]["digest"], digest["manifests"][0]["digest"], "{name}");
    }
}

#[test]
fn a_release_holds_what_its_checksums_say_and_its_command_runs() {
    let copy = built_copy();
    done(make("dist", copy.path(), &EPOCH));
    let release = unpacked(copy.path());
    done(shell("sha256sum --check SHA256SUMS && ./portcullis --version", &release));
    let listed = fs::read_to_string(release.join("SHA256SUMS")).expect("checksums");
    let listed: BTreeSet<String> =
        listed.lines().filter_map(|line| Some(line.split_once("  ")?.1.to_owned())).collect();
    let mut held: BTreeSet<String> = files_below(&release).into_keys().collect();
    held.remove("SHA256SUMS");
    assert_eq!(listed, held);
    for name in [
        "portcullis",
        "portcullis.wasm",
        "LICENSE",
        "README.md",
        "envoy/minimal.yaml",
        "envoy/systemd/envoy-portcullis.service",
        "docs/policy/README.md",
    ] {
        assert!(held.contains(name), "{name} is missing");
    }
    fs::write(release.join("portcullis.wasm"), "another module").expect("our own file");
    let output = shell("sha256sum --check SHA256SUMS", &release);
    assert!(!output.status.success(), "a control: {output:?}");
}

/// The machine of the packages, as Debian names it.
fn debian_machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The commands of docs/guides/install.md, on files of this build: archive, Debian package and checksums.
#[test]
fn the_guide_to_install_leads_to_commands_that_run() {
    let copy = built_copy();
    done(make("dist deb release-files", copy.path(), &EPOCH));
    let (files, home) = (copy.path().join("target/release-files"), copy.path().join("home"));
    fs::create_dir(&home).expect("our own folder");
    let guide = fs::read_to_string(workspace().join("docs/guides/install.md")).expect("the guide is there");
    let guide = guide.replace("x86_64", std::env::consts::ARCH).replace("amd64", debian_machine());
    let shown = console::read(&guide);
    assert!(shown.len() > 8, "only {} commands were found", shown.len());
    for shown in &shown {
        let here = format!("HOME={}; {}", home.display(), shown.command);
        shown.run(&here, &files).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(home.join(".local/share/man/man1/portcullis-run.1").is_file());

    let package = files.join("portcullis");
    let held = files_below(&package);
    for row in guide.lines().filter_map(|line| line.strip_prefix("| `/")) {
        let path = row.split(['`', '*']).next().expect("a path");
        assert!(held.keys().any(|name| name.starts_with(path)), "the guide names /{path}: {:?}", held.keys());
    }
    assert!(held["usr/lib/portcullis/portcullis.wasm"] == fs::read(module()).expect("the module"));
    assert!(!held.keys().any(|name| name.starts_with("etc/")), "it configures nothing");
    // Nothing of it runs as root when it is installed: there is no script beside this file.
    let name = format!("portcullis_{}-1_{}.deb", env!("CARGO_PKG_VERSION"), debian_machine());
    done(shell(&format!("dpkg-deb --control {name} control"), &files));
    let control = files_below(&files.join("control"));
    assert_eq!(control.keys().collect::<Vec<_>>(), ["control"]);
    assert!(String::from_utf8_lossy(&control["control"]).contains("Package: portcullis\n"));
}

/// The notes of a release are the entries of its version, and a tag of another version is refused.
#[test]
fn a_tag_without_its_version_and_notes_is_refused() {
    let copy = copy_of_the_source();
    let version = env!("CARGO_PKG_VERSION");
    let notes = |tag: &str| {
        let output = make(&format!("release-notes TAG={tag}"), copy.path(), &[]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (passes, said) = notes("v9.9.9");
    assert!(!passes && said.contains(&format!("has version {version}: expected the tag v{version}")), "{said}");
    let changelog = copy.path().join("CHANGELOG.md");
    let text = fs::read_to_string(&changelog).expect("a changelog");
    let dated = format!(
        "## [Unreleased]\n\n## [{version}] - 2026-01-01\n\n### Added\n\n- A thing.\n\n## [0.0.1] - 2025-01-01\n\n- Older.\n"
    );
    let heading = format!("## [{version}] - ");
    if !text.contains(&heading) {
        let (passes, said) = notes(&format!("v{version}"));
        assert!(!passes && said.contains("CHANGELOG.md has no notes under"), "{said}");
    }
    fs::write(&changelog, dated).expect("our own file");
    assert_eq!(notes(&format!("v{version}")), (true, String::new()));
    let written = fs::read_to_string(copy.path().join("target/release-notes.md")).expect("notes");
    assert_eq!(written, "### Added\n\n- A thing.\n");
}

/// It may contain keys of the user who packs, even if git ignores it.
#[test]
fn a_file_that_git_does_not_know_is_refused() {
    let copy = built_copy();
    done(shell("git init --quiet && git add . && git commit --quiet --message before", copy.path()));
    done(make("dist", copy.path(), &GIT));
    let before = files_below(&copy.path().join("target/dist"));
    fs::write(copy.path().join(".git/info/exclude"), "local.*").expect("our own folder");
    for stray in ["docs/local.md", "envoy/local.yaml"] {
        let path = copy.path().join(stray);
        fs::write(&path, "pk_real").expect("our own folder");
        let output = make("dist", copy.path(), &GIT);
        let said = String::from_utf8_lossy(&output.stderr);
        let expected =
            format!("dist: {stray} is unknown to git, and would be packed: commit it, or move it elsewhere\n");
        assert!(!output.status.success() && said.starts_with(&expected), "{output:?}");
        assert!(files_below(&copy.path().join("target/dist")) == before, "it is not what it was");
        fs::remove_file(path).expect("our own file");
    }
    done(make("dist", copy.path(), &GIT));
}

/// Validates against the schema of CycloneDX, with CycloneDX's own library.
#[test]
fn the_lists_of_parts_are_valid_and_name_the_crates_of_cargo() {
    const VALIDATE: &str = "import sys; from cyclonedx.schema import SchemaVersion as V; \
        from cyclonedx.validation.json import JsonStrictValidator as J; \
        wrong = J(V.V1_6).validate_str(sys.stdin.read()); sys.exit(wrong and str(wrong))";
    let copy = built_copy();
    done(make("dist", copy.path(), &EPOCH));
    let release = unpacked(copy.path());
    let valid = |file: &Path| {
        let mut python = Command::new("python3");
        python.args(["-B", "-c", VALIDATE]).env("PYTHONPATH", cyclonedx());
        python.stdin(fs::File::open(file).expect("a list of parts")).output().expect("python3 starts")
    };
    for (of, crates, others) in [
        ("portcullis.wasm", ["proxy-wasm", "serde_json", "rust-std"], ["clap", "proptest", "anyhow"]),
        ("portcullis", ["portcullis", "clap", "rust-std"], ["proxy-wasm", "proptest", "hyper"]),
    ] {
        let file = release.join(format!("{of}.cdx.json"));
        done(valid(&file));
        let bom = json(&fs::read(&file).expect("a list of parts"));
        assert_eq!(bom["metadata"]["component"]["hashes"][0]["content"], sha256(&release.join(of)), "{of}");
        let components = bom["components"].as_array().expect("components");
        let has = |name: &str| components.iter().any(|component| component["name"] == name);
        assert!(crates.into_iter().all(has) && !others.into_iter().any(has), "{of}: {components:?}");
        let lock = fs::read_to_string(workspace().join("Cargo.lock")).expect("Cargo.lock is there");
        for component in components.iter().filter(|one| {
            // The standard library and the crates of this workspace have no checksum.
            let name = one["name"].as_str().expect("a name");
            name != "rust-std" && !name.starts_with("portcullis")
        }) {
            let sum = component["hashes"][0]["content"].as_str().expect("a crate has a checksum");
            assert!(lock.contains(sum), "{component}");
        }
        let macros = components.iter().find(|component| component["name"] == "serde_derive").expect("serde's macros");
        assert_eq!(macros["scope"], "excluded");
    }
    let broken = release.join("broken.json");
    let text = fs::read_to_string(release.join("portcullis.cdx.json")).expect("a list of parts");
    fs::write(&broken, text.replacen("\"required\"", "\"wanted\"", 1)).expect("our own folder");
    let output = valid(&broken);
    assert!(String::from_utf8_lossy(&output.stderr).contains("'wanted' is not one of"), "a control: {output:?}");
}

/// From the version to the archive. The build results are those of this folder, because a build takes minutes.
#[test]
fn the_steps_of_a_release_work() {
    let copy = built_copy();
    done(shell("git init --quiet && git add . && git commit --quiet --message before", copy.path()));
    let text = fs::read_to_string(workspace().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md is there");
    let shown = console::read(&text);
    assert!(shown.len() > 8, "the steps are found");
    // One shell, as for a user: a step that changes the folder affects the next.
    let mut session = format!("set -ex\nmake() {{ command make {} {} \"$@\"; }}\n", BUILT.join(" "), tools());
    for command in shown.iter().map(|shown| shown.command.as_str()) {
        session += &format!("{command}\n");
        if command.starts_with("git clone") {
            session += "cp --parents target/portcullis.wasm target/release/portcullis target/again\n";
        }
    }
    done(shell(&session, copy.path()));
    let (_, new) = text.split_once(" new=").expect("a step names the version");
    let new = new.lines().next().expect("it ends with its line");
    let archive = format!("target/dist/portcullis-{new}-{}-linux.tar.gz", std::env::consts::ARCH);
    assert!(copy.path().join(&archive).is_file(), "{archive} is missing");
    let changelog = fs::read_to_string(copy.path().join("CHANGELOG.md")).expect("a changelog");
    assert!(changelog.contains(&format!("## [Unreleased]\n\n## [{new}] - 2")), "{changelog}");
    for lock in [".", "fuzz", "tests/other-host"] {
        let locked = "cargo metadata --locked --offline --format-version 1 --manifest-path";
        done(shell(&format!("{locked} {lock}/Cargo.toml >/dev/null"), &copy.path().join("target/again")));
    }

    let head = done(shell("git rev-parse HEAD", copy.path()));
    let revision = || manifest(copy.path(), "compat")["annotations"]["org.opencontainers.image.revision"].clone();
    assert_eq!(revision(), head.trim());
    fs::write(copy.path().join("README.md"), "changed").expect("our own file");
    done(make("image", copy.path(), &GIT));
    assert_eq!(revision(), Value::Null, "what is changed is of no commit");
}

#[test]
fn what_is_missing_is_one_line_and_leaves_nothing() {
    let copy = copy_of_the_source();
    let target = copy.path().join("target");
    let fails = |script: &str, environment: &[(&str, &str)], expected: &str| {
        let mut command = Command::new(copy.path().join("scripts").join(script));
        let output = command.current_dir("/").envs(environment.iter().copied()).output().expect("python3 is there");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("{script}: {expected}\n"));
        assert!(output.stdout.is_empty() && !target.join("oci").exists() && !target.join("dist").exists());
    };
    fails("image", &[], "target/portcullis.wasm is missing: run `make build` first");
    fails("dist", &[], "target/release/portcullis is missing: run `make build` first");
    fails("deb", &[], "target/release/portcullis is missing: run `make build` first");
    fails("run-image", &[], "target/release/portcullis is missing: run `make build` first");
    fails("release-files", &[], "nothing to gather: run `make dist` or `make deb` first");
    assert!(!target.exists());
    fs::create_dir(&target).expect("our own folder");
    fs::write(target.join("portcullis.wasm"), "no module").expect("our own folder");
    fails("image", &[], "target/portcullis.wasm is not a wasm module: run `make build`");
    add_build(copy.path());
    let soon = "SOURCE_DATE_EPOCH=soon is not a time: give seconds since 1970, or unset it";
    for script in ["image", "dist", "deb"] {
        fails(script, &[("SOURCE_DATE_EPOCH", "soon")], soon);
    }
    // And cargo's record about rustc.
    let left: Vec<String> = files_below(&target).into_keys().filter(|name| name != ".rustc_info.json").collect();
    assert_eq!(left, ["portcullis.wasm", "release/portcullis"]);
}
