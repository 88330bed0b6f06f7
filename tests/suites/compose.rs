//! The stack of `docker-compose.yaml` and the image of the command, with real containers at real addresses. `make compose-test` starts it, passes
//! its settings to this suite in the environment, and removes it.

use std::env::var;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use portcullis_tests::cases::{EngineName, load_all};
use portcullis_tests::console;
use portcullis_tests::envoy::V4;
use portcullis_tests::load::Load;
use portcullis_tests::message::{Pair, Reply};
use portcullis_tests::net::connect;
use portcullis_tests::paths::{module, workspace};
use portcullis_tests::{http1, poll, secrets};

const KEY: &str = "pk_demo_ci_not_a_secret";
const HEADER: &str = "X-API-Key: pk_demo_ci_not_a_secret";
const PATH: &str = "/v2/models/iris/metadata";

/// The variables that `scripts/compose-test` sets.
fn told(name: &str) -> String {
    var(name).unwrap_or_else(|_| panic!("{name} is not set: `make compose-test` starts the stack for this suite"))
}

/// Runs the compose command with further arguments.
fn compose(words: &str) -> Output {
    let output = Command::new("sh").args(["-c", &format!("{} {words}", told("PORTCULLIS_COMPOSE"))]).output();
    output.expect("there is a shell")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The reply that the container `caller` gets from a port of the gate: status, and the whole reply.
fn ask(caller: &str, port: u16, headers: &[&str]) -> (u16, String) {
    let headers: String = headers.iter().map(|header| format!("-H '{header}' ")).collect();
    let output = compose(&format!("exec -T {caller} curl -si {headers} http://gate:{port}{PATH}"));
    let reply = text(&output.stdout);
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no reply, but: {reply}{}", text(&output.stderr))), reply)
}

/// The container of a service, by its id.
fn container(service: &str) -> String {
    text(&compose(&format!("ps -q {service}")).stdout).trim().to_owned()
}

/// The output of `docker inspect` for a container, if there is one.
fn inspect(container: &str, format: &str) -> Option<String> {
    let output = Command::new("docker").args(["inspect", "-f", format, container]).output().expect("docker runs");
    Some(text(&output.stdout).trim().to_owned()).filter(|said| output.status.success() && !said.is_empty())
}

/// A port that the stack publishes on this machine.
fn published(variable: &str) -> SocketAddr {
    SocketAddr::new(V4, told(variable).parse().expect("a port is a number"))
}

/// The reply that this machine gets from a published port, with a key or without.
fn ask_from_here(variable: &str, key: Option<&str>) -> std::io::Result<Reply> {
    let headers: Vec<Pair> = key.map(|key| (b"x-api-key".to_vec(), key.into())).into_iter().collect();
    let request = http1::request(b"GET", PATH.as_bytes(), b"localhost", &headers, None);
    http1::Client::new(connect(V4, published(variable))?).send(&request)
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn an_external_caller_needs_a_key() {
    for port in [10000, 10001] {
        assert_eq!(ask("external", port, &[]).0, 401, "port {port}");
        assert_eq!(ask("external", port, &["X-API-Key: wrong"]).0, 401, "port {port}");
        let (status, reply) = ask("external", port, &[HEADER]);
        assert_eq!(status, 200, "port {port}");
        assert!(reply.contains(r#"["x-portcullis-consumer","ci"]"#), "the backend knows who it is: {reply}");
        assert!(!reply.contains("not_a_secret"), "the key is gone: {reply}");
    }
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn a_local_caller_needs_none_where_its_network_is_trusted() {
    assert_eq!(ask("local", 10001, &[]).0, 200);
    assert_eq!(ask("local", 10000, &[]).0, 401, "this listener trusts no network");
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn a_forged_header_does_not_help_anybody() {
    let local = format!("{}.200", told("INSIDE"));
    for claim in [format!("X-Forwarded-For: {local}"), format!("Forwarded: for={local}"), format!("X-Real-IP: {local}")]
    {
        assert_eq!(ask("external", 10001, &[&claim]).0, 401, "{claim}");
        assert_eq!(ask("external", 10001, &[&claim, HEADER]).0, 200, "{claim}");
        assert_eq!(ask("local", 10001, &[&claim]).0, 401, "who passes on for others is not exempt: {claim}");
    }
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn who_comes_through_a_published_port_is_not_local() {
    let ask = |key| ask_from_here("LOCAL_PORT", key).expect("the gate answers");
    assert_eq!(ask(None).status, 401);
    let reply = ask(Some(KEY));
    assert_eq!(reply.status, 200);
    // The reason: the gateway's address is in the trusted network.
    let (seen, gateway) = (text(&reply.body), format!(r#"["x-envoy-external-address","{}.1"]"#, told("INSIDE")));
    assert!(seen.contains(&gateway), "{gateway} is not in {seen}");
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn callers_reach_nothing_but_the_gate() {
    let reaches = |caller, url: &str| compose(&format!("exec -T {caller} curl -s --max-time 5 {url}")).status.success();
    let address = inspect(&container("backend"), "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    let address = address.expect("the backend has one address");
    for caller in ["external", "local"] {
        assert!(reaches(caller, "http://gate:10000/healthz"), "{caller}");
        assert!(!reaches(caller, "http://backend:8081/healthz"), "{caller}");
        assert!(!reaches(caller, &format!("http://{address}:8081/healthz")), "{caller}");
        assert!(!reaches(caller, "http://gate:9901/ready"), "{caller}");
    }
    // The official image has no curl.
    let by_address = compose(&format!("exec -T gate bash -c 'exec 3<>/dev/tcp/{address}/8081'"));
    assert!(by_address.status.success(), "the gate reaches {address}: {}", text(&by_address.stderr));
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn every_row_of_the_table_holds_inside_the_network() {
    let output = compose("run --rm -T cases");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let passed = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let files = load_all().expect("the files load");
    let rows = files.iter().flat_map(|cases| &cases.rows).filter(|row| row.runs_on(EngineName::Envoy)).count();
    assert_eq!(passed, Some(rows), "{said}");
    eprintln!("inside the network: {rows} rows");
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn nobody_gets_in_while_envoy_is_killed_and_comes_back() {
    let gate = container("gate");
    let started = || inspect(&gate, "{{.State.StartedAt}}");
    let serves = || ask_from_here("PORT", Some(KEY)).ok().filter(|reply| reply.status == 200);
    let begin = |key| Load::begin(published("PORT"), &[("x-api-key", key)]);
    let (good, wrong) = (begin(KEY), begin("wrong"));
    for _ in 0..2 {
        poll::until("the gate serves", serves);
        let before = started().expect("the container is there");
        // Kills every process that this user may kill, except the shell: that is Envoy. The connection to the container
        // may end too.
        compose("exec -T gate sh -c 'kill -KILL -1'");
        poll::until("the container starts again", || started().filter(|now| *now != before));
    }
    poll::until("the gate serves again", serves);
    let (good, wrong) = (good.end(), wrong.end());
    eprintln!("with a good key {good:?}\nwith a wrong one {wrong:?}");
    assert!(good.of(200) > 0 && good.statuses.keys().all(|status| [200, 503].contains(status)), "{good:?}");
    assert!(wrong.of(401) > 0 && wrong.statuses.keys().all(|status| [401, 503].contains(status)), "{wrong:?}");
    assert!(good.lost > 0 && wrong.lost > 0, "Envoy was gone for a while: {good:?} {wrong:?}");
}

#[test]
#[ignore = "needs the stack: make compose-test"]
fn the_gate_prints_no_key() {
    let policy = fs::read_to_string(workspace().join("envoy/compose.yaml")).expect("the configuration is there");
    secrets::in_document(&serde_saphyr::from_str(&policy).expect("it is YAML"));
    assert_eq!(ask_from_here("PORT", Some(KEY)).expect("the gate answers").status, 200);
    assert_eq!(ask_from_here("PORT", Some("a-wrong-key-of-this-suite")).expect("the gate answers").status, 401);
    let log = compose("logs gate").stdout;
    assert!(text(&log).contains("2 keys, 0 refused"), "it is the log: {}", text(&log));
    assert_eq!(secrets::found_in(&log), None);
}

/// The image of the command: without a shell, without root, on a read-only file system. Its policy changes while it runs.
#[test]
#[ignore = "needs the stack: make compose-test"]
fn the_image_of_the_command_guards_a_service_and_takes_a_new_policy() {
    let ask = |headers: &[&str]| {
        let headers: String = headers.iter().map(|header| format!("-H '{header}' ")).collect();
        let output = compose(&format!("exec -T external curl -si {headers} http://command:8080{PATH}"));
        text(&output.stdout).split(' ').nth(1).and_then(|status| status.parse::<u16>().ok())
    };
    let write = |policy: &str| {
        let folder = Path::new(&told("PORTCULLIS_POLICIES")).to_owned();
        let file = folder.join("policy.yaml.new");
        fs::write(&file, policy).expect("a file in the folder");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("our own file");
        fs::rename(file, folder.join("policy.yaml")).expect("our own folder");
    };
    let key = "X-API-Key: a-key-of-the-compose-suite";
    poll::until("the gate listens", || ask(&[]).filter(|status| *status == 401));
    assert_eq!(ask(&[key]), Some(401), "the first policy has no key");
    write("consumers: [{name: ci, keys: [{plaintext: a-key-of-the-compose-suite}]}]\n");
    poll::until("the new policy is live", || ask(&[key]).filter(|status| *status == 200));
    assert_eq!(ask(&[]), Some(401));
    assert_eq!(ask(&["X-API-Key: a-wrong-key-of-this-suite"]), Some(401));

    let container = container("command");
    let state = |format| inspect(&container, format).unwrap_or_default();
    poll::until("`portcullis status` is content", || (state("{{.State.Health.Status}}") == "healthy").then_some(()));
    assert_eq!(state("{{.Config.User}} {{.HostConfig.ReadonlyRootfs}}"), "65532:65532 true");
    assert_eq!(state("{{.State.Running}} {{.RestartCount}}"), "true 0");
    for shell in ["sh", "bash", "/bin/sh", "/busybox/sh"] {
        assert!(!compose(&format!("exec -T command {shell} -c true")).status.success(), "there is a shell: {shell}");
    }
    assert!(compose("exec -T command portcullis --version").status.success(), "the control: a program that is there");
    let log = compose("logs command").stdout;
    assert!(text(&log).contains("is live: mode enforce, 1 key"), "it is the log: {}", text(&log));
    for key in ["a-key-of-the-compose-suite", "a-wrong-key-of-this-suite"] {
        assert!(!text(&log).contains(key), "a key is in the log");
    }
}

/// The module contains no paths of the build machine, so with the same compiler it is identical.
#[test]
#[ignore = "needs the stack: make compose-test"]
fn the_image_has_the_module_that_this_machine_builds() {
    let dockerfile = fs::read_to_string(workspace().join("Dockerfile")).expect("the Dockerfile is there");
    let version = Command::new("rustc").arg("--version").output().map(|output| text(&output.stdout));
    let here = version.ok().and_then(|text| Some(text.split(' ').nth(1)?.to_owned())).unwrap_or_default();
    if !dockerfile.contains(&format!("FROM rust:{here}-")) {
        eprintln!("skipped: the Dockerfile has another Rust than this machine's {here}");
        return;
    }
    let image = compose("exec -T gate cat target/portcullis.wasm").stdout;
    let built = fs::read(module()).expect("the module can be read");
    assert!(image == built, "{} bytes in the image, {} here", image.len(), built.len());
}

/// The commands of the guide, and those of the README and docs/demonstration.md for the main listener.
#[test]
#[ignore = "needs the stack: make compose-test"]
fn the_commands_of_the_guide_and_of_the_readme_do_what_they_say() {
    let read = |page| console::read(&fs::read_to_string(workspace().join(page)).expect("the page is there"));
    let guide = read("docs/guides/compose.md");
    let readme = read("README.md").into_iter().chain(read("docs/demonstration.md"));
    let readme = readme.filter(|shown| shown.command.contains(":10000/"));
    let mut failures = Vec::new();
    let mut asked = 0;
    // Each command has a shell of its own: variables that the page sets are set again.
    let mut variables = String::new();
    for shown in guide.into_iter().chain(readme) {
        // `scripts/compose-test` removes the stack, and checks that nothing is left.
        if shown.command.contains(" down ") || shown.command.contains(" prune ") {
            continue;
        }
        let here = shown.command.replace("docker compose", &told("PORTCULLIS_COMPOSE"));
        let here = here.replace("127.0.0.1:10000", &published("PORT").to_string());
        let here = here.replace("127.0.0.1:10001", &published("LOCAL_PORT").to_string());
        // There is no terminal.
        let here =
            here.replace(" exec ", " exec -T ").replace(" --rm ", " --rm -T ").replace("172.30.2", &told("INSIDE"));
        if here.starts_with("TOKEN=") {
            variables = format!("{variables}{here}\n");
        }
        failures.extend(shown.run(&format!("{variables}{here}"), &workspace()).err());
        asked += usize::from(here.contains("curl"));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(asked >= 12, "only {asked} requests were found");
}
