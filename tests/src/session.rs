//! A shell session of a user who follows a page: one command after the other, in one directory, with programs in the
//! background.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

use crate::{leash, poll};

/// The shell; dropping it ends it, and all its background programs.
#[derive(Debug)]
pub struct Session {
    shell: Child,
    input: Option<ChildStdin>,
    directory: TempDir,
    commands: usize,
}

/// The output of a command, on standard output and error, and its exit status.
#[derive(Debug)]
pub struct Said {
    /// The output. For a background command, the output so far.
    pub text: String,
    /// The exit status.
    pub status: i32,
    /// The file with further output of a background command.
    pub file: PathBuf,
}

impl Session {
    /// Starts a shell in an empty directory, with these programs first on its PATH. `interpreters`: programs that look
    /// for files beside themselves, and for a program of that name on the PATH without them.
    ///
    /// # Panics
    /// If there is no shell, or a directory is not writable.
    pub fn start(programs: &[(&str, PathBuf)], interpreters: &[(&str, PathBuf)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [place, bin, out] = ["place", "bin", "out"].map(|name| directory.path().join(name));
        for new in [&place, &bin, &out] {
            fs::create_dir(new).expect("a directory in it");
        }
        for (name, program) in programs {
            symlink(program, bin.join(name)).expect("a link in it");
        }
        for (name, program) in interpreters {
            let (script, program) = (bin.join(name), program.display());
            fs::write(&script, format!("#!/bin/sh\nPATH=${{PATH#*:}}; exec '{program}' \"$@\"\n"))
                .expect("a script in it");
            fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("our own file");
        }
        let mut shell = Command::new("/bin/sh")
            .current_dir(&place)
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()))
            .env("HOME", &place)
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::piped())
            // Its own process group, which can be ended as a whole.
            .process_group(0)
            .spawn()
            .expect("a shell at /bin/sh");
        let mut input = shell.stdin.take().expect("a pipe");
        // The shell ends with its input, and so with its owner, even if that is killed. Not `$(jobs -p)`: some shells
        // list no jobs in a command substitution.
        let jobs = out.join("jobs");
        let jobs = jobs.display();
        writeln!(input, "trap 'jobs -p >{jobs}; kill $(cat {jobs}) 2>/dev/null; wait' EXIT").expect("the shell reads");
        Self { shell, input: Some(input), directory, commands: 0 }
    }

    /// The directory of its commands.
    pub fn place(&self) -> PathBuf {
        self.directory.path().join("place")
    }

    /// Runs a command to its end, or in the background.
    ///
    /// # Panics
    /// If it does not end.
    pub fn run(&mut self, command: &str) -> Said {
        self.commands += 1;
        let file = self.directory.path().join(format!("out/{}", self.commands));
        let status = file.with_extension("status");
        let (words, next) = (file.display(), file.with_extension("next"));
        // Commands do not get the shell's own input.
        let run = format!("{{ {command}\n}} >{words} 2>&1 </dev/null");
        let line = format!("{run}; echo $? >{0}; mv {0} {1}", next.display(), status.display());
        writeln!(self.input.as_mut().expect("it is held until the end"), "{line}").expect("the shell reads");
        let status = poll::until(&format!("$ {command} ends"), || fs::read_to_string(&status).ok());
        Said { text: text(&file), status: status.trim().parse().expect("a number"), file }
    }

    /// The process ids of all programs of that name that run under the shell.
    pub fn processes(&self, name: &str) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut left = leash::children(self.shell.id());
        while let Some(process) = left.pop() {
            let Ok(id) = u32::try_from(process.pid()) else { continue };
            if process.stat().is_ok_and(|stat| stat.comm == name) {
                found.insert(id);
            }
            left.extend(leash::children(id));
        }
        found
    }

    /// Ends the shell, and waits for its background programs.
    pub fn end(&mut self) {
        drop(self.input.take());
        if std::thread::panicking() {
            // The shell may be waiting for a command in the foreground.
            let group = format!("-{}", self.shell.id());
            let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        }
        let _ = self.shell.wait();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// The text of a file, as far as it is text.
pub fn text(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
