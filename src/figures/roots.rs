//! Where `/proc` and `/sys` are: the real ones, or a tree that a test recorded.

use super::error::FigureError;
use std::path::{Path, PathBuf};

/// Where the kernel's file systems are read: `/proc` and `/sys` by default, or a tree that a test has
/// recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    proc: PathBuf,
    sys: PathBuf,
    /// Made once: they are read at every look.
    status: PathBuf,
    thread_status: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots::new("/proc", "/sys")
    }
}

impl Roots {
    /// Reads `proc` for `/proc` and `sys` for `/sys`.
    pub fn new(proc: impl Into<PathBuf>, sys: impl Into<PathBuf>) -> Roots {
        let proc = proc.into();
        Roots {
            status: proc.join("self/status"),
            thread_status: proc.join("thread-self/status"),
            proc,
            sys: sys.into(),
        }
    }

    /// What stands for `/proc`.
    #[must_use]
    pub fn proc(&self) -> &Path {
        &self.proc
    }

    /// Whether there can be files here: on Linux always, elsewhere only in a recorded tree.
    pub(crate) fn supported(&self) -> Result<(), FigureError> {
        let linux = cfg!(any(target_os = "linux", target_os = "android"));
        if linux || self.proc != Path::new("/proc") {
            return Ok(());
        }
        Err(FigureError::Unsupported {
            system: std::env::consts::OS,
        })
    }

    pub(crate) fn status(&self) -> &Path {
        &self.status
    }

    /// The same by way of the calling thread, since Linux 3.17.
    pub(crate) fn thread_status(&self) -> &Path {
        &self.thread_status
    }

    /// What stands for `/sys`.
    #[must_use]
    pub fn sys(&self) -> &Path {
        &self.sys
    }
}
