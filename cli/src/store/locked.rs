//! The store under a lock: a lock file beside it prevents two commands from writing at the same time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use super::Store;
use super::journal::Journal;
use super::replace::{Staged, keep_owner};
use crate::output::note;

/// A store that no other command changes until this is dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    path: PathBuf,
    /// Its contents.
    pub(crate) store: Store,
    /// Why it is changed, for the log.
    pub(crate) why: Option<String>,
    /// What they were when it was locked.
    pub(crate) before: Store,
    _lock: File,
}

/// A change that is ready: everything is done that can fail because of space or permissions.
#[derive(Debug)]
pub(crate) struct Change {
    staged: Staged,
    journal: Journal,
}

impl Change {
    /// Logs the change, and replaces the store. In this order: a log may have a change that was not made, but lacks none.
    ///
    /// # Errors
    /// If the file cannot be replaced, or if a change that gives access cannot be logged. The old file is then unchanged.
    pub(crate) fn commit(self) -> Result<()> {
        self.journal.write()?;
        self.staged.commit()
    }
}

impl Locked {
    /// Locks the store at `path` and reads it. If there is none yet, it is empty.
    ///
    /// # Errors
    /// If its directory cannot be written, or if it is not a store.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // If the store is a link, its target is replaced.
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => path.to_owned(),
            resolved => resolved.with_context(|| format!("cannot open the store {}", path.display()))?,
        };
        let lock = lock(&path).with_context(|| format!("cannot lock the store {}", path.display()))?;
        let store = if path.try_exists()? { Store::read(&path)? } else { Store::default() };
        Ok(Self { path, before: store.clone(), store, why: None, _lock: lock })
    }

    /// Replaces the file atomically.
    ///
    /// # Errors
    /// If it cannot be written. The old file is then unchanged.
    pub(crate) fn save(&self) -> Result<()> {
        self.stage()?.commit()
    }

    /// Does everything of [`save`](Self::save) that can fail because of space or permissions. The result is then
    /// committed.
    ///
    /// # Errors
    /// If it cannot be written, or cannot be logged.
    pub(crate) fn stage(&self) -> Result<Change> {
        let journal = Journal::open(&self.path, &self.before, &self.store, self.why.as_deref())?;
        let text = self.store.to_text()?;
        let stage = || {
            // Only the holder of the lock creates this file: an existing one was left by a crash.
            let temporary = beside(&self.path, "new")?;
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            let name = temporary.file_name().unwrap_or_default();
            Staged::new(tempfile::Builder::new().prefix(name).rand_bytes(0), &self.path, text.as_bytes(), 0o600)
        };
        let staged = stage().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Change { staged, journal })
    }
}

/// Locks the file at `path` by a second file, since the file itself is replaced.
fn lock(path: &Path) -> Result<File> {
    let lock_path = beside(path, "lock")?;
    let open = match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&lock_path) {
        // The owner of the store must be able to lock it the next time. Only a file that was created here gets the
        // owner: anyone who may write to the directory could put a link to another user's file there. A failure is
        // reported when the store is written.
        Ok(lock) => {
            let _ = keep_owner(path, &lock);
            Ok(lock)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(&lock_path)?.is_file() {
                bail!("{} is not a regular file: remove it", lock_path.display());
            }
            OpenOptions::new().write(true).open(&lock_path)
        }
        failed => failed,
    };
    let lock = open.with_context(|| lock_path.display().to_string())?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => {
            note(format_args!("another command has locked {}: waiting for it", path.display()));
            lock.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
        Ok(()) => {}
    }
    Ok(lock)
}

/// The hidden file `.NAME.suffix` beside the file NAME.
fn beside(path: &Path, suffix: &str) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| anyhow!("{}: expected a file name", path.display()))?;
    Ok(path.with_file_name(format!(".{}.{suffix}", name.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use portcullis::document::Mode;

    #[test]
    fn it_is_replaced_for_its_owner_alone_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let mut locked = Locked::open(&path).unwrap();
        locked.store.mode_override = Some(Mode::Report);
        locked.save().unwrap();
        drop(locked);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Locked::open(&path).unwrap().store.mode_override, Some(Mode::Report));
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 3, "the store, its lock and its log: {names:?}");
    }
}
