//! Whom to believe, and how a file is replaced.

use super::error::StateError;
use super::kept::Kept;
use super::text::{BYTES, Wrong, decode};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A clock may have been set back by a little since a restart was written down. By more than this
/// the file is of another machine, or of no clock that can be believed.
pub(super) const FUTURE: u64 = 3600;

pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) beside: PathBuf,
    /// Held for its lock.
    pub(super) _lock: std::fs::File,
}

pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn replace(file: &Files, bytes: &[u8]) -> io::Result<()> {
    // Whatever stands there is left over from a process that was killed: never followed, if it is
    // a link.
    match std::fs::remove_file(&file.beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut beside = owner_only()
        .write(true)
        .create_new(true)
        .open(&file.beside)?;
    beside.write_all(bytes)?;
    beside.sync_all()?;
    drop(beside);
    std::fs::rename(&file.beside, &file.path)?;
    // It is there for whoever looks. The rename itself reaches the disk with the folder: not where that
    // may not be read, and then only a machine that dies in the next seconds forgets it.
    let folder = match file.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Options for a file that only its owner may read.
pub(super) fn owner_only() -> std::fs::OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "the mode is Unix's"))]
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Whether the file is one that only this user can have written.
#[cfg(unix)]
pub(super) fn trusted(path: &Path) -> Result<bool, StateError> {
    let about = match std::fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(StateError::Io {
                path: path.to_owned(),
                error,
            });
        }
    };
    if about.file_type().is_symlink() {
        return Err(StateError::Distrusted {
            path: path.to_owned(),
            found: "a symbolic link".to_owned(),
            expected: "a file of its own",
        });
    }
    owned(path, &about)?;
    Ok(true)
}

/// Fails unless the file belongs to this user.
#[cfg(unix)]
fn owned(path: &Path, about: &std::fs::Metadata) -> Result<(), StateError> {
    use std::os::unix::fs::MetadataExt;
    // SAFETY: no arguments, no effect, cannot fail.
    if about.uid() == unsafe { libc::geteuid() } {
        return Ok(());
    }
    Err(StateError::Distrusted {
        path: path.to_owned(),
        found: format!("owned by user {}", about.uid()),
        expected: "one that belongs to this user",
    })
}

#[cfg(not(unix))]
pub(super) fn trusted(path: &Path) -> Result<bool, StateError> {
    Ok(path.exists())
}

/// What the file says, at `now` in seconds since 1970; `None` when there is none.
pub(super) fn read(path: &Path, now: u64) -> Result<Option<Kept>, StateError> {
    let io = |error| StateError::Io {
        path: path.to_owned(),
        error,
    };
    if !trusted(path)? {
        return Ok(None);
    }
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    // In a folder where others may write, another file may stand there by now.
    #[cfg(unix)]
    owned(path, &file.metadata().map_err(io)?)?;
    let mut bytes = Vec::new();
    file.take(BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    let damaged = |wrong: Wrong| StateError::Damaged {
        path: path.to_owned(),
        line: wrong.line,
        found: wrong.found,
        expected: wrong.expected,
    };
    let kept = decode(&bytes).map_err(damaged)?;
    let latest = kept.restarts.iter().map(|row| row.at_unix_seconds).max();
    if let Some(latest) = latest.filter(|&latest| latest > now.saturating_add(FUTURE)) {
        return Err(StateError::Distrusted {
            path: path.to_owned(),
            found: format!("{} s ahead of the clock", latest - now),
            expected: "restarts of the past",
        });
    }
    Ok(Some(kept))
}
