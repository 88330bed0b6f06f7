//! A registry for images as a child process, Debian's docker-registry, and its client skopeo.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::leash::Leashed;
use crate::packed::apart;
use crate::{paths, poll};

/// A running registry, empty at first; dropping it ends the process.
#[derive(Debug)]
pub struct Registry {
    // Declared before its directory, so that it ends before that is deleted.
    _process: Leashed,
    directory: TempDir,
    /// Host and port; there is no TLS.
    pub address: String,
}

impl Registry {
    /// Starts a registry and waits until it listens.
    ///
    /// # Panics
    /// If it does not listen, with its log.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let here = directory.path().display();
        let configuration = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {here}/data}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n"
        );
        fs::write(path("config.yml"), configuration).expect("the directory takes a file");
        let mut command = Command::new(paths::backends().join("docker-registry"));
        command.arg("serve").arg(path("config.yml"));
        let mut process = Leashed::start(&command, File::create(path("log")).expect("the directory takes a file"));
        let address = poll::until("the registry listens, or ends", || {
            let log = fs::read_to_string(path("log")).unwrap_or_default();
            assert!(process.ended().is_none(), "the registry has ended:\n{log}");
            let (_, rest) = log.split_once("listening on ")?;
            rest.split_once('"').map(|(address, _)| address.to_owned())
        });
        let registry = Self { _process: process, directory, address };
        registry.write_skopeo();
        registry
    }

    /// skopeo for this registry: without TLS, and with its blob cache in this directory.
    fn write_skopeo(&self) {
        let here = self.directory.path().display();
        let trusted = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", self.address);
        let program = format!(
            "#!/bin/sh\nexport _CONTAINERS_ROOTLESS_UID=1 XDG_DATA_HOME={here}\n\
             exec {} --insecure-policy --registries-conf {here}/registries.conf \"$@\"\n",
            paths::backends().join("skopeo").display()
        );
        let bin = self.directory.path().join("bin");
        fs::create_dir(&bin).expect("the directory takes a directory");
        fs::write(self.directory.path().join("registries.conf"), trusted).expect("the directory takes a file");
        fs::write(bin.join("skopeo"), program).expect("the directory takes a file");
        fs::set_permissions(bin.join("skopeo"), fs::Permissions::from_mode(0o755)).expect("our own file");
    }

    /// Runs a shell command in a directory; its `skopeo` is the one for this registry.
    ///
    /// # Panics
    /// If there is no shell.
    pub fn shell(&self, command: &str, directory: &Path) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}/bin:{path}", self.directory.path().display());
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).current_dir(directory).env("PATH", path);
        apart(&mut shell).output().expect("a shell at /bin/sh")
    }
}
