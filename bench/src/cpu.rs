//! The processor time of a thread, and on which core it runs.

use std::fs;

use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// A thread of some process.
#[derive(Debug, Clone, Copy)]
pub struct Thread {
    process: i32,
    id: i32,
}

impl Thread {
    /// The thread of that process whose name begins so.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(process: &str, name: &str) -> Self {
        let process: i32 = process.parse().expect("a process id");
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
        let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
        let is_it = |id: &i32| {
            fs::read_to_string(format!("/proc/{process}/task/{id}/comm")).is_ok_and(|found| found.starts_with(name))
        };
        let mut ids: Vec<i32> = ids.filter(is_it).collect();
        ids.sort_unstable();
        let id = ids.first().unwrap_or_else(|| panic!("process {process} has no thread {name}"));
        Self { process, id: *id }
    }

    /// The time that it has been on a processor, in nanoseconds, user and system (Documentation/scheduler/sched-stats.rst of
    /// the kernel). Exact while it sleeps.
    ///
    /// # Panics
    /// If it has ended, or the kernel keeps no such count.
    pub fn time(&self) -> u64 {
        let file = format!("/proc/{}/task/{}/schedstat", self.process, self.id);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let first = text.split_whitespace().next().and_then(|number| number.parse().ok());
        first.unwrap_or_else(|| panic!("{file} holds no time"))
    }

    /// Keeps it on one core. What the kernel does not allow is left as it is: the figures are noisier then.
    pub fn keep_on(&self, core: usize) {
        keep(Pid::from_raw(self.id), core);
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
