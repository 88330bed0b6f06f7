//! The CPU time of a thread, and its core.

use procfs::process::{Process, Task};
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// A thread of some process.
#[derive(Debug)]
pub struct Thread(Task);

impl Thread {
    /// The thread of that process whose name has this prefix.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(process: &Process, name: &str) -> Self {
        let tasks = process.tasks().expect("the process runs").flatten();
        let named = tasks.filter(|task| task.stat().is_ok_and(|stat| stat.comm.starts_with(name)));
        Self(named.min_by_key(|task| task.tid).unwrap_or_else(|| panic!("the process has no thread {name}")))
    }

    /// Its CPU time in nanoseconds, user and system (Documentation/scheduler/sched-stats.rst of the kernel). Exact
    /// while it sleeps.
    ///
    /// # Panics
    /// If it has ended, or the kernel does not count this.
    pub fn time(&self) -> u64 {
        self.0.schedstat().expect("the thread runs").sum_exec_runtime
    }

    /// Pins it to one core. Without permission it does nothing: the figures are then noisier.
    pub fn keep_on(&self, core: usize) {
        keep(Pid::from_raw(self.0.tid), core);
    }
}

/// Pins the calling thread to one core.
pub fn keep_here_on(core: usize) {
    keep(None, core);
}

fn keep(thread: Option<Pid>, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = sched_setaffinity(thread, &cores);
}
