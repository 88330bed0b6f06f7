//! The processor time of a thread, and on which core it runs.

use procfs::process::{Process, Task};
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// A thread of some process.
#[derive(Debug)]
pub struct Thread(Task);

impl Thread {
    /// The thread of that process whose name begins so.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(process: &Process, name: &str) -> Self {
        let tasks = process.tasks().expect("the process runs").flatten();
        let named = tasks.filter(|task| task.stat().is_ok_and(|stat| stat.comm.starts_with(name)));
        Self(named.min_by_key(|task| task.tid).unwrap_or_else(|| panic!("the process has no thread {name}")))
    }

    /// The time that it has been on a processor, in nanoseconds, user and system (Documentation/scheduler/sched-stats.rst of
    /// the kernel). Exact while it sleeps.
    ///
    /// # Panics
    /// If it has ended, or the kernel keeps no such count.
    pub fn time(&self) -> u64 {
        self.0.schedstat().expect("the thread runs").sum_exec_runtime
    }

    /// Keeps it on one core. What the kernel does not allow is left as it is: the figures are noisier then.
    pub fn keep_on(&self, core: usize) {
        keep(Pid::from_raw(self.0.tid), core);
    }
}

/// Keeps the calling thread on one core.
pub fn keep_here_on(core: usize) {
    keep(None, core);
}

fn keep(thread: Option<Pid>, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = sched_setaffinity(thread, &cores);
}
