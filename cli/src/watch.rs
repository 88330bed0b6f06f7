//! Watches files for changes, and catches the signals that end the command.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use notify_debouncer_mini::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_mini::{DebounceEventResult, DebouncedEvent, DebouncedEventKind, Debouncer, new_debouncer};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long a file must be unchanged before a change is reported, so that a write in place has finished.
const QUIET: Duration = Duration::from_millis(100);

/// How often a command repeats that it does not use the changed files.
pub(crate) const REMINDER: Duration = Duration::from_secs(30);

/// Sends `event` whenever one of the files has changed; a file may not exist yet. Which files these are is asked whenever
/// something happens in their directories. Changes in quick succession are sent as one. Watching ends when the returned
/// value is dropped.
///
/// # Errors
/// If a directory cannot be watched.
pub(crate) fn on_change<E: Clone + Send + 'static>(
    files: impl Fn() -> Vec<PathBuf> + Send + 'static,
    sender: Sender<E>,
    event: E,
) -> Result<Debouncer<RecommendedWatcher>> {
    let watched = files();
    let mut before = stamps(&watched);
    let mut debouncer = new_debouncer(QUIET, move |happened: DebounceEventResult| {
        // While changes keep coming, the file is still being written.
        let is_over = |events: Vec<DebouncedEvent>| events.iter().any(|event| event.kind == DebouncedEventKind::Any);
        let now = stamps(&files());
        if happened.map_or(true, is_over) && now != before {
            before = now;
            // The receiver is gone only when the command ends.
            let _ = sender.send(event.clone());
        }
    })?;
    // A file may be replaced by a rename, or by moving a link to it: only its directory reports that.
    for directory in watched.iter().flat_map(|file| directories(file)).collect::<BTreeSet<_>>() {
        let watched = debouncer.watcher().watch(&directory, RecursiveMode::NonRecursive);
        watched.with_context(|| format!("cannot watch the directory {}", directory.display()))?;
    }
    Ok(debouncer)
}

/// Sends `event` at SIGINT (Ctrl-C) and SIGTERM, which then no longer end the process by themselves.
///
/// # Errors
/// If the system does not let signals be caught.
pub(crate) fn on_signal<E: Clone + Send + 'static>(sender: Sender<E>, event: E) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot catch signals")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if sender.send(event.clone()).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// The directory of a file, and if the file is a link, also that of its target.
fn directories(file: &Path) -> impl Iterator<Item = PathBuf> {
    let parent = |file: &Path| file.parent().map(Path::to_owned);
    let own = parent(file).map(|parent| if parent.as_os_str().is_empty() { ".".into() } else { parent });
    own.into_iter().chain(fs::canonicalize(file).ok().as_deref().and_then(parent))
}

/// What identifies a version of a file: device, inode, size and times of change.
fn stamps(files: &[PathBuf]) -> Vec<Option<[i128; 7]>> {
    let stamp = |file: &PathBuf| {
        let file = fs::metadata(file).ok()?;
        let whole = [file.dev(), file.ino(), file.size()].map(i128::from);
        let [device, node, size] = whole;
        let [mtime, mtime_nsec, ctime, ctime_nsec] =
            [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()].map(i128::from);
        Some([device, node, size, mtime, mtime_nsec, ctime, ctime_nsec])
    };
    files.iter().map(stamp).collect()
}
