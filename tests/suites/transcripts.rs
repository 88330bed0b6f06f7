//! The guides for DEEPaaS, Orchestra and RxInferServer, as a user follows them: every command of the page is run in one shell,
//! on a real Envoy in front of a model server, and every line that the page shows comes back. What is changed is served within
//! 2 seconds by the same Envoy, and no file holds a key that was generated.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::id;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use std::{fs, iter};

use portcullis_tests::console::Page;
use portcullis_tests::paths::{envoy, workspace};
use portcullis_tests::poll;
use portcullis_tests::session::{Session, text};

/// What a change may take until it is served: the promise of the guides.
const LIVE: Duration = Duration::from_secs(2);

/// A port that nobody has, outside of the range from which the kernel gives ports to others; another one at each call.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let port = || u16::try_from(20_000 + (id() * 7 + TAKEN.fetch_add(1, Relaxed)) % 10_000).expect("below 65536");
    iter::repeat_with(port).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a port is free")
}

/// Follows a guide. It writes 127.0.0.1:8080 for the gate, and 127.0.0.1:5000 for the service.
fn follow(guide: &str) {
    let page = fs::read_to_string(workspace().join("docs/guides").join(guide)).expect("the guide is there");
    let ports = [8080, 5000].map(|port| (port, free_port()));
    let here = |text: &str| {
        ports.iter().fold(text.to_owned(), |text, (written, port)| {
            text.replace(&format!("127.0.0.1:{written}"), &format!("127.0.0.1:{port}"))
        })
    };
    let page = Page::read(&here(&page));
    let release = |name: &'static str| (name, workspace().join("target/release").join(name));
    let mut session = Session::start(&[release("portcullis"), release("portcullis-backend"), ("envoy", envoy())]);
    page.write_files(&session.place());
    let mut running = BTreeSet::new();
    for (shown, status) in page.shown() {
        let command = &shown.command;
        let mut said = session.run(command);
        let is_as_promised = |text: &str, ended: i32| shown.missing(text).is_none() && ended == *status;
        let (starts, stops) = (command.ends_with("GATE=$!"), command.starts_with("kill $GATE"));
        if starts || command.ends_with('&') {
            poll::until(&format!("$ {command} says what it promises"), || {
                said.text = text(&said.file);
                is_as_promised(&said.text, said.status).then_some(())
            });
        } else if command.starts_with("curl ") {
            // Envoy takes a moment to see a new file: who only looks may look again.
            poll::within(LIVE, &format!("$ {command}\npromises {:?}", shown.promised), || {
                let as_promised = is_as_promised(&said.text, said.status);
                if !as_promised {
                    said = session.run(command);
                }
                as_promised.then_some(())
            });
        }
        assert!(
            is_as_promised(&said.text, said.status),
            "{guide}: $ {command}\npromises {:?} and status {status}, ends with {} and says:\n{}",
            shown.promised,
            said.status,
            said.text
        );
        // Nothing is restarted but by who follows the page.
        let before = std::mem::replace(&mut running, session.processes("envoy"));
        let is_right = match (starts, stops) {
            (true, _) => running.len() == 1,
            (_, true) => running.is_empty(),
            _ => running == before,
        };
        assert!(is_right, "{guide}: $ {command}\nEnvoy was {before:?}, and is {running:?}");
    }
    session.end();
}

#[test]
fn deepaas() {
    follow("deepaas.md");
}

#[test]
fn orchestra() {
    follow("orchestra.md");
}

#[test]
fn rxinfer() {
    follow("rxinfer.md");
}
