//! Replaces a file as a whole: a temporary file beside it is flushed to disk, and renamed over it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::{Builder, NamedTempFile};

/// Replaces a file atomically: readers see the old or the new file, also after a crash.
///
/// # Errors
/// If it cannot be written. The old file is then unchanged.
pub(crate) fn write_atomically(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    Staged::new(Builder::new().prefix(".portcullis-"), path, contents, mode)
        .with_context(|| format!("cannot write {}", path.display()))?
        .commit()
}

/// The new contents of a file, on disk but not yet in its place. Dropping it deletes them.
#[derive(Debug)]
pub(crate) struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes the contents to a temporary file, named by `builder`.
    pub(super) fn new(builder: &mut Builder<'_, '_>, path: &Path, contents: &[u8], mode: u32) -> Result<Self> {
        if path.is_dir() {
            bail!("it is a directory");
        }
        if path.exists() && !path.is_file() {
            bail!("it is not a regular file");
        }
        // At first, only the owner can access the file.
        let mut file = builder.tempfile_in(directory(path))?;
        keep_owner(path, file.as_file())?;
        file.write_all(contents)?;
        // Not at creation: the umask would restrict it.
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// If the file cannot be replaced. The old file is then unchanged.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { file, path } = self;
        let commit = || -> Result<()> {
            file.persist(&path)?;
            // The rename is durable once the directory is flushed.
            Ok(File::open(directory(&path))?.sync_all()?)
        };
        commit().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a new file the owner of the file that it will replace, who could not read it otherwise.
///
/// # Errors
/// If that is another user, and this user may not change the owner.
pub(super) fn keep_owner(old: &Path, new: &File) -> Result<()> {
    let Ok(old) = fs::metadata(old) else { return Ok(()) };
    let user = new.metadata()?.uid();
    match fchown(new, Some(old.uid()), Some(old.gid())) {
        Err(error) if old.uid() != user => {
            Err(error).with_context(|| format!("it belongs to user {}: run this as that user", old.uid()))
        }
        _ => Ok(()),
    }
}
