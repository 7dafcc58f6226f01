//! Who is kept out: a lock of the kernel's on a file beside, for as long as the process lives.
//!
//! The lock file can be anybody's in a folder that others may write to. One that is not ours is set
//! aside like a state file that is not, unless a process holds a lock on it: then the place is taken, which
//! keeps no program from starting, or everybody could. Whoever may not even open it looks that up in
//! `/proc/locks`: where that does not tell, as in another namespace, the file is taken to be left over.

use super::error::StateError;
use super::files::{owner_only, suffixed, trusted};
#[cfg(unix)]
use crate::governor::restart::listeners::ABOVE;
use std::fs::File;
#[cfg(unix)]
use std::io;
use std::path::Path;

/// Takes the lock of this state file. A lock file that is not ours comes back as an error beside the
/// lock when it could be set aside, and instead of it when not.
pub(super) fn lock(path: &Path) -> Result<(File, Option<StateError>), StateError> {
    let name = suffixed(path, ".lock");
    let set_aside = match trusted(&name) {
        Ok(_) => None,
        Err(StateError::Distrusted {
            path: lock,
            found,
            expected,
        }) => {
            let distrusted = |found| StateError::Distrusted {
                path: lock,
                found,
                expected,
            };
            if let Some(process_id) = holder(&name) {
                return Err(distrusted(format!(
                    "{found} and locked by process {process_id}"
                )));
            }
            let error = distrusted(found);
            if std::fs::rename(&name, suffixed(&name, ".damaged")).is_err() {
                return Err(error);
            }
            Some(error)
        }
        Err(error) => return Err(error),
    };
    Ok((take(path, &name)?, set_aside))
}

fn in_use(path: &Path, process_id: u32) -> StateError {
    StateError::InUse {
        path: path.to_owned(),
        process_id,
    }
}

fn take(path: &Path, name: &Path) -> Result<File, StateError> {
    let io = |error| StateError::Io {
        path: name.to_owned(),
        error,
    };
    let mut options = owner_only();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    let file = options.open(name).map_err(io)?;
    #[cfg(unix)]
    let file = out_of_the_way(file);
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        let wanted = whole_file();
        // SAFETY: reads the description.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &wanted) } != 0 {
            let error = io::Error::last_os_error();
            if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) {
                return Err(io(error));
            }
            return Err(in_use(path, held_by(&file).unwrap_or(0)));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, in_use);
    Ok(file)
}

/// The same file above all places for sockets. What is closed there to make room for one would take the lock
/// with it, though it be put back: the lock goes with the first descriptor of the file that is closed.
///
/// Where so few descriptors are allowed that there is none above, it stays.
#[cfg(unix)]
fn out_of_the_way(file: File) -> File {
    use std::os::fd::{AsRawFd, FromRawFd};
    // SAFETY: makes a new descriptor and touches no other.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ABOVE) } {
        -1 => file,
        // SAFETY: just made, and nobody else's.
        descriptor => unsafe { File::from_raw_fd(descriptor) },
    }
}

/// A lock of the process, and not of the descriptor: a child that inherits that does not hold it.
#[cfg(unix)]
fn whole_file() -> libc::flock {
    // SAFETY: all zero is a valid description: the whole file.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = libc::F_WRLCK as _;
    wanted.l_whence = libc::SEEK_SET as _;
    wanted
}

/// The process that keeps us from this lock; 0 when it is in another namespace.
#[cfg(unix)]
fn held_by(file: &File) -> Option<u32> {
    use std::os::fd::AsRawFd;
    let mut wanted = whole_file();
    // SAFETY: writes into the description who is in the way.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut wanted) };
    let is_held = asked == 0 && wanted.l_type != libc::F_UNLCK as libc::c_short;
    is_held.then(|| u32::try_from(wanted.l_pid).unwrap_or(0))
}

/// The process that has a lock on a file that is not ours.
#[cfg(unix)]
fn holder(name: &Path) -> Option<u32> {
    use std::os::unix::fs::OpenOptionsExt;
    let about = std::fs::symlink_metadata(name).ok()?;
    if about.is_symlink() {
        return None;
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags).open(name);
    match opened {
        Ok(file) => held_by(&file),
        #[cfg(target_os = "linux")]
        Err(_) => listed(&std::fs::read_to_string("/proc/locks").ok()?, &about),
        #[cfg(not(target_os = "linux"))]
        Err(_) => None,
    }
}

#[cfg(not(unix))]
fn holder(_name: &Path) -> Option<u32> {
    None
}

/// The process that `/proc/locks` names: `1: POSIX  ADVISORY  WRITE 123 00:1f:4567 0 EOF`.
#[cfg(target_os = "linux")]
fn listed(locks: &str, about: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let (major, minor) = (libc::major(about.dev()), libc::minor(about.dev()));
    find(locks, &format!("{major:02x}:{minor:02x}:{}", about.ino()))
}

#[cfg(target_os = "linux")]
fn find(locks: &str, file: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(4);
        let process_id = words.next()?.parse().ok()?;
        (words.next()? == file).then_some(process_id)
    })
}

/// Takes an arbitrary list of locks: answers the process that holds one on this file.
#[cfg(all(fuzzing, target_os = "linux"))]
pub fn fuzz_find(locks: &str, file: &str) -> Option<u32> {
    find(locks, file)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_holder_of_a_lock_is_found_in_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 123 00:1f:4567 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 77 103:02:45670 0 EOF\n";
        assert_eq!(find(locks, "00:1f:4567"), Some(123));
        assert_eq!(find(locks, "103:02:45670"), Some(77));
        assert_eq!(find(locks, "00:1f:456"), None);
        // And a real one, but on file systems that lie about their device, such as overlays.
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = lock(&folder.path().join("state")).unwrap();
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let found = listed(&locks, &file.metadata().unwrap());
        assert!(found.is_none_or(|process_id| process_id == std::process::id()));
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_set_aside_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("state"), folder.path().join("victim"));
        std::os::unix::fs::symlink(&victim, suffixed(&path, ".lock")).unwrap();
        let (_lock, set_aside) = lock(&path).unwrap();
        let said = set_aside.unwrap().to_string();
        assert!(said.contains("symbolic link"), "{said}");
        assert!(!victim.exists());
        assert!(suffixed(&path, ".lock.damaged").is_symlink());
    }
}
