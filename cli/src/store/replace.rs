//! A file replaced as a whole: a temporary file beside it, flushed to the disk, renamed over it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::{Builder, NamedTempFile};

/// Replaces a file: whoever reads it, and whatever is left by a crash, is the old one or the new one.
///
/// # Errors
/// If it cannot be written; the old one then stands as it was.
pub(crate) fn write_atomically(path: &Path, contents: &[u8], mode: u32) -> Result<()> {
    Staged::new(Builder::new().prefix(".portcullis-"), path, contents, mode)
        .with_context(|| format!("cannot write {}", path.display()))?
        .commit()
}

/// The new contents of a file, on the disk and not yet in its place. Dropped, they are gone.
#[derive(Debug)]
pub(crate) struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes them to a temporary file, named by `builder`.
    pub(super) fn new(builder: &mut Builder<'_, '_>, path: &Path, contents: &[u8], mode: u32) -> Result<Self> {
        if path.is_dir() {
            bail!("it is a directory");
        }
        if path.exists() && !path.is_file() {
            bail!("it is not a regular file");
        }
        // It begins as its owner's alone, whatever it is to be.
        let mut file = builder.tempfile_in(directory(path))?;
        keep_owner(path, file.as_file())?;
        file.write_all(contents)?;
        // Not at its creation: the umask would take from it.
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Puts them in the file's place.
    ///
    /// # Errors
    /// If the file cannot be replaced; the old one then stands as it was.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { file, path } = self;
        let commit = || -> Result<()> {
            file.persist(&path)?;
            // The new name is on the disk when its directory is.
            Ok(File::open(directory(&path))?.sync_all()?)
        };
        commit().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a new file to the owner of the one that it will replace, who could not read it otherwise.
///
/// # Errors
/// If that is another user, and this one may not do so.
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
