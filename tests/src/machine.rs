//! A machine as in `docs/guides/plain-envoy.md`, in a temporary directory: its paths, its unit, and a substitute for
//! systemd that runs the commands of the unit.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::leash::Leashed;
use crate::message::Reply;
use crate::net::connect_unix;
use crate::upstream::Upstream;
use crate::{http1, paths, poll, secrets};

/// The machine; dropping it ends its Envoy, and panics if that has printed a secret.
#[derive(Debug)]
pub struct Machine {
    envoy: Option<Leashed>,
    /// The upstream behind the gate.
    pub upstream: Upstream,
    root: TempDir,
}

/// The paths that the guide and the files use.
const PLACES: [&str; 3] = ["/etc/", "/usr/local/", "/run/"];
/// Other strings that begin with a slash in commands of the guide: files that are not part of the machine, and paths of
/// requests.
const NO_PLACES: [&str; 4] = ["/dev/null", "/dev/stdin", "/healthz", "/v2/"];
/// The characters before a path in a command, a unit or YAML.
const SIGNS: &[char] = &[' ', '\n', '\'', '"', '=', '-', '<', '>', '(', '{', '[', '&', ';', '|'];

impl Machine {
    /// A machine with a checkout of the repository, and nothing installed.
    ///
    /// # Panics
    /// If a directory is not writable.
    pub fn new() -> Self {
        let machine = Self {
            envoy: None,
            upstream: Upstream::start(),
            root: tempfile::tempdir().expect("a temporary directory"),
        };
        let checkout = machine.checkout();
        fs::create_dir_all(checkout.join("envoy/systemd")).expect("a directory of the machine");
        fs::create_dir_all(machine.place("/run/portcullis")).expect("a directory of the machine");
        for link in ["scripts", "target"] {
            symlink(paths::workspace().join(link), checkout.join(link)).expect("a link in the checkout");
        }
        for file in ["envoy-portcullis.service", "envoy.yaml", "gate.yaml"] {
            let text = fs::read_to_string(paths::workspace().join("envoy/systemd").join(file)).expect("it is shipped");
            secrets::in_document(&serde_saphyr::from_str(&text).unwrap_or_default());
            let upstream = format!("port_value: {}", machine.upstream.address().port());
            let text = machine.moved(&text).replace("port_value: 10000", "port_value: 0");
            let text =
                text.replace("port_value: 8081", &upstream).replace("0.0.0.0", "127.0.0.1").replace("%H", "node");
            fs::write(checkout.join("envoy/systemd").join(file), text).expect("the checkout takes a file");
        }
        machine
    }

    /// The top folder of the checkout.
    pub fn checkout(&self) -> PathBuf {
        self.root.path().join("checkout")
    }

    /// The actual location of a path of the machine.
    pub fn place(&self, path: &str) -> PathBuf {
        PathBuf::from(self.moved(path))
    }

    fn moved(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        let is_place = |word: &str| PLACES.iter().any(|place| word.starts_with(place));
        text.split_inclusive(SIGNS).flat_map(|word| [if is_place(word) { &root } else { "" }, word]).collect()
    }

