//! Follows a page like a user: writes its files, runs its commands in one shell, and checks that every expected line
//! appears.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::process::id;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{fs, iter};

use crate::console::{self, Shown};
use crate::session::{Session, text};
use crate::{paths, poll};

/// The ports in the pages: of the gate, of a second gate, of Envoy's admin interface, of a service such as DEEPaaS, of DEEPaaS
/// behind the gate, of Orchestra, of vLLM and Triton, of Triton's gRPC, of Ollama.
const WRITTEN: [u16; 9] = [8080, 8081, 9901, 5000, 5001, 9001, 8000, 8001, 11434];

/// What is before one of these ports: an address and a colon, or the end of an option such as `--port`.
const BEFORE: [&str; 4] = ["127.0.0.1:", "127.0.0.9:", "localhost:", "-port "];

/// Servers that cannot run here, because they need models or GPUs: programs of the same name that serve the same paths.
const STAND_INS: [(&str, &str); 3] =
    [("vllm", "vllm_stand_in.py"), ("ollama", "ollama_stand_in.py"), ("tritonserver", "triton_stand_in.py")];

/// A port outside the kernel's ephemeral range that is free at every address; another one at each call.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let port = || u16::try_from(20_000 + (id() * 7 + TAKEN.fetch_add(1, Relaxed)) % 10_000).expect("below 65536");
    iter::repeat_with(port).find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).expect("a port is free")
}

/// Follows a page, on free ports, with the Python and the Node of the backends, and with the stand-ins of other servers. A
/// command that ends with `&` or `GATE=$!` runs in the background, and `kill $GATE` ends it; no other command may start, end or
/// replace an Envoy.
///
/// # Panics
/// If a command does not end with the expected status, or does not print an expected line: within 2 seconds for curl
/// and cat, because Envoy takes a moment to see a new file and to write its log, and at once for all others.
pub fn follow(name: &str, page: &str) {
    let page = WRITTEN.iter().fold(page.to_owned(), |page, written| {
        let free = free_port();
        BEFORE.iter().fold(page, |page, before| page.replace(&format!("{before}{written}"), &format!("{before}{free}")))
    });
    let parts = console::parts(&page);
    assert!(parts.iter().any(|part| !part.commands.is_empty()), "{name} shows no command");
    let release = |name: &'static str| (name, paths::workspace().join("target/release").join(name));
    let backend = |name| paths::backends().join(name);
    let stand_ins = STAND_INS.map(|(name, file)| (name, paths::workspace().join("tests/backends").join(file)));
    let programs = [release("portcullis"), release("portcullis-backend"), ("envoy", paths::envoy())];
    let mut session = Session::start(
        &[programs.as_slice(), &stand_ins].concat(),
        &[("python3", backend("python")), ("node", backend("node"))],
    );
    // Git asks for them, and a user has them in a file at home.
    session.run("export GIT_AUTHOR_NAME=ops GIT_AUTHOR_EMAIL=ops@example.com");
    session.run("export GIT_COMMITTER_NAME=ops GIT_COMMITTER_EMAIL=ops@example.com");
    let mut running = BTreeSet::new();
    for part in parts {
        if let Some((file, contents)) = part.file {
            fs::write(session.place().join(file), contents).expect("a file of the page");
        }
        for (shown, status) in &part.commands {
            step(&mut session, name, shown, *status, &mut running);
        }
    }
    session.end();
}

/// Runs one command. `running`: the Envoys before it, and then those after it.
fn step(session: &mut Session, name: &str, shown: &Shown, status: i32, running: &mut BTreeSet<u32>) {
    let command = &shown.command;
    let mut said = session.run(command);
    let is_as_promised = |text: &str, ended: i32| shown.missing(text).is_none() && ended == status;
    let (starts, stops) = (command.ends_with('&') || command.ends_with("=$!"), command.starts_with("kill "));
    if starts && command.contains("--listen 127.0.0.") {
        // Without expected lines, some server must answer there.
        let port = command.rsplit_once("--listen ").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest).to_owned());
        poll::until(&format!("{name}: $ {command}\nlistens"), || TcpStream::connect(port.as_deref()?).ok());
    }
    if starts {
        // If it never does, the assertion below shows what it says.
        let _ = poll::attempt(poll::PATIENCE, || {
            said.text = text(&said.file);
            is_as_promised(&said.text, said.status).then_some(())
        });
    } else if command.starts_with("curl ") || command.starts_with("cat ") {
        // Commands that only read may be repeated.
        let _ = poll::attempt(poll::LIVE, || {
            let as_promised = is_as_promised(&said.text, said.status);
            if !as_promised {
                said = session.run(command);
            }
            as_promised.then_some(())
        });
    }
    assert!(
        is_as_promised(&said.text, said.status),
        "{name}: $ {command}\npromises {:?} and status {status}, ends with {} and says:\n{}",
        shown.promised,
        said.status,
        said.text
    );
    let before = std::mem::replace(running, session.processes("envoy"));
    assert!(starts || stops || *running == before, "{name}: $ {command}\nEnvoy was {before:?}, and is {running:?}");
}
