//! Keys that are typed at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::Place;

#[test]
fn a_key_that_is_typed_is_not_shown() {
    let key = "typed-key-of-somebody-0001";
    for (arguments, prompt, end) in [
        (&["keys", "add", "--consumer", "ci"][..], "paste the keys, one on each line", "\n\u{4}"),
        (&["keys", "verify"], "paste the key, then press Enter", "\n"),
    ] {
        let place = Place::new();
        place.must(&["init"]);
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).expect("it is ours");
        unlockpt(&terminal).expect("it is ours");
        let name = ptsname(&terminal, Vec::new()).expect("it has a name");
        let open = || File::options().read(true).write(true).open(name.to_str().expect("text")).expect("its other end");
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("portcullis"));
        command.args(arguments).current_dir(place.path("")).stdin(open()).stdout(Stdio::null()).stderr(open());
        let mut child = command.spawn().expect("it starts");
        drop(command);
        let mut terminal = File::from(terminal);
        let mut seen = Vec::new();
        // The terminal ends with the last process that has it.
        let read = |terminal: &mut File, seen: &mut Vec<u8>| {
            let mut piece = [0; 1024];
            let length = terminal.read(&mut piece).unwrap_or_default();
            seen.extend(&piece[..length]);
            length > 0
        };
        while !String::from_utf8_lossy(&seen).contains(prompt) {
            assert!(read(&mut terminal, &mut seen), "{}", String::from_utf8_lossy(&seen));
        }
        write!(terminal, "{key}{end}").expect("it reads");
        while read(&mut terminal, &mut seen) {}
        let seen = String::from_utf8_lossy(&seen);
        assert!(!seen.contains(key), "{seen}");
        let status = child.wait().expect("it ends");
        assert!(status.code().is_some_and(|code| code < 2), "{status}: {seen}");
    }
}
