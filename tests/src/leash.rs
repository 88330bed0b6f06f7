//! A program that ends with its owner.
//!
//! It runs under a small shell that holds the reading end of a pipe. When the writing end closes, the shell kills the
//! program: because the [`Leashed`] was dropped, the suite panicked, or the suite was killed with SIGKILL.

use std::fs::File;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use procfs::process::Process;

/// Kills the command when the pipe on standard input closes; exits with the command's own status if that ends first.
const KEEPER: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & child=$!
{ cat <&3 >/dev/null; kill -KILL "$child"; } 2>/dev/null &
exec 3<&-; wait "$child""#;

/// A running program; dropping it ends the process.
#[derive(Debug)]
pub struct Leashed {
    keeper: Child,
    leash: Option<ChildStdin>,
}

impl Leashed {
    /// Starts a program with its arguments, working directory and additional variables; its standard output and error
    /// go to `log`.
    ///
    /// # Panics
    /// If there is no shell.
    pub fn start(program: &Command, log: File) -> Self {
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(program.get_program())
            .args(program.get_args())
            .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(program.get_current_dir().unwrap_or(Path::new(".")))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("a shell at /bin/sh");
        let leash = keeper.stdin.take();
        Self { keeper, leash }
    }

    /// How the program ended, if it has.
    ///
    /// # Panics
    /// If the kernel does not return a status.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.keeper.try_wait().expect("a child can be asked")
    }

    /// The name of the program in the kernel.
    ///
    /// # Panics
    /// If it is not running.
    pub fn child(&self, name: &str) -> Process {
        let is_it = |process: &Process| process.stat().is_ok_and(|stat| stat.comm == name);
        children(self.keeper.id()).into_iter().find(is_it).unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// Whether [`Leashed::end`] was not called yet.
    pub fn is_held(&self) -> bool {
        self.leash.is_some()
    }

    /// Ends the process. The shell exits after the program has ended, so its ports are free then.
    pub fn end(&mut self) {
        drop(self.leash.take());
        let _ = self.keeper.wait();
    }
}

/// The running children of a process. Each thread has its own children.
pub fn children(process: u32) -> Vec<Process> {
    let process = i32::try_from(process).ok().and_then(|id| Process::new(id).ok());
    let tasks = process.and_then(|process| process.tasks().ok()).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| task.children().unwrap_or_default());
    children.filter_map(|id| Process::new(i32::try_from(id).ok()?).ok()).collect()
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.end();
    }
}