    /// The values of `key` in the unit, in order.
    fn unit(&self, key: &str) -> Vec<String> {
        let unit = fs::read_to_string(self.place("/etc/systemd/system/envoy-portcullis.service")).expect("a unit");
        unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned).collect()
    }

    /// Runs a command of the guide in the checkout, including systemd's.
    ///
    /// # Panics
    /// If there is no shell, or the command would affect the real machine.
    pub fn run(&mut self, command: &str) -> Output {
        match command.strip_prefix("sudo systemctl ") {
            Some("daemon-reload") => return self.shell("true"),
            Some("enable --now envoy-portcullis") => return self.start(),
            Some("stop envoy-portcullis") => return self.stop(),
            Some("restart envoy-portcullis") => {
                self.stop();
                return self.start();
            }
            Some(other) => panic!("the stand-in for systemd does not know: {other}"),
            None => {}
        }
        for word in command.split_inclusive(SIGNS).map(|word| word.trim_end_matches(SIGNS)) {
            let is_here = !word.starts_with('/') || PLACES.iter().any(|place| word.starts_with(place));
            assert!(is_here || NO_PLACES.contains(&word), "{word} is a place of the real machine: {command}");
        }
        let log = format!("cat {}", self.log().display());
        let command = self.moved(command).replace("sudo ", "").replace("journalctl -u envoy-portcullis -o cat", &log);
        let is_for_systemd = ["systemctl", "journalctl"].iter().any(|program| command.contains(program));
        assert!(!is_for_systemd, "the stand-in for systemd does not know: {command}");
        self.shell(&command.replace("127.0.0.1:10000", &self.address().unwrap_or_default()))
    }

    fn shell(&self, command: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new("sh")
            .args(["-c", command])
            .current_dir(self.checkout())
            .env("PATH", format!("{}:{path}", self.place("/usr/local/bin").display()))
            .env("ENVOY", paths::envoy())
            .output()
            .expect("a shell")
    }

    /// `ExecStartPre`, then `ExecStart` with the variables of `EnvironmentFile`.
    ///
    /// # Panics
    /// If Envoy ends or does not answer at its admin socket, or nothing is installed.
    pub fn start(&mut self) -> Output {
        let checked = self.shell(&self.unit("ExecStartPre").join(" && "));
        if !checked.status.success() {
            return checked;
        }
        let start = self.unit("ExecStart").concat();
        let mut words = start.split(' ');
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        for file in self.unit("EnvironmentFile") {
            let text = fs::read_to_string(file.trim_start_matches('-')).unwrap_or_default();
            for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
                secrets::in_value(value);
                command.env(name, value);
            }
        }
        let log = File::options().create(true).append(true).open(self.log()).expect("a log");
        let mut envoy = Leashed::start(&command, log);
        poll::until("Envoy is ready, or ends", || {
            if let Some(status) = envoy.ended() {
                panic!("{status}\n{}", fs::read_to_string(self.log()).unwrap_or_default());
            }
            self.admin("/ready").filter(|reply| reply.status == 200)
        });
        self.envoy = Some(envoy);
        checked
    }

    /// Runs `ExecStop`, without its waiting time.
    pub fn drain(&self) -> Output {
        let stop: Vec<String> = self.unit("ExecStop").into_iter().filter(|line| !line.contains("sleep")).collect();
        self.shell(&format!("set -e; {}", stop.join("; ")))
    }

    /// [`Machine::drain`], then SIGTERM, on which Envoy must exit successfully.
    ///
    /// # Panics
    /// If Envoy is not running, or does not exit.
    fn stop(&mut self) -> Output {
        let drained = self.drain();
        let mut envoy = self.envoy.take().expect("Envoy runs");
        self.shell(&format!("kill -TERM {}", envoy.child("envoy").pid()));
        let status = poll::until("Envoy ends", || envoy.ended());
        assert!(status.success(), "Envoy ends with {status}");
        drained
    }

    /// The reply of Envoy's admin interface, if Envoy is running.
    pub fn admin(&self, path: &str) -> Option<Reply> {
        let socket = connect_unix(&self.place("/run/portcullis/admin.sock")).ok()?;
        http1::Client::new(socket).send(&http1::get(path, &[("connection", "close")])).ok()
    }

    /// The address of the listener.
    pub fn address(&self) -> Option<String> {
        let all: Value = serde_json::from_slice(&self.admin("/listeners?format=json")?.body).ok()?;
        let port = all["listener_statuses"][0]["local_address"]["socket_address"]["port_value"].as_u64()?;
        Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?)).to_string())
    }

    /// The file with Envoy's output.
    pub fn log(&self) -> PathBuf {
        Path::new(self.root.path()).join("journal")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // After this line the log is complete.
        drop(self.envoy.take());
        let leak = secrets::found_in(&fs::read(self.log()).unwrap_or_default());
        if let Some(leak) = leak
            && !std::thread::panicking()
        {
            panic!("Envoy's log holds {leak}");
        }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}
