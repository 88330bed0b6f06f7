//! Envoy under systemd as in `docs/guides/plain-envoy.md`: runs every command of the guide in a temporary directory,
//! and starts and stops Envoy as the unit does; also checks the unit itself.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use portcullis_tests::bytes::said;
use portcullis_tests::machine::Machine;
use portcullis_tests::report::not_checked;
use portcullis_tests::{console, paths, poll, secrets};

const GUIDE: &str = "docs/guides/plain-envoy.md";
const UNIT: &str = "envoy/systemd/envoy-portcullis.service";

fn shipped(path: &str) -> String {
    fs::read_to_string(paths::workspace().join(path)).expect("it is shipped")
}

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    let shown = console::read(&shipped(GUIDE));
    assert!(shown.len() > 30, "only {} commands were found", shown.len());
    shown
        .iter()
        .flat_map(|one| one.command.split([' ', '\'']))
        .filter(|word| word.starts_with("pk_"))
        .for_each(secrets::in_value);
    let mut machine = Machine::new();
    for one in &shown {
        assert!(
            one.command.split(' ').all(|word| word != "cd"),
            "who follows the page stays in the checkout: {}",
            one.command
        );
        let run = |machine: &mut Machine| {
            let output = machine.run(&one.command);
            (output.status.success(), said(&output))
        };
        let (passes, mut output) = run(&mut machine);
        if one.promised.is_empty() {
            assert!(passes, "$ {}\n{output}", one.command);
            continue;
        }
        // Envoy takes a moment to see a new file: commands that only read may be repeated until the expected line
        // appears.
        if one.missing(&output).is_some() {
            eprintln!("$ {}\n{output}", one.command);
        }
        poll::until(&format!("$ {} says what it promises", one.command), || {
            let missing = one.missing(&output).is_some();
            if missing {
                output = run(&mut machine).1;
            }
            (!missing).then_some(())
        });
    }
    let log = fs::read_to_string(machine.log()).expect("a log");
    assert!(
        log.contains("policy refused"),
        "a control: this is the log that is searched for secrets, in the end:\n{log}"
    );
}

#[test]
fn the_stand_in_for_the_machine_refuses_what_would_reach_the_real_one() {
    let reaches = [
        "sudo systemctl status envoy-portcullis",
        "true && systemctl --version",
        "sudo journalctl -u another",
        "test -e /home",
        "true </usr/bin/env",
        "sh -c '. /srv/settings'",
        "test -e \"/var/lib\"",
    ];
    let mut machine = Machine::new();
    for command in reaches {
        let refused = catch_unwind(AssertUnwindSafe(|| machine.run(command)));
        assert!(refused.is_err(), "{command}");
    }
    assert!(machine.run("test -d /run/portcullis </dev/null").status.success(), "a control");
}

/// The gate of the shipped files, without the guide.
fn installed() -> Machine {
    let mut machine = Machine::new();
    for one in console::read(&shipped(GUIDE)).iter().filter(|one| one.command.contains("install -D")) {
        assert!(machine.run(&one.command).status.success(), "{}", one.command);
    }
    machine
}

fn status(machine: &mut Machine, path: &str, key: &str) -> String {
    let command =
        format!("curl -s -o /dev/null -w '%{{http_code}}' -H 'X-API-Key: {key}' http://127.0.0.1:10000{path}");
    String::from_utf8_lossy(&machine.run(&command).stdout).into_owned()
}

#[test]
fn a_refused_gate_lets_nobody_in_until_there_is_a_good_one() {
    let mut machine = installed();
    let [gate, next] = ["gate/gate.yaml", "gate.yaml.new"].map(|file| machine.place("/etc/portcullis/").join(file));
    let good = fs::read_to_string(&gate).expect("it is installed");
    fs::write(&gate, good.replace("public_paths", "public_path")).expect("the file can be written");
    assert!(machine.start().status.success(), "the policy is not looked at before the start");
    let key = "pk_demo_ci_not_a_secret";
    assert_eq!(["/healthz", "/v2/models/iris"].map(|path| status(&mut machine, path, key)), ["500", "500"]);
    assert_eq!(machine.upstream.count(), 0);
    fs::write(&next, good).expect("the directory takes a file");
    fs::rename(&next, &gate).expect("one file system");
    poll::until("the gate serves", || (status(&mut machine, "/v2/models/iris", key) == "200").then_some(()));
    assert_eq!(status(&mut machine, "/v2/models/iris", "plain-unknown-key"), "401");
}

#[test]
fn what_is_wrong_with_the_bootstrap_is_found_before_the_start() {
    let refused = |machine: &mut Machine| {
        let output = machine.start();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let mut machine = installed();
    let gate = machine.place("/etc/portcullis/gate/gate.yaml");
    fs::rename(&gate, gate.with_extension("aside")).expect("it is installed");
    let said = refused(&mut machine);
    assert!(said.contains("paths must refer to an existing path"), "{said}");

    let mut machine = installed();
    let bootstrap = machine.place("/etc/portcullis/envoy.yaml");
    let text = fs::read_to_string(&bootstrap).expect("it is installed");
    fs::write(&bootstrap, text.replace("use_remote_address", "use_remote_addres")).expect("the file can be written");
    let said = refused(&mut machine);
    assert!(said.contains("use_remote_addres"), "{said}");
}

#[test]
fn a_stop_has_connections_close_as_their_requests_end() {
    let mut machine = installed();
    assert!(machine.start().status.success());
    let closes = |machine: &mut Machine| {
        let output = machine.run("curl -si http://127.0.0.1:10000/healthz");
        let reply = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        reply.contains("connection: close")
    };
    assert!(!closes(&mut machine), "a control");
    assert!(machine.drain().status.success());
    assert!(closes(&mut machine), "a new connection is served, and told to close");
}

#[test]
fn the_gate_is_made_anew_after_a_failure() {
    let gate: serde_json::Value = serde_saphyr::from_str(&shipped("envoy/systemd/gate.yaml")).expect("it is YAML");
    let plugin = &gate["resources"][0]["typed_config"]["config"];
    assert_eq!((&plugin["failure_policy"], plugin.get("fail_open")), (&"FAIL_RELOAD".into(), None));
}

/// The result of `systemd-analyze` for a unit: whether it passes, and its output.
fn analyzed(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output().expect("it was found");
    (output.status.success(), said(&output))
}

/// Exposure in tenths, of 100; most of the rest is the network, which a proxy needs.
const EXPOSURE: &str = "--threshold=15";

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return not_checked("the unit of systemd: systemd-analyze is not here");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let unit = directory.path().join("envoy-portcullis.service");
    let envoy = paths::envoy().display().to_string();
    let right = shipped(UNIT).replace("/usr/local/bin/envoy", &envoy);
    let with = |text: &str| fs::write(&unit, text).expect("the directory takes a file");
    with(&right);
    assert_eq!(analyzed(&["verify"], &unit), (true, String::new()));
    let (passes, said) = analyzed(&["security", "--offline=true", EXPOSURE], &unit);
    assert!(passes, "{said}");
    // The controls.
    with(&right.replace("ProtectSystem", "ProtectSystm"));
    assert!(analyzed(&["verify"], &unit).1.contains("ProtectSystm"));
    with(&right.replace("SystemCallFilter=@system-service\n", ""));
    assert!(!analyzed(&["security", "--offline=true", EXPOSURE], &unit).0);
}
